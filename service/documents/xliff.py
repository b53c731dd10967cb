"""XLIFF 1.2 and 2: fills the empty targets. Inline elements are kept; units that are not to be translated stay."""

import html
from collections.abc import Iterator

from service.documents.document import Document, Segment, Slot, with_slots
from service.documents.inline import Inline, plain, restore
from service.documents.xml import Element, read_xml

AROUND = ("g", "mrk", "pc")
"""Elements around text; all others stand alone and are copied."""

VARIABLES = ("x", "ph")
"""Elements that take the place of a word."""


def read(content: bytes) -> Document:
    """The source of each unit without a target."""
    file, root = read_xml(content)
    slots = []
    for unit in _units(root):
        source, target = unit.child("source"), unit.child("target")
        if source is None or (target is not None and target.content(file.text).strip()):
            continue
        slots.append(_slot(file.text, source, target))
    return with_slots(file, slots)


def _units(root: Element, translate: bool = True) -> Iterator[Element]:
    """The elements with a source and a target: trans-unit in version 1.2, segment in version 2."""
    for child in root.children:
        is_translated = child.attributes.get("translate", "yes" if translate else "no") != "no"
        if child.local in ("trans-unit", "segment"):
            if is_translated and child.attributes.get("approved") != "yes":
                yield child
        else:
            yield from _units(child, is_translated)


def _slot(text: str, source: Element, target: Element | None) -> Slot:
    inline, raws = Inline(), list[tuple[str, str]]()
    _add(inline, raws, source, text)

    def render(translation: str) -> str:
        found = restore(translation, raws, _escape)
        if found is None:
            found = _escape(plain(translation))
        if target is None:
            before = text[text.rfind("\n", 0, source.start) + 1 : source.start]
            gap = "\n" + before if "\n" in text[: source.start] and not before.strip() else ""
            if gap and "\r\n" in text:
                gap = "\r" + gap
            name = source.name.replace("source", "target")
            return f"{gap}<{name}>{found}</{name}>"
        opening = text[target.start : target.inner]
        if opening.endswith("/>"):
            return f"{opening[:-2].rstrip()}>{found}</{target.name}>"
        return found

    segment = Segment(str(inline), "html")
    if target is None:
        return Slot(source.end, source.end, segment, render, fills=True)
    is_empty_tag = text[target.start : target.inner].endswith("/>")
    return Slot(target.start if is_empty_tag else target.inner, target.close, segment, render, fills=True)


def _escape(text: str) -> str:
    return html.escape(text, quote=False)


def _add(inline: Inline, raws: list[tuple[str, str]], element: Element, text: str) -> None:
    """Add the content of an element."""
    position = element.inner
    for child in element.children:
        inline.text(html.unescape(text[position : child.start]))
        if child.local in AROUND and child.end > child.close:
            raws.append((text[child.start : child.inner], text[child.close : child.end]))
            number = inline.open()
            _add(inline, raws, child, text)
            inline.close(number)
        else:
            raws.append((text[child.start : child.end], ""))
            inline.word() if child.local in VARIABLES else inline.mark()
        position = child.end
    inline.text(html.unescape(text[position : element.close]))
