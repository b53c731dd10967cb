"""Android's strings.xml: strings, arrays and plurals. References and strings with translatable="false" stay."""

import re
from collections.abc import Iterator

from service.documents.document import Document, Segment, Slot, with_slots
from service.documents.xml import Element, read_xml

ESCAPE = re.compile(r"\\(['\"@?])")
REFERENCE = re.compile(r"\s*[@?][\w.:+/-]+\s*")
CDATA = re.compile(r"\s*<!\[CDATA\[(.*?)\]\]>\s*", re.DOTALL)


def read(content: bytes) -> Document:
    """The texts of the strings, with their inline tags."""
    file, root = read_xml(content)
    slots = []
    for element in strings(root):
        raw = element.content(file.text)
        if not raw.strip() or REFERENCE.fullmatch(raw):
            continue
        start, end = element.inner, element.close
        if cdata := CDATA.fullmatch(raw):
            start, end = start + cdata.start(1), start + cdata.end(1)
        slots.append(_slot(file.text[start:end], start, end))
    return with_slots(file, slots)


def strings(root: Element) -> Iterator[Element]:
    for element in root.find("string", "string-array", "plurals"):
        if element.attributes.get("translatable") != "false":
            yield from [element] if element.local == "string" else element.find("item")


def _slot(raw: str, start: int, end: int) -> Slot:
    is_quoted = raw.startswith('"') and raw.endswith('"') and len(raw) > 1
    text = raw[1:-1] if is_quoted else ESCAPE.sub(r"\1", raw)

    def render(translation: str) -> str:
        return f'"{translation}"' if is_quoted else escape(translation)

    return Slot(start, end, Segment(text, "html"), render)


def escape(text: str) -> str:
    """Escape the apostrophes and quotation marks outside of tags.

    >>> escape('l\\'eau <a href="x">"y"</a>')
    'l\\\\\\'eau <a href="x">\\\\"y\\\\"</a>'
    """
    parts = re.split(r"(<[^<>]*>)", text)
    parts[::2] = [re.sub(r"(['\"])", r"\\\1", part) for part in parts[::2]]
    joined = "".join(parts)
    return "\\" + joined if joined[:1] in ("@", "?") else joined
