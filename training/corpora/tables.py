"""Formats of tables: TSV, CSV, JSON Lines, Parquet, TMX and XLIFF, plain or gzipped, and saved `datasets` folders."""

import csv
import gzip
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.corpora.corpus import CorpusError

csv.field_size_limit(2**31 - 1)

LINE = "line {}: "
ROW = "row {}: "


@dataclass
class RawTable:
    """The fields of a file as text, before columns are chosen."""

    names: list[str] | None
    """Names of the columns. None if the format has none; the first row may then be a header."""
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    """Line number (row number if the format has no lines) and fields."""
    bad: list[tuple[int, str]] = field(default_factory=list)
    """Line number and reason of each row that cannot be read."""
    place: str = LINE


def read_bytes(path: Path) -> bytes:
    """Read a user's file, and unpack it if it is gzipped. Raises CorpusError."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise CorpusError(f"{path}: {error}") from None


def decode(content: bytes) -> str:
    """Decode UTF-8, or UTF-16 with a byte order mark. Invalid bytes become surrogates, which `invalid` finds."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    return content.decode("utf-8-sig", "surrogateescape")


def invalid(text: str) -> str | None:
    """Reason why a decoded text is not UTF-8, or None."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"not UTF-8 (byte {ord(text[error.start]) - 0xDC00:#x} at character {error.start + 1})"
    return None


def checked(table: RawTable) -> RawTable:
    """Move rows of another length or with invalid characters to the bad rows."""
    rows, table.rows = table.rows, []
    width = len(table.names or (rows[0][1] if rows else []))
    for number, fields in rows:
        reason = invalid("\t".join(fields))
        if reason is None and len(fields) != width:
            reason = f"{len(fields)} column(s), {'the header' if table.names else 'line 1'} has {width}"
        if reason is None:
            table.rows.append((number, fields))
        else:
            table.bad.append((number, reason))
    return table


def read_tabs(text: str) -> RawTable:
    """Read tab-separated lines. Quotes are characters, unless only quoting explains the file."""
    lines = text.removesuffix("\n").split("\n")
    rows = [(number, line.removesuffix("\r").split("\t")) for number, line in enumerate(lines, start=1)]
    plain = checked(RawTable(None, rows))
    if not re.search(r'(^|\t)"', text, re.MULTILINE):
        return plain
    try:
        quoted = read_quoted(text, "\t")
    except csv.Error:
        return plain
    all_quoted = all(QUOTED.fullmatch(fields[-1]) for _, fields in plain.rows[1:])
    return quoted if not quoted.bad and (plain.bad or (all_quoted and len(plain.rows) > 1)) else plain


QUOTED = re.compile(r'"(?:[^"]|"")*"')
"""Matches a quoted field."""


def read_quoted(text: str, delimiter: str) -> RawTable:
    """Read lines with quoted fields (RFC 4180). A quoted field may contain line breaks. Raises csv.Error."""
    reader, rows, last = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [], 0
    for fields in reader:
        if fields:  # a blank line is no row
            rows.append((last + 1, fields))
        last = reader.line_num
    return checked(RawTable(None, rows))


def read_commas(text: str) -> RawTable:
    """Read CSV. The delimiter is the comma, semicolon, tab or bar that is most frequent in the first line."""
    first = re.sub(r'"(?:[^"]|"")*"', "", text.split("\n", 1)[0])
    delimiter = max(",;\t|", key=first.count)
    try:
        return read_quoted(text, delimiter)
    except csv.Error as error:
        number = text[: text.rindex('"')].count("\n") + 1
        raise CorpusError(f"the quotes are not in pairs ({error}); the last one is in line {number}") from None


def read_json(text: str) -> RawTable:
    """Read one JSON object a line, or one list of objects."""
    if text.lstrip().startswith("["):
        try:
            return records(enumerate(json.loads(text), start=1), ROW)
        except ValueError as error:
            raise CorpusError(f"not JSON: {error}") from None
    found, bad = [], []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append((number, json.loads(line)))
        except ValueError as error:
            bad.append((number, invalid(line) or f"not JSON: {error}"))
    table = records(found, LINE)
    table.bad += bad
    return table


def records(found: Iterable[tuple[int, Any]], place: str) -> RawTable:
    """A table of JSON objects. Its columns are the keys of all objects; a missing key is an empty field."""
    table = RawTable([], place=place)
    good: list[tuple[int, dict[str, Any]]] = []
    for number, record in found:
        if isinstance(record, dict):
            good.append((number, record))
        else:
            table.bad.append((number, "not a JSON object"))
    table.names = list(dict.fromkeys(key for _, record in good for key in record))
    table.rows = [(number, [as_text(record.get(name)) for name in table.names]) for number, record in good]
    return table


def as_text(value: Any) -> str:
    """A value of a JSON or Parquet column as text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def read_arrow(names: list[str], columns: list[list[Any]]) -> RawTable:
    """A table of columns with their names."""
    rows = [list(map(as_text, row)) for row in zip(*columns, strict=True)]
    return RawTable(names, list(enumerate(rows, start=1)), place=ROW)


