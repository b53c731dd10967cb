"""The sampler: prompts as ids -> what is written on, with its attention, in one running batch.

Legend: P tokens of a prompt, T tokens written, K keys of one step, N heads.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.attention import AttentionDetail, AttentionMatrix, matrices, outputs_for
from service.bundle.manifest import AttentionOutput, Manifest
from service.decoding.onnx_step import OnnxState, OnnxStep
from service.decoding.sampling import Completion, Sampling, SamplingRequest
from service.runtime import Session


@dataclass(frozen=True)
class CompletionRequest:
    draw: SamplingRequest
    detail: AttentionDetail = "none"
    heard: bool = False
    """Whether each token is to be told as it is written."""

    @property
    def length(self) -> int:
        return len(self.draw.prompt) + self.draw.max_tokens


@dataclass(frozen=True)
class NewToken:
    """One token of a text that is written on."""

    token_id: int
    log_prob: float
    weights: NDArray[Any] | None
    """[keys]: what it looked at, as the summary shows it, from the prompt's beginning; None where none is wanted."""


@dataclass(frozen=True)
class Sampled:
    written: Completion
    attention: list[AttentionMatrix]
    """[T, P + T - 1]: row t is the step that chose token t."""


class Sampler:
    """An engine (`scheduling.Engine`) over the `step` graph of a language model."""

    fill = 0.0
    """Texts of any lengths run side by side: nothing is padded."""
    min_tokens_per_worker = 1
    seconds_per_token = math.inf

    def __init__(self, manifest: Manifest, step: Session, vocabulary: int):
        assert manifest.special_ids  # the manifest checked itself
        self._outputs = manifest.attention
        self._step = OnnxStep(step)
        ids = manifest.special_ids
        self._sampling: Sampling[OnnxState] = Sampling(self._step, vocabulary, ids.eos, ids.never)
        self._running: dict[int, CompletionRequest] = {}

    def ready(self) -> bool:
        return True

    def start(self, work: Sequence[tuple[int, CompletionRequest]]) -> None:
        self._running |= dict(work)
        state = self._step.start({}, len(work))
        self._sampling.join([key for key, _ in work], [item.draw for _, item in work], state)

    def advance(self) -> list[tuple[int, Sampled]]:
        finished = self._sampling.advance()
        return [(key, Sampled(written, self._attention(self._running[key], written))) for key, written in finished]

    def new_tokens(self) -> list[tuple[int, NewToken]]:
        latest = [(key, self._running[key], written) for key, written in self._sampling.latest()]
        # What has left by now is told a last time, and then forgotten.
        self._running = {key: self._running[key] for key in self._sampling.keys()}
        return [(key, self._said(work, written)) for key, work, written in latest if work.heard]

    def drop(self, keys: Collection[int]) -> None:
        self._sampling.leave(keys)
        for key in keys:
            self._running.pop(key, None)

    def _said(self, work: CompletionRequest, written: Completion) -> NewToken:
        place = len(written.token_ids) - 1
        weights = None
        for output in outputs_for(work.detail, self._outputs) if work.detail == "summary" else []:
            row = _own(written.attention[output.output][place], len(work.draw.prompt) + place)
            weights = row.reshape(-1, row.shape[-1]).mean(axis=0)
        return NewToken(written.token_ids[place], written.log_probs[place], weights)

    def _attention(self, work: CompletionRequest, written: Completion) -> list[AttentionMatrix]:
        found: list[tuple[AttentionOutput, NDArray[Any]]] = []
        if not written.token_ids:  # nothing is written: nothing looked at anything
            return []
        prompt, count = len(work.draw.prompt), len(written.token_ids)
        for output in outputs_for(work.detail, self._outputs):
            rows = written.attention[output.output]
            weights = np.zeros((*rows[0].shape[:-2], count, prompt + count - 1), dtype=rows[0].dtype)
            for t, row in enumerate(rows):
                weights[..., t, : prompt + t] = _own(row, prompt + t)[..., 0, :]
            found.append((output, weights))
        return matrices(work.detail, found)


def _own(row: NDArray[Any], length: int) -> NDArray[Any]:
    """Of one step's weights [..., 1, K] those on `length` tokens, zero on what is too far back to be among the keys:
    [..., 1, length]."""
    seen = min(row.shape[-1], length)
    own = np.zeros((*row.shape[:-1], length), dtype=row.dtype)
    own[..., length - seen :] = row[..., row.shape[-1] - seen :]
    return own
