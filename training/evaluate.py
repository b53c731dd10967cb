"""Evaluation of a bundle with the service's code. The metrics of the test splits go to its manifest and card."""

import asyncio
import math
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from sacrebleu.metrics.bleu import BLEU
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_confusion_matrix

from service.batching.scheduler import Limits
from service.bundle.files import update_manifest
from service.bundle.manifest import CARD, Manifest, Metric, TranslationManifest
from service.classification.classifier import Classifier
from service.generation.generator import Generator, SamplingParams
from service.registry.entry import Predictor
from service.registry.registry import Registry
from service.runtime import Runtime
from service.text.tokenizer import Token
from service.translation.engine import Options
from service.translation.translator import Translator
from training import report
from training.alignment import ALIGNMENTS, attention_name, error_rates, read_alignments
from training.before_after import Rows, StartedRecipe, changes, described, start_of
from training.card import model_card
from training.corpora import LabelledText, SentencePair, Split, labelled_texts, running_text, sentence_pairs
from training.export.bundle import exported_version
from training.phrases import phrase_section, read_phrases
from training.recipe import AnyRecipe, ClassificationRecipe, GenerationRecipe, TranslationRecipe
from training.run import read_journal, run_folder
from training.scores import Scored, corpus_scores, length_curve, scores_by_domain, scores_by_length
from training.start import models_folder
from training.verdict import balanced_accuracy, judge, labels_known

Pictures = dict[str, Path]
"""Caption -> picture, in the bundle's folder."""


def evaluate(recipe: AnyRecipe, models: Path, split: Split = "test") -> tuple[Manifest, str]:
    """Evaluate models/<name>/<version> and return its manifest with the metrics, and the verdict.

    The version is that of the run's export, else the recipe's. The verdict on a classifier compares it with a linear
    model. That on a model of the user's data that started from a bundle compares it with this bundle, if both have the
    same labels or languages.

    Metrics of the test split are written to the manifest, and to the card with pictures and verdict. Raises
    ModelNotReady if the bundle does not load, and CorpusError if the data is missing.
    """
    recipe = recipe.model_copy(update={"version": exported_version(recipe, models) or recipe.version})
    folder = models / recipe.name / str(recipe.version)
    verdict: list[str] = []
    registry = open_registry(models, recipe.name)
    try:
        predictor: Predictor
        if isinstance(recipe, ClassificationRecipe):
            predictor = registry.classifier(recipe.name, recipe.version)
            metrics, probabilities, wanted = evaluate_classifier(recipe, predictor, split)
        elif isinstance(recipe, GenerationRecipe):
            predictor = registry.generator(recipe.name, recipe.version)
            metrics = evaluate_generator(recipe, predictor, split)
        else:
            predictor = registry.translator(None, None, recipe.name, recipe.version)
            metrics = evaluate_translator(recipe, predictor, split)
            if predictor.precision != "float32":
                metrics += in_float32(recipe, models, split)
            metrics += alignment_errors(folder, predictor.manifest)
        pictures = example_heatmaps(recipe, predictor, folder) if split == "test" else {}
        if isinstance(recipe, ClassificationRecipe) and isinstance(predictor, Classifier) and split == "test":
            pictures |= error_pictures(probabilities, wanted, predictor.labels, folder)
            rows = labelled_texts(recipe.data, split)
            judged = judge(recipe.data, predictor.labels, rows, probabilities.argmax(1).numpy())
            metrics += judged.metrics
            verdict.append(judged.text)
        if not isinstance(recipe, GenerationRecipe) and not isinstance(predictor, Generator):
            compared, sentences = compare_with_start(recipe, predictor, split)
            metrics += compared
            verdict += sentences
        if split != "test":
            return predictor.manifest.model_copy(update={"metrics": metrics}), "\n\n".join(verdict)
        section = phrases_of(predictor) if isinstance(predictor, Classifier) else ""
        if isinstance(predictor, Generator):
            pictures |= example_texts(recipe, predictor, folder)
    finally:
        registry.close()
    text = "\n\n".join(verdict)
    return write_results(recipe, folder, metrics, pictures, text, section), text


