"""A toy decoder step. Its output depends on the sentence and the whole prefix, so that mixed-up rows are detected.

Legend: R rows, P prefix length, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from service.decoding.beam_search import BeamSearch, Hypothesis, SearchRequest
from service.decoding.constraints import SpecialTokens
from service.decoding.step import Arrays, Candidates, Floats, Ids, Rows

PAD, EOS, BOS = 0, 1, 5
WORDS = [2, 3, 4]
"""Tokens that a hypothesis can contain. V - 1 is forbidden too."""
V = 7
SPECIAL = SpecialTokens(bos=BOS, eos=EOS, forbidden=(PAD, BOS, V - 1))
COPYING = SpecialTokens(bos=BOS, eos=EOS, forbidden=(PAD, BOS), copies=(4, V - 1))
"""The toy with two copy tokens. The second is one of the most likely tokens after every second prefix."""
ATTENTION = frozenset({"prefix", "last"})


def log_probs(sentence: int, prefix: list[int]) -> Floats:
    """Return deterministic log-probabilities [V]. Forbidden tokens are the most likely after every second prefix."""
    logits = np.random.default_rng([sentence, *prefix]).normal(size=V)
    logits[[PAD, BOS, V - 1]] += 5 if (sentence + len(prefix)) % 2 else -5
    return np.asarray(logits - np.log(np.exp(logits).sum()))


def most_likely(log_probs: Floats, count: int) -> Candidates:
    """Return the best candidates of log-probabilities [R, V]."""
    token_ids = np.argsort(-log_probs, axis=1, kind="stable")[:, :count]
    return Candidates(np.take_along_axis(log_probs, token_ids, axis=1), token_ids, log_probs[:, EOS])


@dataclass
class ToyState:
    sentences: list[int]
    prefixes: Ids
    """[R, P], right-aligned."""


class ToyStep:
    """Its attention weights are the token ids of the prefix, in two heads of opposite sign."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        """Number of rows of each call."""

    def __call__(
        self, token_ids: Ids, parents: Rows, lengths: Ids, state: ToyState, count: int, attention: frozenset[str]
    ) -> tuple[Candidates, ToyState, Arrays]:
        self.rows.append(len(token_ids))
        prefixes = np.concatenate([state.prefixes[parents], token_ids[:, None]], axis=1)
        sentences = np.repeat(state.sentences, len(token_ids) // len(state.sentences))
        own = [row[len(row) - length - 1 :].tolist() for row, length in zip(prefixes, lengths, strict=True)]
        found = np.stack([self.log_probs(int(s), prefix) for s, prefix in zip(sentences, own, strict=True)])
        heads = np.stack([prefixes, -prefixes], axis=1)[:, :, None, :]
        weights: Arrays = {"prefix": heads, "last": token_ids[:, None, None]}
        return (
            most_likely(found, count),
            ToyState(state.sentences, prefixes),
            {name: weights[name] for name in attention},
        )

    def log_probs(self, sentence: int, prefix: list[int]) -> Floats:
        return log_probs(sentence, prefix)

    def join(self, state: ToyState, other: ToyState) -> ToyState:
        longest = max(state.prefixes.shape[1], other.prefixes.shape[1])
        padded = [np.pad(p, ((0, 0), (longest - p.shape[1], 0))) for p in (state.prefixes, other.prefixes)]
        return ToyState(state.sentences + other.sentences, np.concatenate(padded))

    def keep(self, state: ToyState, sentences: Rows, longest: int) -> ToyState:
        return ToyState([state.sentences[s] for s in sentences], state.prefixes[:, state.prefixes.shape[1] - longest :])


def start(sentences: list[int]) -> ToyState:
    return ToyState(sentences, np.zeros((len(sentences), 0), dtype=np.int64))


def search(
    sentences: list[int], max_lengths: list[int], alpha: float = 1.0, beam_size: int = 3, step: ToyStep | None = None
) -> list[list[Hypothesis]]:
    """Return the hypotheses of sentences that start together."""
    running = BeamSearch(step or ToyStep(), SPECIAL, beam_size)
    requests = [SearchRequest(max_length, alpha, attention=ATTENTION) for max_length in max_lengths]
    running.join(range(len(sentences)), requests, start(sentences))
    found: dict[int, list[Hypothesis]] = {}
    while len(running):
        found |= dict(running.advance())
    return [found[key] for key in range(len(sentences))]


def score(sentence: int, tokens: list[int], alpha: float) -> float:
    """Return the score of a hypothesis, from its definition."""
    ended = [*tokens, EOS]
    total = sum(log_probs(sentence, [BOS, *tokens[:i]])[token] for i, token in enumerate(ended))
    return float(total / len(ended) ** alpha)


def reference_beam_search(
    sentence: int, max_length: int, alpha: float, beam_size: int, copies: Mapping[int, int] | None = None
) -> list[tuple[float, list[int]]]:
    """Beam search of one sentence in plain Python: (score, tokens), best first.

    copies: maximum number of each copy token of COPYING. None searches without copy tokens.
    """
    limits = {} if copies is None else {token: copies.get(token, 0) for token in COPYING.copies}
    words = WORDS if copies is None else [2, 3, *COPYING.copies]
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[tuple[float, list[int]]] = []
    while live and len(finished) < beam_size:
        candidates = []
        for total, tokens in live:
            row = log_probs(sentence, [BOS, *tokens])
            possible = [word for word in words if tokens.count(word) < limits.get(word, max_length)]
            choices = [EOS, *possible] if len(tokens) < max_length else [EOS]
            candidates += [(total + float(row[choice]), tokens, choice) for choice in choices]
        candidates.sort(key=lambda candidate: -candidate[0])
        for total, tokens, choice in candidates[:beam_size]:
            if choice == EOS and len(finished) < beam_size:
                finished.append((total / (len(tokens) + 1) ** alpha, tokens))
        live = [(total, [*tokens, choice]) for total, tokens, choice in candidates if choice != EOS][:beam_size]
    return sorted(finished, key=lambda hypothesis: -hypothesis[0])


def reference_greedy_search(sentence: int, max_length: int) -> list[int]:
    """Greedy search of one sentence in plain Python."""
    found: list[int] = []
    while len(found) < max_length:
        row = log_probs(sentence, [BOS, *found])
        best = max([EOS, *WORDS], key=lambda token: row[token])
        if best == EOS:
            break
        found.append(best)
    return found


def every_hypothesis(sentence: int, max_length: int, alpha: float) -> list[tuple[float, list[int]]]:
    """Return all hypotheses up to a length with their scores, best first."""
    found = [list(tokens) for length in range(max_length + 1) for tokens in product(WORDS, repeat=length)]
    return sorted(((score(sentence, tokens, alpha), tokens) for tokens in found), reverse=True)
