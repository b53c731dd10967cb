"""Beam search with continuous batching: sentences join and leave a running search between steps.

Legend: B live sentences, W beam size, R = B * W rows (the rows of a sentence are adjacent), C candidates per row.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from service.decoding.constraints import SpecialTokens, constrain, count_copies
from service.decoding.history import History
from service.decoding.step import Arrays, Candidates, DecoderStep, Flags, Floats, Ids, Rows, State

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class SearchRequest:
    """Search options of one sentence."""

    max_length: int
    """Maximum tokens without </s>. A hypothesis of this length is forced to end."""
    alpha: float = 1.0
    """Exponent of the length penalty."""
    copies: Mapping[int, int] = field(default_factory=dict)
    """Copy tokens that a hypothesis may produce -> maximum number of each. The source contains them."""
    attention: frozenset[str] = frozenset()
    """Names of the attention outputs to return."""
    log_probs: bool = False
    """Return the log-probability of each token."""


@dataclass(frozen=True)
class Hypothesis:
    """A finished hypothesis."""

    token_ids: list[int]
    """Without <s> and </s>."""
    score: float
    """Sum of the log-probabilities of its tokens and </s>, divided by the length penalty."""
    attention: dict[str, list[Floats]]
    """Attention by name, one array per token: [heads, 1, keys] or [1, keys]."""
    log_probs: list[float] = field(default_factory=list)
    """Log-probability of each token, if requested."""


def length_penalty(length: int, alpha: float) -> float:
    """Return length ** alpha, where length counts </s>.

    With alpha 0, scores are sums of log-probabilities, which favour short hypotheses; with alpha 1 they are means.
    Wu et al. 2016, section 7, in the simple form of OpenNMT, Marian and fairseq.
    """
    return float(length**alpha)


def best_candidates(totals: Scores, count: int) -> tuple[Scores, Rows]:
    """Return the `count` largest values of each row of totals [B, N], best first, and their flat indices [B, count].

    Equal values are ordered by index, so that the result does not depend on the batch.
    """
    indices = (-totals).argsort(axis=1, kind="stable")[:, :count]
    indices += totals.shape[1] * np.arange(len(totals))[:, None]
    return totals.take(indices), indices


@dataclass(frozen=True)
class _Finished:
    """Position of a finished hypothesis in the history."""

    score: float
    row: int
    steps: int
    """Steps in the history before its </s>."""
    length: int
    """Tokens without </s>."""


class BeamSearch(Generic[State]):
    """A running batch of sentences. The result of a sentence does not depend on the others. Beam size 1 is greedy.

    Each step considers the 2W best continuations of a sentence. Those of the W best that end in </s> are finished
    hypotheses. The W best others stay live. A sentence is done when it has W finished hypotheses or no live one: the
    stop rule of fairseq, with the search of Sutskever et al. 2014.
    """

    def __init__(self, step: DecoderStep[State], special: SpecialTokens, beam_size: int):
        self._step = step
        self._special = special
        self.beam_size = beam_size
        self.clear()

    def __len__(self) -> int:
        """Number of live sentences."""
        return len(self._requests)

    @property
    def longest(self) -> int:
        """Tokens of the longest live hypothesis."""
        return int(self._lengths.max(initial=0))

    def clear(self) -> None:
        """Drop all sentences."""
        self._state: State | None = None
        self._num_rows = 0
        """Rows that `_parents` refers to: those of the last step, then those of sentences that joined since."""
        self._history = History()
        self._keys: list[int] = []
        self._finished: list[list[_Finished]] = []
        self._scores: Scores = np.zeros((0, self.beam_size))  # [B, W]
        self._lengths: Ids = np.zeros(0, np.int64)  # [B]
        self._tokens: Ids = np.zeros(0, np.int64)  # [R]
        self._parents: Rows = np.zeros(0, np.int64)  # [R]
        self._copies_left: Ids | None = None  # [R, K]
        self._set_requests([])

    def _set_requests(self, requests: list[SearchRequest]) -> None:
        """Set the requests of the live sentences and the values that every step derives from them."""
        self._requests = requests
        self._attention = frozenset[str]().union(*(request.attention for request in requests))
        remaining = [r.max_length - n for r, n in zip(requests, self._lengths.tolist(), strict=True)]
        self._steps_to_limit = min(remaining, default=0)
        """Steps until the first sentence reaches max_length."""

    def join(self, keys: Sequence[int], requests: Sequence[SearchRequest], state: State) -> None:
        """Add sentences with their initial state. Results carry their keys."""
        beam_size, count = self.beam_size, len(requests)
        self._state = state if self._state is None else self._step.join(self._state, state)
        self._keys += keys
        self._finished += [[] for _ in requests]
        # A new sentence has a single hypothesis: its other rows have probability 0 and are never selected.
        scores = np.full((count, beam_size), -np.inf)
        scores[:, 0] = 0.0
        self._scores = np.concatenate([self._scores, scores])
        self._lengths = np.concatenate([self._lengths, np.zeros(count, np.int64)])
        self._tokens = np.concatenate([self._tokens, np.full(count * beam_size, self._special.bos)])
        self._parents = np.concatenate([self._parents, self._num_rows + np.repeat(np.arange(count), beam_size)])
        self._num_rows += count
        self._join_copies(requests)
        self._set_requests([*self._requests, *requests])

    def _join_copies(self, requests: Sequence[SearchRequest]) -> None:
        """Add the copy tokens of new sentences. Without any in the batch, `_copies_left` is None."""
        if self._copies_left is None and not any(request.copies for request in requests):
            return
        copies = self._special.copies
        new = np.array([[request.copies.get(token, 0) for token in copies] for request in requests], np.int64)
        before = self._copies_left
        if before is None:
            before = np.zeros((len(self) * self.beam_size, len(copies)), np.int64)
        self._copies_left = np.concatenate([before, self._per_row(new)])

    def leave(self, keys: Collection[int]) -> None:
        """Remove unfinished sentences. Unknown keys are ignored."""
        if any(key in keys for key in self._keys):
            self._keep(np.array([key not in keys for key in self._keys], np.bool_))

    def advance(self) -> list[tuple[int, list[Hypothesis]]]:
        """Run one step. Remove finished sentences and return their keys and hypotheses, best first."""
        if not len(self):
            return []
        # Every sentence has one possible row in the first step. Only that row is run.
        stride = 1 if len(self._history) else self.beam_size
        candidates, attention = self._run_step(stride)
        values, tokens, rows = self._best_continuations(candidates, stride)
        self._lengths = self._lengths + 1
        self._steps_to_limit -= 1
        ends = tokens == self._special.eos
        if any_ends := ends.any():
            self._finish(ends[:, : self.beam_size] & np.isfinite(values[:, : self.beam_size]), values, rows)
            values = np.where(ends, -np.inf, values)
            if values.shape[1] > 1:
                # The best continuations without </s>. If there are fewer than W, the rest stay at -inf.
                values, kept = best_candidates(values, self.beam_size)
                rows, tokens = rows.take(kept), tokens.take(kept)
        self._scores = values[:, : self.beam_size]
        self._parents = rows[:, : self.beam_size].ravel()
        self._tokens = tokens[:, : self.beam_size].ravel()
        if self._copies_left is not None:
            self._copies_left = self._copies_left[self._parents * stride]
            count_copies(self._copies_left, self._special, self._tokens)
        self._num_rows = len(self) * self.beam_size // stride
        self._history.add(self._parents, self._tokens, attention, self._scores)

        live = np.isfinite(self._scores[:, 0])
        if any_ends:
            live &= np.array([len(finished) < self.beam_size for finished in self._finished])
        return [] if live.all() else self._remove_done(live)

    def _run_step(self, stride: int) -> tuple[Candidates, Arrays]:
        """Run every `stride`-th row. Return candidates for all rows and the attention of the rows that ran."""
        assert self._state is not None
        # The 2W best continuations of a sentence are among the 2W best of each of its rows.
        candidates, self._state, attention = self._step(
            self._tokens[::stride],
            self._parents[::stride],
            self._per_row(self._lengths)[::stride],
            self._state,
            self._num_candidates(),
            self._attention,
        )
        if stride > 1:
            arrays = (candidates.log_probs, candidates.token_ids, candidates.eos_log_probs)
            candidates = Candidates(*map(self._per_row, arrays))
        return candidates, attention

    def _num_candidates(self) -> int:
        """Candidates per row that each step computes."""
        return 2 * self.beam_size + self._special.num_maskable

    def _best_continuations(self, candidates: Candidates, stride: int) -> tuple[Scores, Ids, Rows]:
        """Return the score, token and parent row of the 2W best continuations of each sentence, [B, 2W] each.

        With beam size 1 the best one can be enough: [B, 1].
        """
        must_end = None
        if self._steps_to_limit <= 0:
            must_end = self._per_row(self._lengths >= [request.max_length for request in self._requests])
        elif self.beam_size == 1 and self._copies_left is None:
            best = candidates.token_ids[:, :1]
            if not self._special.mask.take(best, mode="clip").any():
                return self._scores + candidates.log_probs[:, :1], best, np.arange(len(best))[:, None]
        log_probs, choices = constrain(candidates, self._special, must_end, self._copies_left)
        totals = (self._scores.reshape(-1, 1) + log_probs).reshape(len(self), -1)  # [B, W * C]
        values, indices = best_candidates(totals, 2 * self.beam_size)
        return values, choices.take(indices), indices // log_probs.shape[1] // stride

    def _per_row(self, values: NDArray[Any]) -> NDArray[Any]:
        """Repeat values [B, ...] for the rows of each sentence: [R, ...]."""
        return values if self.beam_size == 1 else np.repeat(values, self.beam_size, axis=0)

    def latest(self) -> list[tuple[int, int, dict[str, Floats]]]:
        """Return the key, last token and attention of the best row of each sentence that has a token.

        With beam size 1 these tokens are final.
        """
        if not len(self._history):
            return []
        started = np.flatnonzero(self._lengths)
        latest = self._history.latest(started * self.beam_size)
        return [
            (self._keys[b], token, {name: weights[name] for name in self._requests[b].attention})
            for b, (token, weights) in zip(started.tolist(), latest, strict=True)
        ]

    def _finish(self, ends: Flags, values: Scores, rows: Rows) -> None:
        """Record the hypotheses that end: ends [B, W]."""
        for b, c in zip(*(places.tolist() for places in ends.nonzero()), strict=True):
            finished, length = self._finished[b], int(self._lengths[b])
            if len(finished) < self.beam_size:
                score = float(values[b, c]) / length_penalty(length, self._requests[b].alpha)
                finished.append(_Finished(score, int(rows[b, c]), len(self._history), length - 1))

    def _remove_done(self, live: Flags) -> list[tuple[int, list[Hypothesis]]]:
        """Remove the sentences that are not live [B] and return their keys and hypotheses."""
        done = [
            (self._keys[b], self._hypotheses(self._requests[b], self._finished[b]))
            for b in np.flatnonzero(~live).tolist()
        ]
        self._keep(live)
        return done

    def _hypotheses(self, request: SearchRequest, finished: list[_Finished]) -> list[Hypothesis]:
        """Read the finished hypotheses of a sentence, best first."""
        hypotheses: list[Hypothesis] = []
        for found in sorted(finished, key=lambda found: -found.score):
            tokens, attention = self._history.read(found.row, found.steps, found.length, request.attention)
            log_probs = self._history.log_probs(found.row, found.steps, found.length) if request.log_probs else []
            hypotheses.append(Hypothesis(tokens, found.score, attention, log_probs))
        return hypotheses

    def _keep(self, live: Flags) -> None:
        """Keep the sentences in `live` [B] and drop the others."""
        if self._state is None or not live.any():
            self.clear()
            return
        # Fill the gaps with the last live sentences, so that the others do not move.
        count = int(live.sum())
        kept = np.arange(count)
        kept[~live[:count]] = count + np.flatnonzero(live[count:])
        self._keys = [self._keys[b] for b in kept]
        self._finished = [self._finished[b] for b in kept]
        self._scores, self._lengths = self._scores[kept], self._lengths[kept]
        self._set_requests([self._requests[b] for b in kept])
        rows = (kept[:, None] * self.beam_size + np.arange(self.beam_size)).ravel()
        self._tokens, self._parents = self._tokens[rows], self._parents[rows]
        if self._copies_left is not None:
            has_copies = any(request.copies for request in self._requests)
            self._copies_left = self._copies_left[rows] if has_copies else None
        self._history.keep(rows, self.longest)
        self._state = self._step.keep(self._state, kept, self.longest)
