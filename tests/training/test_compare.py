"""`compare` writes a table and a plot for a small grid."""

from pathlib import Path

import pytest

from tests.fakes import write_translator
from training.compare import compare, compare_lengths, parse_vary
from training.corpora import SentencePair, own_data
from training.recipe import ClassificationRecipe, RecipeError, load_recipe, varied
from training.scores import length_curve, scores_by_length


def test_vary_is_parsed_or_refused() -> None:
    assert parse_vary(["attention=dot,general", "cell=gru"]) == {"attention": ["dot", "general"], "cell": ["gru"]}
    for bad in ("attention", "=dot", "attention=", "attention=dot,"):
        with pytest.raises(RecipeError, match="--vary takes"):
            parse_vary([bad])


def test_a_grid_becomes_a_table_and_a_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMELIGHT_RUNS", str(tmp_path / "runs"))
    (tmp_path / "my.tsv").write_text("\n".join(f"{'ab'[n % 2]}\t{'cat dog'.split()[n % 2]} {n}" for n in range(150)))
    recipe = own_data(load_recipe("sms-spam"), tmp_path / "my.tsv")
    assert isinstance(recipe, ClassificationRecipe)
    small = varied(recipe, {"embedding": "5", "hidden": "7"})
    rows = compare(small, {"attention": ["dot", "none"], "cell": ["rnn"]}, 1, tmp_path / "docs")
    assert [row.choices for row in rows] == [("dot", "rnn"), ("none", "rnn")]
    assert rows[0].parameters > 0 and rows[0].latency_ms > 0 and rows[0].seconds_per_epoch >= 0
    [page] = (tmp_path / "docs").glob("*.md")
    for row in rows:
        assert f"| {' | '.join(row.choices)} | {row.accuracy:.4f} |" in page.read_text()
    assert page.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_an_invalid_choice_is_refused_before_training(tmp_path: Path) -> None:
    recipe = load_recipe("sms-spam")
    assert isinstance(recipe, ClassificationRecipe)
    with pytest.raises(RecipeError, match=r"network\.cell"):
        compare(recipe, {"cell": ["gru", "mamba"]}, 1, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_scores_by_source_length() -> None:
    pairs = [SentencePair(text, text, (text,)) for text in ("a b c d e", "one two three four five six", "x " * 30)]
    scored = [(pairs[0], "a b c d e"), (pairs[1], "nothing of it"), (pairs[2], "x " * 30)]
    assert length_curve(scores_by_length(scored, "beam 1")) == {"1-5": 100.0, "6-10": 0.0, "21 or more": 100.0}


def test_lengths_of_several_bundles_are_in_one_table(tmp_path: Path) -> None:
    metrics = [{"name": f"BLEU, {n} words", "value": 50.25, "data": "(13 sentences)"} for n in ("1-5", "6-10")]
    folders = [
        write_translator(tmp_path, "one", metrics=metrics),
        write_translator(tmp_path, "two", metrics=metrics[1:]),
    ]
    table = compare_lengths(folders, tmp_path / "docs")
    assert table == [["words", "1-5", "6-10"], ["one", "50.2", "50.2"], ["two", "", "50.2"], ["sentences", "13", "13"]]
    assert "| two |  | 50.2 |" in (tmp_path / "docs" / "lengths.md").read_text()
    assert (tmp_path / "docs" / "lengths.png").read_bytes().startswith(b"\x89PNG")
