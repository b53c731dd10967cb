"""Bulk jobs: answers as those of the routes, bad rows, a kill at any time, and what a job refuses."""

import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from service import terminal
from service.bulk import job as bulk_job
from service.bulk import output
from service.bulk.inputs import Source
from service.bulk.progress import Progress, duration
from service.errors import InferenceFailed, InvalidInput, LimelightError
from tests.fakes import doubled

WORDS = ["wind", "rain", "no", "and", "way"]


@pytest.fixture(autouse=True)
def folder(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMELIGHT_MODELS", str(models))
    monkeypatch.setenv("LIMELIGHT_THREADS", "2")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(terminal.app, ["bulk", *map(str, arguments)], catch_exceptions=False)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for part in sorted(path.glob("part-*.jsonl")) for line in part.read_text().splitlines()]


def files_of(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.iterdir()}


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    texts = [" ".join(WORDS[number % 5 :] * (1 + number % 3)) for number in range(97)]
    texts[13] = texts[50] = ""
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_answers_are_those_of_the_routes(tmp_path: Path, client: TestClient) -> None:
    source = tmp_path / "in.jsonl"
    texts = ["wind and rain", "no way", "rain"]
    source.write_text("\n".join(json.dumps({"id": number, "q": text}) for number, text in enumerate(texts)))
    columns = ("--column", "q", "--keep", "id")
    run(source, tmp_path / "c", "--task", "classify", "--option", "attention=summary", *columns)
    answer = client.post("/classify", json={"text": texts}).json()["predictions"]
    kept = [{"row": number, "id": number} for number in range(3)]
    assert lines_of(tmp_path / "c") == [{**row, **one} for row, one in zip(kept, answer, strict=True)]
    run(source, tmp_path / "t", "--task", "translate", "--from", "en", "--to", "xx", *columns)
    assert lines_of(tmp_path / "t") == [
        {**row, "translation": doubled(text)} for row, text in zip(kept, texts, strict=True)
    ]
    run(source, tmp_path / "s", "--task", "translate", "--model", "en-xx", "--option", "logprobs=true", *columns)
    answers = client.post("/translate", json={"q": texts, "model": "en-xx", "logprobs": True, "attention": "none"})
    found = [{"sentences": one["sentences"]} for one in lines_of(tmp_path / "s")]
    assert found == [{"sentences": one["sentences"]} for one in answers.json()["translations"]]
    run(source, tmp_path / "e", "--task", "explain", "--option", 'methods=["occlusion"]', *columns)
    for text, line in zip(texts, lines_of(tmp_path / "e"), strict=True):
        answer = client.post("/explain", json={"text": text, "methods": ["occlusion"]}).json()
        assert {**answer, "row": line["row"], "id": line["id"]} == {**line, "model": "toy", "version": "1"}


def test_bad_rows_are_listed_and_the_others_answered(tmp_path: Path, lines: Path) -> None:
    with lines.open("ab") as file:
        file.write(b"\xff\n" + b"wind " * 5_000 + b"\n")
    result = run(lines, tmp_path / "out", "--task", "classify", "--block-rows", "10")
    assert "99 rows, 4 of them bad" in result.stderr
    bad = [json.loads(line) for line in (tmp_path / "out" / "bad-rows.jsonl").read_text().splitlines()]
    assert [one["row"] for one in bad] == [13, 50, 97, 98]
    assert [part in one["problem"] for part, one in zip(["visible", "visible", "UTF-8", "tokens"], bad, strict=True)]
    assert "toy reads up to" in bad[3]["problem"]
    assert [one["row"] for one in lines_of(tmp_path / "out")] == [n for n in range(97) if n not in (13, 50)]
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == {"rows": 99, "bad_rows": 4, "blocks": 10}


def test_a_translation_of_a_blank_row_is_blank(tmp_path: Path, lines: Path) -> None:
    run(lines, tmp_path / "out", "--task", "translate", "--model", "en-xx")
    assert lines_of(tmp_path / "out")[13] == {"row": 13, "translation": ""}


def test_parquet_keeps_types_and_writes_equal_bytes(tmp_path: Path) -> None:
    table = pyarrow.table({"text": ["wind", "", "rain"] * 5, "id": pyarrow.array(range(15), pyarrow.int16())})
    pyarrow.parquet.write_table(table, tmp_path / "in.parquet")
    arguments = ("--task", "classify", "--keep", "id", "--block-rows", "4", "--option", "attention=summary")
    for name in ("a", "b"):
        run(tmp_path / "in.parquet", tmp_path / name, *arguments)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    parts = sorted((tmp_path / "a").glob("part-*.parquet"))
    found = pyarrow.concat_tables(pyarrow.parquet.read_table(part) for part in parts)
    assert found.schema.field("id").type == pyarrow.int16()
    assert found["row"].to_pylist() == [n for n in range(15) if n % 3 != 1]
    first = found.to_pylist()[0]
    assert json.loads(first["scores"])[first["label"]] == first["score"]
    assert json.loads(first["tokens"])[0]["text"] == "wind"


KILLED = """
import os, signal, sys
from service.bulk import output

left, replace = int(sys.argv[1]), os.replace

def replace_or_die(source, target):
    global left
    left -= os.path.basename(target).startswith("part-")
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

output.os.replace = replace_or_die
from service import terminal
sys.argv = sys.argv[1:]
terminal.main()
"""


