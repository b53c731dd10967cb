"""Tokens -> words: sub-words laid together, and their attention with them.

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
    """The words that a text's tokens make up: runs of letters, digits and marks, with apostrophes between letters.

    Punctuation, symbols and special tokens stand alone. A token is never divided.
    """

    def __init__(self, tokens: Sequence[Token], text: str):
        """tokens, whose offsets are into `text`."""
        starts = [i for i, token in enumerate(tokens) if i == 0 or not _goes_on(tokens[i - 1], token, text)]
        self.starts: NDArray[np.intp] = np.array(starts, dtype=np.intp)
        """Which token each word starts with."""
        self.sizes: NDArray[np.intp] = np.diff([*starts, len(tokens)])
        ends = [tokens[last] for last in self.starts + self.sizes - 1]
        self.tokens = [
            replace(tokens[first], text=text[tokens[first].start : end.end], end=end.end)
            for first, end in zip(starts, ends, strict=True)
        ]


def _goes_on(before: Token, token: Token, text: str) -> bool:
    """Whether a token is of the same word as the one before it."""
    if before.special or token.special or token.start != before.end:
        return False
    return before.start == before.end or token.start == token.end or _inside(text, token.start)


def _inside(text: str, place: int) -> bool:
    """Whether text[place] belongs to the word that text[place - 1] belongs to.

    >>> [_inside("don't!", place) for place in (1, 3, 4, 5)]
    [True, True, True, False]
    """
    around = text[max(place - 2, 0) : place + 2]
    before, after = text[place - 1], text[place]
    if after in APOSTROPHES:
        return before.isalpha() and around[-1].isalpha()
    if before in APOSTROPHES:
        return after.isalpha() and place > 1 and around[0].isalpha()
    return _of_a_word(before) and _of_a_word(after)


APOSTROPHES = "'\u2019"


def _of_a_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def by_words(matrix: AttentionMatrix, queries: Words | None, keys: Words) -> AttentionMatrix:
    """A matrix of tokens as one of words: summed over a key's tokens, averaged over a query's; rows still sum to 1.

    `queries` is None where there is one query for the whole text. The columns of `decoder_self` stand for the start of
    the sentence and then for the words that were given, the query's own beginning included.
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
