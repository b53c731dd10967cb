"""A prompt in, its continuation out."""
