"""Calibration of a classifier: one temperature, fitted on the validation split (Guo et al. 2017, section 4.2).

Legend: N texts, C labels.
"""

import asyncio
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import multiclass_calibration_error

from service.bundle.files import update_manifest
from service.bundle.manifest import CARD, Manifest, Metric
from training.card import with_rows
from training.corpora import labelled_texts
from training.evaluate import open_registry
from training.export.bundle import exported_version
from training.recipe import ClassificationRecipe

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
LOWEST, HIGHEST = 0.1, 10.0
"""Limits of the temperature."""
RAW, CALIBRATED = "calibration error (raw)", "calibration error (calibrated)"


def at_temperature(probabilities: Floats, temperature: float) -> Floats:
    """softmax(z / T) from softmax(z), [N, C]."""
    log_probs = np.log(probabilities.clip(min=1e-30)) / temperature
    powers = np.exp(log_probs - log_probs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


def fit_temperature(probabilities: Floats, labels: Labels) -> float:
    """The temperature with the least mean negative log-likelihood of labels [N] under probabilities [N, C].

    The likelihood is concave in 1 / T, so a ternary search finds it.
    """

    def loss(inverse: float) -> float:
        chosen = at_temperature(probabilities, 1 / inverse)[np.arange(len(labels)), labels]
        return -float(np.log(chosen.clip(min=1e-30)).mean())

    low, high = 1 / HIGHEST, 1 / LOWEST
    while high - low > 1e-4:
        third = (high - low) / 3
        if loss(low + third) < loss(high - third):
            high -= third
        else:
            low += third
    return round(2 / (low + high), 3)


def calibration_error(probabilities: Floats, labels: Labels) -> float:
    """Expected calibration error, 15 bins (Guo et al. 2017, eq. 3)."""
    scores, wanted = torch.tensor(probabilities), torch.tensor(labels)
    return float(multiclass_calibration_error(scores, wanted, probabilities.shape[1]))


def calibrate(recipe: ClassificationRecipe, models: Path) -> Manifest:
    """Fit the temperature of a bundle on the validation split, and write it to the manifest, and the calibration errors
    before and after to the manifest and the card. The test split is not read.

    Raises ModelNotReady if the bundle does not load, and CorpusError if the data is missing.
    """
    version = exported_version(recipe, models) or recipe.version
    rows = labelled_texts(recipe.data, "valid")
    registry = open_registry(models, recipe.name)
    try:
        classifier = registry.classifier(recipe.name, version)
        texts = [row.text for row in rows]
        predictions = asyncio.run(classifier.classify(texts, "none", truncate=True, raw=True))
    finally:
        registry.close()
    names = classifier.labels
    probabilities = np.array([[one.scores[name] for name in names] for one in predictions])
    labels = np.array([names.index(row.label) for row in rows], dtype=np.int64)
    temperature = fit_temperature(probabilities, labels)
    data = f"{' + '.join(Path(corpus).name for corpus in recipe.data.corpora)} valid ({len(rows)} texts)"
    errors = {RAW: probabilities, CALIBRATED: at_temperature(probabilities, temperature)}
    metrics = [metric for metric in classifier.manifest.metrics if metric.name not in errors]
    new = [
        Metric(name=name, value=round(calibration_error(scores, labels), 4), data=data, detail=f"T = {temperature}")
        for name, scores in errors.items()
    ]
    card = models / recipe.name / str(version) / CARD
    card.write_text(with_rows(card.read_text(encoding="utf-8"), metrics, new), encoding="utf-8")
    every = [metric.model_dump() for metric in [*metrics, *new]]
    return update_manifest(card.parent, temperature=temperature, metrics=every)
