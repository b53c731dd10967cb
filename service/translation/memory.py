"""A translation memory: texts with the translations that people have made, and the best match of a new text.

An exact match has the same text, apart from white space and the case of the first character. A fuzzy match has a text
of which most characters are the same: its score is that of `rapidfuzz.fuzz.ratio` (the normalised Indel similarity),
divided by 100.
"""

import html
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping

from service.batching import budget
from service.errors import NotAvailable
from service.markup.protect import Format, escape_html
from service.translation.results import Match

MAX_FUZZY = 1_000
"""Characters of a text up to which similar texts are looked for."""
CHUNK = 500
"""Texts of one comparison. A comparison holds the GIL."""
MOST_FUZZY = 0.999
"""Maximum score of a fuzzy match."""

Scorer = Callable[..., tuple[str, float, int] | None]


class TranslationMemory:
    """The units of one language pair."""

    def __init__(self, units: Mapping[str, str]):
        """units: source text -> its translation."""
        self._units = {normalised(source): (source, target) for source, target in units.items()}
        self._keys = sorted(self._units, key=len)
        self._lengths = [len(key) for key in self._keys]

    def find(self, text: str, threshold: float, format: Format = "text") -> Match | None:
        """The best match of a text, in the format of the text. threshold: the least score of a fuzzy match; with 1
        there are exact matches only.

        The source of an HTML text with tags must have the same tags. Raises NotAvailable without the extra
        `documents` if the threshold is below 1.
        """
        is_escaped = format == "html" and "<" not in text
        found = self._find(html.unescape(text) if is_escaped else text, threshold)
        if found is None or not is_escaped:
            return found
        return Match(found.score, found.source, escape_html(found.target))

    def _find(self, text: str, threshold: float) -> Match | None:
        key = normalised(text)
        if key in self._units:
            source, target = self._units[key]
            return Match(1.0, source, _like(text, source, target))
        if threshold >= 1 or not key or len(key) > MAX_FUZZY:
            return None
        return self._similar(key, threshold)

    def _similar(self, key: str, threshold: float) -> Match | None:
        """The most similar unit. Units that are too short or too long for the threshold are not compared."""
        extract_one, ratio = _rapidfuzz()
        first = bisect_left(self._lengths, len(key) * threshold / (2 - threshold))
        last = bisect_right(self._lengths, len(key) * (2 - threshold) / threshold)
        best: tuple[float, str] | None = None
        least = 100 * threshold
        for start in range(first, last, CHUNK):
            budget.check()
            chunk = self._keys[start : min(start + CHUNK, last)]
            found = extract_one(key, chunk, scorer=ratio, score_cutoff=least)
            if found is not None and (best is None or found[1] > best[0]):
                best = found[1], found[0]
                least = found[1]
        if best is None:
            return None
        source, target = self._units[best[1]]
        return Match(min(int(10 * best[0]) / 1000, MOST_FUZZY), source, target)


def normalised(text: str) -> str:
    r"""A text with single spaces, none at its ends, and a small first letter.

    >>> normalised(" Open\n the File ")
    'open the File'
    """
    words = " ".join(text.split())
    return words[:1].lower() + words[1:]


def _like(text: str, source: str, target: str) -> str:
    """The translation of a unit with the white space around the text, and with a capital if the text adds one."""
    inner = text.strip()
    if inner[:1].isupper() and not source.lstrip()[:1].isupper():
        target = target[:1].upper() + target[1:]
    start = text.index(inner)
    return text[:start] + target.strip() + text[start + len(inner) :]


def _rapidfuzz() -> tuple[Scorer, Callable[..., float]]:
    """Raises NotAvailable."""
    try:
        from rapidfuzz import fuzz, process
    except ImportError:
        message = "similar texts of a memory need the extra `documents`: pip install 'limelight[documents]'"
        raise NotAvailable(f"{message}; with memory_threshold 1 none are looked for") from None
    return process.extractOne, fuzz.ratio
