"""n-gram models against values computed by hand."""

import math
from pathlib import Path

import pytest

from tests.fakes import write_generator
from training.ngrams import ORDERS, compare_ngrams, measure, symbols
from training.recipe import GenerationRecipe, load_recipe
from training.tokenization import train_tokenizer


def test_unseen_share() -> None:
    """The text `abcabc` has two of the bigrams bc, ca and aa."""
    assert measure("abcabc", "bcad".replace("d", "a"), 2).unseen == pytest.approx(1 / 3)
    assert measure("abcabc", "bcab", 2).unseen == 0


def test_bits_follow_witten_and_bell() -> None:
    """After `a` the text has b three times and c once. Two types get the weight 2 / 6 for lower orders."""
    found = measure("abababac", "ab", 2).bits["Witten-Bell"]
    assert found == pytest.approx(-math.log2((4 / 6) * (3 / 4) + (2 / 6) * (3 / 8)))


def test_unseen_share_grows_with_the_order() -> None:
    text = "the cat sat on the mat, the dog sat on the cat"
    shares = [measure(text, "the mat sat on the dog, the cat", order).unseen for order in ORDERS]
    assert shares == sorted(shares) and shares[-1] > 0.5


def test_characters_outside_the_vocabulary_become_unk() -> None:
    recipe = load_recipe("nietzsche")
    tokenizer = train_tokenizer(["aabb\u00e9"], recipe.tokenizer)
    assert symbols("ab\u00e9\u4e00", tokenizer) == ["a", "b", "<unk>", "<unk>"]


def test_table_and_plot_are_written(tmp_path: Path) -> None:
    (tmp_path / "my.txt").write_text("the cat sat on the mat. " * 100)
    recipe = load_recipe("nietzsche")
    assert isinstance(recipe, GenerationRecipe)
    own = recipe.model_copy(update={"data": recipe.data.model_copy(update={"corpora": [str(tmp_path / "my.txt")]})})
    metrics = [{"name": "bits per character", "value": 1.234, "data": "my.txt test"}]
    folder = write_generator(tmp_path, metrics=metrics)
    header, *rows = compare_ngrams(own, [folder], tmp_path / "docs")
    assert header == ["order", "unseen", "Witten-Bell", "absolute discounting"]
    assert [row[0] for row in rows] == [str(order) for order in ORDERS]
    page = (tmp_path / "docs" / "nietzsche-ngrams.md").read_text()
    assert "| writer |" in page and "1.234" in page and all(" | ".join(row) in page for row in rows)
    assert (tmp_path / "docs" / "nietzsche-ngrams.png").read_bytes().startswith(b"\x89PNG")
