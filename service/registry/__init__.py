"""Loaded bundles, by name and version."""