def write_results(
    recipe: AnyRecipe, folder: Path, metrics: list[Metric], pictures: Pictures, verdict: str, section: str
) -> Manifest:
    """Write metrics to the manifest, and the card with a further section. Return the manifest."""
    if curve := length_curve(metrics):
        picture = report.bleu_by_length({recipe.name: curve}, folder / "lengths.png")
        pictures["BLEU by source length"] = picture
    run, curves = run_folder(recipe), folder / "learning.png"
    if (run / "task.json").is_file():  # absent if the bundle was trained elsewhere
        report.learning_curves(read_journal(run)["epochs"], curves)
    if curves.is_file():
        pictures["Learning curves"] = curves
    manifest = update_manifest(folder, metrics=[metric.model_dump() for metric in metrics])
    (folder / CARD).write_text(model_card(manifest, pictures, verdict, section), encoding="utf-8")
    return manifest


def phrases_of(classifier: Classifier) -> str:
    """The card's section with answers to phrases of our own. Empty if there are none for the model."""
    phrases = read_phrases(classifier.manifest.name)
    if not phrases:
        return ""
    answers = asyncio.run(classifier.classify([phrase.text for phrase in phrases], "none"))
    return phrase_section(phrases, [(answer.label, answer.score) for answer in answers])


def error_pictures(probabilities: Tensor, wanted: Tensor, labels: list[str], folder: Path) -> Pictures:
    """Draw the confusion matrix and the calibration of probabilities [N, C] for labels [N]."""
    confusion = multiclass_confusion_matrix(probabilities, wanted, len(labels)).numpy()
    highest, predicted = probabilities.max(1)
    right = (predicted == wanted).numpy()
    return {
        "Confusion matrix of the test split": report.confusion_matrix(confusion, labels, folder / "confusion.png"),
        "Accuracy by predicted probability": report.reliability(highest.numpy(), right, folder / "calibration.png"),
    }


def compare_with_start(
    recipe: StartedRecipe, after: Classifier | Translator, split: Split
) -> tuple[list[Metric], list[str]]:
    """Compare a model of the user's data with the bundle that it started from. Return metrics and sentences."""
    start = start_of(recipe, after.manifest)
    if start is None:
        return [], []
    registry = open_registry(models_folder(), start.name)
    try:
        before: Classifier | Translator
        if isinstance(recipe, ClassificationRecipe):
            before = registry.classifier(start.name, start.version)
        else:
            before = registry.translator(None, None, start.name, start.version)

        def measure(rows: Rows, data: str) -> tuple[Metric, Metric]:
            return main_metric(before, rows, data), main_metric(after, rows, data)

        found = changes(recipe, start, split, measure)
    finally:
        registry.close()
    name = f"{start.name}/{start.version}"
    return [metric for change in found for metric in change.metrics(name)], [described(start, found)]


def main_metric(predictor: Classifier | Translator, rows: Rows, data: str) -> Metric:
    """BLEU of a translator, balanced accuracy of a classifier."""
    if isinstance(predictor, Classifier):
        texts = [row for row in rows if isinstance(row, LabelledText)]
        predictions = asyncio.run(predictor.classify([row.text for row in texts], "none", truncate=True))
        labels = predictor.labels
        true = np.array([labels.index(row.label) for row in texts])
        predicted = np.array([labels.index(prediction.label) for prediction in predictions])
        return Metric(name="balanced accuracy", value=round(balanced_accuracy(true, predicted), 4), data=data)
    pairs = [row for row in rows if isinstance(row, SentencePair)]
    translations = asyncio.run(predictor.translate([pair.source for pair in pairs], Options(attention="none")))
    scored = [(pair, translation.text) for pair, translation in zip(pairs, translations, strict=True)]
    return corpus_scores(scored, data, predictor.precision, [BLEU()])[0]


