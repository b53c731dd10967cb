"""Strings files of macOS and iOS: the values. Keys and comments stay as they are."""

import re

from service.batching import budget
from service.documents.document import Document, Segment, Slot, TextFile, with_slots

PAIR = re.compile(
    r"/\*.*?\*/|//[^\n]*+"
    r'|(?:"(?:[^"\\]|\\.)*+"|[\w.$/-]++)\s*+=\s*+"(?P<value>(?:[^"\\]|\\.)*+)"\s*+;',
    re.DOTALL,
)
ESCAPE = re.compile(r"\\(?:U([0-9a-fA-F]{4})|(.))", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def read(content: bytes) -> Document:
    """The values of a file."""
    file = TextFile.decode(content)
    slots = []
    for match in PAIR.finditer(file.text):
        budget.check()
        if match["value"] is not None and (text := unescape(match["value"])).strip():
            slots.append(Slot(*match.span("value"), Segment(text), escape))
    return with_slots(file, slots)


def unescape(value: str) -> str:
    return ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else ESCAPES.get(m[2], m[2]), value)


def escape(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
