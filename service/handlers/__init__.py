"""Uses of the service without HTTP: a request schema and the registry in, an answer or events out."""
