"""TMX: translation memory exchange, versions 1.1 to 1.4 (GALA, https://www.gala-global.org/tmx-14b)."""

import re
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl

from service.batching import budget
from service.documents.html import decode
from service.documents.xml import parse_safely
from service.errors import InvalidInput

MAX_UNITS = 200_000
"""Maximum units of a file."""

Unit = dict[str, str]
"""Language without its region -> text."""


def read_tmx(content: bytes) -> list[Unit]:
    """The units of a file, in order, each with two languages or more.

    The native codes in a segment (`bpt`, `ept`, `ph`, `it`) belong to its text.

    Raises InvalidInput for a file that is not TMX, declares entities or has too many units, and NotAvailable without
    the extra `documents`.
    """
    handler = _Handler()
    parse_safely(DOCTYPE.sub("", decode(content).text, count=1), handler)
    if handler.root != "tmx":
        raise InvalidInput("it is not a TMX file: the root element is not <tmx>")
    return handler.units


DOCTYPE = re.compile(r"<!DOCTYPE\s+tmx\s+(?:SYSTEM|PUBLIC)\b[^<>\[\]]*+>")
"""A reference to the grammar of TMX, which is not read."""


class _Handler(ContentHandler):
    """Collects the segments of all units."""

    def __init__(self) -> None:
        super().__init__()
        self.root = ""
        self.units: list[Unit] = []
        self._unit: Unit = {}
        self._language = ""
        self._parts: list[str] | None = None
        """Texts of the open segment."""

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        budget.check()
        self.root = self.root or name
        if name == "tu":
            self._unit = {}
        elif name == "tuv":
            named = str(attrs.get("xml:lang") or attrs.get("lang") or "")
            self._language = named.lower().replace("_", "-").split("-")[0]
        elif name == "seg":
            self._parts = []

    def characters(self, content: str) -> None:
        if self._parts is not None:
            self._parts.append(content)

    def endElement(self, name: str) -> None:
        if name == "seg" and self._parts is not None:
            text = "".join(self._parts)
            self._parts = None
            if self._language and text.strip():
                self._unit.setdefault(self._language, text)
        elif name == "tu" and len(self._unit) > 1:
            if len(self.units) == MAX_UNITS:
                raise InvalidInput(f"it has more than {MAX_UNITS} units")
            self.units.append(self._unit)
