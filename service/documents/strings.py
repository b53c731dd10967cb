"""Strings files of macOS and iOS: the values. Keys and comments stay as they are."""

import re

from service.batching import budget
from service.documents.document import Document, Segment, Slot, TextFile, with_slots

TOKEN = re.compile(
    r"(?P<comment>/\*.*?(?:\*/|\Z)|//[^\n]*+)"
    r'|"(?P<string>(?:[^"\\]|\\.)*+)(?:"|\Z)'
    r"|(?P<word>[\w.$-]++)|(?P<sign>\S)",
    re.DOTALL,
)
"""A comment, a string, a key without quotation marks, or a sign. An unclosed comment or string ends with the file."""
ESCAPE = re.compile(r"\\(?:U([0-9a-fA-F]{4})|(.))", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def read(content: bytes) -> Document:
    """The values of a file."""
    file = TextFile.decode(content)
    slots: list[Slot] = []
    before: list[re.Match[str]] = []
    """The tokens of the current pair: key, equals sign, value."""
    for match in TOKEN.finditer(file.text):
        budget.check()
        if match["comment"]:
            continue
        if match["sign"] != ";":
            before = [*before[-2:], match]
            continue
        if len(before) == 3 and before[1]["sign"] == "=" and (value := before[2]["string"]) is not None:
            text = unescape(value)
            if text.strip():
                slots.append(Slot(*before[2].span("string"), Segment(text), escape))
        before = []
    return with_slots(file, slots)


def unescape(value: str) -> str:
    return ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else ESCAPES.get(m[2], m[2]), value)


def escape(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
