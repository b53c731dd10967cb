"""Sentence splitting. Offsets count Unicode code points."""

import itertools
import re
import unicodedata
from collections.abc import Iterator

import sentencex

from service.batching import budget

INVISIBLE = {"Cc", "Cf", "Zs", "Zl", "Zp"}
"""Unicode categories of control characters, format characters such as zero-width ones, and white space."""


def is_blank(text: str) -> bool:
    """True if a text has no visible character: empty, white space, control and zero-width characters only."""
    if text and unicodedata.category(text[0]) not in INVISIBLE:
        return False
    return all(unicodedata.category(character) in INVISIBLE for character in set(text))


LINE = re.compile(r"[^\r\n\v\f\x85\u2028\u2029]+")

WINDOW = 1_000
"""Characters of one call of the splitter, whose time is quadratic in unclosed quotation marks."""


def sentences(text: str, language: str) -> Iterator[tuple[int, int]]:
    """The spans of the sentences of a text, in order, without the white space around them.

    A line break always ends a sentence. Between the spans is white space only.

    >>> list(sentences("One. Two!\\n\\n- three", "en"))
    [(0, 4), (5, 9), (11, 18)]
    """
    for line in LINE.finditer(text):
        first = last = line.start()
        for start, end in _windowed(text, line.start(), line.end(), language):
            if start > first and not _continues(text, first, start, language):
                yield from _stripped(text, first, last)
                first = start
            last = end
        yield from _stripped(text, first, last)


def _windowed(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    """Adjacent spans of the sentences of a line, found in windows of WINDOW characters."""
    while start < end:
        budget.check()
        limit = min(start + WINDOW, end)
        ends = [start]
        for sentence in sentencex.segment(language, text[start:limit]):
            place = text.find(sentence, ends[-1], limit)
            ends.append(limit if place < 0 else place + len(sentence))
        if limit == end:
            ends.append(end)
        elif len(ends) > 2:
            del ends[-1]  # the last sentence may continue behind the window
        else:
            space = text.rfind(" ", start + WINDOW // 2, limit) + 1
            ends = [start, space or limit]
        for first, last in itertools.pairwise(ends):
            if first < last:
                yield first, last
        start = ends[-1]


def _stripped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    sentence = text[start:end]
    if stripped := sentence.strip():
        start += len(sentence) - len(sentence.lstrip())
        yield start, start + len(stripped)


CONTEXT = 24
"""Characters before and behind a boundary that decide whether it is one."""


def _continues(text: str, first: int, place: int, language: str) -> bool:
    """True if the full stop before `place` belongs to an ordinal or an abbreviation, by the rules of the language."""
    before, behind = text[max(first, place - CONTEXT) : place].rstrip(), text[place : place + CONTEXT]
    return any(ends.search(before) and starts.match(behind) for ends, starts in CONTINUATIONS.get(language, ()))


CONTINUATIONS = {
    "de": (
        (
            re.compile(r"(?<![\d.,])\d{1,2}\.$"),
            re.compile("Januar|Jänner|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember"),
        ),
        (
            re.compile(
                r"(?<!\w)(?:der|die|das|den|dem|des|am|vom|zum|zur|beim|im|ins|bis|ab|seit|und|oder|sowie|jede[nmrs]?"
                r"|eine[nmrs]?|diese[nmrs]?|[msd]eine[nmrs]?|ihre[nmrs]?|unsere[nmrs]?) +\d{1,3}\.$",
                re.IGNORECASE,
            ),
            re.compile(r"\w"),
        ),
        (
            re.compile(
                r"(?<![\w.])(?:Hr|Fr|Prof|Dr|St|Nr|Abs|Art|Bd|ca|bzw|evtl|ggf|inkl|vgl|[zdus]|z\. ?B|u\. ?a)\.$"
            ),
            re.compile(r"\w"),
        ),
    ),
    "fr": (
        (re.compile(r"(?<![\w.])(?:MM?|Mmes?|Mlles?|Drs?|Prs?|Me|Mgr|Ste?)\.$"), re.compile(r"\w")),
        (re.compile(r"(?<![\w.])(?:n|pp?|art|fig|vol|chap|cf|env|av|apr)\.$"), re.compile(r"\w")),
    ),
}
"""Pairs of a text before and a text behind a full stop that does not end a sentence, by language."""
