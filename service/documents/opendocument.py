"""OpenDocument (odt, odp, ods, odg, templates and flat files): paragraphs, headings and labels."""

import re
from collections.abc import Iterator
from typing import Any

from service.batching import budget
from service.documents.document import Document
from service.documents.inline import Inline, Node, parse, plain
from service.documents.package import PartReader, open_archive, read_package
from service.documents.package import read_part as unpack
from service.documents.parts import InlineParagraph, Label, Xml, has_letters, paragraph_document, parse_xml, shown
from service.documents.sheets import texts_in_formula
from service.errors import InvalidInput

OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
DRAWING = "{urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0}"
PART = re.compile(r"(?:[^/]+/)?content\.xml|styles\.xml")
"""Charts are packages in folders."""
MANIFEST = "META-INF/manifest.xml"
PARAGRAPHS = (TEXT + "p", TEXT + "h")
CHART = OFFICE + "chart"
ALTERNATIVES = (DRAWING + "title", DRAWING + "desc")
LABELS = (
    *ALTERNATIVES,
    PRESENTATION + "header-decl",
    PRESENTATION + "footer-decl",
    PRESENTATION + "date-time-decl",
    TEXT + "index-title-template",
)
AROUND = {TEXT + name for name in ("span", "a", "meta", "text-input")}
"""Elements around text."""
CELL, FORMULA = TABLE + "table-cell", TABLE + "formula"
TYPE, VALUE = OFFICE + "value-type", OFFICE + "string-value"
DELETED = TEXT + "tracked-changes"
BREAKS = {TEXT + "tab", TEXT + "line-break"}
SPACES = TEXT + "s"
COUNT = TEXT + "c"
RUBY, BASE = TEXT + "ruby", TEXT + "ruby-base"
NOTE = TEXT + "note"
SEVERAL_SPACES = re.compile(r"^ +|  +")
COLLAPSED = re.compile(r"[ \t\r\n]+")


def read(content: bytes) -> Document:
    """Raises InvalidInput, also for an encrypted document."""
    archive = open_archive(content)
    for info in archive.infolist():
        if info.filename == MANIFEST and b"encryption-data" in unpack(archive, info):
            raise InvalidInput("the document is encrypted")
    return read_package(content, reader_of)


def reader_of(name: str) -> PartReader | None:
    return read_part if PART.fullmatch(name) else None


def read_part(content: bytes) -> Document:
    """The paragraphs and labels of a part. The text of a cell that formulas name stays as it is."""
    root = parse_xml(content)
    found = [each for each in _paragraphs(root) if has_letters(each)]
    if named := set(_named_texts(root)):
        found = [each for each in found if shown(each).strip().casefold() not in named]
    return paragraph_document(root, found, content)


def _named_texts(root: Xml) -> Iterator[str]:
    """The texts in formulas and conditions for values, in lower case."""
    for element in root.iter(CELL, TABLE + "content-validation"):
        budget.check()
        for name in ("formula", "condition"):
            yield from texts_in_formula(element.get(TABLE + name, ""))


def _paragraphs(root: Xml) -> Iterator[InlineParagraph]:
    """All paragraphs and labels, not in deleted text or in cells whose text follows from their value or formula."""
    deleted = {each for changes in root.iter(DELETED) for each in changes.iter(*PARAGRAPHS)}
    for element in list(root.iter(*PARAGRAPHS, *LABELS)):
        budget.check()
        parent = element.getparent()
        if element.tag in ALTERNATIVES and next(element.iterancestors(CHART), None) is not None:
            continue  # the cells of a series
        if element in deleted or parent.tag == CELL and (parent.get(FORMULA) or parent.get(TYPE, "string") != "string"):
            continue
        yield Paragraph(element) if element.tag in PARAGRAPHS else Label(element)


class Paragraph:
    """A paragraph with elements among its text."""

    def __init__(self, element: Xml):
        budget.check()
        self.element = element
        self.inline = Inline()
        self._elements: list[Any] = []
        self._read(element)

    def _read(self, parent: Xml) -> None:
        self.inline.text(_visible(parent.text))
        for child in parent:
            if child.tag == SPACES:
                self.inline.text(" " * min(int(child.get(COUNT, "1")), 100))
            elif child.tag == RUBY:  # the pronunciation of a text means nothing for its translation
                for base in child.findall(BASE):
                    self._read(base)
            else:
                self._add(child)
            self.inline.text(_visible(child.tail))

    def _add(self, child: Xml) -> None:
        self._elements.append(child)
        if child.tag in AROUND:
            number = self.inline.open()
            self._read(child)
            self.inline.close(number)
        elif child.tag in BREAKS:
            self.inline.line_break()
        elif _is_field(child):
            self.inline.word()
        else:
            self.inline.mark()

    def replace(self, translation: str) -> None:
        """Give the paragraph the text of a translation. Without the tags of all elements, the text is behind them."""
        root = parse(translation, self.inline.count)
        if root is None:
            root = Node(-1, [Node(n) for n, each in enumerate(self._elements) if each.tag not in AROUND])
            root.children.append(plain(translation))
        cell = self.element.getparent()
        if cell is not None and VALUE in cell.attrib:
            del cell.attrib[VALUE]  # it is shown instead of the paragraph
        self._fill(self.element, root)

    def _fill(self, parent: Xml, node: Node) -> None:
        parent.text = None
        for child in list(parent):
            parent.remove(child)
        for each in node.children:
            if isinstance(each, str):
                self._add_text(parent, each)
                continue
            element = self._elements[each.number]
            element.tail = None
            parent.append(element)
            if element.tag in AROUND:
                self._fill(element, each)

    def _add_text(self, parent: Xml, text: str) -> None:
        """Add a text. Leading and repeated spaces have an element, because readers collapse white space."""
        position = 0
        for match in SEVERAL_SPACES.finditer(text):
            is_first = match.start() == 0 and parent is self.element and not len(parent) and not parent.text
            if not is_first and len(match[0]) < 2:
                continue
            _append(parent, text[position : match.start()] + " " * (not is_first))
            spaces = parent.makeelement(SPACES)
            spaces.set(COUNT, str(len(match[0]) - (not is_first)))
            parent.append(spaces)
            position = match.end()
        _append(parent, text[position:])


def _append(parent: Xml, text: str) -> None:
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def _is_field(element: Xml) -> bool:
    """True for an element with a text that is no note, such as the number of a page."""
    is_text = isinstance(element.tag, str) and element.tag.startswith(TEXT) and element.tag != NOTE
    return is_text and any(not text.isspace() for text in element.itertext())


def _visible(text: str | None) -> str:
    """A text without the white space that the format collapses: each run is one space."""
    return COLLAPSED.sub(" ", text or "")
