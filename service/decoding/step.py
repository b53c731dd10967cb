"""What decoding knows of a model: one step.

Legend: R rows (one per live hypothesis), C candidates per row, T target length.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]
Ids = NDArray[np.int64]
Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]


@dataclass
class State:
    """What a step needs besides the last tokens. Every array has the rows as its first dimension."""

    source: Arrays
    """Of the source; the same at every step, so the hypotheses of one sentence share its value."""
    past: Arrays
    """Of what was decoded; each step returns the next."""


@dataclass(frozen=True)
class Candidates:
    """The likeliest next tokens of every row, best first: all that search looks at of a vocabulary."""

    log_probs: Floats
    """[R, C]"""
    token_ids: Ids
    """[R, C]; of equal log-probabilities the lower id comes first."""
    end: Floats
    """[R]: the log-probability of </s>, which a hypothesis may be made to say though it is no candidate."""


class DecoderStep(Protocol):
    """One step of any translator: a Transformer with its cache, an RNN with its state, a toy in a test."""

    def __call__(self, token_ids: Ids, state: State, count: int) -> tuple[Candidates, Arrays, Arrays]:
        """token_ids [R] -> the `count` likeliest next tokens (all, if there are fewer), the next past, attention by
        name.

        An attention array is [R, heads, 1, keys], or [R, 1, keys]: the weights of this one position.
        """


@dataclass(frozen=True)
class Rules:
    """What bounds the search."""

    bos: int
    eos: int
    never: tuple[int, ...]
    """Ids that are never produced."""
    unknown: int | None = None
    """The id that copies an unknown symbol of the source: produced only where there is one."""

    @property
    def spare(self) -> int:
        """How many candidates more than wanted have to be asked for, since so many may be forbidden."""
        return len(self.never) + (self.unknown is not None)


@dataclass(frozen=True)
class Hypothesis:
    """One candidate."""

    token_ids: list[int]
    """Without <s> and </s>."""
    score: float
    """Sum of the log-probabilities of its tokens and of </s>, divided by the length penalty."""
    attention: Arrays
    """By name, [heads, T, keys] (or [T, keys]); later positions have more keys in decoder self-attention,
    earlier ones are filled up with zeros."""


def length_penalty(length: int | NDArray[np.int64], alpha: float) -> float | NDArray[np.float64]:
    """length ** alpha, where the length counts </s>: 0 compares sums of log-probabilities, 1 their means.

    Longer hypotheses have smaller sums; without a penalty search prefers to say little (Wu et al. 2016,
    section 7; this is the plain form that OpenNMT, Marian and fairseq use).
    """
    return np.asarray(length, dtype=np.float64) ** alpha


def constrain(
    candidates: Candidates, rules: Rules, must_end: Flags, may_copy: Flags
) -> tuple[NDArray[np.float64], Ids]:
    """Log-probabilities and ids [R, C] with the impossible at -inf: rows in `must_end` [R] can only say </s>, and only
    rows in `may_copy` [R] can copy an unknown symbol."""
    token_ids = candidates.token_ids
    allowed = candidates.log_probs.astype(np.float64)
    for forbidden in rules.never:
        allowed[token_ids == forbidden] = -np.inf
    if rules.unknown is not None:
        allowed[(token_ids == rules.unknown) & ~may_copy[:, None]] = -np.inf
    if must_end.any():
        token_ids = token_ids.copy()
        allowed[must_end] = -np.inf
        allowed[must_end, 0] = candidates.end[must_end]
        token_ids[must_end, 0] = rules.eos
    return allowed, token_ids


def take(arrays: Arrays, rows: NDArray[np.intp]) -> Arrays:
    return {name: array[rows] for name, array in arrays.items()}


class History:
    """What every live hypothesis said and looked at, as a tree: each step's rows point at the step before.

    Beam search reorders, copies and drops rows all the time. Nothing is copied here when it does: a
    hypothesis is read back along its parents once, when it is finished.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[NDArray[np.intp], Ids, Arrays]] = []

    def add(self, parents: NDArray[np.intp], token_ids: Ids, attention: Arrays) -> None:
        """A step: each new row's parent in the step before [R], the token it chose [R], and the attention
        of the step's rows *before* the choice, which `parents` indexes [R_before, ...]."""
        self._steps.append((parents, token_ids, attention))

    def read(self, row: int, last_token: int | None = None) -> tuple[list[int], Arrays]:
        """The tokens and attention of the hypothesis that is row `row` after the last step."""
        tokens, attention = [], []
        for parents, token_ids, weights in reversed(self._steps):
            tokens.append(int(token_ids[row]))
            row = int(parents[row])
            attention.append({name: array[row] for name, array in weights.items()})
        tokens.reverse()
        attention.reverse()
        return tokens, {name: _stack([step[name] for step in attention]) for name in (attention or [{}])[0]}


def _stack(positions: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    """T arrays [..., 1, keys_t] -> [..., T, max keys], shorter ones filled with zeros at the end."""
    longest = max(position.shape[-1] for position in positions)
    padded = [
        np.pad(position, [(0, 0)] * (position.ndim - 1) + [(0, longest - position.shape[-1])]) for position in positions
    ]
    return np.concatenate(padded, axis=-2)