def test_a_job_killed_twice_ends_with_the_bytes_of_an_uninterrupted_one(tmp_path: Path, lines: Path) -> None:
    arguments = [str(lines), "--task", "classify", "--block-rows", "10"]
    run(*arguments, tmp_path / "whole")
    times: dict[str, int] = {}
    for dies_at, written in ((4, range(2, 4)), (5, range(5, 8))):  # of 10; two workers write at the same time
        command = [sys.executable, "-c", KILLED, str(dies_at), "bulk", *arguments, str(tmp_path / "out")]
        killed = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, timeout=60)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        parts = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
        assert len(parts) in written
        assert list((tmp_path / "out").glob(".part-*.tmp"))
        assert times.items() <= parts.items()  # no finished block is written again
        times = parts
    run(*arguments, tmp_path / "out")
    assert times.items() <= {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}.items()
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    before = files_of(tmp_path / "out")
    run(*arguments, tmp_path / "out")  # a job that has ended does nothing
    assert files_of(tmp_path / "out") == before


def test_the_number_of_workers_changes_no_byte(tmp_path: Path, lines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for workers in ("1", "3"):
        monkeypatch.setenv("LIMELIGHT_THREADS", workers)
        run(lines, tmp_path / workers, "--task", "translate", "--model", "en-xx", "--block-rows", "7")
    assert files_of(tmp_path / "1") == files_of(tmp_path / "3")


def test_a_folder_belongs_to_one_job(tmp_path: Path, lines: Path) -> None:
    out = tmp_path / "out"
    run(lines, out, "--task", "classify")
    with pytest.raises(InvalidInput, match='another job: block_rows was 1000, is 7; options was .*"truncate":true'):
        run(lines, out, "--task", "classify", "--block-rows", "7", "--option", "truncate=true")
    lines.write_text("changed\n")
    with pytest.raises(InvalidInput, match="input_sha256 was"):
        run(lines, out, "--task", "classify")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("")
    with pytest.raises(InvalidInput, match=r"is not empty: mine\.txt"):
        run(lines, tmp_path / "used", "--task", "classify")
    with output.opened(out), pytest.raises(InvalidInput, match="another job writes to"):
        run(lines, out, "--task", "classify")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify", "--option", "beam_size=1"], "unknown options: beam_size"),
        (["classify", "--option", "attention=all"], "attention: Input should be"),
        (["classify", "--option", "attention"], "NAME=VALUE"),
        (["classify", "--from", "en"], "for translations"),
        (["classify", "--model", "none"], "no model 'none'"),
        (["classify", "--model", "en-xx"], "not a classifier"),
        (["classify", "--column", "words"], "has no column words"),
        (["classify", "--keep", "label"], "names too: label"),
        (["translate", "--to", "xx"], "source and the target"),
        (["translate", "--from", "auto", "--to", "xx"], "does not detect"),
        (["translate", "--from", "de", "--to", "xx"], "not supported"),
    ],
)
def test_arguments_that_cannot_work_are_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "in.tsv").write_text("label\ttext\nmild\twind\n")
    with pytest.raises(LimelightError, match=message):
        run(tmp_path / "in.tsv", tmp_path / "out", "--task", *arguments)
    assert not list((tmp_path / "out").glob("part-*"))


def test_an_error_of_a_network_ends_the_job_and_keeps_finished_blocks(
    tmp_path: Path, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMELIGHT_THREADS", "1")
    answer = bulk_job.answer_block

    async def failing(block: Any, *rest: Any) -> Any:
        if block.number == 3:
            raise InferenceFailed("the network failed")
        return await answer(block, *rest)

    arguments = (lines, tmp_path / "out", "--task", "classify", "--block-rows", "10")
    with monkeypatch.context() as patched:
        patched.setattr(bulk_job, "answer_block", failing)
        with pytest.raises(InferenceFailed):
            run(*arguments)
    assert {"part-000000.jsonl", "part-000001.jsonl", "part-000002.jsonl"} <= files_of(tmp_path / "out").keys()
    assert "summary.json" not in files_of(tmp_path / "out")
    run(*arguments)
    assert len(lines_of(tmp_path / "out")) == 95


def test_few_blocks_are_in_memory(tmp_path: Path, lines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that are read and not yet written: at most BLOCKS_PER_WORKER for each worker, and the one just read."""
    read, written, waiting = 0, 0, []
    blocks, write = Source.blocks, output.OutputFolder.write

    def counted(self: Any, size: int) -> Any:
        nonlocal read
        for block in blocks(self, size):
            read += 1
            waiting.append(read - written)
            yield block

    def write_and_count(self: Any, *arguments: Any) -> None:
        nonlocal written
        write(self, *arguments)
        written += 1

    monkeypatch.setattr(Source, "blocks", counted)
    monkeypatch.setattr(output.OutputFolder, "write", write_and_count)
    run(lines, tmp_path / "out", "--task", "classify", "--block-rows", "2")
    assert read == written == 49
    assert max(waiting) <= 2 * bulk_job.BLOCKS_PER_WORKER + 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_estimates_the_time_left_from_this_run() -> None:
    now = 100.0
    log = io.StringIO()
    progress = Progress(log, lambda: now)
    assert progress.line().endswith("? left")
    progress.skip(0.5)
    now += 9
    progress.advance(1000, 0.1)
    assert log.getvalue() == ""
    now += 11
    progress.advance(1000, 0.1)
    assert log.getvalue() == " 70.0 %  2,000 rows  100 rows/s  30 s left\n"
    progress.close()
    terminal_log = Terminal()
    shown = Progress(terminal_log, lambda: now)
    now += 1
    shown.advance(1, 0.5)
    shown.close()
    assert terminal_log.getvalue().startswith("\r 50.0 %")
    assert [duration(seconds) for seconds in (42, 300, 12_000)] == ["42 s", "5 min", "3 h 20 min"]


def test_an_interrupt_tells_how_to_continue(tmp_path: Path, lines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bulk_job.Run, "run", interrupted)
    result = run(lines, tmp_path / "out", "--task", "classify")
    assert result.exit_code == 130
    assert "the same command continues" in result.stderr
