"""Protects markup and pieces that must not change: takes them out of a text before translation.

I see <b>{{name}}</b>.    the text as sent
I see \ue000.             the protected text: no tags, one character for each piece
"""

import html
import operator
import re
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from service.batching import budget
from service.bundle.conventions import UNKNOWN_SYMBOL
from service.markup.html import OBJECT, read_html
from service.markup.messages import ARGUMENT, LINE_BREAK, message_syntax
from service.markup.pairs import pairs_around_words
from service.markup.pieces import TRIGGERS, find_pieces
from service.markup.plain import read_text
from service.markup.quotes import quotes_as_tags
from service.markup.tags import Tag
from service.text.lines import with_joined_lines
from service.text.mapped import MappedText, Span

Format = Literal["text", "html"]

PIECE = UNKNOWN_SYMBOL
"""The character of a protected text that each piece is replaced by."""


@dataclass(frozen=True)
class Piece:
    """A part of the text as sent that is copied: text[place] of the protected text."""

    place: int
    raw: str


@dataclass(frozen=True)
class ProtectedText:
    """A text without its tags and pieces."""

    raw: str
    """The text as sent."""
    mapped: MappedText | None = None
    """The protected text. None if there is nothing to protect: it is `raw`."""
    tags: list[Tag] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    escape: Callable[[str], str] = str
    """Escapes a translation for the format of `raw`."""

    @property
    def text(self) -> str:
        return self.raw if self.mapped is None else self.mapped.text

    def span(self, start: int, end: int) -> Span:
        """The span of text[start:end] in the text as sent."""
        return (start, end) if self.mapped is None else self.mapped.span(start, end)

    def inside(self, start: int, end: int) -> Span:
        """The span of the protected text that stands for raw[start:end]; it may be empty."""
        if self.mapped is None:
            return start, end
        first = int(np.searchsorted(self.mapped.starts, start, side="left"))
        return first, max(first, int(np.searchsorted(self.mapped.ends, end, side="right")))

    def pieces_in(self, start: int, end: int) -> list[Piece]:
        """Pieces of text[start:end]."""
        key = operator.attrgetter("place")
        return self.pieces[bisect_left(self.pieces, start, key=key) : bisect_left(self.pieces, end, key=key)]

    def tags_in(self, start: int, end: int) -> list[Tag]:
        """Tags between two characters of text[start:end]."""
        key = operator.attrgetter("place")
        return self.tags[bisect_left(self.tags, start + 1, key=key) : bisect_left(self.tags, end, key=key)]


def protect(raw: str, format: Format, join_lines: bool = False) -> ProtectedText:
    """Take the markup and the pieces out of a text. With `join_lines`, the lines of a paragraph are one line."""
    if format == "html":
        return _protected(raw, *read_html(raw), escape_html)
    joined = with_joined_lines(raw) if join_lines else raw
    if TRIGGERS.search(raw) is None:
        return ProtectedText(raw, None if joined == raw else replace(MappedText.copy_of(raw), text=joined))
    return _protected(raw, *read_text(joined), str)


def escape_html(text: str) -> str:
    return html.escape(text, quote=False)


def _protected(raw: str, mapped: MappedText, tags: list[Tag], escape: Callable[[str], str]) -> ProtectedText:
    mapped, tags = _without_message_syntax(mapped, tags)
    mapped, tags = quotes_as_tags(mapped, tags)
    spans, tags = _with_enclosed_tags(mapped, tags)
    spans = _joined(mapped.text, spans, {tag.place for tag in tags})
    pairs = pairs_around_words(mapped.text, [span[:2] for span in spans], [tag.place for tag in tags])
    replaced, places = mapped.replace(
        [(start, end, "" if number in pairs else PIECE) for number, (start, end, _, _) in enumerate(spans)]
    )
    pieces: list[Piece] = []
    around: list[Tag] = []
    starts, ends = replaced.starts.copy(), replaced.ends.copy()
    for number, (start, _, first, last) in enumerate(spans):
        if number in pairs:
            around.append(Tag(start, raw[first:last], pairs[number]))
            continue
        piece = Piece(int(places[start]), raw[first:last])
        pieces.append(piece)
        starts[piece.place], ends[piece.place] = first, last
    tags = sorted([*tags, *around], key=operator.attrgetter("place"))
    tags = [replace(tag, place=int(places[tag.place])) for tag in tags]
    return ProtectedText(raw, replace(replaced, starts=starts, ends=ends), tags, pieces, escape)


