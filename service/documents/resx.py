""".NET's resx: the value of each string. Comments, metadata and values of other types stay as they are."""

import html

from service.documents.accelerators import take_accelerator
from service.documents.document import Document, Segment, Slot, with_slots
from service.documents.xml import read_xml


def read(content: bytes) -> Document:
    """The values of `data` elements without a type. Names that begin with >> are settings of a form."""
    file, root = read_xml(content)
    slots = []
    for data in root.find("data"):
        value = data.child("value")
        is_text = not {"type", "mimetype"} & data.attributes.keys() and not data.attributes.get("name", "").startswith(
            ">>"
        )
        if value is None or not is_text or value.children or "<![CDATA[" in (raw := value.content(file.text)):
            continue
        if raw.strip():
            slots.append(_slot(html.unescape(raw), value.inner, value.close))
    return with_slots(file, slots)


def _slot(text: str, start: int, end: int) -> Slot:
    shown, accelerator = take_accelerator(text)

    def render(translation: str) -> str:
        return html.escape(accelerator.insert(translation) if accelerator else translation, quote=False)

    return Slot(start, end, Segment(shown), render)
