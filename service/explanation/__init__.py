"""Explanations of a score by the words or tokens of a text, and their faithfulness.

Everything here is a function of sets of kept units. `explainer` chooses the sets, and its caller scores them.
"""
