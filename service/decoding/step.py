"""What decoding knows of a model: one step.

Legend: B sentences, W beam size, R = B * W rows (one per live hypothesis, those of a sentence side by side),
C candidates per row.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]
Ids = NDArray[np.int64]
Rows = NDArray[np.int64]
Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
State = TypeVar("State")
"""What a step needs besides the last tokens: of the source, one entry a sentence; of what was decoded, one entry a row
of the step before. Only the step itself looks into it."""


@dataclass(frozen=True)
class Candidates:
    """The likeliest next tokens of every row, best first: all that search looks at of a vocabulary."""

    log_probs: Floats
    """[R, C]"""
    token_ids: Ids
    """[R, C]; of equal log-probabilities the lower id comes first."""
    end: Floats
    """[R]: the log-probability of </s>, which a hypothesis may be made to say though it is no candidate."""


class DecoderStep(Protocol[State]):
    """One step of any translator: a Transformer with its cache, an RNN with its state, a toy in a test."""

    def __call__(
        self, token_ids: Ids, parents: Rows, lengths: Ids, state: State, count: int, attention: frozenset[str]
    ) -> tuple[Candidates, State, Arrays]:
        """token_ids [R], said after `lengths` [R] tokens by hypotheses that go on from the rows `parents` [R] of the
        step before -> the `count` likeliest next tokens (all, if there are fewer), the next state, and the attention
        that is asked for, by name: [R, heads, 1, keys], or [R, 1, keys], the weights of this one position. Keys of the
        past end with the row's own: what is before its `lengths` + 1 last ones is not its own.
        """

    def join(self, state: State, newcomers: State) -> State:
        """The sentences and rows of both, those of `state` first."""

    def keep(self, state: State, sentences: Rows, longest: int) -> State:
        """The state for these sentences only, in this order, none of whose hypotheses is longer than `longest`; `state`
        itself is used up. The rows stay: the parents of the next step choose among them."""


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

    @cached_property
    def penalties(self) -> NDArray[np.float64]:
        """What is added to the log-probability of each id; of all that are too high for it, the last."""
        forbidden = [*self.never, *([] if self.unknown is None else [self.unknown])]
        penalties = np.zeros(max(forbidden, default=0) + 2)
        penalties[forbidden] = -np.inf
        return penalties


@dataclass(frozen=True)
class Goal:
    """What is wanted of one sentence."""

    max_length: int
    """Tokens without </s>; a hypothesis that reaches it is made to end there."""
    alpha: float = 1.0
    """Of the length penalty."""
    may_copy: bool = False
    """Whether it has an unknown symbol."""
    attention: frozenset[str] = frozenset()
    """Names of the attention to keep."""


@dataclass(frozen=True)
class Hypothesis:
    """One candidate."""

    token_ids: list[int]
    """Without <s> and </s>."""
    score: float
    """Sum of the log-probabilities of its tokens and of </s>, divided by the length penalty."""
    attention: dict[str, list[Floats]]
    """By name, one array a token: [heads, 1, keys] or [1, keys]. Of the best hypothesis, and of all that may copy."""


def length_penalty(length: int, alpha: float) -> float:
    """length ** alpha, where the length counts </s>: 0 compares sums of log-probabilities, 1 their means.

    Longer hypotheses have smaller sums; without a penalty search prefers to say little (Wu et al. 2016,
    section 7; this is the plain form that OpenNMT, Marian and fairseq use).
    """
    return float(length**alpha)


def constrain(
    candidates: Candidates, rules: Rules, must_end: Flags | None = None, may_copy: Flags | None = None
) -> tuple[NDArray[np.float64], Ids]:
    """Log-probabilities and ids [R, C] with the impossible at -inf: rows in `must_end` [R] can only say </s>, and only
    rows in `may_copy` [R] can copy an unknown symbol. None: no row."""
    token_ids = candidates.token_ids
    allowed = candidates.log_probs + rules.penalties.take(token_ids, mode="clip")
    if may_copy is not None:
        copies = (token_ids == rules.unknown) & may_copy[:, None]
        allowed[copies] = candidates.log_probs[copies]
    if must_end is not None:
        token_ids = token_ids.copy()
        allowed[must_end] = -np.inf
        allowed[must_end, 0] = candidates.end[must_end]
        token_ids[must_end, 0] = rules.eos
    return allowed, token_ids


class History:
    """What every live hypothesis said and looked at, as a tree: each step's rows point at the step before.

    Beam search reorders, copies and drops rows all the time. Nothing is copied here when it does: a
    hypothesis is read back along its parents once, when its sentence is finished.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[Rows, Ids, Arrays]] = []
        self._forgotten = 0

    def __len__(self) -> int:
        """How many steps there have been."""
        return self._forgotten + len(self._steps)

    def add(self, parents: Rows, token_ids: Ids, attention: Arrays) -> None:
        """A step: each new row's parent in the step before [R], the token it chose [R], and the attention
        of the step's rows *before* the choice, which `parents` indexes [R_before, ...]."""
        self._steps.append((parents, token_ids, attention))

    def keep(self, rows: Rows, steps: int) -> None:
        """Only these rows go on, in this order (newcomers, who have said nothing yet, are counted behind those of the
        last step), and none goes back beyond the last `steps`."""
        if self._steps:
            parents, token_ids, attention = self._steps[-1]
            own = np.where(rows < len(parents), rows, 0)  # a newcomer's is never read
            self._steps[-1] = (parents[own], token_ids[own], attention)
        extra = max(0, len(self._steps) - steps)
        del self._steps[:extra]
        self._forgotten += extra

    def latest(self, rows: Rows) -> list[tuple[int, dict[str, Floats]]]:
        """What these rows said in the last step, and what they looked at."""
        parents, token_ids, attention = self._steps[-1]
        return [
            (int(token_ids[row]), {name: array[parents[row]] for name, array in attention.items()})
            for row in rows.tolist()
        ]

    def read(
        self, row: int, steps: int, length: int, names: frozenset[str]
    ) -> tuple[list[int], dict[str, list[Floats]]]:
        """The last `length` tokens of what was row `row` after so many steps, and what each of them looked at."""
        tokens: list[int] = []
        attention: dict[str, list[Floats]] = {name: [] for name in names}
        end = steps - self._forgotten
        for parents, token_ids, weights in reversed(self._steps[end - length : end]):
            tokens.append(int(token_ids[row]))
            row = int(parents[row])
            for name, positions in attention.items():
                positions.append(weights[name][row])
        tokens.reverse()
        for positions in attention.values():
            positions.reverse()
        return tokens, attention
