"""Read the rows of a file in blocks: txt, tsv, jsonl or parquet, each also with .gz.

The blocks depend only on the file and on the number of rows in a block, so an interrupted job finds the same ones
again.
"""

import gzip
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import orjson

from service.errors import InvalidInput, NotAvailable, excerpt

FORMATS = ("txt", "tsv", "jsonl", "parquet")
MAX_LINE_BYTES = 10_000_000
"""Maximum bytes of a line. A longer one is a bad row, and is never in memory as a whole."""
MAX_BLOCK_CHARACTERS = 1_000_000
"""Characters after which a block ends, even if it has few rows."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the input."""

    number: int
    """Counted from 0, without the header of a tsv file."""
    text: str = ""
    kept: dict[str, Any] = field(default_factory=dict)
    """The columns that are copied to the output."""
    problem: str | None = None
    """The reason why the row has no text."""


@dataclass(frozen=True)
class Block:
    """Consecutive rows, which are answered and written together."""

    number: int
    rows: list[Row]
    share: float
    """Share of the input up to the end of this block, from 0 to 1."""


@dataclass(frozen=True)
class Source:
    """The input of a job."""

    path: Path
    column: str = "text"
    """Column of the texts: a name, or for a tsv file without a header its number from 1. Not used for txt."""
    keep: tuple[str, ...] = ()
    """Columns that are copied to the output, named as `column`."""

    @property
    def format(self) -> str:
        """One of FORMATS. Raises InvalidInput."""
        name = self.path.name.lower().removesuffix(".gz")
        found = name.rpartition(".")[2]
        if found not in FORMATS:
            raise InvalidInput(f"{self.path} is not one of {', '.join('.' + each for each in FORMATS)}, or these + .gz")
        return found

    def blocks(self, rows_per_block: int) -> Iterator[Block]:
        """The rows in blocks. Raises InvalidInput or NotAvailable."""
        if self.format == "parquet":
            yield from _in_blocks(_parquet_rows(self), rows_per_block)
            return
        rows = {"txt": _txt_rows, "tsv": _tsv_rows, "jsonl": _jsonl_rows}[self.format]
        size = max(1, self.path.stat().st_size)
        with self.path.open("rb") as raw:
            file = gzip.open(raw) if _is_gzip(self.path) else raw
            located = ((row, min(1.0, raw.tell() / size)) for row in rows(cast(IO[bytes], file), self))
            try:
                yield from _in_blocks(located, rows_per_block)
            except (gzip.BadGzipFile, EOFError) as error:
                raise InvalidInput(f"{self.path} is damaged: {error}") from None


