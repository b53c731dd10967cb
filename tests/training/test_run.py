"""Runs and their identity, finished runs, and the versions of exports."""

import json
from pathlib import Path

import pytest

from service.bundle.files import read_manifest
from tests.fakes import write_classifier
from training.corpora import own_data
from training.export.bundle import exported_version, version_for
from training.fit import fit
from training.opening import Changes, open_recipe
from training.recipe import RECIPES, AnyRecipe, load_recipe
from training.run import RunError, open_task, read_journal, run_folder, run_identity

TINY = """
base = "sms-spam"
name = "tiny"
[data]
corpora = ["my.tsv"]
[tokenizer]
vocabulary = 120
[network]
embedding = 5
hidden = 7
[optimisation]
epochs = 2
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a table and a recipe."""
    monkeypatch.chdir(tmp_path)
    write_rows(60)
    Path("tiny.toml").write_text(TINY)
    return tmp_path


def write_rows(count: int, header: str = "", labels: str = "ab") -> None:
    rows = [f"{labels[n % len(labels)]}\t{'cat dog cow'.split()[n % len(labels)]} {n}" for n in range(count)]
    Path("my.tsv").write_text(header + "\n".join(rows))


def tiny() -> AnyRecipe:
    return open_recipe("tiny.toml")


def test_the_identity_covers_data_columns_and_recipe_but_no_paths_or_texts(folder: Path) -> None:
    recipe = own_data(load_recipe("sms-spam"), Path("my.tsv"))
    same = run_identity(recipe)
    assert run_identity(own_data(load_recipe("sms-spam"), folder / "my.tsv")) == same
    assert run_identity(recipe.model_copy(update={"description": "Other.", "version": 7})) == same
    assert run_identity(recipe.model_copy(update={"seed": 2})) != same
    write_rows(60, "team\tsubject\n")
    named = own_data(load_recipe("sms-spam"), Path("my.tsv"), "team,subject")
    assert run_identity(named) not in (same, run_identity(recipe))
    write_rows(61)
    assert run_identity(recipe) != same


def test_a_finished_run_is_not_trained_again(capsys: pytest.CaptureFixture[str]) -> None:
    run = fit(tiny())
    before = (run / "last.ckpt").stat().st_mtime_ns
    assert fit(tiny()) == run and (run / "last.ckpt").stat().st_mtime_ns == before
    assert "nothing to train" in capsys.readouterr().out
    assert len(read_journal(run)["epochs"]) == 2
    fit(tiny(), epochs=3)
    assert len(read_journal(run)["epochs"]) == 3
    fit(tiny(), epochs=1, fresh=True)
    assert len(read_journal(run)["epochs"]) == 1


def test_changed_rows_and_a_new_label_are_a_new_run(capsys: pytest.CaptureFixture[str]) -> None:
    first = fit(tiny(), epochs=1)
    write_rows(90, labels="abc")
    with pytest.raises(RunError, match=r"no run of this recipe and data; fit it first .*changed are data"):
        open_task(tiny())
    second = fit(tiny(), epochs=1)
    assert "changed since the last run of tiny: data" in capsys.readouterr().out
    assert second != first and (first / "best.ckpt").is_file()
    assert read_journal(second)["labels"] == ["a", "b", "c"]


def test_an_export_takes_the_version_of_its_run_or_the_next(tmp_path: Path) -> None:
    recipe = tiny()
    assert (exported_version(recipe, tmp_path), version_for(recipe, tmp_path, False)) == (None, 1)
    other = write_classifier(tmp_path, "tiny", 4)
    assert [version_for(recipe, tmp_path, replace) for replace in (False, True)] == [5, 4]
    given = open_recipe("tiny.toml", Changes(version=4))
    assert [version_for(given, tmp_path, replace) for replace in (False, True)] == [5, 4]
    assert version_for(open_recipe("tiny.toml", Changes(version=2)), tmp_path, False) == 2
    training = read_manifest(other).training.model_dump()
    write_classifier(tmp_path, "tiny", 3, training={**training, "run": run_identity(recipe)})
    assert (exported_version(recipe, tmp_path), version_for(recipe, tmp_path, False)) == (3, 3)
    write_rows(61)
    assert (exported_version(tiny(), tmp_path), version_for(tiny(), tmp_path, False)) == (None, 5)


def test_the_code_of_a_task_is_part_of_the_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = {path: path.read_text() for path in RECIPES.parent.rglob("*.py")}
    for path, text in copied.items():
        target = tmp_path / "code" / path.relative_to(RECIPES.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    monkeypatch.setattr("training.run.__file__", str(tmp_path / "code" / "run.py"))
    before = run_identity(tiny())
    classifier = tmp_path / "code" / "networks" / "classifier.py"
    text = classifier.read_text()
    classifier.write_text('"""Another docstring."""\n# A comment.\n' + text.split('"""', 2)[2])
    assert run_identity(tiny()) == before
    classifier.write_text(text.replace("F.relu", "F.gelu"))
    assert run_identity(tiny()) != before


def test_a_journal_of_an_interrupted_run_is_not_finished() -> None:
    run = fit(tiny(), epochs=1)
    journal = read_journal(run)
    assert journal.pop("finished") == [1, None]
    (run / "task.json").write_text(json.dumps(journal))
    assert run == run_folder(tiny()) == fit(tiny(), epochs=1)
    assert read_journal(run)["finished"] == [1, None]
