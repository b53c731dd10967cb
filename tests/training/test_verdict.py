"""The verdict on a classifier."""

from pathlib import Path

import numpy as np
import pytest

from training.corpora import CorpusError, labelled_texts
from training.recipe import ClassificationData
from training.verdict import balanced_accuracy, chance_of, judge, labels_known, paired_chance

LABELS = ["a", "b", "c"]
WORDS = {"a": "apple", "b": "bread", "c": "cheese"}


def data_of(folder: Path, rows: list[tuple[str, str]]) -> ClassificationData:
    (folder / "my.tsv").write_text("".join(f"{label}\t{text}\n" for label, text in rows))
    return ClassificationData(corpora=[str(folder / "my.tsv")])


def separable(folder: Path) -> ClassificationData:
    return data_of(folder, [(LABELS[n % 3], f"the {WORDS[LABELS[n % 3]]} of number {n}") for n in range(600)])


def test_the_network_is_compared_with_chance_and_a_linear_model(tmp_path: Path) -> None:
    data = separable(tmp_path)
    rows = labelled_texts(data, "test")
    true = np.array([LABELS.index(row.label) for row in rows])
    perfect = judge(data, LABELS, rows, true)
    assert perfect.learned and perfect.text.startswith("As good as the linear model")
    values = {metric.name: metric.value for metric in perfect.metrics}
    assert values["balanced accuracy, TF-IDF and linear SVM"] == 1
    assert values["balanced accuracy, most frequent label"] == pytest.approx(1 / 3, abs=1e-4)
    half = np.where(np.arange(len(true)) % 2, true, (true + 1) % 3)
    assert judge(data, LABELS, rows, half).text.startswith("Worse than the linear model")
    for guess in (np.zeros_like(true), np.random.default_rng(1).permutation(true)):
        verdict = judge(data, LABELS, rows, guess)
        assert not verdict.learned and verdict.text.startswith("Nothing was learned")
        assert "The linear model learned nothing" not in verdict.text


def test_reasons_name_rows_duplicates_and_contradictions(tmp_path: Path) -> None:
    rows = [(LABELS[n % 3], f"number {n % 40}") for n in range(240)]
    data = data_of(tmp_path, rows)
    test = labelled_texts(data, "test")
    verdict = judge(data, LABELS, test, np.zeros(len(test), dtype=np.int64))
    for reason in ("training texts. A few hundred", "occur more than once", "have different labels"):
        assert reason in verdict.text
    assert "test texts are training texts" not in verdict.text  # equal texts are in the same split
    assert "The linear model learned nothing either." in verdict.text


def test_texts_without_words_have_no_linear_model(tmp_path: Path) -> None:
    data = data_of(tmp_path, [("ab"[n % 2], "!" * (n + 1)) for n in range(100)])
    rows = labelled_texts(data, "test")
    verdict = judge(data, ["a", "b"], rows, np.array(["ab".index(row.label) for row in rows]))
    assert len(verdict.metrics) == 2


def test_probabilities_of_chance() -> None:
    true = np.array([0, 1] * 20)
    assert chance_of(true, true) < 0.001 < 0.3 < chance_of(true, np.zeros_like(true))
    assert balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])) == 0.5
    right = np.ones(40, dtype=bool)
    assert paired_chance(right, right) == 1.0
    assert paired_chance(right, np.arange(40) % 2 == 0) < 0.001


def test_a_new_label_is_one_message(tmp_path: Path) -> None:
    rows = labelled_texts(separable(tmp_path), "test")
    with pytest.raises(CorpusError, match=r"my/1 has no label\(s\) c: train it again"):
        labels_known(rows, ["a", "b"], "my/1")
