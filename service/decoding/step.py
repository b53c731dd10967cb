"""The interface between decoding and a model: one decoder step.

Legend: R rows (one per live hypothesis; the rows of a sentence are adjacent), C candidates per row.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]
Ids = NDArray[np.int64]
Rows = NDArray[np.int64]
Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
State = TypeVar("State")
"""Decoder state. It has one entry per sentence for the encoded source and one entry per row of the last step for the
past. Only the step itself reads it."""


@dataclass(frozen=True)
class Candidates:
    """The most likely next tokens of every row, best first."""

    log_probs: Floats
    """[R, C]"""
    token_ids: Ids
    """[R, C]. Equal log-probabilities are ordered by token id."""
    eos_log_probs: Floats
    """[R]. Log-probability of </s>. The search needs it for rows that reach max_length."""


class DecoderStep(Protocol[State]):
    """One step of a decoder, such as a Transformer with its cache or an RNN with its state."""

    def __call__(
        self, token_ids: Ids, parents: Rows, lengths: Ids, state: State, count: int, attention: frozenset[str]
    ) -> tuple[Candidates, State, Arrays]:
        """Extend every row by one token.

        token_ids [R]: the last token of each row.
        parents [R]: the row of the last step that each row continues.
        lengths [R]: tokens generated before `token_ids`.
        count: candidates per row. Fewer are returned if the vocabulary is smaller.
        attention: names of the attention outputs to compute.

        Return the candidates, the next state and the attention weights of this position by name, [R, heads, 1, keys]
        or [R, 1, keys]. Keys over the past are right-aligned: the last `lengths` + 1 belong to the row, those before
        are padding.
        """

    def join(self, state: State, other: State) -> State:
        """Concatenate the sentences and rows of two states."""

    def keep(self, state: State, sentences: Rows, longest: int) -> State:
        """Select sentences, in the given order. `longest` is the length of their longest hypothesis.

        Rows are not selected here: the parents of the next step do that. `state` must not be used afterwards.
        """
