"""Greedy search: at every position the likeliest token.

Legend: B sentences, R live rows.
"""

import numpy as np

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


def greedy_search(
    step: DecoderStep, state: State, rules: Rules, max_lengths: Ids, alpha: float, may_copy: Flags | None = None
) -> list[Hypothesis]:
    """Decode B sentences, one row of `state` each; a sentence leaves the batch when it ends.

    max_lengths [B] counts tokens without </s>; a hypothesis that reaches it is made to end there. may_copy [B]: whether
    the sentence has an unknown symbol (none, if not given).
    """
    may_copy = np.zeros(len(max_lengths), np.bool_) if may_copy is None else may_copy
    found: dict[int, Hypothesis] = {}
    history = History()
    sentences = np.arange(len(max_lengths))  # [R]: which sentence a row belongs to
    tokens = np.full(len(sentences), rules.bos, dtype=np.int64)
    scores = np.zeros(len(sentences))
    length = 0
    while len(sentences):
        candidates, past, attention = step(tokens, state, 1 + rules.spare)
        allowed, choices = constrain(candidates, rules, length >= max_lengths[sentences], may_copy[sentences])
        rows = np.arange(len(sentences))
        best = allowed.argmax(axis=1)
        tokens = choices[rows, best]
        scores += allowed[rows, best]
        ended = tokens == rules.eos
        length += 1
        for row in np.flatnonzero(ended):
            token_ids, weights = history.read(int(row))
            score = float(scores[row] / length_penalty(length, alpha))
            found[int(sentences[row])] = Hypothesis(token_ids, score, weights)
        live = np.flatnonzero(~ended)
        history.add(live, tokens[live], attention)
        if len(live) < len(sentences):
            state = State(take(state.source, live), take(past, live))
        else:
            state = State(state.source, past)
        sentences, tokens, scores = sentences[live], tokens[live], scores[live]
    return [found[sentence] for sentence in range(len(max_lengths))]
