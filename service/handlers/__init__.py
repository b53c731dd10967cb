"""Uses of the service without HTTP: a checked request and the registry -> an answer or events."""
