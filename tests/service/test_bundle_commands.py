"""`python -m service bundle list|verify|renumber`."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service import terminal
from service.bundle.manifest import GOLDEN
from tests.fakes import change_manifest, read_json, rewrite, write_classifier


@pytest.fixture
def folder(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the fakes, which is the folder of models of the settings."""
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("LIMELIGHT_MODELS", str(tmp_path))
    monkeypatch.setenv("LIMELIGHT_THREADS", "1")
    return tmp_path


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(terminal.app, ["bundle", *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def test_list(folder: Path) -> None:
    (folder / "writer" / "1" / "bundle.json").write_text("{")
    shutil.copytree(folder / "toy" / "1", folder / "toy" / "\u0663")
    lines = run("list").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["en-xx", "1"], ["toy", "1"], ["writer", "1"], ["toy", "\u0663"]]
    assert "translation" in lines[0] and "float32" in lines[0]
    assert "cannot be read" in lines[2] and "name and folder must agree" in lines[3]


def test_list_as_json(folder: Path) -> None:
    shutil.rmtree(folder / "writer")
    translator, classifier = map(json.loads, run("list", "--json").stdout.splitlines())
    assert translator["task"] == "translation" and translator["precisions"] == ["float32"]
    size = sum(path.stat().st_size for path in (folder / "toy" / "1").iterdir())
    assert (classifier["name"], classifier["version"], classifier["bytes"]) == ("toy", "1", size)
    assert classifier["problem"] is None


def test_verify_all(folder: Path) -> None:
    assert run("verify").stdout.splitlines() == ["en-xx/1 is valid", "toy/1 is valid", "writer/1 is valid"]


def test_verify_some(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = write_classifier(tmp_path_factory.mktemp("elsewhere"), "new")
    elsewhere = elsewhere.rename(elsewhere.with_name("staged"))
    lines = run("verify", "toy", "en-xx/1", str(elsewhere)).stdout.splitlines()
    assert lines == ["toy/1 is valid", "en-xx/1 is valid", "new/staged is valid"]


def test_verify_runs_the_checks_of_a_load(folder: Path) -> None:
    golden = read_json(folder / "toy" / "1" / GOLDEN)
    golden["cases"][0]["answer"]["scores"]["cold"] = 0.0
    rewrite(folder / "toy" / "1", GOLDEN, json.dumps(golden))
    change_manifest(folder / "writer" / "1", version=2)
    translator, classifier, writer = run("verify", code=1).stdout.splitlines()
    assert translator == "en-xx/1 is valid"
    assert classifier.startswith("toy/1 is refused: ") and "is answered wrongly" in classifier
    assert writer.startswith("writer/1 is refused: ") and "name and folder must agree" in writer


def test_renumber(folder: Path) -> None:
    run("renumber", "toy", "1", "3")
    assert run("verify", "toy").stdout == "toy/3 is valid\n"
    run("renumber", "toy", "3", "4", "--keep")
    assert run("verify", "toy").stdout == "toy/3 is valid\ntoy/4 is valid\n"


def test_errors_are_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty").mkdir()
    empty = ["--models", str(folder / "empty")]
    for arguments in (
        ["verify", "nobody"],
        ["list", *empty],
        ["renumber", "nobody", "1", "2"],
        ["renumber", "toy", "1", "1"],
        ["renumber", "toy", "1", "1000000000"],
    ):
        monkeypatch.setattr("sys.argv", ["service", "bundle", *arguments])
        with pytest.raises(SystemExit) as caught:
            terminal.main()
        assert caught.value.code == 1
        assert len(capsys.readouterr().err.splitlines()) == 1
