"""The generation engine: prompts as token ids -> completions with attention, with continuous batching.

Legend: P prompt tokens, T generated tokens, K keys of one step.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.attention import AttentionDetail, AttentionMatrix, matrices, outputs_for
from service.bundle.manifest import AttentionOutput, GenerationManifest
from service.decoding.onnx_step import OnnxState, OnnxStep
from service.decoding.sampling import Completion, Sampler, SamplingRequest
from service.runtime import Session


@dataclass(frozen=True)
class CompletionRequest:
    """One prompt to continue."""

    sampling: SamplingRequest
    attention: AttentionDetail = "none"
    streams: bool = False
    """Report each token as it is generated."""

    @property
    def length(self) -> int:
        """Maximum tokens of the prompt and its completion."""
        return len(self.sampling.prompt) + self.sampling.max_tokens


def greedy_request(
    prompt: list[int], max_tokens: int, detail: AttentionDetail = "none", attention: frozenset[str] = frozenset()
) -> CompletionRequest:
    """A request for the most likely tokens, and for the attention outputs named in `attention`."""
    return CompletionRequest(SamplingRequest(prompt, max_tokens, 0.0, attention=attention), detail)


@dataclass(frozen=True)
class NewToken:
    """A token of a running completion."""

    token_id: int
    log_prob: float
    weights: NDArray[Any] | None
    """[keys]. Row of the summary attention, over the prompt and the tokens before. None if not requested."""


@dataclass(frozen=True)
class CompletionResult:
    """The result of a CompletionRequest."""

    completion: Completion
    attention: list[AttentionMatrix]
    """[T, P + T - 1]. Row t belongs to the step that generated token t."""


class GenerationEngine:
    """Runs the `step` graph of a language model (see `batching.engine.Engine`)."""

    min_fill = 0.0
    """Texts of different lengths need no padding, because prompts are read token by token."""
    min_tokens_per_worker = 1
    seconds_per_token = math.inf

    def __init__(self, manifest: GenerationManifest, step: Session, vocabulary: int):
        self._outputs = manifest.attention
        self._step = OnnxStep(step)
        ids = manifest.special_ids
        self._sampler: Sampler[OnnxState] = Sampler(self._step, vocabulary, ids.eos, ids.never)
        self._running: dict[int, CompletionRequest] = {}

    def admits(self) -> bool:
        """Return True: texts can always join."""
        return True

    def start(self, work: Sequence[tuple[int, CompletionRequest]]) -> None:
        """Add texts to the running batch."""
        self._running |= dict(work)
        state = self._step.start({}, len(work))
        self._sampler.join([key for key, _ in work], [request.sampling for _, request in work], state)

    def advance(self) -> list[tuple[int, CompletionResult]]:
        """Run one step. Return the finished texts."""
        return [
            (key, CompletionResult(completion, self._attention(self._running[key], completion)))
            for key, completion in self._sampler.advance()
        ]

    def new_tokens(self) -> list[tuple[int, NewToken]]:
        """Return the tokens of the last step, for the texts that stream them."""
        latest = [(key, self._running[key], completion) for key, completion in self._sampler.latest()]
        # Texts that finished in the last step are reported here for the last time.
        self._running = {key: self._running[key] for key in self._sampler.keys()}
        return [(key, self._new_token(request, completion)) for key, request, completion in latest if request.streams]

    def drop(self, keys: Collection[int]) -> None:
        """Remove texts that no caller waits for."""
        self._sampler.leave(keys)
        for key in keys:
            self._running.pop(key, None)

    def _new_token(self, request: CompletionRequest, completion: Completion) -> NewToken:
        position = len(completion.token_ids) - 1
        weights = None
        for output in outputs_for(request.attention, self._outputs) if request.attention == "summary" else []:
            row = _own_keys(completion.attention[output.output][position], len(request.sampling.prompt) + position)
            weights = row.reshape(-1, row.shape[-1]).mean(axis=0)
        return NewToken(completion.token_ids[position], completion.log_probs[position], weights)

    def _attention(self, request: CompletionRequest, completion: Completion) -> list[AttentionMatrix]:
        """Return the requested matrices, [T, P + T - 1] each."""
        found: list[tuple[AttentionOutput, NDArray[Any]]] = []
        if not completion.token_ids:
            return []
        prompt, count = len(request.sampling.prompt), len(completion.token_ids)
        for output in outputs_for(request.attention, self._outputs):
            rows = completion.attention[output.output]
            weights = np.zeros((*rows[0].shape[:-2], count, prompt + count - 1), dtype=rows[0].dtype)
            for t, row in enumerate(rows):
                weights[..., t, : prompt + t] = _own_keys(row, prompt + t)[..., 0, :]
            found.append((output, weights))
        return matrices(request.attention, found)


def _own_keys(row: NDArray[Any], length: int) -> NDArray[Any]:
    """Align one step's weights [..., 1, K] with the first `length` tokens of the text: [..., 1, length].

    Keys are right-aligned. Tokens before the model's window get weight 0.
    """
    seen = min(row.shape[-1], length)
    own = np.zeros((*row.shape[:-1], length), dtype=row.dtype)
    own[..., length - seen :] = row[..., row.shape[-1] - seen :]
    return own
