"""n-gram language models as a baseline: bits per character, and the share of unseen n-grams."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nltk.lm import AbsoluteDiscountingInterpolated, WittenBellInterpolated
from tokenizers import Tokenizer

from service.bundle.files import read_manifest
from service.bundle.manifest import GenerationManifest
from training import report
from training.card import table
from training.corpora import running_text
from training.recipe import GenerationRecipe
from training.tokenization import UNK, train_tokenizer

ORDERS = range(2, 9)
SMOOTHINGS = {"Witten-Bell": WittenBellInterpolated, "absolute discounting": AbsoluteDiscountingInterpolated}
"""Interpolated smoothing: each order is mixed with all lower orders (Chen and Goodman 1998)."""


@dataclass(frozen=True)
class Row:
    """Results of one order."""

    order: int
    unseen: float
    """Share of the test text's n-grams that are not in the training text."""
    bits: dict[str, float]
    """Smoothing -> bits per character of the test text."""

    def cells(self) -> list[str]:
        """Cells of the table."""
        return [str(self.order), f"{self.unseen:.1%}", *(f"{bits:.3f}" for bits in self.bits.values())]


def symbols(text: str, tokenizer: Tokenizer) -> list[str]:
    """Characters of a text. Characters that are not in the vocabulary become <unk>."""
    known = tokenizer.get_vocab()
    return [character if character in known else UNK for character in text]


def grams(text: Sequence[str], order: int) -> list[tuple[str, ...]]:
    """All n-grams of one order, in text order."""
    return [tuple(text[start : start + order]) for start in range(len(text) - order + 1)]


def measure(train: Sequence[str], test: Sequence[str], order: int) -> Row:
    """Fit n-grams up to one order on the training text and measure them on the test text."""
    all_orders = [gram for n in range(1, order + 1) for gram in grams(train, n)]
    seen, tested = set(grams(train, order)), grams(test, order)
    bits = {}
    for name, smoothing in SMOOTHINGS.items():
        model = smoothing(order)
        model.fit([all_orders], vocabulary_text=train)
        bits[name] = -sum(math.log2(model.score(gram[-1], gram[:-1])) for gram in tested) / len(tested)
    return Row(order, sum(gram not in seen for gram in tested) / len(tested), bits)


def compare_ngrams(recipe: GenerationRecipe, folders: list[Path], into: Path) -> list[list[str]]:
    """Compare n-grams with evaluated bundles of language models. Write a table and a plot to a folder."""
    train_text, test_text = running_text(recipe.data, "train"), running_text(recipe.data, "test")
    tokenizer = train_tokenizer([train_text], recipe.tokenizer)
    train, test = symbols(train_text, tokenizer), symbols(test_text, tokenizer)
    rows = [measure(train, test, order) for order in ORDERS]
    manifests = [read_manifest(folder, GenerationManifest) for folder in folders]
    into.mkdir(parents=True, exist_ok=True)
    picture = report.ngrams(
        list(ORDERS),
        [row.unseen for row in rows],
        {name: [row.bits[name] for row in rows] for name in SMOOTHINGS},
        {manifest.name: bits_per_character(manifest) for manifest in manifests},
        into / f"{recipe.name}-ngrams.png",
    )
    best = min(min(row.bits.values()) for row in rows)
    header = ["order", "unseen", *SMOOTHINGS]
    text = f"""# {recipe.name}: n-grams and networks

All models are trained on the same {len(train):,} characters and tested on the same {len(test):,} characters (the last \
tenth). The unit is bits per character; lower is better. The n-grams are those of `nltk.lm`, each order interpolated \
with all lower orders.

{table(header, [row.cells() for row in rows])}

Higher orders use more context, but more of their n-grams are unseen. The best order needs {best:.3f} bits. A network \
has no table of n-grams, so it has no unseen ones.

{table(["model", "network", "attention", "parameters", "minutes", "bits per character"], list(map(cells, manifests)))}

![bits per character and unseen n-grams by order]({picture.name})
"""
    (into / f"{recipe.name}-ngrams.md").write_text(text, encoding="utf-8")
    return [header, *(row.cells() for row in rows)]


def bits_per_character(manifest: GenerationManifest) -> float:
    """The metric of an evaluated language model."""
    [bits] = [metric.value for metric in manifest.metrics if metric.name == "bits per character"]
    return bits


def cells(manifest: GenerationManifest) -> list[str]:
    """Cells of a bundle in the table of networks."""
    architecture = manifest.architecture
    return [
        manifest.name,
        architecture.cell or architecture.network,
        (architecture.attention or "none").replace("_", "-"),
        f"{architecture.parameters:,}",
        f"{manifest.training.minutes:.0f}",
        f"{bits_per_character(manifest):.3f}",
    ]
