"""The output folder of a job. Every file in it is complete: it is written under another name, synced, and renamed.

job.json              input, task, options and models: a resumed job must agree
part-000000.jsonl     answers of block 0 (or .parquet)
bad-000000.jsonl      bad rows of block 0, until the job ends
bad-rows.jsonl        all bad rows
summary.json          numbers of rows; present if the job has ended
"""

import fcntl
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from service.bulk.inputs import Row, Source, kept_types, load_parquet
from service.bulk.tasks import Answer, ColumnType, Task
from service.errors import InvalidInput
from service.handlers.encoding import dumps

JOB, SUMMARY, BAD_ROWS, LOCK = "job.json", "summary.json", "bad-rows.jsonl", ".lock"


@dataclass(frozen=True)
class AnsweredBlock:
    """A block with the answers of its good rows and the problems of the others."""

    number: int
    answers: Sequence[tuple[Row, Answer]]
    bad: Sequence[tuple[Row, str]]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is either complete on the disk or absent, even if the process is killed meanwhile."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name
    finally:
        os.close(folder)


@contextmanager
def opened(folder: Path) -> Iterator["OutputFolder"]:
    """The folder of one job at a time. Raises InvalidInput if another job uses it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process
        except OSError:
            raise InvalidInput(f"another job writes to {folder}") from None
        yield OutputFolder(folder)


class OutputFolder:
    """The files of one job."""

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def summary(self) -> dict[str, int] | None:
        """Numbers of rows, if the job has ended."""
        path = self.folder / SUMMARY
        return orjson.loads(path.read_bytes()) if path.exists() else None

    def begin(self, description: Mapping[str, Any]) -> None:
        """Begin the job, or resume it. Raises InvalidInput if the folder belongs to another job."""
        path = self.folder / JOB
        content = orjson.dumps(description, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
        if not path.exists():
            if others := sorted(each.name for each in self.folder.iterdir() if each.name not in (LOCK, f".{JOB}.tmp")):
                raise InvalidInput(f"{self.folder} is not empty: {', '.join(others[:5])}")
            write_atomically(path, content)
        elif (begun := path.read_bytes()) != content:
            old, new = orjson.loads(begun), orjson.loads(content)
            changes = [
                f"{name} was {orjson.dumps(old.get(name)).decode()}, is {orjson.dumps(new.get(name)).decode()}"
                for name in sorted(old.keys() | new.keys())
                if old.get(name) != new.get(name)
            ]
            raise InvalidInput(f"{self.folder} holds another job: {'; '.join(changes)}")
        for temporary in self.folder.glob(".*.tmp"):
            temporary.unlink()

    def finished(self) -> set[int]:
        """Numbers of the blocks that are written."""
        return {int(path.stem.removeprefix("part-")) for path in self.folder.glob("part-*")}

    def write(self, block: AnsweredBlock, form: "Form") -> None:
        """Write a block. Its part comes last: it marks the block as finished."""
        if block.bad:
            lines = [dumps({"row": row.number, "problem": problem}) + b"\n" for row, problem in block.bad]
            write_atomically(self.folder / f"bad-{block.number:06}.jsonl", b"".join(lines))
        write_atomically(self.folder / f"part-{block.number:06}{form.suffix}", form.encode(block.answers))

    def end(self, rows: int, blocks: int) -> dict[str, int]:
        """Join the bad rows and write the summary, which marks the job as ended."""
        bad = b"".join(path.read_bytes() for path in self._bad_blocks())
        write_atomically(self.folder / BAD_ROWS, bad)
        summary = {"rows": rows, "bad_rows": bad.count(b"\n"), "blocks": blocks}
        write_atomically(self.folder / SUMMARY, orjson.dumps(summary, option=orjson.OPT_INDENT_2) + b"\n")
        self.tidy()
        return summary

    def tidy(self) -> None:
        """Remove the files that the ended job does not need."""
        for path in self._bad_blocks():
            path.unlink()

    def _bad_blocks(self) -> list[Path]:
        return sorted(self.folder.glob("bad-[0-9]*.jsonl"))


class Form:
    """The format of the parts: jsonl."""

    suffix = ".jsonl"

    def encode(self, answers: Sequence[tuple[Row, Answer]]) -> bytes:
        return b"".join(dumps({"row": row.number, **row.kept, **answer}) + b"\n" for row, answer in answers)


class ParquetForm(Form):
    """parquet, with the types of the kept columns of the input. Nested values are JSON strings."""

    suffix = ".parquet"

    def __init__(self, source: Source, columns: Mapping[str, ColumnType]):
        """Raises NotAvailable or InvalidInput."""
        self._parquet = load_parquet()
        import pyarrow

        self._arrow = pyarrow
        self._json = [name for name, kind in columns.items() if kind == "json"]
        types = {name: pyarrow.string() if kind == "json" else kind for name, kind in columns.items()}
        self._schema = pyarrow.schema({"row": pyarrow.int64(), **kept_types(source), **types})

    def encode(self, answers: Sequence[tuple[Row, Answer]]) -> bytes:
        rows = [{"row": row.number, **row.kept, **answer} for row, answer in answers]
        for values in rows:
            for name in self._json:
                values[name] = dumps(values[name]).decode()
        written = io.BytesIO()
        self._parquet.write_table(self._arrow.Table.from_pylist(rows, self._schema), written)
        return written.getvalue()


def form_of(source: Source, task: Task) -> Form:
    """parquet for parquet, else jsonl. Raises InvalidInput if a kept column has the name of one of the answer."""
    columns = task.columns()
    if clashes := sorted(set(source.keep) & {"row", *columns}):
        raise InvalidInput(f"the answers have columns of these names too: {', '.join(clashes)}")
    return ParquetForm(source, columns) if source.format == "parquet" else Form()
