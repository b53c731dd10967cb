"""Failures that occur in production, caused on purpose against a running service."""
