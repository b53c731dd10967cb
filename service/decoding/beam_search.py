"""Beam search over sentences that come and go: the W likeliest prefixes of every sentence, side by side.

Legend: B live sentences, W beam size, R = B * W rows, C candidates of one row.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from service.decoding.step import (
    Candidates,
    DecoderStep,
    Flags,
    Floats,
    Goal,
    History,
    Hypothesis,
    Ids,
    Rows,
    Rules,
    State,
    constrain,
    length_penalty,
)

Scores = NDArray[np.float64]


def best_candidates(totals: Scores, count: int) -> tuple[Scores, Rows]:
    """The `count` largest of each row of totals [B, W*C], best first: their values and places [B, count], which are
    counted through all the rows.

    Of equal values the one at the lower place comes first, so that results do not depend on the batch.
    """
    places = (-totals).argsort(axis=1, kind="stable")[:, :count]
    places += totals.shape[1] * np.arange(len(totals))[:, None]
    return totals.take(places), places


@dataclass(frozen=True)
class Finished:
    """Where a hypothesis that has ended is to be read."""

    score: float
    row: int
    steps: int
    """Of the history, behind which it said </s>."""
    length: int
    """Its tokens without </s>."""


class Search(Generic[State]):
    """One running batch. Sentences join it between two steps and leave when they are done; each gets what it would get
    alone. A beam of one is greedy search.

    At each step the 2W best continuations of a sentence are looked at. A continuation by </s> among the W best is a
    finished hypothesis; the W best others live on. A sentence is done when W hypotheses are finished, or none lives on
    (as in Sutskever et al. 2014 and fairseq).
    """

    def __init__(self, step: DecoderStep[State], rules: Rules, beam_size: int):
        self._step = step
        self._rules = rules
        self.width = beam_size
        self.clear()

    def __len__(self) -> int:
        """How many sentences are live."""
        return len(self._goals)

    @property
    def longest(self) -> int:
        """Tokens of the longest live hypothesis."""
        return int(self._lengths.max(initial=0))

    def clear(self) -> None:
        """Let every sentence go."""
        self._state: State | None = None
        self._entries = 0
        """Rows of the step before, and newcomers behind them: what `parents` chooses among."""
        self._history = History()
        self._keys: list[int] = []
        self._finished: list[list[Finished]] = []
        self._scores: Scores = np.zeros((0, self.width))  # [B, W]
        self._lengths: Ids = np.zeros(0, np.int64)  # [B]
        self._tokens: Ids = np.zeros(0, np.int64)  # [R]
        self._parents: Rows = np.zeros(0, np.int64)  # [R]
        self._set_goals([])

    def _set_goals(self, goals: list[Goal]) -> None:
        """Goals of the live sentences, and what every step asks of them."""
        self._goals = goals
        self._wanted = frozenset[str]().union(*(goal.attention for goal in goals))
        self._left = min((g.max_length - n for g, n in zip(goals, self._lengths.tolist(), strict=True)), default=0)
        """Steps until somebody has to end."""
        copying = np.array([goal.may_copy for goal in goals], np.bool_)
        self._may_copy = self._of_rows(copying) if copying.any() else None  # [R]

    def join(self, keys: Sequence[int], goals: Sequence[Goal], state: State) -> None:
        """Sentences join, under keys by which they will be called, with their state before the first step."""
        width, count = self.width, len(goals)
        self._state = state if self._state is None else self._step.join(self._state, state)
        self._keys += keys
        self._finished += [[] for _ in goals]
        # A new sentence has one hypothesis; what stands in its other rows is impossible, and so never chosen.
        first = np.full((count, width), -np.inf)
        first[:, 0] = 0.0
        self._scores = np.concatenate([self._scores, first])
        self._lengths = np.concatenate([self._lengths, np.zeros(count, np.int64)])
        self._tokens = np.concatenate([self._tokens, np.full(count * width, self._rules.bos)])
        self._parents = np.concatenate([self._parents, self._entries + np.repeat(np.arange(count), width)])
        self._entries += count
        self._set_goals([*self._goals, *goals])

    def leave(self, keys: Collection[int]) -> None:
        """Sentences leave unfinished, those of these keys that are here."""
        if any(key in keys for key in self._keys):
            self._keep(np.array([key not in keys for key in self._keys], np.bool_))

    def advance(self) -> list[tuple[int, list[Hypothesis]]]:
        """One step of every sentence. Those that are done leave: their keys and hypotheses, best first."""
        width, rules, count = self.width, self._rules, len(self)
        if not count:
            return []
        assert self._state is not None
        # In the first step only the first row of each sentence is possible, and only that one is run.
        stride = 1 if len(self._history) else width
        # What is among the best 2W of a sentence is among the best 2W of its beam.
        candidates, self._state, attention = self._step(
            self._tokens[::stride],
            self._parents[::stride],
            self._of_rows(self._lengths)[::stride],
            self._state,
            2 * width + rules.spare,
            self._wanted,
        )
        if stride > 1:
            every = (candidates.log_probs, candidates.token_ids, candidates.end)
            candidates = Candidates(*map(self._of_rows, every))
        must_end = None if self._left > 0 else self._of_rows(self._lengths >= [goal.max_length for goal in self._goals])
        allowed, choices = constrain(candidates, rules, must_end, self._may_copy)
        totals = (self._scores.reshape(-1, 1) + allowed).reshape(count, -1)
        values, places = best_candidates(totals, 2 * width)  # [B, 2W]
        tokens, rows = choices.take(places), places // allowed.shape[1] // stride
        ends = tokens == rules.eos
        self._lengths = self._lengths + 1
        self._left -= 1
        if ended := ends.any():
            self._finish(ends[:, :width] & np.isfinite(values[:, :width]), values, rows)
            # The W best candidates that go on: </s> sorts behind them, -inf stays where there are too few.
            going_on = np.where(ends, -np.inf, values)
            values, keep = best_candidates(going_on, width)
            rows, tokens = rows.take(keep), tokens.take(keep)
        self._scores = values[:, :width]
        self._parents = rows[:, :width].ravel()
        self._tokens = tokens[:, :width].ravel()
        self._entries = count * width // stride
        self._history.add(self._parents, self._tokens, attention)

        live = np.isfinite(self._scores[:, 0])
        if ended:
            live &= np.array([len(found) < width for found in self._finished])
        if live.all():
            return []
        done = [
            (self._keys[b], self._hypotheses(self._goals[b], self._finished[b])) for b in np.flatnonzero(~live).tolist()
        ]
        self._keep(live)
        return done

    def _of_rows(self, of_sentences: NDArray[Any]) -> NDArray[Any]:
        """[B, ...] -> [R, ...]"""
        return of_sentences if self.width == 1 else np.repeat(of_sentences, self.width, axis=0)

    def latest(self) -> list[tuple[int, int, dict[str, Floats]]]:
        """Of every live sentence that has said something: its key, the token that its best hypothesis said last, and
        what that looked at. With a beam of one nothing that was said is taken back."""
        if not len(self._history):
            return []
        spoken = np.flatnonzero(self._lengths)
        found = self._history.latest(spoken * self.width)
        return [
            (self._keys[b], token, {name: weights[name] for name in self._goals[b].attention})
            for b, (token, weights) in zip(spoken.tolist(), found, strict=True)
        ]

    def _finish(self, ends: Flags, values: Scores, rows: Rows) -> None:
        """Take down the hypotheses that end: ends [B, W]."""
        for b, c in np.argwhere(ends).tolist():
            finished, length = self._finished[b], int(self._lengths[b])
            if len(finished) < self.width:
                score = float(values[b, c]) / length_penalty(length, self._goals[b].alpha)
                finished.append(Finished(score, int(rows[b, c]), len(self._history), length - 1))

    def _hypotheses(self, goal: Goal, finished: list[Finished]) -> list[Hypothesis]:
        hypotheses: list[Hypothesis] = []
        for found in sorted(finished, key=lambda found: -found.score):
            # Where symbols are copied, every hypothesis needs to know where it looked.
            names = goal.attention if goal.may_copy or not hypotheses else frozenset[str]()
            tokens, attention = self._history.read(found.row, found.steps, found.length, names)
            hypotheses.append(Hypothesis(tokens, found.score, attention))
        return hypotheses

    def _keep(self, live: Flags) -> None:
        """Keep some of the sentences [B]."""
        if self._state is None or not live.any():
            self.clear()
            return
        # The last ones take the places of those that leave: the others have not to be moved.
        count = int(live.sum())
        kept = np.arange(count)
        kept[~live[:count]] = count + np.flatnonzero(live[count:])
        self._keys = [self._keys[b] for b in kept]
        self._finished = [self._finished[b] for b in kept]
        self._scores, self._lengths = self._scores[kept], self._lengths[kept]
        self._set_goals([self._goals[b] for b in kept])
        rows = (kept[:, None] * self.width + np.arange(self.width)).ravel()
        self._tokens, self._parents = self._tokens[rows], self._parents[rows]
        self._history.keep(rows, self.longest)
        self._state = self._step.keep(self._state, kept, self.longest)
