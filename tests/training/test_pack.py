"""One archive of a training: what is in it, that it trains by itself, and that its result is taken back."""

import io
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from training.corpora import CorpusError
from training.pack import RESULT, pack, toml, unpack
from training.recipe import RECIPES, TranslationRecipe, load_recipe, recipe_hash
from training.run import RunError, load_best, run_folder


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TranslationRecipe:
    """A small translator of a file in the data folder."""
    (tmp_path / "data").mkdir()
    rows = "".join(f"number {n} is here\tle {n} est ici\n" for n in range(200))
    (tmp_path / "data" / "my.tsv").write_text(rows)
    monkeypatch.setenv("LIMELIGHT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LIMELIGHT_RUNS", str(tmp_path / "runs"))
    loaded = load_recipe("en-fr")
    assert isinstance(loaded, TranslationRecipe)
    network = {"size": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "feed_forward": 16}
    changes = {
        "data": loaded.data.model_copy(update={"corpora": ["my.tsv"]}),
        "tokenizer": loaded.tokenizer.model_copy(update={"vocabulary": 120}),
        "network": loaded.network.model_copy(update=network),
        "optimisation": loaded.optimisation.model_copy(update={"epochs": 1}),
        "summary_layer": 0,
    }
    return loaded.model_copy(update=changes)


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_every_recipe_is_the_same_after_it_was_written(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    content = recipe.model_dump(mode="json", exclude_none=True)
    (tmp_path / "recipe.toml").write_text(toml(content), encoding="utf-8")
    assert tomllib.loads(toml(content)) == content
    again = load_recipe(str(tmp_path / "recipe.toml"))
    assert again == recipe and recipe_hash(again) == recipe_hash(recipe)


def test_an_archive_trains_by_itself_and_its_result_is_taken_back(recipe: TranslationRecipe, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    with tarfile.open(pack(recipe, tmp_path)) as archive:
        archive.extractall(elsewhere, filter="data")
    folder = elsewhere / "en-fr-1"
    assert (folder / "data" / "my.tsv").is_file() and (folder / "training" / "fit.py").is_file()
    done = subprocess.run(
        [sys.executable, str(folder / "train.py")], cwd=elsewhere, env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    run = unpack(recipe, folder / "result.tar.gz")
    assert run == run_folder(recipe) and {path.name for path in run.iterdir()} == set(RESULT)
    assert not load_best(recipe).training
    with pytest.raises(RunError, match="holds a run already"):
        unpack(recipe, folder / "result.tar.gz")


def test_a_file_outside_the_data_folder_is_refused(recipe: TranslationRecipe, tmp_path: Path) -> None:
    path = tmp_path / "data" / "my.tsv"
    absolute = recipe.model_copy(update={"data": recipe.data.model_copy(update={"corpora": [str(path)]})})
    with pytest.raises(CorpusError, match="outside the data folder"):
        pack(absolute, tmp_path)
    missing = recipe.model_copy(update={"data": recipe.data.model_copy(update={"corpora": ["nope.tsv"]})})
    with pytest.raises(CorpusError, match="neither a file nor a known corpus"):
        pack(missing, tmp_path)


def result(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_what_is_no_result_of_the_recipe_is_refused(recipe: TranslationRecipe, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    for path in (tmp_path / "text", tmp_path / "nope", result(tmp_path / "a", {"../task.json": b"{}"})):
        with pytest.raises(RunError, match="is not the result of a packed training"):
            unpack(recipe, path)
    other = dict.fromkeys(RESULT, b'{"recipe_hash": "other"}')
    with pytest.raises(RunError, match="trained with another recipe than en-fr, version 1"):
        unpack(recipe, result(tmp_path / "b", other))
    assert not run_folder(recipe).exists()