def read_parquet(content: bytes) -> RawTable:
    """Read a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content))
    except pyarrow.ArrowException as error:
        raise CorpusError(f"not Parquet: {error}") from None
    return read_arrow(table.column_names, [column.to_pylist() for column in table.columns])


def read_dataset(folder: Path) -> RawTable:
    """Read a folder that `save_to_disk` of Hugging Face's `datasets` wrote. All its splits are joined.

    Columns of class labels are converted to the names of the classes.
    """
    import pyarrow

    files = sorted(folder.rglob("*.arrow"))
    if not files:
        raise CorpusError("the folder has no file that ends in .arrow")
    whole: RawTable | None = None
    for file in files:
        with pyarrow.memory_map(str(file)) as source:
            table = pyarrow.ipc.open_stream(source).read_all()
        described = file.parent / "dataset_info.json"
        features = json.loads(described.read_text()).get("features", {}) if described.is_file() else {}
        columns = []
        for name, column in zip(table.column_names, table.columns, strict=True):
            classes = features.get(name, {}).get("names") if isinstance(features.get(name), dict) else None
            values = column.to_pylist()
            columns.append([classes[v] if v is not None and v >= 0 else None for v in values] if classes else values)
        part = read_arrow(table.column_names, columns)
        if whole is None:
            whole = part
        elif part.names == whole.names:
            whole.rows += [(len(whole.rows) + number, fields) for number, fields in part.rows]
    assert whole is not None
    return whole


def read_xml(content: bytes) -> RawTable:
    """Read the pairs of TMX (columns: language codes) or XLIFF (columns: source and target)."""
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise CorpusError(f"not XML: {error}") from None
    found: list[dict[str, str]] = []
    for element in root.iter():
        tag = local(element.tag)
        if tag == "tu":
            sides = {}
            for side in element:
                language = next((value for key, value in side.attrib.items() if local(key) == "lang"), None)
                if language is not None:
                    sides[re.split("[-_]", language)[0].lower()] = part_text(side, "seg")
            found.append(sides)
        elif tag in ("trans-unit", "segment"):  # XLIFF 1.2, 2.0
            found.append({name: part_text(element, name) for name in ("source", "target")})
    return records(enumerate(found, start=1), ROW)


def local(tag: object) -> str:
    """Name of an XML element or attribute without its namespace."""
    return str(tag).rpartition("}")[2]


def part_text(element: ElementTree.Element, name: str) -> str:
    """Text of the first part with that name, without its tags."""
    part = next((child for child in element if local(child.tag) == name), None)
    return "" if part is None else "".join(part.itertext())


FORMATS: dict[str, Callable[[bytes], RawTable]] = {
    ".csv": lambda content: read_commas(decode(content)),
    ".jsonl": lambda content: read_json(decode(content)),
    ".ndjson": lambda content: read_json(decode(content)),
    ".json": lambda content: read_json(decode(content)),
    ".parquet": read_parquet,
    ".tmx": read_xml,
    ".xlf": read_xml,
    ".xliff": read_xml,
}
"""Ending of the file name -> reader. Files with other endings are tab-separated."""


def read_table_file(path: Path) -> RawTable:
    """Read a user's table. The ending of its name, before `.gz`, gives the format. Raises CorpusError."""
    try:
        if path.is_dir():
            return read_dataset(path)
        suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
        reader = FORMATS.get(suffix, lambda content: read_tabs(decode(content)))
        return reader(read_bytes(path))
    except CorpusError as error:
        message = str(error)
        raise CorpusError(message if message.startswith(str(path)) else f"{path}: {message}") from None
