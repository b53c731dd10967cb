"""Two placeholders directly around words, which are placed around their translation as tags are: {link}here{end}."""

import re
from collections.abc import Sequence
from itertools import pairwise

from service.batching import budget
from service.markup.html import OBJECT
from service.text.mapped import Span

SIGNS = "%{$<[" + OBJECT
"""First characters of placeholders and of elements that are copied."""
WORDS = re.compile(r"[^\W\d_]{3,100}+(?:[^\n\ue000-\uf8ff]{1,400}(?<![^\W\d_])[^\W\d_]{3,100}+)?")
"""A word, or several. The first and the last one are longer than an ending or a unit, such as `s`, `th` or `px`."""


def pairs_around_words(text: str, spans: Sequence[Span], tags: Sequence[int]) -> dict[int, str]:
    """Names of tags for the placeholders that are pairs, by their index among the spans of all pieces.

    tags: places of the tags of the text. There is none inside of a pair.
    """
    found: dict[int, str] = {}
    inside = set(tags)
    for number, ((start, first), (last, end)) in enumerate(pairwise(spans)):
        budget.check()
        if number in found or not (text[start] in SIGNS and text[last] in SIGNS):
            continue
        if text[start - 1 : start].isalnum() or text[end : end + 1].isalnum():
            continue
        if WORDS.fullmatch(text, first, last) and inside.isdisjoint(range(start + 1, end)):
            found |= {number: "pair", number + 1: "/pair"}
    return found
