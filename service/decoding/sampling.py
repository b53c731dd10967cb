"""Sampling with continuous batching: texts join and leave a running batch between steps.

Legend: R rows (one per live text), V vocabulary.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal

import numpy as np
from numpy.typing import NDArray

from service.decoding.step import Arrays, Candidates, DecoderStep, Flags, Floats, Ids, Rows, State

Probabilities = NDArray[np.float64]
FinishReason = Literal["length", "stop"]


@dataclass(frozen=True)
class SamplingRequest:
    """A prompt and how to continue it."""

    prompt: list[int]
    """Token ids, at least one."""
    max_tokens: int
    """Maximum tokens to generate. With 0, only the prompt's log-probabilities are computed."""
    temperature: float = 1.0
    """Divisor of the log-probabilities. 0 selects the most likely token."""
    top_k: int | None = None
    """Sample from the k most likely tokens (Fan et al. 2018)."""
    top_p: float = 1.0
    """Nucleus sampling: sample from the most likely tokens with this total probability (Holtzman et al. 2020)."""
    repetition_penalty: float = 1.0
    """Factor on the log-probability of tokens that are already in the text, as in CTRL (Keskar et al. 2019)."""
    seed: int = 0
    ends_text: Callable[[int], bool] | None = None
    """Called with each generated token. True ends the text after it."""
    attention: frozenset[str] = frozenset()
    """Names of the attention outputs to return."""


@dataclass
class Completion:
    """The result of a SamplingRequest. It grows while the text is generated."""

    prompt_log_probs: list[float] = field(default_factory=list)
    """Log-probability of each prompt token except the first."""
    token_ids: list[int] = field(default_factory=list)
    """Generated tokens, without </s>."""
    log_probs: list[float] = field(default_factory=list)
    """Log-probability of each generated token at temperature 1."""
    attention: dict[str, list[Floats]] = field(default_factory=dict)
    """Attention by name, one array per generated token: [heads, 1, keys] or [1, keys]."""
    finish_reason: FinishReason = "length"


class _Text:
    """A text in the running batch."""

    def __init__(self, key: int, request: SamplingRequest):
        self.key = key
        self.request = request
        self.completion = Completion(attention={name: [] for name in request.attention})
        # Drawn in advance, so that the text depends on its seed only.
        self._uniforms = np.random.default_rng(request.seed).random(request.max_tokens)

    def generates_after(self, length: int) -> bool:
        """Return True if the step after `length` tokens generates a token, False if it reads the prompt."""
        return length + 1 >= len(self.request.prompt) and self.request.max_tokens > 0

    @property
    def uniform(self) -> float:
        """The random number in [0, 1) for the next token."""
        return float(self._uniforms[len(self.completion.token_ids)])

    def read(self, length: int, log_probs: Probabilities) -> bool:
        """Record the log-probability of prompt token `length`. Return False after the last one."""
        if length == len(self.request.prompt):
            return False
        self.completion.prompt_log_probs.append(float(log_probs[self.request.prompt[length]]))
        return True

    def append(self, token: int, eos: int, log_probs: Probabilities, attention: dict[str, Floats]) -> bool:
        """Append a generated token. Return False if it ends the text."""
        completion, request = self.completion, self.request
        if token == eos:
            completion.finish_reason = "stop"
            return False
        completion.token_ids.append(token)
        completion.log_probs.append(float(log_probs[token]))
        for name, weights in attention.items():
            completion.attention[name].append(weights)
        if request.ends_text is not None and request.ends_text(token):
            completion.finish_reason = "stop"
            return False
        return len(completion.token_ids) < request.max_tokens


def by_token_id(candidates: Candidates, vocabulary: int) -> Probabilities:
    """Return log-probabilities [R, V] by token id. Tokens that are not candidates get -inf."""
    log_probs = np.full((len(candidates.token_ids), vocabulary), -np.inf)
    np.put_along_axis(log_probs, candidates.token_ids, candidates.log_probs.astype(np.float64), axis=1)
    return log_probs


def sample(log_probs: Probabilities, requests: Sequence[SamplingRequest], seen: Flags, uniforms: Probabilities) -> Ids:
    """Return the next token of each row [R] by inverse transform sampling.

    log_probs [R, V]: by token id.
    seen [R, V]: tokens that a row contains already.
    uniforms [R]: random numbers in [0, 1).

    The cumulative distribution is ordered by token id, not by probability, so that rounding errors in one probability
    do not reorder the others.
    """
    penalties = np.array([request.repetition_penalty for request in requests])
    scores = np.where(seen, log_probs * penalties[:, None], log_probs) if (penalties != 1).any() else log_probs
    tokens: Ids = scores.argmax(axis=1)
    sampled = np.flatnonzero([request.temperature > 0 for request in requests])
    if not len(sampled):
        return tokens
    requests = [requests[row] for row in sampled.tolist()]
    scores = scores[sampled] - scores[sampled].max(axis=1, keepdims=True)
    weights = np.exp(scores / np.array([request.temperature for request in requests])[:, None])
    order = np.argsort(-weights, axis=1, kind="stable")
    sorted_weights = np.take_along_axis(weights, order, axis=1)
    mass_before = np.cumsum(sorted_weights, axis=1) - sorted_weights
    top_k = np.array([request.top_k or scores.shape[1] for request in requests])[:, None]
    top_mass = np.array([request.top_p for request in requests])[:, None] * weights.sum(axis=1, keepdims=True)
    kept = (np.arange(scores.shape[1]) < top_k) & (mass_before < top_mass)
    np.put_along_axis(weights, order, np.where(kept, sorted_weights, 0.0), axis=1)
    cumulative = np.cumsum(weights, axis=1)
    tokens[sampled] = (cumulative > uniforms[sampled, None] * cumulative[:, -1:]).argmax(axis=1)
    return tokens


