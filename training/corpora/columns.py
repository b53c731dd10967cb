"""The two columns of a user's table: found by name, by number or by order; and its bad rows."""

from collections import Counter
from functools import lru_cache
from pathlib import Path

from training.corpora.corpus import CorpusError, Table, clean
from training.corpora.tables import RawTable, read_table_file

SIMILAR: dict[str, tuple[str, ...]] = {
    "label": ("class", "category", "target", "sentiment", "topic", "intent", "tag", "rating", "stars", "v1"),
    "text": ("sentence", "message", "review", "content", "body", "comment", "document", "question", "title", "v2"),
    "source": ("src", "original", "input"),
    "target": ("tgt", "trg", "translation", "output"),
}
"""Column of a recipe -> similar names, in order of preference."""

SHOWN = 10
"""Number of bad rows in a message."""


def read_rows(path: Path, columns: tuple[str, str], skip_bad: bool = False, languages: tuple[str, ...] = ()) -> Table:
    """Read the two columns of a user's table, the first row with the names of `columns`.

    columns: names, or numbers from 1. With (label, text) or (source, target), similar names are found too.
    languages: codes that are names of the two columns too. Raises CorpusError, which lists the bad rows, unless they
    are to be skipped.
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}") from None
    return list(_read_rows(path, changed, columns, skip_bad, languages))


@lru_cache(maxsize=2)  # each split reads the file
def _read_rows(
    path: Path, changed: int, columns: tuple[str, str], skip_bad: bool, languages: tuple[str, ...]
) -> tuple[list[str], ...]:
    table = read_table_file(path)
    if not table.rows and not table.bad:
        raise CorpusError(f"{path} is empty")
    places = find_columns(path, table, columns, languages)
    rows = [list(columns)]
    bad = list(table.bad)
    for number, fields in table.rows:
        row = [clean(fields[place]) for place in places]
        empty = next((column for field, column in zip(row, columns, strict=True) if not field), None)
        if empty is None:
            rows.append(row)
        else:
            bad.append((number, f"the {empty} is empty"))
    if bad and not skip_bad:
        raise CorpusError(bad_rows(path, table, sorted(bad)))
    return tuple(rows)


def bad_rows(path: Path, table: RawTable, bad: list[tuple[int, str]]) -> str:
    """The message about the rows that cannot be read."""
    shown = [f"{path}, {table.place.format(number)}{reason}" for number, reason in bad[:SHOWN]]
    more = [f"and {len(bad) - SHOWN:,} more"] if len(bad) > SHOWN else []
    remedy = "correct them, or skip them with --skip-bad-rows (make train: SKIP=1)"
    return "\n".join([f"{len(bad):,} bad row(s): {remedy}", *shown, *more])


def find_columns(path: Path, table: RawTable, columns: tuple[str, str], languages: tuple[str, ...]) -> tuple[int, int]:
    """Indices of the two columns. A header is removed from the rows. Raises CorpusError."""
    first = table.names if table.names is not None else (table.rows[0][1] if table.rows else [])
    names = [name.strip().lower() for name in first]
    found = by_name(names, columns, languages)
    if found is not None:
        if table.names is None:
            del table.rows[0]
        return found
    if all(column.isdecimal() for column in columns):
        places = [int(column) - 1 for column in columns]
        if all(0 <= place < len(first) for place in places):
            return places[0], places[1]
    elif table.names is None and len(first) == 2:
        return by_order(table, columns)
    listed = ", ".join(first[:20]) if table.names is not None or len(first) > 1 else f"{len(first)} column"
    raise CorpusError(
        f"{path}: no columns {columns[0]} and {columns[1]} in its {len(first)} column(s) ({listed[:300]}); "
        f"name them, or give their numbers, with --columns (make train: COLUMNS={columns[0]},{columns[1]})"
    )


def by_name(names: list[str], columns: tuple[str, str], languages: tuple[str, ...]) -> tuple[int, int] | None:
    """Indices of the columns with these names, in any case, or with similar names."""
    if columns in (("label", "text"), ("source", "target")):
        accepted = [(column, *SIMILAR[column]) for column in columns]
        if languages:
            accepted = [(*names, language) for names, language in zip(accepted, languages, strict=True)]
    else:
        accepted = [(column.lower(),) for column in columns]
    places = [next((names.index(name) for name in some if name in names), None) for some in accepted]
    if places[0] is None or places[1] is None or places[0] == places[1]:
        return None
    return places[0], places[1]


def by_order(table: RawTable, columns: tuple[str, str]) -> tuple[int, int]:
    """Indices of two columns without known names: in order, or reversed if the second one has the labels.

    The first row of labelled texts is a header if it alone has its label and all other labels occur twice or more.
    """
    if columns != ("label", "text"):
        return 0, 1
    sides = [Counter(fields[place].strip() for _, fields in table.rows) for place in (0, 1)]
    lengths = [sum(len(fields[place]) for _, fields in table.rows) for place in (0, 1)]
    reverse = 2 * len(sides[1]) <= len(sides[0]) and lengths[1] < lengths[0]
    label = int(reverse)
    single = [value for value, count in sides[label].items() if count == 1]
    if len(table.rows) >= 20 and single == [table.rows[0][1][label].strip()]:
        del table.rows[0]
    return label, 1 - label
