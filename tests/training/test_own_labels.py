"""Fine-tuning of a classifier with the labels of its bundle: a small network, a small public corpus and 120 rows."""

import gzip
import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.bundle.files import read_manifest
from service.bundle.manifest import ClassificationManifest
from tests.training.own_pages import run
from training.corpora import CORPORA, File, Split
from training.opening import Changes, open_recipe
from training.recipe_files import overlay, read_recipe

SMALL = {
    "network": {"embedding": 8, "hidden": 8},
    "tokenizer": {"vocabulary": 150},
    "optimisation": {"epochs": 2, "warmup_steps": 1, "precision": "float32"},
}
WORDS = {"ham": "lunch home meet later mother dinner".split(), "spam": "win prize free claim cash call".split()}


def table(rows: int, seed: int) -> str:
    """Lines of a label and three of its words with a number."""
    generator, labels = random.Random(seed), sorted(WORDS)
    picked = [(labels[row % 2], generator.sample(WORDS[labels[row % 2]], 3)) for row in range(rows)]
    return "".join(f"{label}\t{' '.join(words)} {row}\n" for row, (label, words) in enumerate(picked))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder, with the bundle sms-spam/1 that a small public corpus was used for."""
    folder = tmp_path_factory.mktemp("labels")
    public = CORPORA["sms-spam"]
    files: dict[Split, list[File]] = {}
    splits: tuple[Split, ...] = ("train", "test")
    (folder / "data" / public.folder).mkdir(parents=True)
    for seed, split in enumerate(splits):
        text = f"label\ttext\n{table(200, seed)}"
        (folder / "data" / public.folder / f"{split}.tsv.gz").write_bytes(gzip.compress(text.encode()))
        files[split] = [File(f"{split}.tsv.gz", hashlib.sha256(text.encode()).hexdigest())]

    def small(path: Path) -> dict[str, Any]:
        return overlay(read_recipe(path), SMALL)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("LIMELIGHT_DATA", raising=False)
        patch.setattr("training.recipe.read_recipe", small)
        patch.setitem(CORPORA, "sms-spam", replace(public, files=files))
        run("make train RECIPE=sms-spam")
        (folder / "mine.tsv").write_text(table(120, seed=7))
        yield folder


def test_a_classifier_goes_on_from_the_bundle_of_its_recipe(folder: Path) -> None:
    shown = run("make train DATA=mine.tsv RECIPE=sms-spam EPOCHS=1")
    for expected in ("starts from the bundle sms-spam/1", "with old data of sms-spam", "models/mine/1"):
        assert expected in shown
    start, found = (read_manifest(Path("models") / name, ClassificationManifest) for name in ("sms-spam/1", "mine/1"))
    assert (found.labels, found.files["tokenizer.json"]) == (start.labels, start.files["tokenizer.json"])
    card = Path("models/mine/1/README.md").read_text()
    for kind, data in (("new", "mine.tsv test"), ("old", "sms-spam test")):
        values = {metric.name for metric in found.metrics if metric.data.startswith(f"{data}, ")}
        assert values == {"balanced accuracy before", "balanced accuracy after"}
        for text in (card, shown):
            assert re.search(rf"{kind} data: balanced accuracy [\d.]+ before, [\d.]+ after \({data}", text)


def test_other_labels_mix_in_no_old_data(folder: Path) -> None:
    Path("other.tsv").write_text(table(120, seed=8).replace("ham\t", "fine\t"))
    recipe = open_recipe("sms-spam", Changes(Path("other.tsv")))
    assert recipe.task == "classification"
    assert (recipe.warm_start, recipe.data.replay) == ("sms-spam/1", None)