class Sampler(Generic[State]):
    """A running batch of texts. The result of a text does not depend on the others.

    Prompts are read token by token, in the same batch as texts that are being generated.
    """

    def __init__(self, step: DecoderStep[State], vocabulary: int, eos: int, forbidden: Sequence[int]):
        """`forbidden`: ids that are never generated."""
        self._step = step
        self._vocabulary = vocabulary
        self._eos = eos
        self._forbidden = list(forbidden)
        self.clear()

    def __len__(self) -> int:
        """Number of live texts."""
        return len(self._texts)

    def keys(self) -> list[int]:
        """Keys of the live texts."""
        return [text.key for text in self._texts]

    def clear(self) -> None:
        """Drop all texts."""
        self._state: State | None = None
        self._num_rows = 0
        """Rows that `_parents` refers to: those of the last step, then those of texts that joined since."""
        self._texts: list[_Text] = []
        self._lengths: Ids = np.zeros(0, np.int64)  # [R]
        self._tokens: Ids = np.zeros(0, np.int64)  # [R]
        self._parents: Rows = np.zeros(0, np.int64)  # [R]
        self._seen: Flags = np.zeros((0, self._vocabulary), np.bool_)  # [R, V]
        self._latest: list[_Text] = []

    def join(self, keys: Sequence[int], requests: Sequence[SamplingRequest], state: State) -> None:
        """Add texts with their initial state. Results carry their keys."""
        count = len(requests)
        self._state = state if self._state is None else self._step.join(self._state, state)
        self._texts += [_Text(key, request) for key, request in zip(keys, requests, strict=True)]
        self._lengths = np.concatenate([self._lengths, np.zeros(count, np.int64)])
        self._tokens = np.concatenate([self._tokens, [request.prompt[0] for request in requests]])
        self._parents = np.concatenate([self._parents, self._num_rows + np.arange(count)])
        seen = np.zeros((count, self._vocabulary), np.bool_)
        for row, request in enumerate(requests):
            seen[row, request.prompt] = True
        self._seen = np.concatenate([self._seen, seen])
        self._num_rows += count

    def leave(self, keys: Collection[int]) -> None:
        """Remove unfinished texts. Unknown keys are ignored."""
        if any(text.key in keys for text in self._texts):
            self._keep(np.array([text.key not in keys for text in self._texts], np.bool_))

    def advance(self) -> list[tuple[int, Completion]]:
        """Run one step. Remove finished texts and return their keys and completions."""
        self._latest = []
        if not self._texts:
            return []
        generating = [text.generates_after(n) for text, n in zip(self._texts, self._lengths.tolist(), strict=True)]
        log_probs, attention = self._run_step(generating)
        allowed = log_probs.copy()
        allowed[:, self._forbidden] = -np.inf
        uniforms = [text.uniform if g else 0.0 for text, g in zip(self._texts, generating, strict=True)]
        tokens = sample(allowed, [text.request for text in self._texts], self._seen, np.array(uniforms))
        live = np.ones(len(self._texts), np.bool_)
        for row, text in enumerate(self._texts):
            if generating[row]:
                # Copied, because a view would keep the attention of the whole batch in memory.
                weights = {name: attention[name][row].copy() for name in text.request.attention}
                live[row] = text.append(int(tokens[row]), self._eos, log_probs[row], weights)
                self._seen[row, tokens[row]] = True
            else:
                live[row] = text.read(int(self._lengths[row]), log_probs[row])
                tokens[row] = text.request.prompt[min(self._lengths[row], len(text.request.prompt) - 1)]
        self._tokens = tokens
        done = [(text.key, text.completion) for text, lives in zip(self._texts, live, strict=True) if not lives]
        latest = [t for t, g, token in zip(self._texts, generating, tokens, strict=True) if g and token != self._eos]
        if done:
            self._keep(live)
        self._latest = latest
        return done

    def _run_step(self, generating: list[bool]) -> tuple[Probabilities, Arrays]:
        """Return log-probabilities [R, V] and the attention that the generating rows request."""
        assert self._state is not None
        requests = [text.request for text, g in zip(self._texts, generating, strict=True) if g]
        names = frozenset[str]().union(*(request.attention for request in requests))
        candidates, self._state, attention = self._step(
            self._tokens, self._parents, self._lengths, self._state, self._vocabulary, names
        )
        self._lengths = self._lengths + 1
        self._num_rows = len(self._texts)
        self._parents = np.arange(self._num_rows)
        return by_token_id(candidates, self._vocabulary), attention

    def latest(self) -> list[tuple[int, Completion]]:
        """Return the texts that got a token in the last step: their keys and completions so far."""
        return [(text.key, text.completion) for text in self._latest]

    def _keep(self, live: Flags) -> None:
        """Keep the texts in `live` [R] and drop the others."""
        if self._state is None or not live.any():
            self.clear()
            return
        kept = np.flatnonzero(live)
        self._texts = [self._texts[row] for row in kept]
        self._lengths, self._tokens = self._lengths[kept], self._tokens[kept]
        self._parents, self._seen = self._parents[kept], self._seen[kept]
        self._state = self._step.keep(self._state, kept, int(self._lengths.max()))
