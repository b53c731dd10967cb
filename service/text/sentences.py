"""Sentence splitting. Offsets count Unicode code points."""

import re
import unicodedata
from collections.abc import Iterator

import sentencex

INVISIBLE = {"Cc", "Cf", "Zs", "Zl", "Zp"}
"""Unicode categories of control characters, format characters such as zero-width ones, and white space."""


def is_blank(text: str) -> bool:
    """True if a text has no visible character: empty, white space, control and zero-width characters only."""
    return all(unicodedata.category(character) in INVISIBLE for character in text)


LINE = re.compile(r"[^\r\n\v\f\x85\u2028\u2029]+")


def sentences(text: str, language: str) -> Iterator[tuple[int, int]]:
    """The spans of the sentences of a text, in order, without the white space around them.

    A line break always ends a sentence. Between the spans is white space only.

    >>> list(sentences("One. Two!\\n\\n- three", "en"))
    [(0, 4), (5, 9), (11, 18)]
    """
    for line in LINE.finditer(text):
        position = line.start()
        for sentence in sentencex.segment(language, line.group()):
            start = text.index(sentence, position)
            position = start + len(sentence)
            stripped = sentence.strip()
            if stripped:
                start += len(sentence) - len(sentence.lstrip())
                yield start, start + len(stripped)
