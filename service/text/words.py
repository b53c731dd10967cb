"""Tokens -> words: sub-words are joined, and their attention with them.

Legend: Q queries, K keys, in tokens or in words.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.attention import AttentionMatrix, Floats
from service.text.tokenizer import Token

AttentionUnit = Literal["token", "word"]


class Words:
    """The words of a tokenised text: runs of letters, digits and marks, with apostrophes between letters.

    Punctuation, symbols and special tokens are words of their own. A token is never divided.
    """

    def __init__(self, tokens: Sequence[Token], text: str):
        """tokens: with offsets into `text`."""
        starts = [i for i, token in enumerate(tokens) if i == 0 or not _continues_word(tokens[i - 1], token, text)]
        self.starts: NDArray[np.intp] = np.array(starts, dtype=np.intp)
        """Index of the first token of each word."""
        self.sizes: NDArray[np.intp] = np.diff([*starts, len(tokens)])
        ends = [tokens[last] for last in self.starts + self.sizes - 1]
        self.tokens = [
            replace(tokens[first], text=text[tokens[first].start : end.end], end=end.end)
            for first, end in zip(starts, ends, strict=True)
        ]

    def sums(self, values: Sequence[float]) -> list[float]:
        """The sum of the values of each word's tokens."""
        found: list[float] = np.add.reduceat(np.asarray(values), self.starts).tolist()
        return found


def _continues_word(before: Token, token: Token, text: str) -> bool:
    """True if a token belongs to the word of the token before it."""
    if before.special or token.special or token.start != before.end:
        return False
    return before.start == before.end or token.start == token.end or _within_word(text, token.start)


def _within_word(text: str, place: int) -> bool:
    """True if text[place - 1] and text[place] belong to one word.

    >>> [_within_word("don't!", place) for place in (1, 3, 4, 5)]
    [True, True, True, False]
    """
    around = text[max(place - 2, 0) : place + 2]
    before, after = text[place - 1], text[place]
    if after in APOSTROPHES:
        return before.isalpha() and around[-1].isalpha()
    if before in APOSTROPHES:
        return after.isalpha() and place > 1 and around[0].isalpha()
    return _is_word_character(before) and _is_word_character(after)


APOSTROPHES = "'\u2019"


def _is_word_character(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def by_words(matrix: AttentionMatrix, queries: Words | None, keys: Words) -> AttentionMatrix:
    """Attention between tokens -> attention between words: summed over the tokens of a key, averaged over those of a
    query. Rows still sum to 1.

    `queries` is None if there is one query for the whole text. The first column of `decoder_self` is the start of the
    sentence; the others are the words so far, the first tokens of the query's word included.
    """
    weights, starts = matrix.weights, keys.starts
    if not weights.size:  # an empty translation
        return matrix
    if matrix.kind == "decoder_self":
        weights = np.pad(weights, [(0, 0), (0, 1)])
        starts = np.concatenate([[0], starts + 1])
    merged: Floats = np.add.reduceat(weights, starts, axis=1)
    if queries is not None:
        merged = np.add.reduceat(merged, queries.starts, axis=0) / queries.sizes[:, None]
    return replace(matrix, weights=merged)
