"""Characters that a network does not read, and those that make a text worth translating."""

import re

INVISIBLE = re.compile(
    "[\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff\x00-\x08\x0e-\x1b\x7f]+"
    "|(?<=[A-Za-z\u00c0-\u024f])[\u200c\u200d]+(?=[A-Za-z\u00c0-\u024f])"
)
"""Soft hyphens, zero-width characters, marks of writing direction, byte order marks and control characters."""


MEASURE = re.compile(
    r"(?<![\d.,])\d[\d.,]*+\s?(?:km/h|[kMGT]?i?B|[kMG]?bit|[kcm\u00b5\u03bc]?m(?:/s)?|[km]?g|[cm]?l|m?s|min|h|[kMG]?Hz|[kMG]?Wh?|[kKm]?V"
    r"|m?Ah?|px|pt|em|dpi|\u00b0[CF]|[xX]|fps)(?![^\W\d_])"
)
"""A number with the symbol of its unit."""


def has_letters(text: str) -> bool:
    return any(map(str.isalpha, text))


def has_words(text: str) -> bool:
    """True if a text has letters besides the units of its numbers."""
    return has_letters(text) and has_letters(MEASURE.sub("", text))
