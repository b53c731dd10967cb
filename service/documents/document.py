"""A document: bytes in, segments out; translations in, bytes out.

A reader of a format finds the texts of a file. `Document.write` puts their translations in the same places. All other
characters of the file stay as they are.
"""

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.batching import budget
from service.markup.protect import Format


@dataclass(frozen=True)
class Segment:
    """A text of a document. The format names its markup."""

    text: str
    format: Format = "text"


@dataclass(frozen=True)
class Document:
    """The segments of a file, and a function that writes the file with one translation per segment."""

    segments: Sequence[Segment]
    write: Callable[[Sequence[str]], bytes]


BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
FALLBACK = "cp1252"


@dataclass(frozen=True)
class TextFile:
    """A decoded file with its encoding."""

    text: str
    encoding: str
    mark: bytes = b""
    """The byte order mark."""
    errors: str = "strict"
    """Handling of characters that the encoding does not have, as in `str.encode`."""

    @classmethod
    def decode(cls, content: bytes) -> "TextFile":
        """Decode UTF-8, UTF-16 with a byte order mark, or else Windows-1252 or Latin-1."""
        for mark, encoding in BYTE_ORDER_MARKS:
            if content.startswith(mark):
                try:
                    return cls(content[len(mark) :].decode(encoding), encoding, mark)
                except UnicodeDecodeError:
                    break
        for encoding in ("utf-8", FALLBACK):
            try:
                return cls(content.decode(encoding), encoding)
            except UnicodeDecodeError:
                pass
        return cls(content.decode("latin-1"), "latin-1")

    def encode(self, text: str) -> bytes:
        """Encode a text like the file. A text that the encoding does not have is UTF-8 with a byte order mark."""
        try:
            return self.mark + text.encode(self.encoding, self.errors)
        except UnicodeEncodeError:
            return codecs.BOM_UTF8 + text.encode("utf-8", "replace")


@dataclass(frozen=True)
class Slot:
    """A place in a text file for the translation of a segment: text[start:end]."""

    start: int
    end: int
    segment: Segment
    render: Callable[[str], str] = str
    """Writes a translation in the syntax of the file."""
    fills: bool = False
    """The place is empty in the file. Any other place stays as it is if the translation is its segment."""


def with_slots(file: TextFile, slots: Sequence[Slot]) -> Document:
    """A document with translations at slots, which are in order and do not overlap."""

    def write(translations: Sequence[str]) -> bytes:
        parts: list[str] = []
        position = 0
        for slot, translation in zip(slots, translations, strict=True):
            budget.check()
            if slot.fills or translation != slot.segment.text:
                parts += [file.text[position : slot.start], slot.render(translation)]
                position = slot.end
        return file.encode("".join([*parts, file.text[position:]]))

    return Document([slot.segment for slot in slots], write)
