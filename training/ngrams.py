"""What came before neural language models: n-grams, how well they predict, and how many they have never seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nltk.lm import AbsoluteDiscountingInterpolated, WittenBellInterpolated
from tokenizers import Tokenizer

from service.bundle.files import read_manifest
from training import report
from training.card import table
from training.corpora import running_text
from training.recipe import GenerationRecipe
from training.tokenization import UNK, train_tokenizer

ORDERS = range(2, 9)
SMOOTHINGS = {"Witten-Bell": WittenBellInterpolated, "absolute discounting": AbsoluteDiscountingInterpolated}
"""Both interpolated: an order is mixed with all lower ones (Chen and Goodman 1998)."""


@dataclass(frozen=True)
class Row:
    order: int
    unseen: float
    """Share of the test text's n-grams that the training text does not have."""
    bits: dict[str, float]
    """Smoothing -> bits per character of the test text."""

    def cells(self) -> list[str]:
        return [str(self.order), f"{self.unseen:.1%}", *(f"{bits:.3f}" for bits in self.bits.values())]


def symbols(text: str, tokenizer: Tokenizer) -> list[str]:
    """The characters of a text, with <unk> for those that the tokenizer does not know."""
    known = tokenizer.get_vocab()
    return [character if character in known else UNK for character in text]


def grams(text: Sequence[str], order: int) -> list[tuple[str, ...]]:
    return [tuple(text[start : start + order]) for start in range(len(text) - order + 1)]


def measure(train: Sequence[str], test: Sequence[str], order: int) -> Row:
    """n-grams of one order, counted on one text and tried on another."""
    everything = [gram for n in range(1, order + 1) for gram in grams(train, n)]
    seen, tried = set(grams(train, order)), grams(test, order)
    bits = {}
    for name, smoothing in SMOOTHINGS.items():
        model = smoothing(order)
        model.fit([everything], vocabulary_text=train)
        bits[name] = -sum(math.log2(model.score(gram[-1], gram[:-1])) for gram in tried) / len(tried)
    return Row(order, sum(gram not in seen for gram in tried) / len(tried), bits)


def compare_ngrams(recipe: GenerationRecipe, folders: list[Path], into: Path) -> list[list[str]]:
    """n-grams of every order beside measured bundles of language models; writes a table and a plot into a folder."""
    train_text, test_text = running_text(recipe.data, "train"), running_text(recipe.data, "test")
    tokenizer = train_tokenizer([train_text], recipe.tokenizer)
    train, test = symbols(train_text, tokenizer), symbols(test_text, tokenizer)
    rows = [measure(train, test, order) for order in ORDERS]
    header = ["order", "never seen", *SMOOTHINGS]
    neural: dict[str, float] = {}
    described = []
    for manifest in map(read_manifest, folders):
        [bits] = [metric.value for metric in manifest.metrics if metric.name == "bits per character"]
        neural[manifest.name] = bits
        network, parameters = (
            manifest.architecture.cell or manifest.architecture.network,
            manifest.architecture.parameters,
        )
        looks = (manifest.architecture.attention or "no").replace("_", "-")
        cells = [manifest.name, network, f"{looks} attention", f"{parameters:,}", f"{manifest.training.minutes:.0f}"]
        described.append([*cells, f"{bits:.3f}"])
    into.mkdir(parents=True, exist_ok=True)
    curves = {name: [row.bits[name] for row in rows] for name in SMOOTHINGS}
    unseen = [row.unseen for row in rows]
    picture = report.ngrams(list(ORDERS), unseen, curves, neural, into / f"{recipe.name}-ngrams.png")
    best = min(min(row.bits.values()) for row in rows)
    text = f"""# {recipe.name}: n-grams and networks

All learned from the same {len(train):,} characters and are measured on the same {len(test):,} (the last tenth), \
in bits per character: fewer is better. n-grams by `nltk.lm`, each order mixed with all lower ones.

{table(header, [row.cells() for row in rows])}

The longer the n-gram, the more it could say, and the more of them were never seen: the best reaches {best:.3f} \
bits. A network has no table to be missing from.

{table(["model", "network", "looks back by", "parameters", "minutes", "bits per character"], described)}

![bits per character and unseen n-grams by order]({picture.name})
"""
    (into / f"{recipe.name}-ngrams.md").write_text(text, encoding="utf-8")
    return [header, *(row.cells() for row in rows)]
