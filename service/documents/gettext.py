"""gettext (po, pot): fills the empty msgstr of each entry. Comments and translated entries stay as they are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from service.batching import budget
from service.documents.accelerators import take_accelerator
from service.documents.document import Document, Segment, Slot, TextFile, with_slots

FIELD = re.compile(
    r"^(?P<name>msgctxt|msgid_plural|msgid|msgstr)(?:\[(?P<number>\d{1,2})\])?[ \t]*+"
    r'(?P<value>"(?:[^"\\\n]|\\.)*+"(?:[ \t]*+\r?\n[ \t]*+"(?:[^"\\\n]|\\.)*+")*+)',
    re.MULTILINE,
)
STRING = re.compile(r'"((?:[^"\\\n]|\\.)*+)"')
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
PLURALS = re.compile(r"nplurals\s*=\s*(\d)")


@dataclass
class Entry:
    """The fields of an entry: msgid, msgid_plural, and the number and span of each msgstr."""

    msgid: str = ""
    plural: str | None = None
    msgstrs: list[tuple[int, str, int, int]] = field(default_factory=list)


def read(content: bytes) -> Document:
    """The msgid of each entry without a translation, also in the plural."""
    file = TextFile.decode(content)
    newline = "\r\n" if "\r\n" in file.text else "\n"
    slots = []
    forms = 2
    for entry in entries(file.text):
        if entry.msgid == "":
            header = PLURALS.search("".join(value for _, value, _, _ in entry.msgstrs))
            forms = int(header[1]) if header else forms
            continue
        if any(value for _, value, _, _ in entry.msgstrs):
            continue
        for number, _, start, end in entry.msgstrs:
            is_plural = entry.plural is not None and (number > 0 or forms == 1)
            slots.append(_slot(entry.plural if is_plural and entry.plural else entry.msgid, start, end, newline))
    return with_slots(file, slots)


def _slot(text: str, start: int, end: int, newline: str) -> Slot:
    shown, accelerator = take_accelerator(text)

    def render(translation: str) -> str:
        return quote(accelerator.insert(translation) if accelerator else translation, newline)

    return Slot(start, end, Segment(shown), render, fills=True)


def entries(text: str) -> Iterator[Entry]:
    """The entries of a file, in order. Obsolete entries are comments."""
    entry = Entry()
    for match in FIELD.finditer(text):
        budget.check()
        value = unquote(match["value"])
        if match["name"] in ("msgid", "msgctxt") and entry.msgstrs:
            yield entry
            entry = Entry()
        if match["name"] == "msgid":
            entry.msgid = value
        elif match["name"] == "msgid_plural":
            entry.plural = value
        elif match["name"] == "msgstr":
            entry.msgstrs.append((int(match["number"] or 0), value, *match.span("value")))
    if entry.msgstrs:
        yield entry


def unquote(value: str) -> str:
    """The text of adjacent strings.

    >>> unquote('"a\\\\n"\\n"b"')
    'a\\nb'
    """
    return ESCAPE.sub(lambda match: ESCAPES.get(match[1], match[1]), "".join(STRING.findall(value)))


def quote(text: str, newline: str = "\n") -> str:
    """Strings for a text: one, or for several lines one for each line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t").replace("\r", "\\r")
    lines = [line for line in escaped.replace("\n", "\\n\n").split("\n") if line]
    if len(lines) < 2:
        return f'"{"".join(lines)}"'
    return newline.join(['""', *(f'"{line}"' for line in lines)])
