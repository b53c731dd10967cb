"""Java properties: the values. Keys, comments and separators stay as they are."""

import re

from service.batching import budget
from service.documents.document import Document, Segment, Slot, TextFile, with_slots

LINE = re.compile(
    r"^[ \t\f]*+(?:[#!][^\r\n]*+"
    r"|(?P<key>(?:[^\\:=\s]|\\[^\r\n])++)(?:[ \t\f]*+[:=][ \t\f]*+|[ \t\f]++)"
    r"(?P<value>(?:[^\\\r\n]|\\(?:\r\n|[^\r]|\r))*+))",
    re.MULTILINE,
)
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(?:\r\n|\n|\r)[ \t\f]*|(.))", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}
ARGUMENT = re.compile(r"\{\d")
"""A message with arguments, in which an apostrophe is doubled."""


def read(content: bytes) -> Document:
    """The values of a file. A file without characters beyond ASCII gets \\u escapes."""
    file = TextFile.decode(content)
    escapes = file.text.isascii() or file.encoding != "utf-8"
    slots = []
    for match in LINE.finditer(file.text):
        budget.check()
        if match["value"] and (text := unescape(match["value"])).strip():
            slots.append(_slot(match, text, escapes))
    return with_slots(file, slots)


def _slot(match: re.Match[str], text: str, escapes: bool) -> Slot:
    is_message = ARGUMENT.search(text) is not None

    def render(translation: str) -> str:
        return escape(translation.replace("'", "''") if is_message else translation, escapes)

    return Slot(*match.span("value"), Segment(text.replace("''", "'") if is_message else text), render)


def unescape(value: str) -> str:
    """The text of a value.

    >>> unescape("caf\\\\u00e9 \\\\\\n   noir")
    'café noir'
    """

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        return ESCAPES.get(match[2], match[2]) if match[2] else ""

    found = ESCAPE.sub(replace, value)
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # pairs of \u escapes


def escape(text: str, escapes: bool) -> str:
    """A value for a text, with \\u escapes for all characters beyond ASCII if `escapes`."""
    text = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    if text.startswith(" "):
        text = "\\" + text
    if not escapes:
        return text
    units = text.encode("utf-16-be")
    codes = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(code) if code < 128 else f"\\u{code:04X}" for code in codes)
