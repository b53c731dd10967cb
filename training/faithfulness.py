"""Faithfulness of a classifier's attention over test texts, as a section of its card.

Comprehensiveness and sufficiency (`service.explanation.faithfulness`) of attention, of exact contributions and of
occlusion are compared with those of random orders. The intervals are percentiles of a bootstrap over the texts (Efron
1979).

Legend: N texts, M measures.
"""

import asyncio
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import CARD
from service.explanation.faithfulness import Faithfulness
from service.handlers.explain_labels import explain_label
from service.handlers.explain_schemas import ExplainRequest
from service.settings import Settings
from training.card import table
from training.corpora import labelled_texts
from training.corpora.reading import held_out
from training.evaluate import open_registry
from training.export.bundle import exported_version
from training.recipe import ClassificationRecipe

Floats = NDArray[np.float64]
RESAMPLES = 2_000
CONCURRENT = 4
"""Texts that are explained at the same time."""
ALL = 10**9
"""A limit that is not reached."""
SECTION = re.compile(r"## Faithfulness\n.*?(?=## )", re.DOTALL)
HEADER = ["order", "comprehensiveness", "times random", "sufficiency", "correlation with occlusion"]


def measure(
    recipe: ClassificationRecipe, models: Path, texts: int, occlusion: bool, random_orders: int
) -> tuple[str, Path]:
    """Measure a bundle on some test texts and write the section of its card. Return the section and the card.

    texts: maximum number of texts, chosen by their hashes. Those over the limit of the model are left out.

    Raises ModelNotReady if the bundle does not load, and CorpusError if the data is missing.
    """
    version = exported_version(recipe, models) or recipe.version
    rows = sorted(labelled_texts(recipe.data, "test"), key=lambda row: held_out([row.label, row.text]))
    registry = open_registry(models, recipe.name)
    try:
        classifier = registry.classifier(recipe.name, version)
        limit = classifier.manifest.limits.max_tokens
        kept = [row.text for row in rows if len(classifier.tokenizer.encode(row.text).ids) <= limit][:texts]
        methods = ["attention"]
        if any(output.kind == "contribution" for output in classifier.manifest.attention):
            methods.append("contribution")
        if occlusion:
            methods.append("occlusion")
        requests = [
            ExplainRequest.model_validate({"text": text, "methods": methods, "random_orders": random_orders})
            for text in kept
        ]
        settings = Settings(models=models, max_request_tokens=ALL)

        async def explain_all() -> list[dict[str, list[float]]]:
            gate = asyncio.Semaphore(CONCURRENT)

            async def one(request: ExplainRequest) -> dict[str, list[float]]:
                async with gate:
                    explained = (await explain_label(request, classifier, settings)).explained
                assert explained.random is not None
                found = {"random": [*_values(explained.random), np.nan]}
                for each in explained.explanations:
                    correlation = np.nan if each.correlation is None else each.correlation
                    found[each.method] = [*_values(each.faithfulness), correlation]
                return found

            return list(await asyncio.gather(*map(one, requests)))

        results = asyncio.run(explain_all())
    finally:
        registry.close()
    values = {order: np.array([result[order] for result in results]) for order in results[0]}
    section = section_of(values, random_orders)
    card = models / recipe.name / str(version) / CARD
    card.write_text(with_section(card.read_text(encoding="utf-8"), section), encoding="utf-8")
    return section, card


def _values(measured: Faithfulness) -> list[float]:
    return [float(measured.comprehensiveness.mean()), float(measured.sufficiency.mean())]


def section_of(values: dict[str, Floats], random_orders: int) -> str:
    """The section of the card.

    values: order -> comprehensiveness, sufficiency and rank correlation (NaN if there is none) of each text [N, 3]
    """
    count = len(values["random"])
    chosen = np.random.default_rng(1).integers(count, size=(RESAMPLES, count))
    random_means = values["random"][chosen, 0].mean(axis=1)
    rows = []
    for order, one in values.items():
        means = one[:, 0].mean(), one[:, 1].mean()
        ratio = "1"
        if order != "random":
            low, high = np.percentile(one[chosen, 0].mean(axis=1) / random_means, [2.5, 97.5])
            ratio = f"{means[0] / values['random'][:, 0].mean():.1f} ({low:.1f} to {high:.1f})"
        correlation = "" if np.isnan(one[:, 2]).all() else f"{np.nanmean(one[:, 2]):.2f}"
        rows.append([order, _interval(one[:, 0], chosen), ratio, _interval(one[:, 1], chosen), correlation])
    explains, low = (
        values["attention"][:, 0].mean(),
        np.percentile(values["attention"][chosen, 0].mean(axis=1) / random_means, 2.5),
    )
    times = explains / values["random"][:, 0].mean()
    verdict = f"The words with the most attention matter {times:.1f} times as much as random words."
    if low <= 1:
        verdict = "The words with the most attention matter no more than random words."
    return f"""## Faithfulness

{verdict}

Fall of the score without the first words of each order (comprehensiveness, higher is better) and with them alone \
(sufficiency, lower is better), averaged over the first 5, 10, 20 and 50 % of the words of {count} test texts; \
{random_orders} random orders; 95 % intervals. [Meaning](../../../docs/attention.md#how-much-a-weight-explains)

{table(HEADER, rows)}

"""


def _interval(values: Floats, chosen: NDArray[np.int64]) -> str:
    low, high = np.percentile(values[chosen].mean(axis=1), [2.5, 97.5])
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"


def with_section(card: str, section: str) -> str:
    """The card with a new section, or with a changed one, before that of the data."""
    if SECTION.search(card):
        return SECTION.sub(lambda _: section, card, count=1)
    return card.replace("## Data\n", f"{section}## Data\n", 1)
