"""The user's own files: tab-separated rows and running text."""

import gzip
import re
from pathlib import Path

from training.corpora.catalogue import BOOKS, CORPORA
from training.corpora.corpus import CorpusError, Table, clean, data_folder

QUOTED = re.compile(r'"(?:[^"]|"")*"')
"""Matches a quoted CSV field."""

LEAST_CHARACTERS = 1_000
"""Minimum length of a running text."""


def read_text(path: Path) -> str:
    """Read a running text in UTF-8, plain or gzipped. Raises CorpusError with the line number of invalid text."""
    lines = read_bytes(path).split(b"\n")
    text = "\n".join("\t".join(decoded(path, number, line)) for number, line in enumerate(lines, start=1))
    if len(text) < LEAST_CHARACTERS:
        raise CorpusError(f"{path} has {len(text)} characters; at least {LEAST_CHARACTERS:,} are needed")
    return text


def own_file(corpus: str) -> Path:
    """Find a user's file in the current folder or in the data folder. Raises CorpusError."""
    path = next((path for path in (Path(corpus), data_folder() / corpus) if path.is_file()), None)
    if path is None:
        known = ", ".join(sorted([*CORPORA, *BOOKS]))
        raise CorpusError(f"{corpus!r} is neither a file nor a known corpus ({known})")
    return path


def read_bytes(path: Path) -> bytes:
    """Read a user's file, and unpack it if it is gzipped. Raises CorpusError."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise CorpusError(f"{path}: {error}") from None


def read_tsv(path: Path, columns: tuple[str, str]) -> Table:
    """The user's own file: tab-separated, UTF-8, no quoting; the two columns of these names, or the only two.

    The first line is a header if both names stand in it, in any case and among others. Raises CorpusError
    with the line number at the first line that cannot be read.
    """
    lines = read_bytes(path).removesuffix(b"\n").split(b"\n")
    first = [field.strip().lower() for field in decoded(path, 1, lines[0])]
    has_header = all(column.lower() in first for column in columns)
    if not has_header and len(first) != 2:
        raise CorpusError(
            f"{path}, line 1: expected {columns[0]}<TAB>{columns[1]}, or a header with these names (other names: "
            f"--columns); found {len(first)} column(s)"
        )
    places = [first.index(column.lower()) for column in columns] if has_header else [0, 1]
    table = [list(columns)]
    for number, line in enumerate(lines[has_header:], start=1 + has_header):
        fields = decoded(path, number, line)
        if len(fields) != len(first):
            raise CorpusError(f"{path}, line {number}: {len(fields)} column(s), line 1 has {len(first)}")
        row = [clean(fields[place]) for place in places]
        for field, column in zip(row, columns, strict=True):
            if not field:
                raise CorpusError(f"{path}, line {number}: the {column} is empty")
        table.append(row)
    if table[1:] and all(QUOTED.fullmatch(row[1]) for row in table[1:]):
        raise CorpusError(
            f"{path}, line {1 + has_header}: the {columns[1]} is in quotes, as on every line; "
            "write the file without quoting"
        )
    return table


def decoded(path: Path, number: int, line: bytes) -> list[str]:
    """Return the fields of a line. Raises CorpusError if it is not UTF-8."""
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\r").split("\t")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}, line {number}: not UTF-8 ({error.reason} at byte {error.start})") from None
