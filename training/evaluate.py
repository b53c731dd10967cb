"""Evaluation of a bundle with the service's code. The metrics of the test splits go to its manifest and card."""

import asyncio
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_confusion_matrix

from service.batching.scheduler import Limits
from service.bundle.bundle import read_bundle
from service.bundle.files import read_manifest, update_manifest
from service.bundle.golden import read_golden
from service.bundle.manifest import CARD, Manifest, Metric, TranslationManifest
from service.classification.classifier import Classifier
from service.errors import InferenceFailed
from service.generation.generator import Generator, SamplingParams
from service.registry.entry import Predictor, open_predictor
from service.registry.golden import golden_problem
from service.registry.registry import Registry
from service.runtime import Runtime
from service.text.tokenizer import Token
from service.translation.engine import Options
from service.translation.translator import Translator
from training import report
from training.alignment import ALIGNMENTS, attention_name, error_rates, read_alignments
from training.card import model_card
from training.corpora import SentencePair, Split, labelled_texts, running_text, sentence_pairs
from training.export.bundle import exported_version
from training.recipe import AnyRecipe, ClassificationRecipe, GenerationRecipe, TranslationRecipe
from training.run import read_journal, run_folder
from training.verdict import Verdict, judge, labels_known

Pictures = dict[str, Path]
"""Caption -> picture, in the bundle's folder."""


def evaluate(recipe: AnyRecipe, models: Path, split: Split = "test") -> tuple[Manifest, Verdict | None]:
    """Evaluate models/<name>/<version> and return its manifest with the metrics, and the verdict on a classifier.

    The version is that of the run's export, else the recipe's.

    Metrics of the test split are written to the manifest, and to the card with pictures. Raises ModelNotReady if the
    bundle does not load, and CorpusError if the data is missing.
    """
    recipe = recipe.model_copy(update={"version": exported_version(recipe, models) or recipe.version})
    folder = models / recipe.name / str(recipe.version)
    verdict: Verdict | None = None
    registry = open_registry(models, recipe)
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
            metrics += alignment_error(folder, predictor.manifest)
        if split != "test":
            return predictor.manifest.model_copy(update={"metrics": metrics}), None
        pictures = example_heatmaps(recipe, predictor, folder)
        if isinstance(predictor, Generator):
            pictures |= example_texts(recipe, predictor, folder)
        if curve := length_curve(metrics):
            picture = report.bleu_by_length({recipe.name: curve}, folder / "lengths.png")
            pictures["BLEU by source length"] = picture
        if isinstance(predictor, Classifier):
            confusion = multiclass_confusion_matrix(probabilities, wanted, len(predictor.labels)).numpy()
            picture = report.confusion_matrix(confusion, predictor.labels, folder / "confusion.png")
            pictures["Confusion matrix of the test split"] = picture
            highest, predicted = probabilities.max(1)
            picture = report.reliability(highest.numpy(), (predicted == wanted).numpy(), folder / "calibration.png")
            pictures["Accuracy by predicted probability"] = picture
            assert isinstance(recipe, ClassificationRecipe)
            rows = labelled_texts(recipe.data, split)
            verdict = judge(recipe.data, predictor.labels, rows, predicted.numpy())
            metrics += verdict.metrics
    finally:
        registry.close()
    run, curves = run_folder(recipe), folder / "learning.png"
    if (run / "task.json").is_file():  # absent if the bundle was trained elsewhere
        report.learning_curves(read_journal(run)["epochs"], curves)
    if curves.is_file():
        pictures["Learning curves"] = curves
    manifest = update_manifest(folder, metrics=[metric.model_dump() for metric in metrics])
    (folder / CARD).write_text(model_card(manifest, pictures, verdict.text if verdict else ""), encoding="utf-8")
    return manifest, verdict


def check_golden(folder: Path) -> None:
    """Check the answers of a bundle to its golden cases, in int8. Raises InferenceFailed."""
    manifest = read_manifest(folder)
    predictor = open_predictor(read_bundle(folder, manifest), Runtime("cpu", precision="int8"), Limits())
    try:
        problem = asyncio.run(golden_problem(predictor, read_golden(folder, manifest.task)))
    finally:
        predictor.close()
    if problem is not None:
        raise InferenceFailed(problem)