def open_registry(models: Path, name: str, precision: Literal["auto", "float32"] = "auto") -> Registry:
    """A registry with the bundles of a model, without a limit of the queue."""
    registry = Registry(models, Runtime("auto", precision=precision), Limits(queue_tokens=10**12))
    registry.load(name)
    return registry


def in_float32(recipe: TranslationRecipe, models: Path, split: Split) -> list[Metric]:
    """Metrics in float32, as a reference for the served precision: `BLEU (float32)` and `chrF2 (float32)`."""
    registry = open_registry(models, recipe.name, "float32")
    try:
        translator = registry.translator(None, None, recipe.name, recipe.version)
        metrics = evaluate_translator(recipe, translator, split)
    finally:
        registry.close()
    return [m.model_copy(update={"name": f"{m.name} (float32)"}) for m in metrics if m.name in ("BLEU", "chrF2")]


SHOWN_TOKENS = 24
"""Tokens of a continuation in a picture."""


def label(token: Token) -> str:
    """Label of a token in a heatmap."""
    return token.special or spelled(token.text)


def spelled(text: str) -> str:
    """Text of a token without surrounding spaces. A token of spaces only becomes an open box."""
    return text.strip() or "\u2423"


def example_heatmaps(recipe: AnyRecipe, predictor: Predictor, folder: Path) -> Pictures:
    """Draw the summary attention of the service's answers to the recipe's examples."""
    pictures = {}
    for number, text in enumerate(recipe.examples, start=1):
        path = folder / f"attention-{number}.png"
        if isinstance(predictor, Classifier):
            [prediction] = asyncio.run(predictor.classify([text]))
            if not prediction.attention:
                return {}
            answer = f"{prediction.label} ({prediction.score:.1%})"
            keys = [label(token) for token in prediction.tokens]
            matrix = prediction.attention[0].weights
            queries = keys if prediction.attention[0].kind == "self" else [prediction.label]
        elif isinstance(predictor, Generator):
            found = asyncio.run(predictor.generate(text, SamplingParams(SHOWN_TOKENS, temperature=0)))
            if not found.attention:
                continue
            answer = found.text
            keys = [spelled(token.text) for token in [*found.prompt_tokens, *found.tokens[:-1]]]
            queries = [spelled(token.text) for token in found.tokens]
            matrix = found.attention[0].weights
        else:
            [translation] = asyncio.run(predictor.translate([text]))
            answer, sentence = translation.text, translation.sentences[0]
            if not sentence.attention:
                return {}
            keys = [label(token) for token in sentence.source_tokens]
            queries = [label(token) for token in sentence.target_tokens]
            matrix = sentence.attention[0].weights
        pictures[f"{text} -> {answer}"] = report.attention_heatmap(matrix, queries, keys, answer, path)
    return pictures


def example_texts(recipe: AnyRecipe, generator: Generator, folder: Path) -> Pictures:
    """Draw continuations of the recipe's examples, with unlikely tokens shaded."""
    pictures = {}
    for number, prompt in enumerate(recipe.examples, start=1):
        found = asyncio.run(
            generator.generate(prompt, SamplingParams(300, temperature=0.7, seed=number, attention="none"))
        )
        tokens = [(token.text, token.log_prob or 0.0) for token in found.tokens]
        caption = f"{prompt.strip()} ... (temperature 0.7, seed {number}; darker tokens are less likely)"
        pictures[caption] = report.generated_text(prompt, tokens, folder / f"written-{number}.png")
    return pictures


