"""Measurements against the running service: claims about speed and memory, never tests."""
