"""Markup and placeholders, taken out of a text and put back into its translation."""
