"""The decoder: sentences as ids -> hypotheses with their attention, in running batches.

Legend: B sentences, S source length, T target length, R rows, N heads.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.attention import AttentionDetail, AttentionMatrix, matrices, outputs_for
from service.bundle.manifest import AttentionOutput, Manifest
from service.decoding.beam_search import Search
from service.decoding.onnx_step import OnnxState, OnnxStep
from service.decoding.step import Arrays, Goal, Hypothesis, Rules
from service.errors import InferenceFailed, LimelightError
from service.runtime import Session


@dataclass(frozen=True)
class Options:
    """How to decode."""

    beam_size: int = 4
    """1 is greedy search."""
    length_penalty: float = 1.0
    max_length: int | None = None
    """Most tokens of a sentence's translation; by default twice its source and ten more."""
    alternatives: int = 0
    """How many translations to give beside the best; the beam is widened to find them."""
    attention: AttentionDetail = "summary"

    @property
    def width(self) -> int:
        """Hypotheses that are followed side by side."""
        return max(self.beam_size, self.alternatives + 1)


DEFAULT = Options()

PADDING = 128
"""So many places of the past that are no row's own cost as much as another call of the step."""
FEW_ROWS = 4
"""So few rows, or an eighth of those that began, are few: nobody waits until they are done."""


@dataclass(frozen=True)
class TranslationRequest:
    source_ids: list[int]
    unknown: list[int]
    """Places of symbols that the source tokenizer does not know."""
    options: Options
    heard: bool = False
    """Whether each token is to be told as it is said, which only greedy search can do."""

    @property
    def length(self) -> int:
        return len(self.source_ids) * self.options.width


@dataclass(frozen=True)
class NewToken:
    """One token of a translation that goes on."""

    token_id: int
    copied: int | None
    """The place of the source's unknown symbol that it copies."""
    weights: NDArray[Any] | None
    """[S]: what it looked at, as the summary shows it; None where no attention is wanted."""


@dataclass(frozen=True)
class Decoded:
    hypotheses: list[Hypothesis]
    copied: list[dict[int, int]]
    """Of each: places in it that copy an unknown symbol -> the places of that symbol in the source."""
    attention: list[AttentionMatrix]
    """Of the best."""


@dataclass(frozen=True)
class _Running:
    """A sentence in the running batch."""

    work: TranslationRequest
    wanted: list[AttentionOutput]
    encoder_attention: Arrays
    copied: list[int]
    """Places of unknown symbols that were told to be copied."""


