"""Beam search: the W likeliest prefixes of every sentence, side by side.

Legend: B live sentences, W beam size, w beams per sentence now (1 before the first step, then W),
C candidates of one beam.
"""

import numpy as np
from numpy.typing import NDArray

from service.decoding.step import (
    DecoderStep,
    Flags,
    History,
    Hypothesis,
    Ids,
    Rules,
    State,
    constrain,
    length_penalty,
    take,
)

Scores = NDArray[np.float64]
Rows = NDArray[np.intp]


def best_candidates(totals: Scores, count: int) -> tuple[Scores, Rows]:
    """The `count` largest of each row of totals [B, w*C], best first: their values and places [B, count].

    Of equal values the one at the lower place comes first, so that results do not depend on the batch.
    """
    count = min(count, totals.shape[1])
    places = np.argpartition(-totals, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(totals, places, axis=1)
    order = np.lexsort((places, -values), axis=1)
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(places, order, axis=1)


def beam_search(
    step: DecoderStep,
    state: State,
    rules: Rules,
    max_lengths: Ids,
    alpha: float,
    beam_size: int,
    may_copy: Flags | None = None,
) -> list[list[Hypothesis]]:
    """Decode B sentences, one row of `state` each; returns up to W hypotheses for each, best first.

    At each step the 2W best continuations of a sentence are looked at. A continuation by </s> among the W
    best is a finished hypothesis; the W best others live on. A sentence is done when W hypotheses are
    finished, and then leaves the batch (as in Sutskever et al. 2014 and fairseq). max_lengths [B] counts
    tokens without </s>; hypotheses that reach it are made to end there. may_copy [B]: whether the sentence has an
    unknown symbol (none, if not given).
    """
    may_copy = np.zeros(len(max_lengths), np.bool_) if may_copy is None else may_copy
    finished: list[list[Hypothesis]] = [[] for _ in max_lengths]
    history = History()
    sentences = np.arange(len(max_lengths))  # [B]
    tokens = np.full(len(sentences), rules.bos, dtype=np.int64)  # [B*w]
    scores: Scores = np.zeros((len(sentences), 1))  # [B, w]
    length = 0
    while len(sentences):
        beams = scores.shape[1]
        # What is among the best 2W of a sentence is among the best 2W of its beam.
        candidates, past, attention = step(tokens, state, 2 * beam_size + rules.spare)
        must_end = np.repeat(length >= max_lengths[sentences], beams)
        allowed, choices = constrain(candidates, rules, must_end, np.repeat(may_copy[sentences], beams))
        totals = (scores.reshape(-1, 1) + allowed).reshape(len(sentences), -1)
        values, places = best_candidates(totals, 2 * beam_size)  # [B, 2W]
        candidate_tokens = np.take_along_axis(choices.reshape(len(sentences), -1), places, axis=1)
        candidate_rows = places // allowed.shape[1] + np.arange(len(sentences))[:, None] * beams
        ends = (candidate_tokens == rules.eos) & np.isfinite(values)
        length += 1

        for b, c in np.argwhere(ends[:, :beam_size]):
            done = finished[sentences[b]]
            if len(done) < beam_size:
                token_ids, weights = history.read(int(candidate_rows[b, c]))
                done.append(Hypothesis(token_ids, float(values[b, c] / length_penalty(length, alpha)), weights))

        # The W best candidates that go on: </s> sorts behind them, -inf stays where there are too few.
        going_on = np.where(candidate_tokens == rules.eos, -np.inf, values)
        keep = np.argsort(-going_on, axis=1, kind="stable")[:, :beam_size]
        live_scores = np.take_along_axis(going_on, keep, axis=1)
        open_ = np.array([len(finished[s]) < beam_size for s in sentences]) & np.isfinite(live_scores).any(axis=1)
        rows = np.take_along_axis(candidate_rows, keep, axis=1)[open_].ravel()
        tokens = np.take_along_axis(candidate_tokens, keep, axis=1)[open_].ravel()
        history.add(rows, tokens, attention)
        # The beams of one sentence share its source, so that only a change of shape moves it.
        same_rows = bool(open_.all()) and live_scores.shape[1] == beams
        state = State(state.source if same_rows else take(state.source, rows), take(past, rows))
        sentences, scores = sentences[open_], live_scores[open_]
    return [sorted(hypotheses, key=lambda h: -h.score) for hypotheses in finished]
