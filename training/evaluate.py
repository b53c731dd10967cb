"""Measures a bundle as it is served, on the test splits, and writes the figures into its manifest and card."""

import asyncio
from pathlib import Path

import torch
from sacrebleu.metrics import BLEU, CHRF
from torchmetrics.functional.classification import multiclass_confusion_matrix

from service.bundle import CARD, Manifest, Metric, update_manifest
from service.classifier import Classifier
from service.registry import Registry
from service.runtime import Runtime
from service.scheduling import Limits
from service.translator import Options, Translator
from training.card import model_card
from training.corpora import Split, labelled_texts, sentence_pairs
from training.fit import AnyRecipe
from training.recipe import ClassificationRecipe, TranslationRecipe


def evaluate(recipe: AnyRecipe, models: Path, split: Split = "test") -> Manifest:
    """Evaluate models/<name>/<version> and return its manifest; only figures of the test split are written.

    Raises ModelNotReady if the bundle does not load, CorpusError if the data is not there.
    """
    registry = Registry(models, Runtime("auto"), Limits(queue_tokens=10**12))
    registry.load(recipe.name)
    try:
        if isinstance(recipe, ClassificationRecipe):
            metrics = evaluate_classifier(recipe, registry.classifier(recipe.name, recipe.version), split)
        else:
            translator = registry.translator(None, None, recipe.name, recipe.version)
            metrics = evaluate_translator(recipe, translator, split)
    finally:
        registry.close()
    folder = models / recipe.name / str(recipe.version)
    if split != "test":
        manifest = registry.entry(recipe.name, recipe.version).manifest
        assert manifest is not None
        return manifest.model_copy(update={"metrics": metrics})
    manifest = update_manifest(folder, metrics=[metric.model_dump() for metric in metrics])
    (folder / CARD).write_text(model_card(manifest), encoding="utf-8")
    return manifest


def evaluate_classifier(recipe: ClassificationRecipe, classifier: Classifier, split: Split) -> list[Metric]:
    """Accuracy, balanced accuracy (mean recall), macro F1, and each label's F1."""
    rows = labelled_texts(recipe.data.corpora, split)
    predictions = asyncio.run(classifier.classify([row.text for row in rows], "none", truncate=True))
    labels = classifier.labels
    predicted = torch.tensor([labels.index(prediction.label) for prediction in predictions])
    wanted = torch.tensor([labels.index(row.label) for row in rows])
    confusion = multiclass_confusion_matrix(predicted, wanted, len(labels)).double()  # [wanted, predicted]
    right = confusion.diagonal()
    recall, precision = right / confusion.sum(1).clamp(min=1), right / confusion.sum(0).clamp(min=1)
    f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
    values = {
        "accuracy": right.sum() / confusion.sum(),
        "balanced accuracy": recall.mean(),
        "macro F1": f1.mean(),
        **{f"{label} F1": value for label, value in zip(labels, f1, strict=True)},
    }
    data = f"{' + '.join(recipe.data.corpora)} {split} ({len(rows)} texts)"
    return [Metric(name=name, value=round(float(value), 4), data=data) for name, value in values.items()]


def evaluate_translator(recipe: TranslationRecipe, translator: Translator, split: Split) -> list[Metric]:
    """sacreBLEU and chrF of each corpus against all its references, decoded as the service does by default."""
    metrics = []
    for corpus in recipe.data.corpora:
        pairs = sentence_pairs(corpus, split, recipe.data.source, recipe.data.target)
        options = Options(attention="none")
        translations = asyncio.run(translator.translate([pair.source for pair in pairs], options))
        outputs = [translation.text for translation in translations]
        most = max(len(pair.references) for pair in pairs)
        # sacreBLEU wants one list per reference number; a sentence with fewer of them has None.
        references = [[p.references[k] if k < len(p.references) else None for p in pairs] for k in range(most)]
        data = f"{corpus} {split} ({len(pairs)} sentences)"
        for metric in (BLEU(), CHRF()):
            score = metric.corpus_score(outputs, references)
            detail = f"beam {options.beam_size}, {metric.get_signature()}"
            metrics.append(Metric(name=score.name, value=round(score.score, 2), data=data, detail=detail))
    return metrics
