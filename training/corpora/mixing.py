"""Epochs that are sampled from several kinds of text, each with its share."""

import random
import re
import unicodedata
from collections.abc import Iterable, Sequence

from training.corpora.corpus import CorpusError, SentencePair
from training.corpora.lexicon import lexicon
from training.corpora.reading import sentence_pairs
from training.recipe import Mixture, TranslationData

LEXICON = "lexicon"
"""The kind of word pairs that are made from the pairs of all other kinds (`corpora.lexicon`)."""


def key(text: str) -> str:
    """Return the key of a sentence. Two sentences are duplicates if their keys are equal.

    >>> key("Save as…") == key("SAVE, as")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded)) or text.strip()


def held_out_keys(data: TranslationData) -> set[str]:
    """Return the keys of all sources of the `valid` and `test` splits. Raises CorpusError."""
    corpora = dict.fromkeys([*data.corpora, *data.measured])
    splits = [sentence_pairs(corpus, split, data) for corpus in corpora for split in ("valid", "test")]
    return {key(pair.source) for pairs in splits for pair in pairs}


def kind_of(pair: SentencePair, mixture: Mixture) -> str:
    """Return the kind of a pair: the shortest length kind that fits, or its domain."""
    if mixture.lengths:
        words = len(pair.source.split())
        fitting = [(most, kind) for kind, most in mixture.lengths.items() if words <= most]
        if fitting:
            return min(fitting)[1]
    return pair.domain


class MixedPairs:
    """Training pairs by kind. Samples epochs from them.

    The pairs of a kind form an endless sequence of shuffled rounds. Epoch n takes slice n of the sequence of each kind.
    So all pairs of a kind are used equally often, and an epoch does not depend on whether earlier ones were sampled.
    """

    def __init__(self, pairs: Iterable[SentencePair], mixture: Mixture, seed: int, held_out: set[str] | None = None):
        """Raises CorpusError if a kind with a share has no pair. Held-out pairs are left out."""
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
        if LEXICON in self.kinds:
            self.kinds[LEXICON] = self._lexicon()
        if empty := [kind for kind, found in self.kinds.items() if not found]:
            raise CorpusError(f"the mixture has a share for {', '.join(empty)}, but there is no such pair")

    def _lexicon(self) -> list[SentencePair]:
        """Word pairs from all pairs, each also with capital letters, without held-out words."""
        entries = lexicon((pair.source, pair.target) for pairs in self.kinds.values() for pair in pairs)
        return [
            SentencePair(source, target, (target,), LEXICON)
            for entry in entries
            if key(entry.source) not in self.held_out
            for source, target in (
                (entry.source, entry.target),
                (entry.source.capitalize(), entry.target.capitalize()),
            )
            for _ in range(entry.repetitions)
        ]

    def __len__(self) -> int:
        """Return the number of different pairs."""
        return sum(map(len, self.kinds.values()))

    def counts(self) -> dict[str, int]:
        """Return the number of pairs of each kind in an epoch."""
        total = sum(self.mixture.shares.values())
        return {kind: round(self.mixture.pairs * share / total) for kind, share in self.mixture.shares.items()}

    def epoch(self, number: int) -> list[SentencePair]:
        """Return the pairs of an epoch. Epochs count from 0."""
        return [
            pair
            for kind, count in self.counts().items()
            for pair in self.stretch(kind, number * count, (number + 1) * count)
        ]

    def stretch(self, kind: str, first: int, last: int) -> Sequence[SentencePair]:
        """Return the slice [first, last) of the sequence of a kind."""
        pairs = self.kinds[kind]
        found: list[SentencePair] = []
        while first < last:
            number, place = divmod(first, len(pairs))
            order = list(range(len(pairs)))
            random.Random(f"{self.seed} {kind} {number}").shuffle(order)
            taken = order[place : place + last - first]
            found += [pairs[index] for index in taken]
            first += len(taken)
        return found


def mixed_pairs(data: TranslationData, seed: int) -> MixedPairs:
    """Read the mixture of a recipe, without held-out sources. Raises CorpusError."""
    assert data.mixture is not None
    pairs = (pair for corpus in data.corpora for pair in sentence_pairs(corpus, "train", data))
    return MixedPairs(pairs, data.mixture, seed, held_out_keys(data))
