"""The translation engine: sentences as token ids -> hypotheses with attention, with continuous batching.

Legend: B sentences, S source length, T target length, N heads.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.attention import AttentionDetail, AttentionMatrix, matrices, outputs_for
from service.bundle.conventions import max_target_length
from service.bundle.manifest import AttentionOutput, TranslationManifest
from service.decoding.beam_search import BeamSearch, Hypothesis, SearchRequest
from service.decoding.constraints import SpecialTokens
from service.decoding.onnx_step import OnnxState, OnnxStep
from service.decoding.pattern_search import Pattern, PatternRequest, PatternSearch
from service.decoding.step import Arrays
from service.errors import InferenceFailed, LimelightError
from service.runtime import Session


@dataclass(frozen=True)
class Options:
    """Decoding options of a translation."""

    beam_size: int = 4
    """1 is greedy search."""
    length_penalty: float = 1.0
    """Exponent of the length penalty."""
    max_length: int | None = None
    """Maximum target tokens of a sentence. It is also bounded by `conventions.max_target_length`."""
    alternatives: int = 0
    """Number of translations besides the best."""
    attention: AttentionDetail = "summary"
    log_probs: bool = False
    """Return the log-probability of each target token."""

    @property
    def width(self) -> int:
        """Beam size of the search, which must be large enough for the alternatives."""
        return max(self.beam_size, self.alternatives + 1)


DEFAULT = Options()

MAX_JOIN_PADDING = 128
"""Maximum padding of the past, in tokens times rows, when sentences join a running search. A second search is
faster than more padding."""
ADMISSION_ROWS = 4
"""Below this many live rows, or an eighth of the rows at the last start, new sentences are admitted."""


@dataclass(frozen=True)
class TranslationRequest:
    """One sentence to translate."""

    source_ids: list[int]
    unknown: list[int]
    """Positions of symbols that are not in the source vocabulary."""
    options: Options
    streams: bool = False
    """Report each token as it is generated. Effective with beam size 1 only."""
    pattern: Pattern | None = None
    """A pattern of the translation. None: any translation."""

    @property
    def width(self) -> int:
        """Beam size of the search."""
        return self.options.width if self.pattern is None else self.pattern.width

    @property
    def length(self) -> int:
        """Source tokens times rows."""
        return len(self.source_ids) * self.width


def forced_request(
    source_ids: list[int], unknown: list[int], options: Options, target_ids: Sequence[int], vocabulary: int
) -> TranslationRequest:
    """A request that scores a given translation. `vocabulary`: the number of target tokens."""
    return TranslationRequest(source_ids, unknown, options, pattern=Pattern(((tuple(target_ids),),), vocabulary))


@dataclass(frozen=True)
class NewToken:
    """A token of a running translation."""

    token_id: int
    copied: int | None
    """Position of the unknown source symbol that the token copies."""
    weights: NDArray[Any] | None
    """[S]. Row of the summary attention. None if no attention is requested."""


@dataclass(frozen=True)
class Decoded:
    """The result of a TranslationRequest."""

    hypotheses: list[Hypothesis]
    """All finished hypotheses, best first, at least one. `attention_of` has their attention."""
    copied: list[dict[int, int]]
    """For each hypothesis: positions of its copies -> positions of the copied source symbols."""
    detail: AttentionDetail
    outputs: list[list[tuple[AttentionOutput, NDArray[Any]]]]
    """For each hypothesis: its requested attention outputs, cropped to [N, T, S], [N, S, S] or [N, T, T]."""

    def attention_of(self, index: int) -> list[AttentionMatrix]:
        """Return the requested attention of a hypothesis."""
        return matrices(self.detail, self.outputs[index])


@dataclass(frozen=True)
class _RunningSentence:
    request: TranslationRequest
    outputs: list[AttentionOutput]
    """Attention outputs that the request needs."""
    encoder_attention: Arrays
    copied: list[int]
    """Positions of unknown source symbols that streamed tokens have copied."""


class TranslationEngine:
    """Runs the `encode` and `step` graphs of a bundle (see `batching.engine.Engine`).

    Sentences of one beam size that start together share a search, even if their other options differ. New sentences
    join a running search while the padding of their past is small (MAX_JOIN_PADDING). Otherwise they wait until few
    rows are live (ADMISSION_ROWS) and start a second search.
    """

    min_fill = 0.25
    """Low, because `start` encodes sentences of similar length together anyway."""
    min_tokens_per_worker = 1
    seconds_per_token = math.inf

    def __init__(
        self,
        manifest: TranslationManifest,
        encode: Session,
        step: Session,
        stand_ins: Mapping[int, int] | None = None,
    ):
        """stand_ins: source ids of the stand-ins -> their target ids."""
        ids = manifest.special_ids
        self._unknown = ids.unknown
        self._stand_ins = dict(stand_ins or {})
        unknown = () if ids.unknown is None else (ids.unknown,)
        self._special = SpecialTokens(ids.bos, ids.eos, tuple(ids.never), (*unknown, *self._stand_ins.values()))
        self._max_target_tokens = manifest.limits.max_target_tokens
        self._outputs = manifest.attention
        self._summaries = [output for output in manifest.attention if output.summary and output.kind == "cross"]
        self._encode = encode
        self._step = OnnxStep(step)
        self._step_inputs = {tensor.name for tensor in step.graph.inputs}
        self._searches: list[BeamSearch[OnnxState]] = []
        self._rows_at_start = 0
        """Live rows after the last start."""
        self._running: dict[int, _RunningSentence] = {}

    def admits(self) -> bool:
        """Return True if new sentences may start now."""
        return self._live_rows() <= max(ADMISSION_ROWS, self._rows_at_start // 8)

    def _live_rows(self) -> int:
        return sum(len(search) * search.beam_size for search in self._searches)

    def start(self, work: Sequence[tuple[int, TranslationRequest]]) -> None:
        """Encode sentences and add them to a search per beam size."""
        for width, has_pattern in {(request.width, request.pattern is not None) for _, request in work}:
            chosen = [
                (key, item) for key, item in work if (item.width, item.pattern is not None) == (width, has_pattern)
            ]
            groups = list(_by_length(chosen))
            encoded = [self._encode_group(group) for group in groups]
            search = self._search(
                width, sum(len(group) for group in groups), PatternSearch if has_pattern else BeamSearch
            )
            requests = [request for group_requests, _ in encoded for request in group_requests]
            state = self._step.join(*(state for _, state in encoded))
            search.join([key for group in groups for key, _ in group], requests, state)
            self._rows_at_start = self._live_rows()

    def _search(self, beam_size: int, count: int, kind: type[BeamSearch[OnnxState]]) -> BeamSearch[OnnxState]:
        """Return a search that `count` sentences can join, or a new one."""
        for search in self._searches:
            fits = search.longest * count * beam_size <= MAX_JOIN_PADDING
            if type(search) is kind and search.beam_size == beam_size and fits:
                return search
        self._searches.append(kind(self._step, self._special, beam_size))
        return self._searches[-1]

    def _encode_group(self, work: list[tuple[int, TranslationRequest]]) -> tuple[list[SearchRequest], OnnxState]:
        """Encode sentences in one batch. Return their search requests and initial state."""
        lengths = np.array([len(item.source_ids) for _, item in work], dtype=np.int64)
        source_ids = np.zeros((len(work), lengths.max()), dtype=np.int64)
        for row, (_, item) in enumerate(work):
            source_ids[row, : lengths[row]] = item.source_ids
        outputs = [outputs_for(item.options.attention, self._outputs) for _, item in work]
        attention = {output.output for needed in outputs for output in needed if output.graph == "encode"}
        names = [n for n in self._encode.output_names if n in self._step_inputs or n in attention]
        encoded = self._encode.run({"source_ids": source_ids, "source_lengths": lengths}, names)
        for row, (key, item) in enumerate(work):
            own = {output.output: encoded[output.output][row] for output in outputs[row] if output.graph == "encode"}
            self._running[key] = _RunningSentence(item, outputs[row], own, [])
        source = {name: array for name, array in encoded.items() if name in self._step_inputs}
        requests = [self._search_request(item, needed) for (_, item), needed in zip(work, outputs, strict=True)]
        return requests, self._step.start(source, len(work))

    def _search_request(self, request: TranslationRequest, outputs: list[AttentionOutput]) -> SearchRequest:
        max_length = min(
            max_target_length(len(request.source_ids)), request.options.max_length or self._max_target_tokens
        )
        copies = Counter(self._stand_ins[token_id] for token_id in request.source_ids if token_id in self._stand_ins)
        needed = outputs
        if request.unknown and self._unknown is not None:
            copies[self._unknown] = max_length
            needed = [*outputs, *self._summaries]  # to find the copied symbol
        names = frozenset(output.output for output in needed if output.graph == "step")
        alpha = request.options.length_penalty
        if request.pattern is None:
            return SearchRequest(max_length, alpha, copies, names, request.options.log_probs)
        length, log_probs = request.pattern.max_length, request.options.log_probs
        return PatternRequest(length, alpha, copies, names, log_probs, pattern=request.pattern)

    def advance(self) -> list[tuple[int, Decoded | LimelightError]]:
        """Run one step of every search. Return the finished sentences."""
        finished = [found for search in self._searches for found in search.advance()]
        self._searches = [search for search in self._searches if len(search)]
        return [(key, self._decoded(self._running.pop(key), hypotheses)) for key, hypotheses in finished]

    def new_tokens(self) -> list[tuple[int, NewToken]]:
        """Return the tokens of the last step, for the sentences that stream them."""
        if not any(sentence.request.streams for sentence in self._running.values()):
            return []
        return [
            (key, self._new_token(self._running[key], token_id, attention))
            for search in self._searches
            if search.beam_size == 1
            for key, token_id, attention in search.latest()
            if self._running[key].request.streams
        ]

    def _new_token(self, sentence: _RunningSentence, token_id: int, attention: dict[str, Any]) -> NewToken:
        summaries = [attention[output.output] for output in self._summaries if output.output in attention]
        weights = self._summary_row(summaries[0], sentence) if summaries else None
        copied = None
        if token_id == self._unknown and weights is not None:
            copied = self._copied_position(weights, sentence.request.unknown, sentence.copied)
            sentence.copied.append(copied)
        requested = bool(self._summaries) and self._summaries[0] in sentence.outputs
        return NewToken(token_id, copied, weights if requested else None)

    def _summary_row(self, weights: NDArray[Any], sentence: _RunningSentence) -> NDArray[Any]:
        """Average one token's weights [N, 1, S] or [1, S] over the heads and crop padding: [S]."""
        averaged: NDArray[Any] = weights.reshape(-1, weights.shape[-1]).mean(axis=0)
        return averaged[: len(sentence.request.source_ids)]

    def _copied_position(self, weights: NDArray[Any], unknown: list[int], copied: Collection[int]) -> int:
        """Return the position of the unknown source symbol that a copy stands for: the one with the largest weight,
        each once while any is left (Luong et al. 2015b)."""
        remaining = [position for position in unknown if position not in copied] or unknown
        return max(remaining, key=lambda position: float(weights[position]))

    def drop(self, keys: Collection[int]) -> None:
        """Remove sentences that no caller waits for."""
        for search in self._searches:
            search.leave(keys)
        for key in keys:
            self._running.pop(key, None)

    def _decoded(self, sentence: _RunningSentence, hypotheses: list[Hypothesis]) -> Decoded | LimelightError:
        if not hypotheses:
            return InferenceFailed("the network gives no token of this sentence's translation a probability")
        copied = [self._copies(hypothesis, sentence) for hypothesis in hypotheses]
        outputs = [self._cropped(hypothesis, sentence) for hypothesis in hypotheses]
        # Their attention are views of whole batches, which would stay in memory.
        hypotheses = [
            Hypothesis(hypothesis.token_ids, hypothesis.score, {}, hypothesis.log_probs) for hypothesis in hypotheses
        ]
        return Decoded(hypotheses, copied, sentence.request.options.attention, outputs)

    def _copies(self, hypothesis: Hypothesis, sentence: _RunningSentence) -> dict[int, int]:
        """Map the positions of copies in a hypothesis to positions of unknown source symbols."""
        copied: dict[int, int] = {}
        for position, token_id in enumerate(hypothesis.token_ids):
            if token_id == self._unknown:
                weights = hypothesis.attention[self._summaries[0].output][position]
                row = self._summary_row(weights, sentence)
                copied[position] = self._copied_position(row, sentence.request.unknown, copied.values())
        return copied

    def _cropped(
        self, hypothesis: Hypothesis, sentence: _RunningSentence
    ) -> list[tuple[AttentionOutput, NDArray[Any]]]:
        """Return the requested attention outputs, cropped to the lengths of the sentence."""
        length = len(sentence.request.source_ids)
        cropped: list[tuple[AttentionOutput, NDArray[Any]]] = []
        for output in sentence.outputs:
            weights: NDArray[Any]
            if output.graph == "encode":
                weights = sentence.encoder_attention[output.output][..., :length, :length]
            elif not hypothesis.token_ids:
                weights = np.zeros(((output.heads,) if output.heads else ()) + (0, 0), dtype=np.float32)
            elif output.kind == "cross":
                weights = np.concatenate([row[..., :length] for row in hypothesis.attention[output.output]], axis=-2)
            else:
                weights = _lower_triangular(hypothesis.attention[output.output])
            cropped.append((output, weights))
        return cropped


def _by_length(work: list[tuple[int, TranslationRequest]]) -> Iterator[list[tuple[int, TranslationRequest]]]:
    """Group sentences of similar length, so that encoding a group needs little padding."""
    ordered = sorted(work, key=lambda pair: len(pair[1].source_ids))
    while ordered:
        longest = len(ordered[0][1].source_ids) * 5 // 4 + 1
        count = sum(len(item.source_ids) <= longest for _, item in ordered)
        yield ordered[:count]
        ordered = ordered[count:]


def _lower_triangular(rows: list[NDArray[Any]]) -> NDArray[Any]:
    """Stack decoder self-attention into [..., T, T]: row t has the last t + 1 keys of rows[t], [..., 1, keys]."""
    length = len(rows)
    weights = np.zeros((*rows[0].shape[:-2], length, length), dtype=rows[0].dtype)
    for t, row in enumerate(rows):
        weights[..., t, : t + 1] = row[..., 0, -t - 1 :]
    return weights