def _is_gzip(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _in_blocks(rows: Iterator[tuple[Row, float]], rows_per_block: int) -> Iterator[Block]:
    number, block, characters, share = 0, list[Row](), 0, 0.0
    for row, share in rows:
        block.append(row)
        characters += len(row.text)
        if len(block) == rows_per_block or characters >= MAX_BLOCK_CHARACTERS:
            yield Block(number, block, share)
            number, block, characters = number + 1, [], 0
    if block:
        yield Block(number, block, 1.0)


# Lines


def _lines(file: IO[bytes]) -> Iterator[str | None]:
    """The lines without their ends. None is a line that is too long or not in UTF-8."""
    first = True
    while line := file.readline(MAX_LINE_BYTES + 1):
        too_long = len(line) > MAX_LINE_BYTES
        while too_long and not line.endswith(b"\n") and (line := file.readline(MAX_LINE_BYTES)):
            pass
        line = line.removeprefix(BYTE_ORDER_MARK) if first else line
        first = False
        try:
            yield None if too_long else line.removesuffix(b"\n").removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            yield None


BAD_LINE = f"the line is not in UTF-8, or longer than {MAX_LINE_BYTES} bytes"


def _txt_rows(file: IO[bytes], source: Source) -> Iterator[Row]:
    if source.keep:
        raise InvalidInput("a txt file has no columns to keep")
    for number, line in enumerate(_lines(file)):
        yield Row(number, problem=BAD_LINE) if line is None else Row(number, line)


def _tsv_rows(file: IO[bytes], source: Source) -> Iterator[Row]:
    lines = _lines(file)
    numbered = source.column.isascii() and source.column.isdigit()
    header = None if numbered else (next(lines, None) or "").split("\t")
    places = {name: _place(name, header) for name in (source.column, *source.keep)}
    if missing := [name for name, place in places.items() if place < 0]:
        raise InvalidInput(
            f"{source.path} has no column {', '.join(map(excerpt, missing))}; name a column of its first line, or "
            "count from 1 if it has no header"
        )
    needed = max(places.values()) + 1
    for number, line in enumerate(lines):
        cells = [] if line is None else line.split("\t")
        if line is None:
            yield Row(number, problem=BAD_LINE)
        elif len(cells) < needed:
            yield Row(number, problem=f"the line has {len(cells)} columns, not {needed}")
        else:
            yield Row(number, cells[places[source.column]], {name: cells[places[name]] for name in source.keep})


def _place(name: str, header: list[str] | None) -> int:
    """The index of a column; -1 if there is none. Without a header its name is a number from 1."""
    if header is None:
        return int(name) - 1 if name.isascii() and name.isdigit() else -1
    return header.index(name) if name in header else -1


def _jsonl_rows(file: IO[bytes], source: Source) -> Iterator[Row]:
    for number, line in enumerate(_lines(file)):
        try:
            value = None if line is None else orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield Row(number, problem=f"the line is not valid JSON: {error}")
            continue
        if line is None:
            yield Row(number, problem=BAD_LINE)
        elif not isinstance(value, dict):
            yield Row(number, problem="the line is not a JSON object")
        else:
            yield _row_of(number, value, source)


def _row_of(number: int, values: dict[str, Any], source: Source) -> Row:
    """A row from its columns."""
    if missing := [name for name in (source.column, *source.keep) if name not in values]:
        return Row(number, problem=f"there is no {', '.join(map(excerpt, missing))}")
    if not isinstance(text := values[source.column], str):
        return Row(number, problem=f"{excerpt(source.column)} is not a string")
    return Row(number, text, {name: values[name] for name in source.keep})


# Parquet


def load_parquet() -> Any:
    """The module pyarrow.parquet. Raises NotAvailable."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise NotAvailable("parquet needs pyarrow; install limelight[bulk]") from None
    return pyarrow.parquet


@contextmanager
def _open_parquet(source: Source) -> Iterator[Any]:
    """The parquet file. One with .gz is decompressed into a temporary file, because its index is at its end."""
    parquet = load_parquet()
    with tempfile.TemporaryFile() as temporary:
        file: Any = str(source.path)
        if _is_gzip(source.path):
            with gzip.open(source.path) as compressed:
                shutil.copyfileobj(compressed, temporary)
            file = temporary
        try:
            opened = parquet.ParquetFile(file, buffer_size=1 << 20)
        except Exception as error:  # errors of pyarrow share only this base class
            raise InvalidInput(f"{source.path} cannot be read: {error}") from None
        with opened:
            yield opened


def kept_types(source: Source) -> dict[str, Any]:
    """Kept column -> its type in pyarrow. Raises InvalidInput if a column is missing."""
    with _open_parquet(source) as file:
        schema = file.schema_arrow
        if missing := [name for name in (source.column, *source.keep) if name not in schema.names]:
            raise InvalidInput(f"{source.path} has no column {', '.join(map(excerpt, missing))}")
        return {name: schema.field(name).type for name in source.keep}


def _parquet_rows(source: Source) -> Iterator[tuple[Row, float]]:
    columns = list(dict.fromkeys((source.column, *source.keep)))
    with _open_parquet(source) as file:
        total, number = max(1, file.metadata.num_rows), 0
        for batch in file.iter_batches(batch_size=1_000, columns=columns):
            for values in batch.to_pylist():
                yield _row_of(number, values, source), (number + 1) / total
                number += 1
