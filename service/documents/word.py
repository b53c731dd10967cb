"""Word (docx and its variants): paragraphs of the text, headers, footers, notes, comments and text boxes; charts."""

import re
from functools import partial

from service.documents import slides
from service.documents.document import Document
from service.documents.package import PartReader, read_package
from service.documents.runs import Names, read_part

NAMESPACE = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
PART = re.compile(r"word/(?:document\d*|header\d*|footer\d*|footnotes|endnotes|comments)\.xml")
DRAWINGS = re.compile(r"word/(?:charts/chart|diagrams/data|diagrams/drawing)\d*\.xml")


def _names(*names: str) -> frozenset[str]:
    return frozenset(NAMESPACE + name for name in names)


NAMES = Names(
    paragraphs=(NAMESPACE + "p",),
    run=NAMESPACE + "r",
    properties=NAMESPACE + "rPr",
    text=NAMESPACE + "t",
    kept=_names("pPr", "smartTagPr", "customXmlPr"),
    containers=_names("hyperlink", "ins", "moveTo", "smartTag", "customXml", "sdt", "dir", "bdo"),
    inner=NAMESPACE + "sdtContent",
    breaks=_names("tab", "ptab", "br", "cr", "instrText"),
    dropped=_names("proofErr", "lastRenderedPageBreak", "softHyphen"),
    ignored=_names("lang", "noProof"),
    field_part=NAMESPACE + "fldChar",
    field_type=NAMESPACE + "fldCharType",
    field_code=NAMESPACE + "instrText",
    simple_field=(NAMESPACE + "fldSimple", NAMESPACE + "instr"),
    words=frozenset((MATH + "oMath",)),
    characters={NAMESPACE + "noBreakHyphen": "\u2011"},
    base_texts={NAMESPACE + "ruby": NAMESPACE + "rubyBase"},
    attributes={DRAWING + "docPr": ("title", "descr")},
)


def read(content: bytes) -> Document:
    return read_package(content, reader_of)


def reader_of(name: str) -> PartReader | None:
    if DRAWINGS.fullmatch(name):
        return slides.read_drawing
    return partial(read_part, names=NAMES) if PART.fullmatch(name) else None
