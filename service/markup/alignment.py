"""What of a translation came from what of its source, by attention, and text put in by it.

Legend: T target words, S source tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.attention import AttentionMatrix
from service.markup.html import Tag
from service.text.tokenizer import Token
from service.text.words import Words

Span = tuple[int, int]
Shares = NDArray[np.float64]

HALF = 0.5
"""A word that looks at a span for more than this share was made from it."""


class Alignment:
    """The attention of a sentence, in which only what can be seen takes part; offsets of its target are its own."""

    def __init__(self, sources: list[Token], targets: list[Token], text: str, attention: Sequence[AttentionMatrix]):
        """attention: matrices of the alignment, of which the mean is taken; without any, all is in the same order."""
        words = Words(targets, text)
        self.words = [(token.start, token.end) for token in words.tokens]
        self._sources = sources
        self._targets = targets
        cross = [matrix.weights for matrix in attention if matrix.kind == "cross"]
        weights = np.mean(cross, axis=0) if cross and targets else _in_order(len(targets), len(sources))
        # Special tokens and the spaces before words, which are tokens of their own before a symbol, say nothing.
        weights = weights * [token.text.strip() != "" for token in sources]
        weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
        seen = np.array([[float(token.text != "")] for token in targets]).reshape(-1, 1)
        self._weights = weights * seen
        self._of_words = self._weights
        if targets:
            sizes = np.maximum(np.add.reduceat(seen, words.starts, axis=0), 1)
            self._of_words = np.add.reduceat(self._weights, words.starts, axis=0) / sizes

    def shares(self, span: Span) -> Shares:
        """How much of its attention each target word gives to a span of the source [T]."""
        shares: Shares = self._of_words @ self._within(span)
        return shares

    def chars(self, target: Span, source: Span) -> float:
        """The same of the tokens in a span of the target."""
        rows = [i for i, token in enumerate(self._targets) if token.start < target[1] and token.end > target[0]]
        return float((self._weights[rows] @ self._within(source)).mean()) if rows else 0.0

    def made_from(self, span: Span) -> Span | None:
        """The part of a target word that was made from a span of the source, if there is one."""
        shares = self._weights @ self._within(span)
        if not len(shares) or shares.max() <= HALF:
            return None
        first = last = int(shares.argmax())
        while first > 0 and shares[first - 1] > HALF and self._targets[first - 1].end == self._targets[first].start:
            first -= 1
        while (
            last + 1 < len(shares)
            and shares[last + 1] > HALF
            and self._targets[last].end == self._targets[last + 1].start
        ):
            last += 1
        return self._targets[first].start, self._targets[last].end

    def _within(self, span: Span) -> Shares:
        """Which part of each source token is in a span [S]."""
        parts = [max(min(t.end, span[1]) - max(t.start, span[0]), 0) / max(t.end - t.start, 1) for t in self._sources]
        return np.array(parts)


def _in_order(targets: int, sources: int) -> Shares:
    """[T, S]: each looks at what is as far into its text."""
    return np.eye(max(sources, 1))[np.arange(targets) * sources // max(targets, 1)][:, :sources]


class Edits:
    """Changes to a text, made at once: what comes before and after its characters, and in their place."""

    def __init__(self, text: str, escape: Callable[[str], str]):
        self._text = text
        self._escape = escape
        self._before: dict[int, list[str]] = {}
        self._after: dict[int, list[str]] = {}
        self._instead: dict[Span, str] = {}
        self._end: list[str] = []
        self.result = ""

    def before(self, place: int, raw: str) -> None:
        """Before the character at a place; at the end of the text, behind it."""
        if place < len(self._text):
            self._before.setdefault(place, []).append(raw)
        else:
            self.after(place, raw)

    def after(self, place: int, raw: str) -> None:
        """Behind the character before a place."""
        self._after.setdefault(place, []).append(raw)

    def replace(self, span: Span, raw: str) -> None:
        self._instead[span] = raw

    def drop(self, span: Span) -> None:
        """With the white space before it."""
        start, end = span
        self._instead[(start - 1 if start and self._text[start - 1].isspace() else start, end)] = ""

    def touched(self, span: Span) -> bool:
        return any(start < span[1] and end > span[0] for start, end in self._instead)

    def append(self, raw: str) -> None:
        """At the end of the sentence, before the mark it ends with."""
        self._end.append(raw)

    def apply(self) -> None:
        """Write `result`."""
        instead = {start: (end, raw) for (start, end), raw in self._instead.items()}
        last = len(self._text.rstrip(MARKS))
        written: list[str] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        length = position = 0

        def write(raw: str) -> None:
            nonlocal length
            written.append(raw)
            length += len(raw)

        def between(place: int) -> None:
            """What stands before the character at a place, what closes behind the one before it first."""
            for raw in self._after.get(place, []):
                write(raw)
            if place == last:
                for raw in self._end:
                    write(f" {raw}" if length else raw)
            for raw in self._before.get(place, []):
                write(raw)

        between(0)
        while position < len(self._text):
            end, raw = instead.get(position, (position + 1, self._escape(self._text[position])))
            start = length
            write(raw)
            self._starts += [start] * (end - position)
            self._ends += [length] * (end - position)
            for place in range(position + 1, end + 1):
                between(place)
            position = end
        self.result = "".join(written)

    def span(self, start: int, end: int) -> Span:
        """Where text[start:end] is in the result."""
        if start == end:
            place = self._starts[start] if start < len(self._starts) else len(self.result)
            return place, place
        return self._starts[start], self._ends[end - 1]


MARKS = ".,;:!?\u2026 \u00a0\u202f"


@dataclass
class Element:
    """A tag with the one that closes it, around source[start:end]."""

    name: str
    opening: str
    start: int
    end: int
    closing: str = ""
    children: list["Element"] = field(default_factory=list)
    first: int = 0
    last: int = 0
    """The target words it stands around: words[first:last]."""

    @property
    def empty(self) -> bool:
        return self.first == self.last

    @property
    def raw(self) -> str:
        return self.opening + "".join(child.raw for child in self.children) + self.closing


def lay_tags(tags: Sequence[Tag], sentence: Span, alignment: Alignment, edits: Edits) -> None:
    """Put each tag that stands inside of a sentence around the words of its translation that it belongs to."""
    elements = nested(tags, sentence)
    _choose(elements, sentence, 0, len(alignment.words), alignment)
    _write(elements, alignment.words, edits)


DEEPEST = 50
"""Elements within elements; a tag further down stands for itself."""


def nested(tags: Sequence[Tag], sentence: Span) -> list[Element]:
    """Tags -> the elements they are. One that is opened or closed in another sentence reaches to this one's edge;
    one that is closed in the wrong order stands for itself."""
    start, end = sentence
    root = Element("", "", start, end)
    path = [root]
    for tag in tags:
        opener = tag.name.removeprefix("/")
        if tag.name == "" or (tag.name == opener and len(path) > DEEPEST):
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


def _choose(elements: list[Element], sentence: Span, low: int, high: int, alignment: Alignment) -> None:
    """Give each element its words among words[low:high], in which no other of them is."""
    free = np.zeros(len(alignment.words), dtype=np.bool_)
    free[low:high] = True
    # What reaches over the edge of the sentence has one place to choose only, and chooses first.
    for element in sorted(elements, key=lambda e: bool(e.opening and e.closing)):
        if element.start == element.end:
            element.first = element.last = _boundary(element.start, sentence, low, high, alignment)
        elif not element.opening:
            element.first, element.last = low, _boundary(element.end, sentence, low, high, alignment)
        elif not element.closing:
            element.first, element.last = _boundary(element.start, sentence, low, high, alignment), high
        else:
            shares = np.where(free, alignment.shares((element.start, element.end)) - HALF, -np.inf)
            element.first, element.last = _best_run(shares, low)
        free[element.first : element.last] = False
        _choose(element.children, sentence, element.first, element.last, alignment)


def _boundary(place: int, sentence: Span, low: int, high: int, alignment: Alignment) -> int:
    """The place among words[low:high] before which they look most at what is before a place of the source, and behind
    which at what is behind it."""
    gains = alignment.shares((sentence[0], place)) - alignment.shares((place, sentence[1]))
    return low + int(np.argmax(np.cumsum([0.0, *gains[low:high]])))


def _best_run(values: Shares, low: int) -> Span:
    """The run of values with the largest sum: where it starts and ends. Empty, at `low`, if all are -inf."""
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


def _write(elements: list[Element], words: list[Span], edits: Edits) -> None:
    end = words[-1][1] if words else 0
    for element in sorted(elements, key=lambda e: e.first):
        if element.empty:
            edits.before(words[element.first][0] if element.first < len(words) else end, element.raw)
        else:
            edits.before(words[element.first][0], element.opening)
            _write(element.children, words, edits)
            edits.after(words[element.last - 1][1], element.closing)
