"""Markup and placeholders in a text, and their places in its translation."""