def open_registry(models: Path, recipe: AnyRecipe, precision: Literal["auto", "float32"] = "auto") -> Registry:
    """A registry with the recipe's bundle, without a limit of the queue."""
    registry = Registry(models, Runtime("auto", precision=precision), Limits(queue_tokens=10**12))
    registry.load(recipe.name)
    return registry


def in_float32(recipe: TranslationRecipe, models: Path, split: Split) -> list[Metric]:
    """Metrics in float32, as a reference for the served precision: `BLEU (float32)` and `chrF2 (float32)`."""
    registry = open_registry(models, recipe, "float32")
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


def alignment_error(folder: Path, manifest: TranslationManifest) -> list[Metric]:
    """Alignment error rate of the summary attention, if there are manual alignments for the languages."""
    path = ALIGNMENTS / f"{manifest.source}-{manifest.target}.tsv"
    summary = next((output for output in manifest.attention if output.summary), None)
    if not path.is_file() or summary is None:
        return []
    pairs = read_alignments(path)
    rates = error_rates(folder, manifest, pairs)
    name = attention_name(summary)
    others = ", ".join(f"{other} {rate:.3f}" for other, rate in rates.items() if other != name and "head" not in other)
    return [
        Metric(
            name="alignment error rate",
            value=round(rates[name], 4),
            data=f"{len(pairs)} manually aligned pairs",
            detail=f"{name}{', heads averaged' if summary.heads else ''}" + (f"; {others}" if others else ""),
        )
    ]


Scored = tuple[SentencePair, str]
"""A pair and its translation."""


def corpus_scores(scored: list[Scored], data: str, method: str, metrics: Sequence[BLEU | CHRF]) -> list[Metric]:
    """Metrics of sacreBLEU against all references."""
    most = max(len(pair.references) for pair, _ in scored)
    # sacreBLEU takes one list per reference number, with None for sentences with fewer references.
    references: list[Any] = [
        [pair.references[k] if k < len(pair.references) else None for pair, _ in scored] for k in range(most)
    ]
    found = []
    for metric in metrics:
        score = metric.corpus_score([output for _, output in scored], references)
        detail = f"{method}, {metric.get_signature()}"
        found.append(Metric(name=score.name, value=round(score.score, 2), data=data, detail=detail))
    return found


LENGTHS = [(1, 5), (6, 10), (11, 15), (16, 20), (21, 1000)]
"""Ranges of source length in words."""


def scores_by_length(scored: list[Scored], method: str) -> list[Metric]:
    """BLEU per range of source length, as `BLEU, 6-10 words`. Empty ranges are skipped."""
    found = []
    for first, last in LENGTHS:
        some = [(pair, output) for pair, output in scored if first <= len(pair.source.split()) <= last]
        if some:
            [metric] = corpus_scores(some, f"all tests ({len(some)} sentences)", method, [BLEU()])
            words = f"{first}-{last}" if last < 1000 else f"{first} or more"
            found.append(metric.model_copy(update={"name": f"BLEU, {words} words"}))
    return found


def length_curve(metrics: Sequence[Metric]) -> dict[str, float]:
    """Range of source length -> BLEU, from the metrics of `scores_by_length`."""
    by_length = [(re.fullmatch(r"BLEU, (.+) words", metric.name), metric.value) for metric in metrics]
    return {match[1]: value for match, value in by_length if match}


def length_counts(metrics: Sequence[Metric]) -> dict[str, str]:
    """Range of source length -> number of sentences, from the metrics of `scores_by_length`."""
    data = {metric.name: metric.data for metric in metrics}
    return {words: re.sub(r"\D", "", data[f"BLEU, {words} words"]) for words in length_curve(metrics)}


def scores_by_domain(scored: list[Scored], corpus: str, split: Split, method: str) -> list[Metric]:
    """BLEU and chrF of a corpus, and of each domain if it has several."""
    name = Path(corpus).name
    found = corpus_scores(scored, f"{name} {split} ({len(scored)} sentences)", method, (BLEU(), CHRF()))
    domains = sorted({pair.domain for pair, _ in scored})
    for domain in domains if len(domains) > 1 else []:
        some = [(pair, output) for pair, output in scored if pair.domain == domain]
        found += corpus_scores(some, f"{name}, {domain}, {split} ({len(some)} sentences)", method, (BLEU(), CHRF()))
    return found


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
