"""Epochs drawn from several kinds of text, each with its share."""

import random
import re
import unicodedata
from collections.abc import Iterable, Sequence

from training.corpora.corpus import CorpusError, SentencePair
from training.corpora.reading import sentence_pairs
from training.recipe import Mixture, TranslationData


def key(text: str) -> str:
    """What makes two sentences the same: case, width and punctuation do not count.

    >>> key("Save as…") == key("SAVE, as")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded)) or text.strip()


def held_out_keys(data: TranslationData) -> set[str]:
    """The keys of the sources in every `valid` and `test` split of the recipe's corpora. Raises CorpusError."""
    corpora = dict.fromkeys([*data.corpora, *data.measured])
    splits = [sentence_pairs(corpus, split, data) for corpus in corpora for split in ("valid", "test")]
    return {key(pair.source) for pairs in splits for pair in pairs}


def kind_of(pair: SentencePair, mixture: Mixture) -> str:
    """What a pair counts as: a kind by its length, if one fits, else its domain."""
    if mixture.lengths:
        words = len(pair.source.split())
        fitting = [(most, kind) for kind, most in mixture.lengths.items() if words <= most]
        if fitting:
            return min(fitting)[1]
    return pair.domain


class MixedPairs:
    """The training pairs of a recipe by kind, and the epochs drawn from them.

    Each kind is gone through in a shuffled order, and in another once all of it was seen. An epoch takes the next
    stretch of every kind, so that pairs of one kind are seen about as often as each other, and an epoch is the same
    whether the epochs before it were drawn or not.
    """

    def __init__(self, pairs: Iterable[SentencePair], mixture: Mixture, seed: int, held_out: set[str] | None = None):
        """Raises CorpusError if a kind that has a share has no pair."""
        self.mixture = mixture
        self.seed = seed
        self.held_out = held_out or set()
        self.kinds: dict[str, list[SentencePair]] = {kind: [] for kind in mixture.shares}
        self.leaked = 0
        for pair in pairs:
            kind = kind_of(pair, mixture)
            if kind not in self.kinds:
                continue
            if self.held_out and key(pair.source) in self.held_out:
                self.leaked += 1
                continue
            self.kinds[kind].append(pair)
        if empty := [kind for kind, found in self.kinds.items() if not found]:
            raise CorpusError(f"the mixture has a share for {', '.join(empty)}, of which there is no pair")

    def counts(self) -> dict[str, int]:
        """Kind -> how many of its pairs an epoch has."""
        total = sum(self.mixture.shares.values())
        return {kind: round(self.mixture.pairs * share / total) for kind, share in self.mixture.shares.items()}

    def epoch(self, number: int) -> list[SentencePair]:
        """The pairs of an epoch, counted from 0."""
        return [
            pair
            for kind, count in self.counts().items()
            for pair in self.stretch(kind, number * count, (number + 1) * count)
        ]

    def stretch(self, kind: str, first: int, last: int) -> Sequence[SentencePair]:
        """Of a kind's pairs, shuffled round after round without end, those from first to last."""
        pairs = self.kinds[kind]
        found: list[SentencePair] = []
        while first < last:
            turn, place = divmod(first, len(pairs))
            order = list(range(len(pairs)))
            random.Random(f"{self.seed} {kind} {turn}").shuffle(order)
            taken = order[place : place + last - first]
            found += [pairs[index] for index in taken]
            first += len(taken)
        return found


def mixed_pairs(data: TranslationData, seed: int) -> MixedPairs:
    """The mixture of a recipe, without any pair whose source is held out. Raises CorpusError."""
    assert data.mixture is not None
    pairs = (pair for corpus in data.corpora for pair in sentence_pairs(corpus, "train", data))
    return MixedPairs(pairs, data.mixture, seed, held_out_keys(data))
