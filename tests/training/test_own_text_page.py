"""docs/train-a-language-model.md is followed command by command, with a small network and 3,000 characters."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.bundle.files import read_manifest
from tests.code_blocks import ROOT, blocks
from tests.fakes import serving
from tests.training.own_pages import lines, run
from training.corpora import CorpusError
from training.opening import Changes, open_recipe
from training.recipe_files import overlay, read_recipe

PAGE = ROOT / "docs" / "train-a-language-model.md"
SMALL = {
    "network": {"embedding": 4, "size": 12},
    "optimisation": {"epochs": 1, "batch_tokens": 128, "stretch": 16, "warmup_steps": 1, "precision": "float32"},
    "limits": {"max_tokens": 300},
}


def novel(seed: int = 1) -> str:
    """3,000 characters of sentences."""
    generator = random.Random(seed)
    words = "it was the a cat night day old house and in under rain slept went".split()
    sentences = (" ".join(generator.choices(words, k=8)).capitalize() + ".\n" for _ in range(80))
    return "".join(sentences)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder with the text of the page. Recipes are small."""
    folder = tmp_path_factory.mktemp("own")

    def small(path: Path) -> dict[str, Any]:
        return overlay(read_recipe(path), SMALL) if path.parent.name == "recipes" else read_recipe(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("training.recipe.read_recipe", small)
        (folder / "novel.txt").write_text(novel())
        yield folder


def test_the_page_trains_and_serves_a_text(folder: Path) -> None:
    first, *again = lines(PAGE, "2.")
    shown = run(first)
    assert "wrote models/novel/1" in shown and "bits per character" in shown
    assert [line.split()[3] for line in again] == ["fit", "export", "evaluate"]
    assert "nothing to train" in run(again[0])
    assert "bits per character" in run(again[2])
    assert [path.name for path in Path("models/novel").iterdir()] == ["1"]
    found = read_manifest(Path("models/novel/1"))
    assert [source.name for source in found.data] == ["novel.txt"]
    card = Path("models/novel/1/README.md").read_text()
    assert "Texts like those of novel.txt." in card and "Nietzsche" not in card.partition("## Training")[0]
    [body] = re.findall(r"/generate -d '(.*?)'", PAGE.read_text())
    with serving(Path("models")) as client:
        assert client.post("/generate", json=json.loads(body)).json()["text"]


def test_changed_text_is_a_new_run_and_a_short_one_is_refused(folder: Path) -> None:
    fit = ".venv/bin/python -m training fit nietzsche --data"
    run(f"{fit} novel.txt")
    other = folder / "other"
    other.mkdir()
    (other / "novel.txt").write_text(novel(seed=2))
    assert "changed since the last run of novel: data" in run(f"{fit} other/novel.txt")
    (other / "short.txt").write_text("Too short.")
    with pytest.raises(CorpusError, match="at least 1,000 are needed"):
        run(f"{fit} other/short.txt")


def test_the_recipe_of_the_page_has_its_own_card(folder: Path) -> None:
    [text] = [text for kind, text in blocks(PAGE) if kind == "toml"]
    Path("novel.toml").write_text(text)
    recipe = open_recipe("novel.toml", Changes())
    assert (recipe.name, recipe.intended_use, recipe.data.corpora) == ("novel", "Demonstration.", ["novel.txt"])
    assert recipe.network.network == "recurrent" and recipe.network.size == 1024
