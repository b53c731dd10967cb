"""PowerPoint (pptx): the paragraphs of slides, notes and diagrams."""

import re
from functools import partial

from service.documents.document import Document
from service.documents.package import PartReader, read_package
from service.documents.runs import Names, read_part

NAMESPACE = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
PART = re.compile(r"ppt/(?:slides/slide|notesSlides/notesSlide|diagrams/data|diagrams/drawing)\d*\.xml")
NAMES = Names(
    paragraphs=(NAMESPACE + "p",),
    run=NAMESPACE + "r",
    properties=NAMESPACE + "rPr",
    text=NAMESPACE + "t",
    kept=frozenset((NAMESPACE + "pPr", NAMESPACE + "endParaRPr")),
    ignored=frozenset(("lang", "altLang", "dirty", "err", "noProof", "smtClean")),
    breaks=frozenset((NAMESPACE + "br",)),
)


def read(content: bytes) -> Document:
    return read_package(content, reader_of)


def reader_of(name: str) -> PartReader | None:
    return partial(read_part, names=NAMES) if PART.fullmatch(name) else None
