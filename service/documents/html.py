"""HTML and XHTML: a segment is the text between two blocks, with its inline tags."""

import re

from service.batching import budget
from service.documents.document import Document, Segment, Slot, TextFile, with_slots
from service.markup.html import read_html

CHARSET = re.compile(rb"""(?i)(?:charset|encoding)\s*=\s*["']?\s*([\w-]+)""")
HEAD = 1_024
"""Bytes in which a document names its encoding."""


def read(content: bytes) -> Document:
    """The texts of an HTML document. Attributes, scripts and styles stay as they are."""
    file = decode(content)
    return with_slots(file, slots_of(file.text))


def decode(content: bytes) -> TextFile:
    """Decode a document in the encoding that it names."""
    named = CHARSET.search(content[:HEAD])
    if named is not None and named[1].lower() not in (b"utf-8", b"utf8"):
        encoding = named[1].decode()
        try:
            return TextFile(content.decode(encoding), encoding, errors="xmlcharrefreplace")
        except (LookupError, UnicodeDecodeError):
            pass
    return TextFile.decode(content)


def slots_of(raw: str) -> list[Slot]:
    """The slots of a document: what stands between two line breaks of its text."""
    mapped, _ = read_html(raw)
    slots = []
    first = 0
    for line in mapped.text.split("\n"):
        budget.check()
        if any(char.isalnum() for char in line):
            stop = first + len(line)
            start = int(mapped.ends[first - 1]) if first else 0
            end = int(mapped.starts[stop]) if stop < len(mapped.text) else len(raw)
            slots.append(Slot(start, end, Segment(raw[start:end], "html")))
        first += len(line) + 1
    return slots
