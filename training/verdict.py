"""The verdict on a classifier: is it better than chance, and than a linear model of word counts?"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import Metric
from training.corpora import CorpusError, LabelledText, labelled_texts
from training.recipe import ClassificationData

Labels = NDArray[np.int64]
"""Label indices [N]."""

SIGNIFICANT = 0.01
"""Probability of a result by chance below which it counts as a result."""

PERMUTATIONS = 2_000
MOST = 5_000
"""Maximum number of texts in the permutation test."""


@dataclass(frozen=True)
class Verdict:
    """What a classifier learned."""

    learned: bool
    """True if it is better than chance."""
    text: str
    """Sentences for the user and the card."""
    metrics: list[Metric]
    """Metrics of the most frequent label and of the linear model."""


def judge(data: ClassificationData, labels: list[str], rows: list[LabelledText], predicted: Labels) -> Verdict:
    """Compare predictions [N] for the test rows with the most frequent label and with a linear model.

    The linear model is a support vector machine on TF-IDF of words and pairs of words, trained on the same rows.
    """
    train = labelled_texts(data, "train")
    true = np.array([labels.index(row.label) for row in rows])
    most = Counter(row.label for row in train).most_common(1)[0][0]
    linear = linear_model(train, [row.text for row in rows], labels)
    size = f"{len(rows)} test texts"
    compared = {"most frequent label": np.full_like(true, labels.index(most))}
    if linear is not None:
        compared["TF-IDF and linear SVM"] = linear
    metrics = [
        Metric(name=f"{measure}, {name}", value=round(function(true, other), 4), data=size)
        for name, other in compared.items()
        for measure, function in (("accuracy", accuracy), ("balanced accuracy", balanced_accuracy))
    ]
    chance = chance_of(true, predicted)
    learned = chance < SIGNIFICANT
    found = f"balanced accuracy {balanced_accuracy(true, predicted):.3f} on {size}"
    if linear is not None:
        found += f"; a linear model of word counts has {balanced_accuracy(true, linear):.3f}"
    reasons = "".join(f"\n- {reason}" for reason in problems(train, rows, labels, true, predicted))
    if not learned:
        linear_learned = linear is not None and chance_of(true, linear) < SIGNIFICANT
        reasons += "" if linear_learned else "\n- The linear model learned nothing either."
        text = f"Nothing was learned: {found}. Chance alone gives this with p = {chance:.2f}.{reasons}"
        return Verdict(False, text, metrics)
    if linear is None:
        return Verdict(True, f"Better than chance: {found}.", metrics)
    difference = paired_chance(predicted == true, linear == true)
    if difference >= SIGNIFICANT:
        return Verdict(
            True, f"As good as the linear model, within the accuracy of the test: {found}.{reasons}", metrics
        )
    if (predicted == true).mean() > (linear == true).mean():
        return Verdict(True, f"Better than the linear model: {found}.", metrics)
    return Verdict(True, f"Worse than the linear model: {found}.{reasons}", metrics)


def linear_model(train: list[LabelledText], texts: list[str], labels: list[str]) -> Labels | None:
    """Predictions [N] of a linear model of TF-IDF, or None if the texts have no words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model: Any = make_pipeline(words, LinearSVC(class_weight="balanced", random_state=0))
    try:
        model.fit([row.text for row in train], [row.label for row in train])
    except ValueError:  # an empty vocabulary
        return None
    return np.array([labels.index(label) for label in model.predict(texts)])


def accuracy(true: Labels, predicted: Labels) -> float:
    """Share of correct predictions."""
    return float((true == predicted).mean())


def balanced_accuracy(true: Labels, predicted: Labels) -> float:
    """Mean recall of the labels that occur."""
    counts = np.bincount(true)
    right = np.bincount(true[true == predicted], minlength=len(counts))
    return float((right[counts > 0] / counts[counts > 0]).mean())


def chance_of(true: Labels, predicted: Labels) -> float:
    """Probability that predictions without relation to the texts have this balanced accuracy (permutation test)."""
    true, predicted = true[:MOST], predicted[:MOST]
    generator = np.random.default_rng(0)
    reached = balanced_accuracy(true, predicted) - 1e-9
    hits = sum(balanced_accuracy(generator.permutation(true), predicted) >= reached for _ in range(PERMUTATIONS))
    return (hits + 1) / (PERMUTATIONS + 1)


def paired_chance(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Probability of this difference between two models of equal accuracy (exact McNemar test)."""
    from scipy.stats import binomtest

    better, worse = int((first & ~second).sum()), int((~first & second).sum())
    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def problems(
    train: list[LabelledText], test: list[LabelledText], labels: list[str], true: Labels, predicted: Labels
) -> list[str]:
    """Properties of the data that explain a weak result, each with a remedy."""
    found = []
    counts = Counter(row.label for row in train)
    least, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < 100:
        found.append(f"The label {least} has {fewest} training texts. A few hundred per label are better.")
    by_text: defaultdict[str, set[str]] = defaultdict(set)
    for row in train:
        by_text[" ".join(row.text.lower().split())].add(row.label)
    if repeated := len(train) - len(by_text):
        found.append(f"{repeated:,} training texts occur more than once. Different texts teach more.")
    if conflicts := sum(len(some) > 1 for some in by_text.values()):
        found.append(f"{conflicts:,} texts have different labels in different rows. Correct or remove them.")
    if leaked := sum(" ".join(row.text.lower().split()) in by_text for row in test):
        found.append(f"{leaked:,} of {len(test):,} test texts are training texts too: the metrics are too good.")
    wrong = Counter(tuple(sorted((int(t), int(p)))) for t, p in zip(true, predicted, strict=True) if t != p)
    if wrong and (pair := wrong.most_common(1)[0])[1] >= 3:
        first, second = (labels[index] for index in pair[0])
        found.append(
            f"{first} and {second} are confused most ({pair[1]} of {len(test)} test texts). Are their texts different?"
        )
    return found


def labels_known(rows: list[LabelledText], labels: list[str], folder: str) -> None:
    """Check that a bundle has the labels of the rows. Raises CorpusError."""
    if unknown := sorted({row.label for row in rows} - set(labels)):
        raise CorpusError(f"{folder} has no label(s) {', '.join(unknown)}: train it again with this data")
