"""Benchmarks of speed and memory against a running service. They are not tests."""
