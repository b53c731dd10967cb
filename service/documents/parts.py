"""Parts of packages in XML, as documents of paragraphs and labels."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

from lxml import etree

from service.batching import budget
from service.documents.document import Document, Segment
from service.documents.inline import Inline, plain
from service.documents.xml import check_xml
from service.errors import InvalidInput, excerpt

Xml = Any
"""An element of lxml."""
FILE_NAME = re.compile(r"\S+[./]\S+")


class InlineParagraph(Protocol):
    """A paragraph of an XML part, as inline tags and text."""

    inline: Inline

    def replace(self, translation: str) -> None:
        """Give the paragraph the text of a translation."""


class Label:
    """A text without inline elements: the text of an element, or the value of an attribute."""

    def __init__(self, element: Xml, attribute: str | None = None):
        self.element, self.attribute = element, attribute
        self.inline = Inline()
        self.inline.text((element.text if attribute is None else element.get(attribute)) or "")

    def replace(self, translation: str) -> None:
        if self.attribute is None:
            self.element.text = plain(translation)
        else:
            self.element.set(self.attribute, plain(translation))


def attribute_labels(element: Xml, names: Sequence[str]) -> list[Label]:
    """The attributes of an element that a reader sees. The name of a file is no text."""
    return [Label(element, name) for name in names if not FILE_NAME.fullmatch(element.get(name, ""))]


def shown(paragraph: InlineParagraph) -> str:
    """The text of a paragraph without its inline elements."""
    return plain(str(paragraph.inline))


def has_letters(paragraph: InlineParagraph) -> bool:
    return any(char.isalpha() for char in shown(paragraph))


def paragraph_document(root: Xml, paragraphs: Sequence[InlineParagraph], content: bytes) -> Document:
    """A document of the paragraphs below `root`. It is written as `content` if no paragraph changes."""

    def write(translations: Sequence[str]) -> bytes:
        changed = False
        for paragraph, translation in zip(paragraphs, translations, strict=True):
            budget.check()
            if translation != str(paragraph.inline):
                paragraph.replace(translation)
                changed = True
        return to_bytes(root) if changed else content

    return Document([Segment(str(paragraph.inline), "html") for paragraph in paragraphs], write)


def parse_xml(content: bytes) -> Xml:
    """The root of a document without entities. Raises InvalidInput."""
    check_xml(content)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise InvalidInput(f"the document is not valid XML: {excerpt(error)}") from None
    # `check_xml` does not find a document type in every encoding.
    if root.getroottree().docinfo.doctype:
        raise InvalidInput("a part of the document has a document type")
    return root


def to_bytes(root: Xml) -> bytes:
    tree = root.getroottree()
    encoded: bytes = etree.tostring(tree, xml_declaration=True, encoding="UTF-8", standalone=tree.docinfo.standalone)
    return encoded
