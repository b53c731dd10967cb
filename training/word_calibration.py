"""Calibration of the words of a translator: a logistic function, fitted on validation pairs (Platt 1999).

A word counts as right if the reference has it, in any place and as often as the translation: a proxy that everyone can
compute. A synonym counts as wrong, so the confidence is low where many translations are possible.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import binary_calibration_error

from service.bundle.files import update_manifest
from service.bundle.manifest import CARD, Manifest, Metric, WordCalibration
from service.handlers.translation_encoding import in_words
from service.text.words import Words
from service.translation.confidence import confidence, logit
from service.translation.engine import Options
from service.translation.translator import Translator
from training.card import with_rows
from training.corpora import SentencePair, sentence_pairs
from training.evaluate import open_registry
from training.export.bundle import exported_version
from training.recipe import TranslationRecipe

PAIRS = 600
"""Maximum validation pairs of each corpus."""
RAW, CALIBRATED = "calibration error of words (raw)", "calibration error of words (calibrated)"

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def right_words(words: Sequence[str], reference: Sequence[str]) -> list[bool]:
    """For each word, whether the reference still has it; the case does not matter.

    >>> right_words(["the", "The", "dog"], ["the", "cat"])
    [True, False, False]
    """
    left = Counter(word.lower() for word in reference)
    found = []
    for word in words:
        found.append(left[word.lower()] > 0)
        left[word.lower()] -= 1
    return found


def fit(log_probs: Floats, right: Flags) -> WordCalibration:
    """The logistic function of the log-odds of words [N] with the greatest likelihood of `right` [N]."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e6).fit(np.array([[logit(one)] for one in log_probs]), right)
    return WordCalibration(slope=round(float(model.coef_[0, 0]), 4), intercept=round(float(model.intercept_[0]), 4))


def calibration_error(probabilities: Sequence[float], right: Flags) -> float:
    """Expected calibration error, 15 bins (Guo et al. 2017, eq. 3)."""
    return float(binary_calibration_error(torch.tensor(probabilities), torch.tensor(right.astype(np.int64)), 15))


def calibrate_words(recipe: TranslationRecipe, models: Path) -> Manifest:
    """Fit the confidence of words on every second validation pair, and write it to the manifest, and the errors on the
    other pairs before and after to the manifest and the card. The test split is not read.

    Raises ModelNotReady if the bundle does not load, and CorpusError if the data is missing.
    """
    version = exported_version(recipe, models) or recipe.version
    every = [sentence_pairs(corpus, "valid", recipe.data) for corpus in recipe.data.corpora]
    pairs = [pair for found in every for pair in found[:: max(1, len(found) // PAIRS)]]
    registry = open_registry(models, recipe.name)
    try:
        translator = registry.translator(None, None, recipe.name, version)
        log_probs, right, half = judged(translator, pairs)
    finally:
        registry.close()
    calibration = fit(log_probs[~half], right[~half])
    errors = {
        name: calibration_error([confidence(one, chosen) for one in log_probs[half].tolist()], right[half])
        for name, chosen in ((RAW, None), (CALIBRATED, calibration))
    }
    data = f"{' + '.join(Path(corpus).name for corpus in recipe.data.corpora)} valid ({int(half.sum())} words)"
    detail = f"slope {calibration.slope}, intercept {calibration.intercept}; right: in the reference"
    new = [Metric(name=name, value=round(error, 4), data=data, detail=detail) for name, error in errors.items()]
    metrics = [metric for metric in translator.manifest.metrics if metric.name not in errors]
    card = models / recipe.name / str(version) / CARD
    card.write_text(with_rows(card.read_text(encoding="utf-8"), metrics, new), encoding="utf-8")
    changes = {"word_calibration": calibration.model_dump(), "metrics": [m.model_dump() for m in [*metrics, *new]]}
    return update_manifest(card.parent, **changes)


def judged(translator: Translator, pairs: Sequence[SentencePair]) -> tuple[Floats, Flags, Flags]:
    """For each word of the translations: its log-probability, whether it is right, and whether its pair is odd."""
    options = Options(attention="none", log_probs=True)
    found = asyncio.run(translator.translate([pair.source for pair in pairs], options))
    log_probs: list[float] = []
    right: list[bool] = []
    odd: list[bool] = []
    for number, (pair, translation) in enumerate(zip(pairs, found, strict=True)):
        sentences = in_words(translation, pair.source, (translator,)).sentences
        words = [word.text for sentence in sentences for word in sentence.target_tokens]
        tokens = translator.target_tokenizer.encode(pair.target).tokens
        right += right_words(words, [word.text for word in Words(tokens, pair.target).tokens])
        log_probs += [log_prob for sentence in sentences for log_prob in sentence.log_probs]
        odd += [number % 2 == 1] * len(words)
    return np.array(log_probs), np.array(right), np.array(odd)
