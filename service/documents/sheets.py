"""Excel (xlsx): the texts of cells and of shapes.

Formulas, names of sheets and headings of tables stay as they are, because formulas name them.
"""

import re
from functools import partial

from service.documents import slides
from service.documents.document import Document
from service.documents.package import PartReader, open_archive, read_package
from service.documents.package import read_part as unpack
from service.documents.runs import Names, parse_xml, read_part

NAMESPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
TEXTS = re.compile(r"xl/(?:sharedStrings|worksheets/sheet\d+)\.xml")
SHAPES = re.compile(r"xl/drawings/drawing\d+\.xml")
TABLE = re.compile(r"xl/tables/table\d+\.xml")
NAMES = Names(
    paragraphs=(NAMESPACE + "si", NAMESPACE + "is"),
    run=NAMESPACE + "r",
    properties=NAMESPACE + "rPr",
    text=NAMESPACE + "t",
    kept=frozenset((NAMESPACE + "rPh", NAMESPACE + "phoneticPr")),
)


def read(content: bytes) -> Document:
    headings = table_headings(content)

    def reader_of(name: str) -> PartReader | None:
        if SHAPES.fullmatch(name):
            return partial(read_part, names=slides.NAMES)
        return partial(read_part, names=NAMES, skipped=headings.__contains__) if TEXTS.fullmatch(name) else None

    return read_package(content, reader_of)


def table_headings(content: bytes) -> set[str]:
    """The names of the columns of all tables."""
    archive = open_archive(content)
    tables = [unpack(archive, info) for info in archive.infolist() if TABLE.fullmatch(info.filename)]
    columns = (column for table in tables for column in parse_xml(table).iter(NAMESPACE + "tableColumn"))
    return {column.get("name", "") for column in columns}
