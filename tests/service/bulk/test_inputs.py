"""Readers of bulk jobs: formats, blocks, and rows that cannot be read."""

import gzip
import json
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from service.bulk import inputs
from service.bulk.inputs import Row, Source
from service.errors import InvalidInput, NotAvailable


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def rows(source: Source, rows_per_block: int = 1000) -> list[Row]:
    return [row for block in source.blocks(rows_per_block) for row in block.rows]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_every_format_has_the_same_rows(tmp_path: Path, ending: str) -> None:
    texts, ids = ["wind", "", "no\train", "été"], [7, 11, 13, 17]
    values = [{"id": one, "text": text, "other": None} for one, text in zip(ids, texts, strict=True)]
    jsonl = write(tmp_path / f"a.jsonl{ending}", "\n".join(map(json.dumps, values)).encode())
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(values), tmp_path / "a.parquet")
    parquet = write(tmp_path / f"b.parquet{ending}", (tmp_path / "a.parquet").read_bytes())
    expected = [Row(number, text, {"id": one}) for number, (one, text) in enumerate(zip(ids, texts, strict=True))]
    assert rows(Source(jsonl, keep=("id",))) == rows(Source(parquet, keep=("id",))) == expected
    lines = write(tmp_path / f"a.txt{ending}", "wind\n\nno\train\r\nété".encode())
    assert [row.text for row in rows(Source(lines))] == texts


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_columns_of_a_tsv_file_have_names_or_numbers(tmp_path: Path, ending: str) -> None:
    named = write(tmp_path / f"a.tsv{ending}", b"\xef\xbb\xbfid\ttext\n7\twind\r\n11\train\n")
    assert rows(Source(named, keep=("id",))) == [Row(0, "wind", {"id": "7"}), Row(1, "rain", {"id": "11"})]
    assert rows(Source(named, "2"))[0] == Row(0, "text")
    for source in (Source(named, "words"), Source(named, keep=("ID",)), Source(named, "0")):
        with pytest.raises(InvalidInput, match="has no column"):
            rows(source)


def test_bad_rows_have_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_LINE_BYTES", 20)
    path = write(
        tmp_path / "a.jsonl", b'{"text": "a"}\n{"text": 1}\n[]\n{\n{"t": 1}\n\xff\n{"text": "' + b"b" * 90 + b'"}\n{}'
    )
    found = rows(Source(path))
    assert found[0] == Row(0, "a")
    problems = [row.problem or "" for row in found[1:]]
    expected = ["not a string", "not a JSON object", "not valid JSON", "no text", "UTF-8", "longer", "no text"]
    assert len(problems) == len(expected)
    assert all(part in problem for part, problem in zip(expected, problems, strict=True)), problems
    short = rows(Source(write(tmp_path / "a.tsv", b"1\ta\n2\n\xff\n"), "2"))
    assert [row.problem is None for row in short] == [True, False, False]
    assert rows(Source(write(tmp_path / "a.txt", b"a\n" + b"b" * 90)))[1].problem


def test_blocks_end_after_rows_or_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", b"a\nb\nc\nd\ne\n")
    blocks = list(Source(path).blocks(2))
    assert [[row.text for row in block.rows] for block in blocks] == [["a", "b"], ["c", "d"], ["e"]]
    assert [block.number for block in blocks] == [0, 1, 2]
    assert blocks[-1].share == 1.0
    monkeypatch.setattr(inputs, "MAX_BLOCK_CHARACTERS", 3)
    assert [len(block.rows) for block in Source(path).blocks(1000)] == [3, 2]


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"a\n" * 90_000)
    for name, content in (
        ("a.csv", b"a"),
        ("b.txt.gz", b"no gzip"),
        ("c.txt.gz", whole[:-20]),
        ("d.parquet", b"no parquet"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInput, match=name):
            rows(Source(tmp_path / name))
    with pytest.raises(InvalidInput, match="no columns to keep"):
        rows(Source(write(tmp_path / "e.txt", b"a"), keep=("id",)))


def test_parquet_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(NotAvailable, match=r"limelight\[bulk\]"):
        rows(Source(write(tmp_path / "a.parquet", b"")))
