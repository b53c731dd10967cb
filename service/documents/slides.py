"""PowerPoint (pptx and its variants): paragraphs of slides, notes, comments, diagrams and charts.

Drawings of Word and Excel have the same elements.
"""

import re
from collections.abc import Callable

from service.documents.document import Document
from service.documents.package import PartReader, read_package
from service.documents.runs import Names, read_part

NAMESPACE = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
SLIDE = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
SHEET_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing}"
CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
PART = re.compile(
    r"ppt/(?:slides/slide\d*|notesSlides/notesSlide\d*|diagrams/data\d*|diagrams/drawing\d*|charts/chart\d*"
    r"|comments/comment\d*|comments/modernComment_\w*)\.xml"
)
ALTERNATIVES = ("title", "descr")
"""Attributes with a text in place of a picture."""
NAMES = Names(
    paragraphs=(NAMESPACE + "p",),
    run=NAMESPACE + "r",
    properties=NAMESPACE + "rPr",
    text=NAMESPACE + "t",
    kept=frozenset((NAMESPACE + "pPr", NAMESPACE + "endParaRPr")),
    ignored=frozenset(("lang", "altLang", "dirty", "err", "noProof", "smtClean")),
    breaks=frozenset((NAMESPACE + "br",)),
    words=frozenset((NAMESPACE + "fld",)),
    labels=frozenset((CHART + "v", SLIDE + "text")),
    attributes={SLIDE + "cNvPr": ALTERNATIVES, SHEET_DRAWING + "cNvPr": ALTERNATIVES},
)


def read(content: bytes) -> Document:
    return read_package(content, reader_of)


def reader_of(name: str) -> PartReader | None:
    return read_drawing if PART.fullmatch(name) else None


def read_drawing(content: bytes, skipped: Callable[[str], bool] = lambda text: False) -> Document:
    """The paragraphs, and the names of series and categories of a chart; not those whose text is skipped. A number of a
    chart can be an error such as `#N/A`, which is no text.
    """
    return read_part(content, NAMES, lambda text: text.startswith("#") or skipped(text))
