"""Sampling: texts that are written on token by token, each token drawn from what the network expects.

Legend: R rows, one a live text; C candidates of one row; V vocabulary.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal

import numpy as np
from numpy.typing import NDArray

from service.decoding.step import Candidates, DecoderStep, Flags, Floats, Ids, Rows, State

Probabilities = NDArray[np.float64]
FinishReason = Literal["length", "stop"]


@dataclass(frozen=True)
class SamplingRequest:
    """How one text is written on."""

    prompt: list[int]
    """One token at least; it is read token by token, beside what the others write."""
    max_tokens: int
    """Tokens to write at most; none means that the prompt is only read."""
    temperature: float = 1.0
    """Log-probabilities are divided by it; 0 takes the likeliest token always."""
    top_k: int | None = None
    """Draw from so many likeliest tokens only (Fan et al. 2018)."""
    top_p: float = 1.0
    """Draw from the fewest likeliest tokens that have so much of the probability (Holtzman et al. 2020)."""
    repetition_penalty: float = 1.0
    """The log-probability of a token that is there already is multiplied by it, as in CTRL (Keskar et al. 2019)."""
    seed: int = 0
    stops: Callable[[int], bool] | None = None
    """Is told each token that is written: whether the text ends with it."""
    attention: frozenset[str] = frozenset()
    """Names of the attention to keep."""


@dataclass
class Completion:
    """What came of a SamplingRequest."""

    prompt_log_probs: list[float] = field(default_factory=list)
    """Of each token of the prompt but the first, after those before it."""
    token_ids: list[int] = field(default_factory=list)
    """Without </s>."""
    log_probs: list[float] = field(default_factory=list)
    """Of each as the network gave it, whatever the temperature."""
    attention: dict[str, list[Floats]] = field(default_factory=dict)
    """By name, one array a token: what the step that chose it looked at, [heads, 1, keys] or [1, keys]."""
    finish_reason: FinishReason = "length"


class _Text:
    """A text in the running batch: what is to be written, and what has been."""

    def __init__(self, key: int, draw: SamplingRequest):
        self.key = key
        self.draw = draw
        self.written = Completion(attention={name: [] for name in draw.attention})
        # All at once, so that what is drawn for a text depends on its seed alone.
        self.chances = np.random.default_rng(draw.seed).random(draw.max_tokens)

    def writes(self, length: int) -> bool:
        """Whether the step after `length` tokens chooses one, instead of reading the prompt on."""
        return length + 1 >= len(self.draw.prompt) and self.draw.max_tokens > 0

    @property
    def chance(self) -> float:
        """The number in [0, 1) that decides the next token."""
        return float(self.chances[len(self.written.token_ids)])


def in_order_of_ids(candidates: Candidates, vocabulary: int) -> Probabilities:
    """Log-probabilities [R, V] by token id; what is no candidate is at -inf."""
    log_probs = np.full((len(candidates.token_ids), vocabulary), -np.inf)
    np.put_along_axis(log_probs, candidates.token_ids, candidates.log_probs.astype(np.float64), axis=1)
    return log_probs


def choose(log_probs: Probabilities, draws: Sequence[SamplingRequest], seen: Flags, chances: Probabilities) -> Ids:
    """The next token of each row [R], from log-probabilities [R, V] by token id.

    `seen` [R, V] says which tokens a row has already, `chances` [R] in [0, 1) decide. Tokens share the line from 0 to 1
    in the order of their ids and not of their probabilities, so that the last bit of one changes no other's place.
    """
    penalties = np.array([draw.repetition_penalty for draw in draws])
    scores = np.where(seen, log_probs * penalties[:, None], log_probs) if (penalties != 1).any() else log_probs
    best: Ids = scores.argmax(axis=1)
    drawn = np.flatnonzero([draw.temperature > 0 for draw in draws])
    if not len(drawn):
        return best
    chosen = [draws[row] for row in drawn.tolist()]
    scores = scores[drawn] - scores[drawn].max(axis=1, keepdims=True)
    weights = np.exp(scores / np.array([draw.temperature for draw in chosen])[:, None])
    order = np.argsort(-weights, axis=1, kind="stable")
    sorted_weights = np.take_along_axis(weights, order, axis=1)
    before = np.cumsum(sorted_weights, axis=1) - sorted_weights
    most = np.array([draw.top_k or scores.shape[1] for draw in chosen])[:, None]
    share = np.array([draw.top_p for draw in chosen])[:, None] * weights.sum(axis=1, keepdims=True)
    kept = (np.arange(scores.shape[1]) < most) & (before < share)
    np.put_along_axis(weights, order, np.where(kept, sorted_weights, 0.0), axis=1)
    sums = np.cumsum(weights, axis=1)
    best[drawn] = (sums > chances[drawn, None] * sums[:, -1:]).argmax(axis=1)
    return best


class Sampling(Generic[State]):
    """One running batch of texts, which join between two steps and leave when they are done.

    A prompt is read token by token like everything else: its tokens are not drawn but given. So texts that are read and
    texts that are written go side by side, and each gets what it would get alone.
    """

    def __init__(self, step: DecoderStep[State], vocabulary: int, eos: int, never: Sequence[int]):
        self._step = step
        self._vocabulary = vocabulary
        self._eos = eos
        self._never = list(never)
        self.clear()

    def __len__(self) -> int:
        """How many texts are live."""
        return len(self._texts)

    def keys(self) -> list[int]:
        """The keys of the live texts."""
        return [text.key for text in self._texts]

    def clear(self) -> None:
        """Let every text go."""
        self._state: State | None = None
        self._entries = 0
        """Rows of the step before, and newcomers behind them: what `parents` chooses among."""
        self._texts: list[_Text] = []
        self._lengths: Ids = np.zeros(0, np.int64)  # [R]
        self._tokens: Ids = np.zeros(0, np.int64)  # [R]
        self._parents: Rows = np.zeros(0, np.int64)  # [R]
        self._seen: Flags = np.zeros((0, self._vocabulary), np.bool_)
        self._latest: list[_Text] = []

    def join(self, keys: Sequence[int], draws: Sequence[SamplingRequest], state: State) -> None:
        """Texts join, under keys by which they will be called, with their state before the first step."""
        count = len(draws)
        self._state = state if self._state is None else self._step.join(self._state, state)
        self._texts += [_Text(key, draw) for key, draw in zip(keys, draws, strict=True)]
        self._lengths = np.concatenate([self._lengths, np.zeros(count, np.int64)])
        self._tokens = np.concatenate([self._tokens, [draw.prompt[0] for draw in draws]])
        self._parents = np.concatenate([self._parents, self._entries + np.arange(count)])
        seen = np.zeros((count, self._vocabulary), np.bool_)
        for row, draw in enumerate(draws):
            seen[row, draw.prompt] = True
        self._seen = np.concatenate([self._seen, seen])
        self._entries += count

    def leave(self, keys: Collection[int]) -> None:
        """Texts leave unfinished, those of these keys that are here."""
        if any(text.key in keys for text in self._texts):
            self._keep(np.array([text.key not in keys for text in self._texts], np.bool_))

    def advance(self) -> list[tuple[int, Completion]]:
        """One step of every text. Those that are done leave, with what was written."""
        self._latest = []
        if not self._texts:
            return []
        assert self._state is not None
        writing = [text.writes(length) for text, length in zip(self._texts, self._lengths.tolist(), strict=True)]
        wanted = frozenset[str]().union(*(t.draw.attention for t, w in zip(self._texts, writing, strict=True) if w))
        candidates, self._state, attention = self._step(
            self._tokens, self._parents, self._lengths, self._state, self._vocabulary, wanted
        )
        self._lengths = self._lengths + 1
        self._entries = len(self._texts)
        self._parents = np.arange(self._entries)
        log_probs = in_order_of_ids(candidates, self._vocabulary)
        allowed = log_probs.copy()
        allowed[:, self._never] = -np.inf
        chances = np.array([text.chance if w else 0.0 for text, w in zip(self._texts, writing, strict=True)])
        chosen = choose(allowed, [text.draw for text in self._texts], self._seen, chances)
        live = np.ones(len(self._texts), np.bool_)
        for row, text in enumerate(self._texts):
            if writing[row]:
                # A copy: a view would keep what all the others looked at.
                looked = {name: attention[name][row].copy() for name in text.draw.attention}
                live[row] = self._write(text, int(chosen[row]), log_probs[row], looked)
                self._seen[row, chosen[row]] = True
            else:
                live[row] = self._read(text, int(self._lengths[row]), log_probs[row])
                chosen[row] = text.draw.prompt[min(self._lengths[row], len(text.draw.prompt) - 1)]
        self._tokens = chosen
        done = [(text.key, text.written) for text, lives in zip(self._texts, live, strict=True) if not lives]
        latest = [t for t, w, token in zip(self._texts, writing, chosen, strict=True) if w and token != self._eos]
        if done:
            self._keep(live)
        self._latest = latest
        return done

    def _read(self, text: _Text, length: int, log_probs: Probabilities) -> bool:
        """Take down how likely the prompt's token behind `length` others was. False: the prompt is read."""
        if length == len(text.draw.prompt):
            return False
        text.written.prompt_log_probs.append(float(log_probs[text.draw.prompt[length]]))
        return True

    def _write(self, text: _Text, token: int, log_probs: Probabilities, looked: dict[str, Floats]) -> bool:
        """Write a token. False: it is the last."""
        written, draw = text.written, text.draw
        if token == self._eos:
            written.finish_reason = "stop"
            return False
        written.token_ids.append(token)
        written.log_probs.append(float(log_probs[token]))
        for name, weights in looked.items():
            written.attention[name].append(weights)
        if draw.stops is not None and draw.stops(token):
            written.finish_reason = "stop"
            return False
        return len(written.token_ids) < draw.max_tokens

    def latest(self) -> list[tuple[int, Completion]]:
        """The texts that the last step wrote a token of: their keys, and all that is written so far."""
        return [(text.key, text.written) for text in self._latest]

    def _keep(self, live: Flags) -> None:
        """Keep some of the texts [R]."""
        if self._state is None or not live.any():
            self.clear()
            return
        kept = np.flatnonzero(live)
        self._texts = [self._texts[row] for row in kept]
        self._lengths, self._tokens = self._lengths[kept], self._tokens[kept]
        self._parents, self._seen = self._parents[kept], self._seen[kept]
        self._state = self._step.keep(self._state, kept, int(self._lengths.max()))
