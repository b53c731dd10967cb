"""Attributes of HTML that people read: alternative texts, titles, placeholders, labels, the description of a page."""

import html
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from service.markup.html import ATTRIBUTE, BLOCKS, COPIED, HIDDEN, VOID, Reader, is_untranslated
from service.text.mapped import Span

VISIBLE = {"alt", "title", "placeholder", "aria-label"}
TRIGGER = re.compile(r"(?i)\b(?:alt|title|placeholder|aria-label|content)\s*+=")
"""A document with visible attributes has one of these."""
INLINE = set(
    "a abbr b bdi bdo cite data del dfn em font i ins label mark q s small span strike strong sub sup u".split()
)
ELEMENTS = BLOCKS | VOID | HIDDEN | COPIED | INLINE
"""Elements of HTML. An attribute of any other element, in XML, has another meaning."""


@dataclass(frozen=True)
class Attribute:
    """The value of an attribute: raw[start:end], with its quotation marks."""

    start: int
    end: int
    quote: str
    """Empty if the value has no quotation marks."""
    text: str

    def render(self, translation: str) -> str:
        quote = self.quote or '"'
        escaped = html.escape(translation, quote=False).replace(quote, "&quot;" if quote == '"' else "&#39;")
        return f"{quote}{escaped}{quote}"


def find_attributes(raw: str) -> list[Attribute]:
    """The visible attributes of a document that have letters, in order. Untranslated elements have none."""
    if TRIGGER.search(raw) is None:
        return []
    reader = _AttributeReader(raw)
    reader.read()
    return reader.attributes


class _AttributeReader(Reader):
    """Reads a document and collects its visible attributes."""

    def __init__(self, raw: str):
        super().__init__(raw)
        self.attributes: list[Attribute] = []

    def _open(self, name: str, attributes: str, start: int, end: int) -> int:
        if not self._copied and name in ELEMENTS and TRIGGER.search(attributes) and not is_untranslated(attributes):
            self._collect(name, attributes, end - 1 - len(attributes))
        return super()._open(name, attributes, start, end)

    def _collect(self, name: str, attributes: str, shift: int) -> None:
        """shift: offset of the attributes in the document."""
        found = list(ATTRIBUTE.finditer(attributes))
        values = {match[1].lower(): (match[2] or "").strip("\"'").lower() for match in found}
        visible = VISIBLE | {"content"} if name == "meta" and values.get("name") == "description" else VISIBLE
        for match in found:
            value = match[2] or ""
            quote = value[:1] if value[:1] in ("'", '"') else ""
            text = html.unescape(value[len(quote) : len(value) - len(quote)])
            if match[1].lower() in visible and any(char.isalpha() for char in text):
                self.attributes.append(Attribute(shift + match.start(2), shift + match.end(2), quote, text))


@dataclass(frozen=True)
class ReplacedText:
    """A text with some spans replaced, and the way back to the offsets of the original."""

    text: str
    ends: Sequence[int]
    """Ends of the replaced spans in `text`."""
    shifts: Sequence[int]
    """Characters that each span and those before it have added."""

    @classmethod
    def of(cls, raw: str, edits: Sequence[tuple[int, int, str]]) -> "ReplacedText":
        """edits: start, end and new text, in order and without overlap."""
        parts: list[str] = []
        position = 0
        for start, end, new in edits:
            parts += [raw[position:start], new]
            position = end
        shifts = list(accumulate(len(new) - (end - start) for start, end, new in edits))
        ends = [end + shift for (_, end, _), shift in zip(edits, shifts, strict=True)]
        return cls("".join([*parts, raw[position:]]), ends, shifts)

    def original(self, start: int, end: int) -> Span:
        """The span in the original of text[start:end], whose ends are in no replaced span."""
        return self._place(start), self._place(end)

    def _place(self, offset: int) -> int:
        before = bisect_right(self.ends, offset)
        return offset - (self.shifts[before - 1] if before else 0)
