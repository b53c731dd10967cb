"""Search for the most probable token sequence of a pattern, such as a translation with a choice of articles.

Legend: B live sentences, W beam size, R = B * W rows, C candidates per row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from service.decoding.beam_search import BeamSearch, Scores, SearchRequest
from service.decoding.constraints import SpecialTokens
from service.decoding.step import Candidates, DecoderStep, Floats, Ids, Rows, State

MAX_WIDTH = 8
"""Maximum beam size."""
BELOW = 1.0
"""Log-probability of a token that is not among the candidates, below that of the last candidate."""


@dataclass(frozen=True)
class Pattern:
    """The parts of a translation in order, with the alternatives of each."""

    parts: tuple[tuple[tuple[int, ...], ...], ...]
    """For each part: its alternatives, as target tokens, which are not empty."""
    candidates: int
    """Candidates per row that are computed, at most the number of target tokens."""
    cost: float = 0.0
    """Log-probability that an alternative costs, unless it is the first one of its part."""

    @property
    def width(self) -> int:
        """Beam size of the search."""
        return min(MAX_WIDTH, max((len(alternatives) for alternatives in self.parts), default=1))

    @property
    def max_length(self) -> int:
        return sum(max(map(len, alternatives)) for alternatives in self.parts)

    def ends(self, token_ids: Sequence[int]) -> list[int]:
        """The place behind each part in a sequence of the pattern."""
        reached = [{0}]
        for alternatives in self.parts:
            reached.append(
                {
                    start + len(tokens)
                    for start in reached[-1]
                    for tokens in alternatives
                    if tuple(token_ids[start : start + len(tokens)]) == tokens
                }
            )
        place, places = len(token_ids), []
        for starts, alternatives in zip(reversed(reached[:-1]), reversed(self.parts), strict=True):
            places.append(place)
            place = next(
                place - len(tokens)
                for tokens in alternatives
                if place - len(tokens) in starts and tuple(token_ids[place - len(tokens) : place]) == tokens
            )
        return places[::-1]


@dataclass(frozen=True, kw_only=True)
class PatternRequest(SearchRequest):
    """Search options of a sentence with a pattern."""

    pattern: Pattern


@dataclass(frozen=True)
class _Place:
    """The place of a hypothesis in the pattern."""

    part: int = 0
    """The next part."""
    rest: tuple[int, ...] = ()
    """Tokens that complete the part before it."""


@dataclass(frozen=True)
class _Continuation:
    score: float
    row: int
    token: int
    place: _Place


class PatternSearch(BeamSearch[State]):
    """A beam search for sentences with patterns. Their requests are `PatternRequest`s."""

    def __init__(self, step: DecoderStep[State], special: SpecialTokens, beam_size: int):
        super().__init__(step, special, beam_size)
        self._places: dict[int, list[_Place]] = {}
        """The places of the rows of each sentence, by key."""

    def join(self, keys: Sequence[int], requests: Sequence[SearchRequest], state: State) -> None:
        """Add sentences, as in `BeamSearch`."""
        super().join(keys, requests, state)
        self._places.update((key, [_Place()] * self.beam_size) for key in keys)

    def _num_candidates(self) -> int:
        return max(self._pattern(b).candidates for b in range(len(self)))

    def _pattern(self, b: int) -> Pattern:
        request = self._requests[b]
        assert isinstance(request, PatternRequest)
        return request.pattern

    def _best_continuations(self, candidates: Candidates, stride: int) -> tuple[Scores, Ids, Rows]:
        """Return the score, token and parent row of the continuations of each sentence, [B, 2W] each."""
        width = self.beam_size
        values = np.full((len(self), 2 * width), -np.inf)
        tokens, rows = np.zeros(values.shape, np.int64), np.zeros(values.shape, np.int64)
        self._places = {key: self._places[key] for key in self._keys}
        for b, key in enumerate(self._keys):
            found = sorted(self._continuations(b, candidates), key=lambda one: -one.score)
            ended = [one for one in found if one.token == self._special.eos][:width]
            live = [one for one in found if one.token != self._special.eos][:width]
            for c, one in enumerate([*ended, *live]):
                values[b, c], tokens[b, c], rows[b, c] = one.score, one.token, one.row // stride
            self._places[key] = [one.place for one in live] + [_Place()] * (width - len(live))
        return values, tokens, rows

    def _continuations(self, b: int, candidates: Candidates) -> Iterator[_Continuation]:
        pattern, eos = self._pattern(b), self._special.eos
        parts = pattern.parts
        for w, place in enumerate(self._places[self._keys[b]]):
            score, row = float(self._scores[b, w]), b * self.beam_size + w
            if not np.isfinite(score):
                continue
            choices: tuple[tuple[int, ...], ...]
            if place.rest:
                choices, part = (place.rest,), place.part
            elif place.part < len(parts):
                choices, part = parts[place.part], place.part + 1
            else:
                yield _Continuation(score + float(candidates.eos_log_probs[row]), row, eos, place)
                continue
            ids, log_probs = candidates.token_ids[row], candidates.log_probs[row]
            for number, (first, *rest) in enumerate(choices):
                cost = pattern.cost if number else 0.0
                yield _Continuation(score + log_prob(first, ids, log_probs) - cost, row, first, _Place(part, (*rest,)))


def log_prob(token: int, ids: Ids, log_probs: Floats) -> float:
    """The log-probability of a token; without it among the candidates, BELOW that of the last finite one."""
    places = np.flatnonzero(ids == token)
    if len(places) and np.isfinite(log_probs[places[0]]):
        return float(log_probs[places[0]])
    return float(log_probs[np.isfinite(log_probs)].min()) - BELOW
