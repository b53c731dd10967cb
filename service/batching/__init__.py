"""Batches across requests."""
