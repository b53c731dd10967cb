"""Bulk jobs on Ray: the files of a job on one machine. Skipped without the extra `ray`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service import terminal
from service.bulk.output import OutputFolder
from service.errors import NotAvailable


@pytest.fixture(autouse=True)
def folder(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMELIGHT_MODELS", str(models))
    monkeypatch.setenv("LIMELIGHT_THREADS", "1")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    texts = ["wind and rain", "no way", "", "rain"] * 5
    path.write_text("\n".join(json.dumps({"id": number, "text": text}) for number, text in enumerate(texts)))
    return path


def run(*arguments: str | Path) -> None:
    options = ("--task", "classify", "--keep", "id", "--block-rows", "3")
    CliRunner().invoke(terminal.app, ["bulk", *map(str, arguments), *options], catch_exceptions=False)


def files_of(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.iterdir()}


def test_without_ray_the_message_names_the_extra(tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NotAvailable, match=r"limelight\[ray\]"):
        run(rows, tmp_path / "out", "--ray")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Ray on the loopback interface."""
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=1, _node_ip_address="127.0.0.1", include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.mark.filterwarnings("default")  # those of Ray
def test_a_job_on_ray_also_an_interrupted_one_writes_the_files_of_one_machine(
    tmp_path: Path, rows: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(rows, tmp_path / "one")
    run(rows, tmp_path / "ray", "--ray")
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "one")
    assert len(list((tmp_path / "one").glob("part-*"))) == 7

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(OutputFolder, "end", interrupt)
        run(rows, tmp_path / "two")
    for number in (2, 6):
        (tmp_path / "two" / f"part-{number:06}.jsonl").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "two").glob("part-*")}
    run(rows, tmp_path / "two", "--ray")
    assert before.items() <= {path.name: path.stat().st_mtime_ns for path in (tmp_path / "two").glob("part-*")}.items()
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")
