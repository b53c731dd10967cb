"""EPUB: the pages of a book and the entries of its table of contents."""

import html

from service.documents import html as pages
from service.documents.document import Document, Segment, Slot, with_slots
from service.documents.package import PartReader, open_archive, read_package
from service.documents.package import read_part as unpack
from service.documents.xml import read_xml
from service.errors import InvalidInput

PAGES = (".xhtml", ".html", ".htm")
ENCRYPTION = "META-INF/encryption.xml"


def read(content: bytes) -> Document:
    """Raises InvalidInput, also for a book with encrypted pages. Encrypted fonts are kept."""
    archive = open_archive(content)
    for info in archive.infolist():
        if info.filename == ENCRYPTION and any(f'{page}"'.encode() in unpack(archive, info) for page in PAGES):
            raise InvalidInput("the document is encrypted")
    return read_package(content, reader_of)


def reader_of(name: str) -> PartReader | None:
    if name.lower().endswith(PAGES):
        return pages.read
    return read_contents if name.lower().endswith(".ncx") else None


def read_contents(content: bytes) -> Document:
    """The labels of a table of contents (NCX)."""
    file, root = read_xml(content)
    slots = [
        Slot(label.inner, label.close, Segment(html.unescape(raw)), _escape)
        for label in root.find("text")
        if (raw := label.content(file.text)).strip() and not label.children
    ]
    return with_slots(file, slots)


def _escape(text: str) -> str:
    return html.escape(text, quote=False)
