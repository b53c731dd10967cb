"""Qt Linguist (ts): fills the unfinished translations that are empty."""

import html
from collections.abc import Iterator

from service.documents.accelerators import take_accelerator
from service.documents.document import Document, Segment, Slot, with_slots
from service.documents.xml import Element, read_xml


def read(content: bytes) -> Document:
    """The source of each message with an empty translation."""
    file, root = read_xml(content)
    slots: list[Slot] = []
    for message in root.find("message"):
        source, translation = message.child("source"), message.child("translation")
        if source is None or translation is None or translation.attributes.get("type") in ("obsolete", "vanished"):
            continue
        text = html.unescape(source.content(file.text))
        slots += [_slot(text, place, file.text) for place in _places(translation) if text.strip()]
    return with_slots(file, [slot for slot in slots if not file.text[slot.start : slot.end].strip("/>")])


def _places(translation: Element) -> Iterator[Element]:
    """The translation, or the form for each number."""
    forms = [child for child in translation.children if child.local == "numerusform"]
    yield from forms or [translation]


def _slot(text: str, place: Element, raw: str) -> Slot:
    shown, accelerator = take_accelerator(text)
    is_empty_tag = raw[place.inner - 2 : place.inner] == "/>"
    start = place.inner - 2 if is_empty_tag else place.inner

    def render(translation: str) -> str:
        text = html.escape(accelerator.insert(translation) if accelerator else translation, quote=False)
        return f">{text}</{place.name}>" if is_empty_tag else text

    return Slot(start, place.inner if is_empty_tag else place.close, Segment(shown), render, fills=True)
