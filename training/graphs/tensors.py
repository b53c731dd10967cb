"""Inputs and outputs of the graphs, as the manifest lists them.

Legend: R rows, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from service.bundle.manifest import TensorInfo


def tensors(names: list[str], dtype: Any, shape: list[int | str]) -> list[TensorInfo]:
    """Manifest entries of tensors of one type and shape."""
    return [TensorInfo(name=name, dtype=dtype, shape=shape) for name in names]


def step_tensors(*names: str) -> list[TensorInfo]:
    """Inputs of a step graph except its states and the source (`service.bundle.manifest.Graph`)."""
    shapes: dict[str, int | str] = {"token_ids": "rows", "parents": "rows", "lengths": "rows", "candidates": 1}
    return [tensor for name in names for tensor in tensors([name], "int64", [shapes[name]])]


def score_tensors() -> list[TensorInfo]:
    """Scores of the next token, the outputs of every step graph (`service.bundle.manifest.STEP_OUTPUTS`)."""
    return [
        *tensors(["top_log_probs"], "float32", ["rows", "candidates"]),
        *tensors(["top_ids"], "int64", ["rows", "candidates"]),
        *tensors(["end_log_probs"], "float32", ["rows", 1]),
    ]


def scores(logits: Tensor, eos_id: int, candidates: Tensor, output_ids: Tensor | None = None) -> list[Tensor]:
    """Compute the `score_tensors` from logits [R, V] and the number of candidates [1].

    The graph selects the best tokens. The service then copies a few numbers per row instead of a vocabulary.

    output_ids: the sorted token ids [U] of logits [R, U], if the output layer does not know the whole vocabulary.
    """
    log_probs = logits.log_softmax(-1)
    if output_ids is not None:
        eos = int(torch.searchsorted(output_ids, eos_id))
        known = candidates.clamp(max=len(output_ids))
        top_log_probs, top = log_probs.topk(known[0], dim=-1)  # type: ignore[arg-type]
        return [top_log_probs, output_ids[top], log_probs[:, eos : eos + 1]]
    # ONNX's TopK takes k as a tensor of one dimension. Indexing keeps it symbolic while tracing.
    top_log_probs, top_ids = log_probs.topk(candidates[0], dim=-1)  # type: ignore[arg-type]
    return [top_log_probs, top_ids, log_probs[:, eos_id : eos_id + 1]]
