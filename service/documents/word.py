"""Word (docx): the paragraphs of the text, headers, footers, notes, and text boxes."""

import re
from functools import partial

from service.documents.document import Document
from service.documents.package import PartReader, read_package
from service.documents.runs import Names, read_part

NAMESPACE = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
PART = re.compile(r"word/(?:document\d*|header\d*|footer\d*|footnotes|endnotes|comments)\.xml")


def _names(*names: str) -> frozenset[str]:
    return frozenset(NAMESPACE + name for name in names)


NAMES = Names(
    paragraphs=(NAMESPACE + "p",),
    run=NAMESPACE + "r",
    properties=NAMESPACE + "rPr",
    text=NAMESPACE + "t",
    kept=_names("pPr"),
    containers=_names("hyperlink", "ins", "smartTag", "sdt"),
    inner=NAMESPACE + "sdtContent",
    breaks=_names("tab", "br", "cr", "instrText"),
    dropped=_names("proofErr", "lastRenderedPageBreak"),
    ignored=_names("lang", "noProof"),
    field_part=NAMESPACE + "fldChar",
    field_type=NAMESPACE + "fldCharType",
)


def read(content: bytes) -> Document:
    return read_package(content, reader_of)


def reader_of(name: str) -> PartReader | None:
    return partial(read_part, names=NAMES) if PART.fullmatch(name) else None
