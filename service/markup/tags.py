"""Tags of a source sentence, placed around the words of its translation by alignment."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from service.markup.alignment import HALF, Weights, WordAlignment
from service.markup.edits import TextEdits
from service.text.mapped import Span


@dataclass(frozen=True)
class Tag:
    """Markup between two characters: before text[place]."""

    place: int
    raw: str
    name: str = ""
    """Element name; a closing tag's begins with a slash. Empty: the tag stands alone, like a comment."""


@dataclass
class Element:
    """A tag with its closing tag, around source[start:end]."""

    name: str
    opening: str
    start: int
    end: int
    closing: str = ""
    children: list["Element"] = field(default_factory=list)
    first: int = 0
    last: int = 0
    """Target words that it encloses: words[first:last]."""

    @property
    def empty(self) -> bool:
        return self.first == self.last

    @property
    def raw(self) -> str:
        return self.opening + "".join(child.raw for child in self.children) + self.closing


def place_tags(tags: Sequence[Tag], sentence: Span, alignment: WordAlignment, edits: TextEdits) -> None:
    """Insert each tag of a source sentence around the target words aligned with its content."""
    if len(tags) > MAX_TAGS:
        groups = groupby(tags, key=lambda tag: tag.place)
        tags = [Tag(place, "".join(tag.raw for tag in group)) for place, group in groups]
    elements = element_tree(tags, sentence)
    _assign_words(elements, sentence, 0, len(alignment.words), alignment)
    _insert(elements, alignment.words, edits)


MAX_TAGS = 500
"""Maximum tags of a sentence. Of more, those at one place are one tag that stands alone."""
MAX_DEPTH = 50
"""Maximum nesting of elements. A tag further down stands alone."""


def element_tree(tags: Sequence[Tag], sentence: Span) -> list[Element]:
    """Tags -> nested elements.

    An element that is opened or closed in another sentence reaches to the edge of this one. A tag that is closed out of
    order stands alone.
    """
    start, end = sentence
    root = Element("", "", start, end)
    path = [root]
    for tag in tags:
        opener = tag.name.removeprefix("/")
        if tag.name == "" or (tag.name == opener and len(path) > MAX_DEPTH):
            path[-1].children.append(Element("", tag.raw, tag.place, tag.place))
        elif tag.name == opener:
            path[-1].children.append(Element(opener, tag.raw, tag.place, end))
            path.append(path[-1].children[-1])
        elif opener in [element.name for element in path[1:]]:
            while path[-1].name != opener:
                unclosed = path.pop()
                unclosed.end = unclosed.start
                path[-1].children += unclosed.children
                unclosed.children = []
            element = path.pop()
            element.closing, element.end = tag.raw, tag.place
        elif len(path) == 1:
            root.children = [Element("", "", start, tag.place, tag.raw, root.children)]
        else:
            path[-1].children.append(Element("", tag.raw, tag.place, tag.place))
    return root.children


def _assign_words(elements: list[Element], sentence: Span, low: int, high: int, alignment: WordAlignment) -> None:
    """Give each element its target words among words[low:high]; siblings do not overlap."""
    free = np.zeros(len(alignment.words), dtype=np.bool_)
    free[low:high] = True
    # An element that reaches over the edge of the sentence has one end to choose, and chooses first.
    for element in sorted(elements, key=lambda e: bool(e.opening and e.closing)):
        if element.start == element.end:
            element.first = element.last = _boundary(element.start, sentence, low, high, alignment)
        elif not element.opening:
            element.first, element.last = low, _boundary(element.end, sentence, low, high, alignment)
        elif not element.closing:
            element.first, element.last = _boundary(element.start, sentence, low, high, alignment), high
        else:
            shares = np.where(free, alignment.attention_to((element.start, element.end)) - HALF, -np.inf)
            element.first, element.last = _best_run(shares, low)
        free[element.first : element.last] = False
        _assign_words(element.children, sentence, element.first, element.last, alignment)


def _boundary(place: int, sentence: Span, low: int, high: int, alignment: WordAlignment) -> int:
    """The boundary among words[low:high] that best separates the words aligned with the source before `place` from
    those aligned with the source behind it."""
    gains = alignment.attention_to((sentence[0], place)) - alignment.attention_to((place, sentence[1]))
    return low + int(np.argmax(np.cumsum([0.0, *gains[low:high]])))


def _best_run(values: Weights, low: int) -> Span:
    """Start and end of the run of values with the largest sum (Kadane). Empty, at `low`, if all are -inf."""
    best, found = -np.inf, (low, low)
    start, total = 0, -np.inf
    for place, value in enumerate(values):
        if total < 0 or not np.isfinite(total):
            start, total = place, value
        else:
            total += value
        if total > best:
            best, found = total, (start, place + 1)
    return found


def _insert(elements: list[Element], words: list[Span], edits: TextEdits) -> None:
    end = words[-1][1] if words else 0
    for element in sorted(elements, key=lambda e: e.first):
        if element.empty:
            edits.insert_before(words[element.first][0] if element.first < len(words) else end, element.raw)
        else:
            edits.insert_before(words[element.first][0], element.opening)
            _insert(element.children, words, edits)
            edits.insert_after(words[element.last - 1][1], element.closing)
