"""ASGI middleware: request ids, limits, direct routes."""