def evaluate_classifier(
    recipe: ClassificationRecipe, classifier: Classifier, split: Split
) -> tuple[list[Metric], Tensor, Tensor]:
    """Accuracy, balanced accuracy (mean recall), macro F1, F1 per label, and expected calibration error (15 bins; Guo
    et al. 2017). Also returns the probabilities [N, C] and the true labels [N]."""
    rows = labelled_texts(recipe.data, split)
    labels_known(rows, classifier.labels, f"{recipe.name}/{recipe.version}")
    predictions = asyncio.run(classifier.classify([row.text for row in rows], "none", truncate=True))
    labels = classifier.labels
    probabilities = torch.tensor([[prediction.scores[label] for label in labels] for prediction in predictions])
    predicted = probabilities.argmax(1)
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
        "calibration error": multiclass_calibration_error(probabilities, wanted, len(labels)),
    }
    data = f"{' + '.join(Path(corpus).name for corpus in recipe.data.corpora)} {split} ({len(rows)} texts)"
    metrics = [Metric(name=name, value=round(float(value), 4), data=data) for name, value in values.items()]
    return metrics, probabilities, wanted


def evaluate_generator(recipe: GenerationRecipe, generator: Generator, split: Split) -> list[Metric]:
    """Bits per character and perplexity of the text, read in pieces of the bundle's maximum length.

    The first character of each piece has no prediction and is not counted.
    """
    text = running_text(recipe.data, split)
    length = generator.manifest.limits.max_tokens
    pieces = [text[start : start + length] for start in range(0, len(text), length)]
    total, count = 0.0, 0
    for piece in pieces:
        read = asyncio.run(generator.generate(piece, SamplingParams(max_tokens=0, attention="none")))
        log_probs = [token.log_prob for token in read.prompt_tokens if token.log_prob is not None]
        total += sum(log_probs)
        count += sum(len(token.text) for token in read.prompt_tokens[1:])
    bits = -total / count / math.log(2)
    data = f"{' + '.join(Path(corpus).name for corpus in recipe.data.corpora)} {split} ({len(text)} characters)"
    method = f"{generator.precision}, in {len(pieces)} pieces"
    return [
        Metric(name="bits per character", value=round(bits, 4), data=data, detail=method),
        Metric(name="perplexity per character", value=round(2**bits, 4), data=data, detail=method),
    ]


def alignment_errors(folder: Path, manifest: TranslationManifest) -> list[Metric]:
    """Alignment error rate of the summary attention on each file of manual alignments for the languages."""
    summary = next((output for output in manifest.attention if output.summary), None)
    if summary is None:
        return []
    name, metrics = attention_name(summary), []
    for path in sorted(ALIGNMENTS.glob(f"{manifest.source}-{manifest.target}*.tsv")):
        pairs = read_alignments(path)
        rates = error_rates(folder, manifest, pairs)
        measured = f"{name}, heads averaged" if summary.heads else name
        others = ", ".join(
            f"{other} {rate:.3f}" for other, rate in rates.items() if other != name and "head" not in other
        )
        metrics.append(
            Metric(
                name="alignment error rate",
                value=round(rates[name], 4),
                data=f"{len(pairs)} manually aligned pairs ({path.stem})",
                detail=f"{measured}; {others}" if others else measured,
            )
        )
    return metrics


def evaluate_translator(recipe: TranslationRecipe, translator: Translator, split: Split) -> list[Metric]:
    """BLEU and chrF of each corpus and domain, with the service's default options."""
    metrics: list[Metric] = []
    everything: list[Scored] = []
    for corpus in dict.fromkeys([*recipe.data.corpora, *recipe.data.measured]):
        pairs = sentence_pairs(corpus, split, recipe.data)
        options = Options(attention="none")
        translations = asyncio.run(translator.translate([pair.source for pair in pairs], options))
        scored = list(zip(pairs, (translation.text for translation in translations), strict=True))
        method = f"beam {options.beam_size}, {translator.precision}"
        metrics += scores_by_domain(scored, corpus, split, method)
        everything += scored
    return metrics + scores_by_length(everything, method)
