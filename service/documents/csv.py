"""CSV and TSV: every cell. With columns `source` and `target`, the empty cells of `target` are filled."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from service.batching import budget
from service.documents.document import Document, Segment, Slot, TextFile, with_slots

DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Cell:
    start: int
    end: int
    text: str
    quoted: bool


def read(content: bytes) -> Document:
    """The cells of a table. The delimiter is the most frequent candidate of the first line."""
    file = TextFile.decode(content)
    first_line = file.text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first_line.count)
    rows = rows_of(file.text, delimiter)
    names = [cell.text.strip().lower() for cell in rows[0]] if rows else []
    if "source" in names and "target" in names:
        source, target = names.index("source"), names.index("target")
        slots = [
            _slot(row[source].text, row[target], delimiter, fills=True)
            for row in rows[1:]
            if len(row) > max(source, target) and row[source].text.strip() and not row[target].text
        ]
    else:
        slots = [_slot(cell.text, cell, delimiter) for row in rows for cell in row if cell.text.strip()]
    return with_slots(file, slots)


def _slot(text: str, cell: Cell, delimiter: str, fills: bool = False) -> Slot:
    return Slot(cell.start, cell.end, Segment(text), _renderer(cell.quoted, delimiter), fills)


def _renderer(quoted: bool, delimiter: str) -> Callable[[str], str]:
    def render(translation: str) -> str:
        needs_quotes = quoted or any(char in translation for char in (delimiter, '"', "\n", "\r"))
        return '"' + translation.replace('"', '""') + '"' if needs_quotes else translation

    return render


def rows_of(text: str, delimiter: str) -> list[list[Cell]]:
    """The rows of a table with the span of each cell, its quotation marks included."""
    other = re.escape(delimiter)
    cell_pattern = re.compile(rf'(?:"(?P<quoted>(?:[^"]|"")*+)"(?=[{other}\r\n]|\Z)|(?P<plain>[^{other}\r\n]*+))')
    rows: list[list[Cell]] = [[]]
    position = 0
    while match := cell_pattern.match(text, position):
        budget.check()
        quoted = match["quoted"] is not None
        value = match["quoted"].replace('""', '"') if quoted else match["plain"]
        rows[-1].append(Cell(match.start(), match.end(), value, quoted))
        position = match.end()
        if position == len(text):
            break
        if text[position] != delimiter:
            position += text.startswith("\r\n", position)
            rows.append([])
        position += 1
    return rows
