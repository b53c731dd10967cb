"""Excel (xlsx and its variants): texts of cells, comments, shapes, charts, headers, footers and hints.

Formulas and names of sheets stay as they are. A text that a formula names stays too: the heading of a table, an allowed
value of a cell, and a text in quotation marks.
"""

import html
import re
from collections.abc import Iterator
from functools import partial

from service.batching import budget
from service.documents import slides
from service.documents.document import Document
from service.documents.headers import HeaderLine
from service.documents.html import decode
from service.documents.package import PartReader, open_archive, read_package
from service.documents.package import read_part as unpack
from service.documents.parts import parse_xml
from service.documents.runs import Names, read_part

NAMESPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
SHEET = re.compile(r"xl/worksheets/sheet\d+\.xml")
TEXTS = re.compile(r"xl/(?:sharedStrings|comments\d*|worksheets/sheet\d+)\.xml")
SHAPES = re.compile(r"xl/(?:drawings/drawing|charts/chart|diagrams/data|diagrams/drawing)\d+\.xml")
TABLE = re.compile(r"xl/tables/table\d+\.xml")
FORMULA = re.compile(r"<(?:\w+:)?(?:f|formula\d?)(?:\s[^>]*)?>([^<]*)<")
QUOTED = re.compile(r'"((?:[^"]|"")*+)"')
NAMES = Names(
    paragraphs=(NAMESPACE + "si", NAMESPACE + "is", NAMESPACE + "text"),
    run=NAMESPACE + "r",
    properties=NAMESPACE + "rPr",
    text=NAMESPACE + "t",
    kept=frozenset((NAMESPACE + "rPh", NAMESPACE + "phoneticPr")),
    has_lines=True,
    labels=frozenset(
        NAMESPACE + name
        for name in ("oddHeader", "oddFooter", "evenHeader", "evenFooter", "firstHeader", "firstFooter")
    ),
    attributes={
        NAMESPACE + "dataValidation": ("promptTitle", "prompt", "errorTitle", "error"),
        NAMESPACE + "hyperlink": ("tooltip",),
    },
)


def read(content: bytes) -> Document:
    named = named_texts(content)

    def is_named(text: str) -> bool:
        return text.strip().casefold() in named

    def reader_of(name: str) -> PartReader | None:
        if SHAPES.fullmatch(name):
            return partial(slides.read_drawing, skipped=is_named)
        return partial(read_part, names=NAMES, skipped=is_named, label=HeaderLine) if TEXTS.fullmatch(name) else None

    return read_package(content, reader_of)


def named_texts(content: bytes) -> set[str]:
    """The names of the columns of all tables, and the texts in formulas and lists of allowed values, in lower case."""
    archive = open_archive(content)
    named: set[str] = set()
    for info in archive.infolist():
        if TABLE.fullmatch(info.filename):
            columns = parse_xml(unpack(archive, info)).iter("{*}tableColumn")
            named.update(column.get("name", "").strip().casefold() for column in columns)
        elif SHEET.fullmatch(info.filename):
            for match in FORMULA.finditer(decode(unpack(archive, info)).text):
                budget.check()
                named.update(texts_in_formula(html.unescape(match[1])))
    return named


def texts_in_formula(formula: str) -> Iterator[str]:
    """The texts in quotation marks, and those between their commas, in lower case.

    >>> list(texts_in_formula('IF(A1="Yes",1,2)')), list(texts_in_formula('"red,blue"'))
    (['yes'], ['red,blue', 'red', 'blue'])
    """
    for match in QUOTED.finditer(formula):
        text = match[1].replace('""', '"').casefold()
        for each in [text, *text.split(",")] if "," in text else [text]:
            yield each.strip()
