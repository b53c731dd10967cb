"""Plain text: a segment is a paragraph. Hard-wrapped lines of a paragraph are joined, and wrapped again."""

import re
import textwrap

from service.batching import budget
from service.documents.document import Document, Segment, Slot, TextFile, with_slots
from service.text.lines import with_joined_lines

PARAGRAPH = re.compile(r"[^\s](?:[^\n]|\n(?![ \t\r]*(?:\n|\Z)))*+")
MIN_WIDTH = 40
"""Minimum length of all lines but the last in a hard-wrapped paragraph."""


def read(content: bytes) -> Document:
    """The paragraphs of a text."""
    file = TextFile.decode(content)
    slots = []
    for match in PARAGRAPH.finditer(file.text):
        budget.check()
        text = match[0].rstrip()
        slots.append(_slot(match.start(), text))
    return with_slots(file, slots)


def _slot(start: int, text: str) -> Slot:
    lines = text.splitlines()
    joined = with_joined_lines(text)
    is_wrapped = len(lines) > 1 and min(map(len, lines[:-1])) >= MIN_WIDTH and len(joined.splitlines()) == 1
    if not is_wrapped:
        return Slot(start, start + len(text), Segment(text))
    newline = "\r\n" if "\r\n" in text else "\n"
    width = max(map(len, lines))

    def wrap(translation: str) -> str:
        return newline.join(textwrap.wrap(translation, width, break_long_words=False, break_on_hyphens=False))

    return Slot(start, start + len(text), Segment(" ".join(joined.split())), wrap)