class Decoder:
    """An engine (`scheduling.Engine`) over the `encode` and `step` graphs of a bundle.

    Sentences of one beam width that start together share a search, whatever else their options are. Those that come
    later join it while that costs little; else they wait until few are left of it, and begin one beside it. A batch in
    which everybody is at another place pads everybody to the longest.
    """

    fill = 0.25
    """The encoder takes similar lengths together, whatever else starts with them; to begin a step later costs more."""
    min_tokens_per_worker = 1
    seconds_per_token = math.inf

    def __init__(self, manifest: Manifest, encode: Session, step: Session):
        assert manifest.special_ids and manifest.limits.max_target_tokens  # the manifest checked itself
        ids = manifest.special_ids
        self._rules = Rules(ids.bos, ids.eos, tuple(ids.never), ids.unknown)
        self._max_target_tokens = manifest.limits.max_target_tokens
        self._outputs = manifest.attention
        self._aligned = [output for output in manifest.attention if output.summary and output.kind == "cross"]
        self._encode = encode
        self._step = OnnxStep(step)
        self._step_inputs = {tensor.name for tensor in step.graph.inputs}
        self._searches: list[Search[OnnxState]] = []
        self._rows = 0
        """When the last of them began."""
        self._running: dict[int, _Running] = {}

    def ready(self) -> bool:
        return self._live_rows() <= max(FEW_ROWS, self._rows // 8)

    def _live_rows(self) -> int:
        return sum(len(search) * search.width for search in self._searches)

    def start(self, work: Sequence[tuple[int, TranslationRequest]]) -> None:
        for width in {item.options.width for _, item in work}:
            groups = list(_of_similar_length([(key, item) for key, item in work if item.options.width == width]))
            started = [self._start(group) for group in groups]
            search = self._search(width, sum(len(group) for group in groups))
            goals = [goal for group_goals, _ in started for goal in group_goals]
            search.join([key for group in groups for key, _ in group], goals, self._step.join(*(s for _, s in started)))
            self._rows = self._live_rows()

    def _search(self, width: int, newcomers: int) -> Search[OnnxState]:
        """Where so many sentences begin: a search that is young enough for them, or a new one."""
        for search in self._searches:
            if search.width == width and search.longest * newcomers * width <= PADDING:
                return search
        self._searches.append(Search(self._step, self._rules, width))
        return self._searches[-1]

    def _start(self, work: list[tuple[int, TranslationRequest]]) -> tuple[list[Goal], OnnxState]:
        """Encode sentences together: what is wanted of each, and their state before the first step."""
        lengths = np.array([len(item.source_ids) for _, item in work], dtype=np.int64)
        source_ids = np.zeros((len(work), lengths.max()), dtype=np.int64)
        for row, (_, item) in enumerate(work):
            source_ids[row, : lengths[row]] = item.source_ids
        wanted = [outputs_for(item.options.attention, self._outputs) for _, item in work]
        looked_at = {output.output for outputs in wanted for output in outputs if output.graph == "encode"}
        fetched = [n for n in self._encode.output_names if n in self._step_inputs or n in looked_at]
        encoded = self._encode.run({"source_ids": source_ids, "source_lengths": lengths}, fetched)
        goals = []
        for row, (key, item) in enumerate(work):
            may_copy = bool(item.unknown) and self._rules.unknown is not None
            followed = [*wanted[row], *(self._aligned if may_copy else [])]
            goals.append(
                Goal(
                    min(2 * len(item.source_ids) + 10, item.options.max_length or self._max_target_tokens),
                    item.options.length_penalty,
                    may_copy,
                    frozenset(output.output for output in followed if output.graph == "step"),
                )
            )
            own = {output.output: encoded[output.output][row] for output in wanted[row] if output.graph == "encode"}
            self._running[key] = _Running(item, wanted[row], own, [])
        source = {name: array for name, array in encoded.items() if name in self._step_inputs}
        return goals, self._step.start(source, len(work))

    def advance(self) -> list[tuple[int, Decoded | LimelightError]]:
        finished = [found for search in self._searches for found in search.advance()]
        self._searches = [search for search in self._searches if len(search)]
        return [(key, self._decoded(self._running.pop(key), hypotheses)) for key, hypotheses in finished]

    def new_tokens(self) -> list[tuple[int, NewToken]]:
        if not any(running.work.heard for running in self._running.values()):
            return []
        return [
            (key, self._said(self._running[key], token_id, weights))
            for search in self._searches
            if search.width == 1
            for key, token_id, weights in search.latest()
            if self._running[key].work.heard
        ]

    def _said(self, running: _Running, token_id: int, weights: dict[str, Any]) -> NewToken:
        looked = next((self._looked(weights[o.output], running) for o in self._aligned if o.output in weights), None)
        copied = None
        if token_id == self._rules.unknown and looked is not None:
            copied = self._source_of(looked, running.work.unknown, running.copied)
            running.copied.append(copied)
        return NewToken(token_id, copied, looked if self._aligned and self._aligned[0] in running.wanted else None)

    def _looked(self, weights: NDArray[Any], running: _Running) -> NDArray[Any]:
        """The summary of one position's weights [N, 1, S] or [1, S], cropped -> [S]."""
        averaged: NDArray[Any] = weights.reshape(-1, weights.shape[-1]).mean(axis=0)
        return averaged[: len(running.work.source_ids)]

    def _source_of(self, looked: NDArray[Any], unknown: list[int], taken: Collection[int]) -> int:
        """Which of the source's unknown symbols a copy is: the one it looked at most, each once while there are any
        left (Luong et al. 2015b)."""
        left = [place for place in unknown if place not in taken] or unknown
        return max(left, key=lambda place: float(looked[place]))

    def drop(self, keys: Collection[int]) -> None:
        for search in self._searches:
            search.leave(keys)
        for key in keys:
            self._running.pop(key, None)

    def _decoded(self, running: _Running, hypotheses: list[Hypothesis]) -> Decoded | LimelightError:
        if not hypotheses:
            return InferenceFailed("the network gives no token of this sentence's translation a probability")
        copied = [self._copied(hypothesis, running) for hypothesis in hypotheses]
        return Decoded(hypotheses, copied, self._attention(hypotheses[0], running))

    def _copied(self, hypothesis: Hypothesis, running: _Running) -> dict[int, int]:
        """Which unknown symbol of the source, by its place, each copy in a hypothesis is."""
        copied: dict[int, int] = {}
        for place, token_id in enumerate(hypothesis.token_ids):
            if token_id == self._rules.unknown:
                looked = self._looked(hypothesis.attention[self._aligned[0].output][place], running)
                copied[place] = self._source_of(looked, running.work.unknown, copied.values())
        return copied

    def _attention(self, best: Hypothesis, running: _Running) -> list[AttentionMatrix]:
        """The matrices of one sentence, cropped to its own lengths."""
        length = len(running.work.source_ids)
        cropped: list[tuple[AttentionOutput, NDArray[Any]]] = []
        for output in running.wanted:
            weights: NDArray[Any]
            if output.graph == "encode":
                weights = running.encoder_attention[output.output][..., :length, :length]
            elif not best.token_ids:  # an empty translation: nothing looked at anything
                weights = np.zeros(((output.heads,) if output.heads else ()) + (0, 0), dtype=np.float32)
            elif output.kind == "cross":
                weights = np.concatenate([row[..., :length] for row in best.attention[output.output]], axis=-2)
            else:
                weights = _triangle(best.attention[output.output])
            cropped.append((output, weights))
        return matrices(running.work.options.attention, cropped)


def _of_similar_length(work: list[tuple[int, TranslationRequest]]) -> Iterator[list[tuple[int, TranslationRequest]]]:
    """The work in groups, of which each encodes together: little of it is padding."""
    by_length = sorted(work, key=lambda pair: len(pair[1].source_ids))
    while by_length:
        most = len(by_length[0][1].source_ids) * 5 // 4 + 1
        count = sum(len(item.source_ids) <= most for _, item in by_length)
        yield by_length[:count]
        by_length = by_length[count:]


def _triangle(rows: list[NDArray[Any]]) -> NDArray[Any]:
    """Attention over the past, one array [..., 1, keys] a token, of which the last t + 1 are its own -> [..., T, T]."""
    length = len(rows)
    weights = np.zeros((*rows[0].shape[:-2], length, length), dtype=rows[0].dtype)
    for t, row in enumerate(rows):
        weights[..., t, : t + 1] = row[..., 0, -t - 1 :]
    return weights
