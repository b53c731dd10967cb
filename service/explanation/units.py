"""The units of a text that an explanation weighs, words or tokens, and the text without some of them."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.attention import AttentionMatrix
from service.batching import budget
from service.errors import UnsupportedOption
from service.explanation.subsets import Floats, Masks
from service.text.sentences import is_blank
from service.text.tokenizer import Encoded, TextTokenizer
from service.text.words import AttentionUnit, Words

Removal = Literal["delete", "unknown"]
"""`delete` leaves a unit out. `unknown` replaces each of its tokens by the unknown symbol, which keeps positions."""


TEXTS_AT_ONCE = 32
"""Texts that are tokenised between two checks of the time budget."""


class Units:
    """The words or tokens of a text.

    A deleted word is deleted from the text, and the rest is tokenised again. A deleted token is deleted from the ids.
    The end symbol of a text is not a unit and is always kept. A text without any unit is its end symbol, or one
    unknown symbol if the tokenizer has no end symbol.
    """

    def __init__(self, text: str, encoded: Encoded, tokenizer: TextTokenizer, unit: AttentionUnit, removal: Removal):
        """Raises UnsupportedOption if the tokenizer has no unknown symbol."""
        if tokenizer.unknown_id is None:
            raise UnsupportedOption("the tokenizer of this model has no unknown symbol, which an empty text needs")
        self._unknown_id = tokenizer.unknown_id
        self._tokenizer = tokenizer
        count = len(encoded.ids)
        while count and encoded.tokens[count - 1].special is not None:
            count -= 1
        self._end_ids = encoded.ids[count:]
        encoded = Encoded(encoded.ids[:count], encoded.tokens[:count])
        self._ids = np.array(encoded.ids, dtype=np.int64)
        self._removal = removal
        self._retokenises = unit == "word" and removal == "delete"
        words = Words(encoded.tokens, text)
        self._starts = words.starts if unit == "word" else np.arange(len(encoded.ids))
        self.sizes: NDArray[np.intp] = words.sizes if unit == "word" else np.ones(len(encoded.ids), dtype=np.intp)
        """[U]: tokens of each unit."""
        self.tokens = words.tokens if unit == "word" else encoded.tokens
        # Each piece includes the white space before its word. The last one includes the end of the text.
        ends = [token.end for token in self.tokens[:-1]]
        self._pieces = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]

    def attention(self, matrix: AttentionMatrix) -> Floats:
        """The attention that each unit gets, [U]: averaged over the queries and summed over the tokens of a word."""
        return np.asarray(self.sums(np.asarray(matrix.weights, dtype=np.float64)).mean(axis=0), dtype=np.float64)

    def sums(self, weights: Floats) -> Floats:
        """Weights of the tokens [Q, K], end symbols included -> weights of the units [Q, U]."""
        return np.asarray(np.add.reduceat(weights[:, : len(self._ids)], self._starts, axis=1), dtype=np.float64)

    def keep(self, masks: Masks) -> list[list[int]]:
        """Sets of kept units [R, U] -> the ids of each changed text. The full set gives the ids of the text."""
        if self._retokenises:
            return self._retokenised(masks)
        kept = np.repeat(masks, self.sizes, axis=1)
        if self._removal == "unknown":
            return [[*row, *self._end_ids] for row in np.where(kept, self._ids, self._unknown_id).tolist()]
        return [[*self._ids[row].tolist(), *self._end_ids] or [self._unknown_id] for row in kept]

    def _retokenised(self, masks: Masks) -> list[list[int]]:
        texts = [self.text(mask) for mask in masks.tolist()]
        found: list[list[int]] = []
        known: dict[str, list[int]] = {}
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            budget.check()
            part = texts[start : start + TEXTS_AT_ONCE]
            ids = self._tokenizer.ids_of(part, known)
            found += [self._end_ids if is_blank(text) else row for text, row in zip(part, ids, strict=True)]
        return [row or [self._unknown_id] for row in found]

    def text(self, kept: Sequence[bool]) -> str:
        """The text with the kept words. Letters and digits that a deleted word separated are separated by a space.

        "foo,bar" without its comma is "foo bar".
        """
        budget.check()
        parts: list[str] = []
        before = True
        for keeps, piece in zip(kept, self._pieces, strict=True):
            if keeps:
                touches = not before and parts and parts[-1][-1:].isalnum() and piece[:1].isalnum()
                parts.append(f" {piece}" if touches else piece)
            before = keeps
        return "".join(parts)
