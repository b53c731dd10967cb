"""Headers and footers of Excel: text with codes, such as `&LReport&RPage &P`."""

import re

from service.documents.inline import Inline, restore
from service.documents.parts import Xml

CODE = re.compile(r'&(?:"[^"]*+"|\d{1,3}|K[0-9A-Fa-f]{6}|K\d\d[+-]\d{3}|.)', re.DOTALL)
SECTIONS = ("&L", "&C", "&R")
VALUES = ("&P", "&N", "&D", "&T", "&F", "&A", "&Z")
"""Numbers of pages, dates and names, which take the place of a word."""


class HeaderLine:
    """The element of a header or footer."""

    def __init__(self, element: Xml):
        self.element = element
        self.inline = Inline()
        self._codes: list[tuple[str, str]] = []
        text = element.text or ""
        position = 0
        for match in CODE.finditer(text):
            self.inline.text(text[position : match.start()])
            position = match.end()
            if match[0] == "&&":
                self.inline.text("&")
                continue
            self._codes.append((match[0], ""))
            if match[0] in SECTIONS:
                self.inline.line_break()
            elif match[0] in VALUES:
                self.inline.word()
            else:
                self.inline.mark()
        self.inline.text(text[position:])

    def replace(self, translation: str) -> None:
        """Give the element the text of a translation. Without all codes it stays as it is."""
        text = restore(translation, self._codes, lambda text: text.replace("&", "&&"))
        if text is not None:
            self.element.text = text
