"""Protects markup and placeholders: takes them out of a text before translation.

    I see <b>{{name}}</b>.  ->  I see Tom.  ->  Je vois Tom.  ->  Je vois <b>{{name}}</b>.

The network reads the text without its tags, and with a stand-in for each piece that must stay as it is.
"""

import html
import operator
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from service.markup.html import read_html
from service.markup.plain import INLINE_TAG, read_text
from service.markup.tags import Tag
from service.text.mapped import MappedText, Span
from service.text.sentences import is_blank

Format = Literal["text", "html"]

PROTECTED = re.compile(
    r"""
      \b(?:https?|ftp)://[^\s<>"'`{}]*[^\s<>"'`{}.,;:!?)\]]      # addresses
    | \bwww\.[^\s<>"'`{}]*[^\s<>"'`{}.,;:!?)\]]
    | (?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+
    | (?<![\w@])@\w+                                            # @somebody
    | `[^`\n]+`                                                 # code
    | \{\{[^{}\n]*\}\} | \[\[[^\[\]\n]*\]\]                    # {{name}}, [[name]]
    | [$\#]?\{[^{}\n]*\}                                        # {0}, {}, {name!r}, ${x}, #{x}
    | (?<![\w$])\$[a-z_]\w*                                     # $name
    | %(?:\(\w+\)|\d+\$)?[-+0\#]*\d*(?:\.\d+)?(?:hh|h|ll|l|L|z|j|t)?[sdiufFeEgGxXocpaA@](?!\w)    # %s, %(x)d, %1$s
    | %\w+%                                                     # %name%
    | <[A-Za-z0-9_][^<>\n]*>                                    # <0>, where no </0> follows
    | \ufffc                                                    # an element that is copied whole
    """,
    re.VERBOSE,
)
TRIGGERS = re.compile(r"[@`{\[$#%<\ufffc]|://|www\.")
"""Every protected piece contains one of these. The search is fast on texts without any."""

LINE = re.compile(r"[^\n]+")

NAME_STAND_IN = "Tom"
"""Stand-in for networks that were not trained to copy. Of 17 sentences, en-fr/1 kept this name in 16, `X` in 13, a
number in 12."""


@dataclass(frozen=True)
class Piece:
    """A protected piece of the text as sent, with text[start:end] as its stand-in."""

    start: int
    end: int
    raw: str


@dataclass
class ProtectedText:
    """A text as the network reads it, and the pieces and tags of the text as sent."""

    raw: str
    """The text as sent."""
    mapped: MappedText | None = None
    """The text without tags and pieces. None if there are none: `raw` is the text."""
    tags: list[Tag] = field(default_factory=list)
    escape: Callable[[str], str] = str
    """Escapes a translation for the format of `raw`."""
    pieces: list[Piece] = field(default_factory=list)
    stand_in: str = NAME_STAND_IN

    @property
    def text(self) -> str:
        return self.raw if self.mapped is None else self.mapped.text

    @property
    def is_blank(self) -> bool:
        """True if there is nothing to translate."""
        return is_blank(self.text)

    def span(self, start: int, end: int) -> Span:
        """The span of text[start:end] in the text as sent."""
        return (start, end) if self.mapped is None else self.mapped.span(start, end)

    def pieces_in(self, start: int, end: int) -> list[Piece]:
        """Pieces of text[start:end]."""
        key = operator.attrgetter("start")
        return self.pieces[bisect_left(self.pieces, start, key=key) : bisect_left(self.pieces, end, key=key)]

    def tags_in(self, start: int, end: int) -> list[Tag]:
        """Tags between two characters of text[start:end]."""
        key = operator.attrgetter("place")
        return self.tags[bisect_left(self.tags, start + 1, key=key) : bisect_left(self.tags, end, key=key)]

    def stand_ins_in(self, start: int, end: int) -> list[int]:
        """Offsets of the stand-in in text[start:end], those that are words of the source included."""
        return [start + match.start() for match in re.finditer(re.escape(self.stand_in), self.text[start:end])]


def protect(raw: str, format: Format, stand_in: str) -> ProtectedText:
    """Take the markup and the protected pieces out of a text."""
    if format == "html":
        return with_stand_ins(ProtectedText(raw, *read_html(raw), escape=escape_html), stand_in)
    if TRIGGERS.search(raw) and (PROTECTED.search(raw) or INLINE_TAG.search(raw)):
        return with_stand_ins(ProtectedText(raw, *read_text(raw)), stand_in)
    return ProtectedText(raw)


def escape_html(text: str) -> str:
    return html.escape(text, quote=False)


def with_stand_ins(protected: ProtectedText, stand_in: str) -> ProtectedText:
    """Replace everything that PROTECTED matches and no tag divides by the stand-in.

    A line without other letters has nothing to translate: it becomes white space.
    """
    text, mapped = protected.text, protected.mapped
    assert mapped is not None
    divided = {tag.place for tag in protected.tags}
    found = [match.span() for match in PROTECTED.finditer(text)]
    found = [(start, end) for start, end in found if divided.isdisjoint(range(start + 1, end))]
    edits: list[tuple[int, int, str]] = []
    for line in LINE.finditer(text):
        first, last = line.span()
        own = found[bisect_left(found, (first, 0)) : bisect_left(found, (last, 0))]
        if own and not _has_letters_besides(text, first, last, own):
            edits += [(place, place + 1, " ") for place in range(first, last)]
        else:
            edits += [(start, end, stand_in) for start, end in own]
    replaced, places = mapped.replace(edits)
    pieces = [
        Piece(int(places[start]), int(places[end]), protected.raw[slice(*mapped.span(start, end))])
        for start, end, string in edits
        if string == stand_in
    ]
    tags = [replace(tag, place=int(places[tag.place])) for tag in protected.tags]
    return ProtectedText(protected.raw, replaced, tags, protected.escape, pieces, stand_in)


def _has_letters_besides(text: str, start: int, end: int, spans: list[Span]) -> bool:
    """True if text[start:end] has a letter outside of the spans."""
    position = start
    for first, last in [*spans, (end, end)]:
        if any(map(str.isalpha, text[position:first])):
            return True
        position = last
    return False
