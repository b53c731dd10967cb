"""The networks: pure forwards, state in and state out, attention weights returned and never stashed."""
