"""Word alignment of a translated sentence, read from its attention.

Legend: T target words, S source tokens.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.attention import AttentionMatrix
from service.text.mapped import Span
from service.text.tokenizer import Token
from service.text.words import Words

Weights = NDArray[np.float64]

HALF = 0.5
"""Attention to a source span above which a target word is taken as its translation."""


class WordAlignment:
    """The attention between the visible tokens of a source and a target sentence. Target offsets are into the target's
    own text."""

    def __init__(self, sources: list[Token], targets: list[Token], text: str, attention: Sequence[AttentionMatrix]):
        """text: the target. attention: the cross-attention matrices to average; without any, the alignment is
        monotone."""
        words = Words(targets, text)
        self.words = [(token.start, token.end) for token in words.tokens]
        self._source_starts = np.array([token.start for token in sources], dtype=np.float64)
        self._source_ends = np.array([token.end for token in sources], dtype=np.float64)
        self._targets = targets
        cross = [matrix.weights for matrix in attention if matrix.kind == "cross"]
        weights = np.mean(cross, axis=0) if cross and targets else _monotone(len(targets), len(sources))
        # Special tokens and spaces that are tokens of their own carry no text: they are left out.
        weights = weights * [token.text.strip() != "" for token in sources]
        weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
        visible = np.array([[float(token.text != "")] for token in targets]).reshape(-1, 1)
        self._token_weights = weights * visible
        self._word_weights = self._token_weights
        if targets:
            sizes = np.maximum(np.add.reduceat(visible, words.starts, axis=0), 1)
            self._word_weights = np.add.reduceat(self._token_weights, words.starts, axis=0) / sizes

    def attention_to(self, source: Span) -> Weights:
        """The share of its attention that each target word gives to a span of the source [T]."""
        shares: Weights = self._word_weights @ self._overlap(source)
        return shares

    def attention_between(self, target: Span, source: Span) -> float:
        """The mean share of the tokens in a span of the target that goes to a span of the source."""
        rows = [i for i, token in enumerate(self._targets) if token.start < target[1] and token.end > target[0]]
        return float((self._token_weights[rows] @ self._overlap(source)).mean()) if rows else 0.0

    def translation_of(self, source: Span) -> Span | None:
        """The target tokens around the strongest one that give more than HALF of their attention to a source span.

        None if no token does."""
        shares = self._token_weights @ self._overlap(source)
        if not len(shares) or shares.max() <= HALF:
            return None
        targets = self._targets
        first = last = int(shares.argmax())
        while first > 0 and shares[first - 1] > HALF and targets[first - 1].end == targets[first].start:
            first -= 1
        while last + 1 < len(shares) and shares[last + 1] > HALF and targets[last].end == targets[last + 1].start:
            last += 1
        return targets[first].start, targets[last].end

    def _overlap(self, span: Span) -> Weights:
        """The fraction of each source token that lies in a span [S]."""
        common = np.minimum(self._source_ends, span[1]) - np.maximum(self._source_starts, span[0])
        overlap: Weights = np.maximum(common, 0.0) / np.maximum(self._source_ends - self._source_starts, 1.0)
        return overlap


def _monotone(targets: int, sources: int) -> Weights:
    """[T, S]: each target token looks at the source token at the same relative position."""
    return np.eye(max(sources, 1))[np.arange(targets) * sources // max(targets, 1)][:, :sources]
