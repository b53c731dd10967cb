"""Metrics of sacreBLEU for the translations of corpora, domains and ranges of length."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from service.bundle.manifest import Metric
from training.corpora import SentencePair, Split

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
