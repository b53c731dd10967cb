"""Numbers in a text, and the notation of numbers in a language."""

import re
import unicodedata
from collections import Counter

DIGITS = re.compile(r"\d+")
GROUPED = re.compile(r"\d{1,3}(?:[.,'\u2019 \u00a0\u202f]\d{3}(?!\d))+")
"""A number with a separator before each group of three digits."""

NUMBER = re.compile(
    r"(?<![\w.,])[-\u2212+]?\d{1,20}+(?:[.,:/'\u2019\u2013-]\d{1,20}+|[ \u00a0\u202f]\d{3}(?!\d)){0,8}+"
    r"(?:[^\W\d_]{1,4}(?!\w))?+(?![^\W\d])"
)
"""A number with its sign, separators and suffix: 1,299.99, 12:30, 3-5, 1 000, 20th, 5km."""
ORDINAL = re.compile("(\\d{1,9})(?:st|nd|rd|th|er|re|\u00e8re|e|\u00e8me|nde|d|de)")

DECIMAL_POINT = {"en", "ja", "ko", "zh", "th", "he"}
"""Languages that write 1,234.5. Others write 1.234,5 or 1 234,5."""
GROUP_SPACE = {"fr", "cs", "sk", "pl", "ru", "uk", "sv", "fi", "nb", "hu", "bg"}
"""Languages that write 1 234,5."""


def has_digits(text: str) -> bool:
    return DIGITS.search(text) is not None


def same_numbers(source: str, target: str) -> bool:
    """True if two texts have the same numbers, in any order and with any separators.

    >>> same_numbers("1,299.99 in 2015", "En 2015 : 1 299,99"), same_numbers("3-5 days", "35 jours")
    (True, False)
    """
    if not (has_digits(source) or has_digits(target)):
        return True
    sources, targets = _readings(source), _readings(target)
    return any(one == other for one in sources for other in targets)


def _readings(text: str) -> tuple[Counter[str], Counter[str]]:
    """The runs of digits of a text, without and with its groups of three digits joined."""
    joined = GROUPED.sub(lambda match: "".join(DIGITS.findall(match[0])), text)
    return _runs(text), _runs(joined)


def _runs(text: str) -> Counter[str]:
    return Counter("".join(str(unicodedata.decimal(digit)) for digit in run) for run in DIGITS.findall(text))


def localized(number: str, source: str, target: str) -> str:
    """A number with the separators, or the ordinal suffix, of the target language. Others, such as versions, stay.

    >>> localized("1,299.99", "en", "de"), localized("1.299,99", "de", "en"), localized("2.10.3", "en", "de")
    ('1.299,99', '1,299.99', '2.10.3')
    """
    if ordinal := ORDINAL.fullmatch(number):
        return _ordinal(ordinal[1], target)
    group, decimal = _separators(source)
    new_group, new_decimal = _separators(target)
    groups = r"[ \u00a0\u202f]" if group == "\u202f" else re.escape(group)
    match = re.fullmatch(rf"([-\u2212+]?)(\d{{1,3}}(?:{groups}\d{{3}})+|\d+)(?:{re.escape(decimal)}(\d+))?", number)
    if match is None:
        return number
    sign, whole, fraction = match.groups()
    parts = re.split(groups, whole)
    return sign + new_group.join(parts) + (f"{new_decimal}{fraction}" if fraction else "")


def _ordinal(digits: str, language: str) -> str:
    """
    >>> _ordinal("22", "en"), _ordinal("1", "fr"), _ordinal("3", "de")
    ('22nd', '1er', '3.')
    """
    if language == "en":
        teens = digits[-2:] in ("11", "12", "13")
        return digits + ("th" if teens else {"1": "st", "2": "nd", "3": "rd"}.get(digits[-1], "th"))
    if language == "fr":
        return digits + ("er" if digits == "1" else "e")
    return f"{digits}."


def _separators(language: str) -> tuple[str, str]:
    if language in DECIMAL_POINT:
        return ",", "."
    return ("\u202f" if language in GROUP_SPACE else "."), ","
