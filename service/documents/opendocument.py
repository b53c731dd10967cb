"""OpenDocument (odt, odp, ods): paragraphs and headings of the content, headers and footers."""

from typing import Any

from service.batching import budget
from service.documents.document import Document
from service.documents.inline import Inline, Node, parse, plain
from service.documents.package import PartReader, read_package
from service.documents.runs import paragraph_document, parse_xml

TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
PARAGRAPHS = (TEXT + "p", TEXT + "h")
AROUND = {TEXT + "span", TEXT + "a"}
"""Elements around text."""
BREAKS = {TEXT + "tab", TEXT + "line-break"}
SPACES = TEXT + "s"


def read(content: bytes) -> Document:
    return read_package(content, reader_of)


def reader_of(name: str) -> PartReader | None:
    return read_part if name in ("content.xml", "styles.xml") else None


def read_part(content: bytes) -> Document:
    """The paragraphs of a part."""
    root = parse_xml(content)
    paragraphs = [Paragraph(element) for element in root.iter(*PARAGRAPHS)]
    paragraphs = [each for each in paragraphs if any(char.isalpha() for char in plain(str(each.inline)))]

    return paragraph_document(root, paragraphs, content)


class Paragraph:
    """A paragraph with elements among its text."""

    def __init__(self, element: Any):
        budget.check()
        self.element = element
        self.inline = Inline()
        self._elements: list[Any] = []
        self._read(element)

    def _read(self, parent: Any) -> None:
        self.inline.text(_visible(parent.text))
        for child in parent:
            if child.tag == SPACES:
                self.inline.text(" ")
            else:
                self._elements.append(child)
                if child.tag in AROUND:
                    number = self.inline.open()
                    self._read(child)
                    self.inline.close(number)
                elif child.tag in BREAKS:
                    self.inline.line_break()
                else:
                    self.inline.mark()
            self.inline.text(_visible(child.tail))

    def replace(self, translation: str) -> None:
        """Give the paragraph the text of a translation. Without the tags of all elements, the text is behind them."""
        root = parse(translation, self.inline.count)
        if root is None:
            root = Node(-1, [Node(n) for n, each in enumerate(self._elements) if each.tag not in AROUND])
            root.children.append(plain(translation))
        self._fill(self.element, root)

    def _fill(self, parent: Any, node: Node) -> None:
        parent.text = None
        for child in list(parent):
            parent.remove(child)
        for each in node.children:
            if isinstance(each, str):
                if len(parent):
                    parent[-1].tail = (parent[-1].tail or "") + each
                else:
                    parent.text = (parent.text or "") + each
                continue
            element = self._elements[each.number]
            element.tail = None
            parent.append(element)
            if element.tag in AROUND:
                self._fill(element, each)


def _visible(text: str | None) -> str:
    """A text without the white space that the format collapses."""
    if not text:
        return ""
    words = " ".join(text.split())
    return f"{' ' * text[0].isspace()}{words}{' ' * (text[-1].isspace() and bool(words))}"