def _without_message_syntax(mapped: MappedText, tags: list[Tag]) -> tuple[MappedText, list[Tag]]:
    """Replace the syntax between the branches of a message, and escaped line breaks, by line breaks."""
    text = mapped.text
    edits = [(*match.span(), "\n") for match in LINE_BREAK.finditer(text)] if "\\" in text else []
    if ARGUMENT.search(text):
        syntax, numbers = message_syntax(text)
        inside = np.zeros(len(text) + 1, np.bool_)
        for start, end in syntax:
            inside[start:end] = True
        edits = [edit for edit in edits if not inside[edit[0] : edit[1]].any()]
        edits += [(start, end, "\n") for start, end in syntax] + [(start, end, OBJECT) for start, end in numbers]
    if not edits:
        return mapped, tags
    replaced, places = mapped.replace(sorted(edits))
    return replaced, [replace(tag, place=int(places[tag.place])) for tag in tags]


PlacedSpan = tuple[int, int, int, int]
"""Start and end in the text without tags, start and end in the text as sent."""


def _with_enclosed_tags(mapped: MappedText, tags: list[Tag]) -> tuple[list[PlacedSpan], list[Tag]]:
    """The spans of all pieces, and the tags outside of them.

    A piece includes the tags inside of it, and those around it that belong to them: `@<b>anna</b>` is one piece. If a
    tag inside belongs to one further away, the piece is divided at its tags.
    """
    spans: list[PlacedSpan] = []
    kept: list[Tag] = []
    waiting = deque(tags)
    for start, end in find_pieces(mapped.text):
        budget.check()
        while waiting and waiting[0].place < start:
            kept.append(waiting.popleft())
        around: list[Tag] = []
        while waiting and waiting[0].place <= end:
            around.append(waiting.popleft())
        inside = [tag for tag in around if start < tag.place < end]
        enclosed = _enclosed(around, inside, start, end) if inside else None
        if enclosed is not None:
            first, last = enclosed
            kept += around[:first]
            before = sum(len(tag.raw) for tag in around[first:last] if tag.place == start)
            behind = sum(len(tag.raw) for tag in around[first:last] if tag.place == end)
            raw_start, raw_end = mapped.span(start, end)
            spans.append((start, end, raw_start - before, raw_end + behind))
            waiting.extendleft(reversed(around[last:]))
            continue
        for part_start, part_end in _divided(mapped.text, start, end, [tag.place for tag in inside]):
            spans.append((part_start, part_end, *mapped.span(part_start, part_end)))
        kept += [tag for tag in around if tag.place < end]
        waiting.extendleft(reversed([tag for tag in around if tag.place == end]))
    return spans, [*kept, *waiting]


def _enclosed(around: Sequence[Tag], inside: Sequence[Tag], start: int, end: int) -> Span | None:
    """Which tags around a piece belong to it: all inside, and their partners directly before and behind. None if a
    partner is somewhere else."""
    opened: list[str] = []
    unopened: list[str] = []
    for tag in inside:
        if not tag.name.startswith("/"):
            opened += [tag.name] * bool(tag.name)
        elif opened:
            if opened.pop() != tag.name[1:]:
                return None
        else:
            unopened.append(tag.name[1:])
    first = sum(tag.place == start for tag in around)
    last = first + len(inside)
    for name in unopened:
        first -= 1
        if first < 0 or around[first].name != name:
            return None
    for name in reversed(opened):
        if last == len(around) or around[last].name != f"/{name}":
            return None
        last += 1
    return first, last


def _divided(text: str, start: int, end: int, places: Sequence[int]) -> Iterator[Span]:
    """Parts of a span, cut at places, that are not white space."""
    for place in [*dict.fromkeys(places), end]:
        if text[start:place].strip():
            yield start, place
        start = place


GAP = re.compile(r"[^\w\s]{0,3}")
"""Marks between two pieces that are copied with them."""


def _joined(text: str, spans: Sequence[PlacedSpan], divided: set[int]) -> list[PlacedSpan]:
    """Pieces with nothing but a few marks between them are one piece: %1$d/%2$d."""
    joined: list[PlacedSpan] = []
    for span in spans:
        budget.check()
        if joined:
            start, end, first, _ = joined[-1]
            gap = text[end : span[0]]
            if len(gap) <= 3 and GAP.fullmatch(gap) and divided.isdisjoint(range(end, span[0] + 1)):
                joined[-1] = (start, span[1], first, span[3])
                continue
        joined.append(span)
    return joined
