"""docs/train-a-translator.md is followed command by command, with small networks and 200 lines."""

import gzip
import hashlib
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.bundle.files import read_manifest, update_manifest
from service.bundle.manifest import TranslationManifest
from tests.code_blocks import ROOT, blocks
from tests.training.alignments import few_alignments
from tests.training.own_pages import arguments, lines, run
from training.before_after import Change, described
from training.corpora import CORPORA, Corpus, File
from training.opening import Changes, open_recipe
from training.recipe_files import overlay, read_recipe

PAGE = ROOT / "docs" / "train-a-translator.md"
WORDS = {"red": "rouge", "dog": "chien", "cat": "chat", "runs": "court", "here": "ici", "I": "je", "in": "dans"}
SMALL = {
    "network": {"size": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "feed_forward": 16},
    "summary_layer": 0,
    "tokenizer": {"vocabulary": 150},
    "optimisation": {"epochs": 1, "warmup_steps": 1, "precision": "float32"},
}


def pairs(count: int, seed: int = 1) -> str:
    """Lines of English and French words."""
    generator = random.Random(seed)
    rows = [[generator.choice(sorted(WORDS)) for _ in range(5)] for _ in range(count)]
    return "".join(f"{' '.join(row)}\t{' '.join(WORDS[word] for word in row)}\n" for row in rows)


def corpus(folder: Path, seed: int) -> Corpus:
    """A public corpus with three splits."""
    files = {}
    (folder / str(seed)).mkdir(parents=True)
    for number, split in enumerate(("train", "valid", "test")):
        text = ("en\tfr\n" + pairs(40, seed + number)).encode()
        (folder / str(seed) / f"{split}.tsv.gz").write_bytes(gzip.compress(text))
        files[split] = [File(f"{split}.tsv.gz", hashlib.sha256(text).hexdigest())]
    return Corpus(str(seed), files, "CC0", "this test")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder: the table of the page, two small public corpora, and a small bundle en-fr/1."""
    folder = tmp_path_factory.mktemp("own")

    def small(path: Path) -> dict[str, Any]:
        return overlay(read_recipe(path), SMALL)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("training.recipe.read_recipe", small)
        for seed, name in ((10, "tatoeba-en-fr"), (20, "multi30k")):
            patch.setitem(CORPORA, name, corpus(folder / "data", seed))
        (folder / "pairs.tsv").write_text(pairs(200))
        patch.setattr("training.export.quantization.CALIBRATION_PAIRS", 4)
        patch.setattr("training.evaluate.in_float32", lambda *_: [])
        patch.setattr("training.evaluate.ALIGNMENTS", few_alignments(folder))
        run("make train RECIPE=en-fr")
        yield folder


def manifest(model: str) -> TranslationManifest:
    return read_manifest(Path("models") / model, TranslationManifest)


def test_the_page_continues_the_bundle_of_the_recipe(folder: Path) -> None:
    [line] = lines(PAGE, "2.")
    shown = run(line)
    for expected in ("starts from the bundle en-fr/1", "with old data of tatoeba-en-fr, multi30k", "models/pairs/1"):
        assert expected in shown
    start, found = manifest("en-fr/1"), manifest("pairs/1")
    for field in ("special_ids", "limits", "attention"):
        assert getattr(found, field) == getattr(start, field)
    assert [graph.inputs for graph in found.graphs] == [graph.inputs for graph in start.graphs[: len(found.graphs)]]
    assert found.files["tokenizer.json"] == start.files["tokenizer.json"]
    assert [source.name for source in found.data] == ["pairs.tsv", "tatoeba-en-fr", "multi30k"]
    card = Path("models/pairs/1/README.md").read_text()
    for name in ("pairs.tsv", "tatoeba-en-fr", "multi30k"):
        values = {metric.name for metric in found.metrics if metric.data.startswith(f"{name} test, ")}
        assert values == {"BLEU before", "BLEU after"}
        kind = "new" if name == "pairs.tsv" else "old"
        for text in (card, shown):
            assert re.search(rf"{kind} data: BLEU [\d.]+ before, [\d.]+ after \({name}", text)


def test_the_same_pairs_train_nothing_and_changed_pairs_or_columns_are_a_new_run(folder: Path) -> None:
    fit = ".venv/bin/python -m training fit en-fr --data"
    run(f"{fit} pairs.tsv")
    assert "nothing to train" in run(f"{fit} pairs.tsv")
    rows = [row.split("\t") for row in pairs(200, seed=5).splitlines()]
    Path("pairs.csv").write_text("".join(f"{french},{english}\n" for english, french in [["English", "French"], *rows]))
    shown = run(f"{fit} pairs.csv --columns english,french --epochs 1")
    assert "changed since the last run of pairs: data and columns" in shown


def test_the_next_version_of_a_bundle_does_not_start_from_itself(folder: Path) -> None:
    recipe = open_recipe("en-fr", Changes(Path("pairs.tsv"), name="en-fr"))
    assert (recipe.name, recipe.warm_start, recipe.default) == ("en-fr", "en-fr/1", False)
    Path("odd.tsv").write_text(
        "".join(f"{row}" if n % 9 else f"_{row}" for n, row in enumerate(pairs(200).splitlines(True)))
    )
    assert not any("_" in text for text in open_recipe("en-fr", Changes(Path("odd.tsv"))).examples)
    shutil.copytree("models/en-fr/1", "models/en-fr/2")
    own = {"name": "pairs.tsv", "origin": "the user's own file", "licence": "not stated"}
    update_manifest(Path("models/en-fr/2"), version=2, data=[own])
    assert open_recipe("en-fr", Changes(Path("pairs.tsv"), name="en-fr")) == recipe
    shutil.rmtree("models/en-fr/2")


def test_missing_old_data_and_forgetting_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = manifest("en-fr/1")
    kept, lost = (Change("BLEU", "old test, 9 rows", True, 50.0, after) for after in (49.5, 48.0))
    assert "forgot" in described(start, [kept, lost]) and "forgot" not in described(start, [kept])
    assert "data folder" not in described(start, [kept])
    monkeypatch.setenv("LIMELIGHT_DATA", "none")
    recipe = open_recipe("en-fr", Changes(Path("pairs.tsv")))
    assert recipe.task == "translation" and recipe.data.replay is None
    assert "tatoeba-en-fr, multi30k: this data of en-fr/1 is not in the data folder" in described(start, [])


def test_the_page_trains_another_language(folder: Path) -> None:
    [text] = [text for kind, text in blocks(PAGE) if kind == "toml"]
    Path("tickets-en-de.toml").write_text(text)
    [line] = lines(PAGE, "Another language")
    command, recipe = arguments(line)
    assert command == "train"
    assert "runs/en-de-tickets" in run(f".venv/bin/python -m training fit {recipe}")
    loaded = open_recipe(recipe, Changes())
    assert loaded.task == "translation" and (loaded.warm_start, loaded.data.replay) == ("en-fr", None)
    [curl] = re.findall(r"/translate (.*)", PAGE.read_text())
    assert curl.endswith(f"-d source={loaded.data.source} -d target={loaded.data.target} -d model={loaded.name}")
