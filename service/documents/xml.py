"""XML: a tree of elements with their places in the text, so that a file can be changed without being written anew.

Entity declarations are refused (defusedxml), because they expand without bound.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.sax import SAXException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, InputSource

from service.batching import budget
from service.documents.document import TextFile
from service.documents.html import decode
from service.errors import InvalidInput, NotAvailable, excerpt

OPENING = re.compile(r"""<[^\s/>]++(?:[^>"']++|"[^"]*+"|'[^']*+')*+>""")
LINE = re.compile(r"\r\n|\r|\n")
DECLARATION = re.compile(r"^<\?xml[^>]*\?>")
MAX_DEPTH = 100


@dataclass
class Element:
    """An element: text[start:end]. Its content is text[inner:close]; an empty tag has no content."""

    name: str
    attributes: dict[str, str]
    start: int
    inner: int
    close: int = -1
    end: int = -1
    children: list["Element"] = field(default_factory=list)

    @property
    def local(self) -> str:
        """The name without its prefix."""
        return self.name.rpartition(":")[2]

    def find(self, *names: str) -> Iterator["Element"]:
        """The elements with local names, in order, not those inside of each other."""
        for child in self.children:
            if child.local in names:
                yield child
            else:
                yield from child.find(*names)

    def child(self, name: str) -> "Element | None":
        return next((child for child in self.children if child.local == name), None)

    def content(self, text: str) -> str:
        return text[self.inner : self.close]


def read_xml(content: bytes) -> tuple[TextFile, Element]:
    """Decode and parse a document. Returns a root without a name around the root element.

    Raises InvalidInput for a document that is not well-formed, has entity declarations or is too deep, and NotAvailable
    without the extra `documents`.
    """
    file = decode(content)
    handler = _Handler(file.text)
    parse_safely(file.text, handler)
    return file, handler.root


def parse_safely(text: str, handler: ContentHandler) -> None:
    """Parse a document without entities and external references. Raises InvalidInput or NotAvailable."""
    try:
        from defusedxml.common import DefusedXmlException
        from defusedxml.expatreader import DefusedExpatParser
    except ImportError:
        raise NotAvailable("XML needs the extra `documents`: pip install 'limelight[documents]'") from None
    parser = DefusedExpatParser(forbid_dtd=False, forbid_entities=True, forbid_external=True)
    parser.setContentHandler(handler)
    source = InputSource()
    # The encoding in the declaration is that of the file, not of the text.
    text = DECLARATION.sub(lambda match: " " * len(match[0]), text)
    source.setByteStream(io.BytesIO(text.encode("utf-8", "replace")))
    source.setEncoding("utf-8")
    try:
        parser.parse(source)
    except DefusedXmlException:
        raise InvalidInput("the file declares XML entities") from None
    except SAXException as error:
        raise InvalidInput(f"the file is not valid XML: {excerpt(error.getMessage())}") from None


def check_xml(content: bytes) -> None:
    """Check a document that another parser reads. Raises InvalidInput or NotAvailable."""
    parse_safely(decode(content).text, _Check())


class _Check(ContentHandler):
    """Checks the time budget."""

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        budget.check()


class _Handler(ContentHandler):
    """Builds the tree. The parser reports line and column of each event."""

    def __init__(self, text: str):
        super().__init__()
        self.text = text
        self.root = Element("", {}, 0, 0, len(text), len(text))
        self._path = [self.root]
        self._lines = [0, *(match.end() for match in LINE.finditer(text))]
        self._locator: Any = None

    def setDocumentLocator(self, locator: Any) -> None:
        self._locator = locator

    def _place(self) -> int:
        line, column = self._locator.getLineNumber(), self._locator.getColumnNumber()
        place: int = self._lines[line - 1] + column
        return place

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        budget.check()
        start = self._place()
        opening = OPENING.match(self.text, start)
        if opening is None or len(self._path) > MAX_DEPTH:
            raise InvalidInput(f"the file is nested more than {MAX_DEPTH} levels deep")
        element = Element(name, dict(attrs.items()), start, opening.end())
        self._path[-1].children.append(element)
        self._path.append(element)

    def endElement(self, name: str) -> None:
        element = self._path.pop()
        if self.text.startswith("/>", element.inner - 2):
            element.close = element.end = element.inner  # an empty tag
        else:
            element.close = self._place()
            element.end = self.text.index(">", element.close) + 1
