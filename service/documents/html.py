"""HTML and XHTML: a segment is the text between two blocks, with its inline tags."""

import re
from bisect import bisect_right
from collections.abc import Sequence

from service.batching import budget
from service.documents.document import Document, Segment, Slot, TextFile, with_slots
from service.markup.attributes import find_attributes
from service.markup.html import read_html

CHARSET = re.compile(rb"""(?i)(?:charset|encoding)\s*=\s*["']?\s*([\w-]+)""")
HEAD = 1_024
"""Bytes in which a document names its encoding."""


def read(content: bytes) -> Document:
    """The texts and visible attributes of an HTML document. Other attributes, scripts and styles stay as they are."""
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
    """The slots of a document: what stands between two line breaks of its text, with the attributes of tags inside of
    it, and all other visible attributes.
    """
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
    return _merged(slots, [Slot(a.start, a.end, Segment(a.text), a.render) for a in find_attributes(raw)])


def _merged(texts: Sequence[Slot], attributes: Sequence[Slot]) -> list[Slot]:
    """All slots in order, without the attributes that are inside of a text."""
    starts = [text.start for text in texts]
    alone = []
    for attribute in attributes:
        before = bisect_right(starts, attribute.start)
        if not before or texts[before - 1].end <= attribute.start:
            alone.append(attribute)
    return sorted([*texts, *alone], key=lambda slot: slot.start) if alone else list(texts)
