"""The tools every comparison with PyTorch needs: batches to try, the written graphs as functions, one tolerance."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor

from service.bundle.manifest import Graph, Precision, TensorInfo

TOLERANCE = 1e-5
"""Largest difference between PyTorch and onnxruntime: absolute, plus as much relative to the value."""

Arrays = dict[str, np.ndarray]


class ParityError(RuntimeError):
    """The exported graphs do not compute what the PyTorch network does; no bundle was written."""


def tensors(names: list[str], dtype: Any, shape: list[int | str]) -> list[TensorInfo]:
    return [TensorInfo(name=name, dtype=dtype, shape=shape) for name in names]


def open_graphs(
    folder: Path, graphs: list[Graph], precision: Precision = "float32"
) -> dict[str, Callable[[Arrays], Arrays]]:
    """The written graphs of one precision, by role, each a function of named arrays."""

    def runner(graph: Graph) -> Callable[[Arrays], Arrays]:
        options = ort.SessionOptions()
        options.log_severity_level = 3  # it warns of lengths that it inferred wrongly, of the operator Attention
        session = ort.InferenceSession(str(folder / graph.file), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))

    return {graph.role: runner(graph) for graph in graphs if graph.precision == precision}


def require_equal(where: str, expected: Tensor, actual: np.ndarray) -> None:
    """Raise ParityError unless onnxruntime's array is PyTorch's within TOLERANCE."""
    wanted = expected.detach().numpy()
    if wanted.shape != actual.shape:
        raise ParityError(f"{where}: shape {actual.shape}, PyTorch has {wanted.shape}")
    if not np.allclose(actual, wanted, atol=TOLERANCE, rtol=TOLERANCE):
        raise ParityError(f"{where}: differs from PyTorch by up to {np.abs(actual - wanted).max():.2e}")


def decode_in_steps(
    run: dict[str, Callable[[Arrays], Arrays]],
    step: Graph,
    encoded: Arrays,
    target_ids: Tensor | np.ndarray,
    candidates: int = 3,
) -> Iterator[Arrays]:
    """What the written step graph answers for target_ids [R, T], one position after the other, from its state pairs;
    each of the B sentences of `encoded` has R / B rows; without a source each row is a text of its own."""
    states = {pair.input for pair in step.state}
    rows = len(target_ids)
    batch = len(next(iter(encoded.values()))) if encoded else rows
    inputs: Arrays = {"parents": np.arange(rows) * batch // rows, "candidates": np.array([candidates])}
    for tensor in step.inputs:
        if tensor.name in encoded:
            inputs[tensor.name] = encoded[tensor.name]
        elif tensor.name in states:
            shape = [batch if axis == 0 else 0 if isinstance(d, str) else d for axis, d in enumerate(tensor.shape)]
            inputs[tensor.name] = np.zeros(shape, tensor.dtype)
    wanted = {tensor.name for tensor in step.inputs}
    for position, token_ids in enumerate(target_ids.T):
        inputs |= {"token_ids": np.asarray(token_ids), "lengths": np.full(rows, position)}
        outputs = run["step"]({name: array for name, array in inputs.items() if name in wanted})
        inputs |= {pair.input: outputs[pair.output] for pair in step.state}
        inputs["parents"] = np.arange(rows)
        yield outputs


def step_tensors(*names: str) -> list[TensorInfo]:
    """Of what every step can read beside its states, as `service.bundle.manifest.Graph` has it."""
    shapes: dict[str, int | str] = {"token_ids": "rows", "parents": "rows", "lengths": "rows", "candidates": 1}
    return [tensor for name in names for tensor in tensors([name], "int64", [shapes[name]])]


def score_tensors() -> list[TensorInfo]:
    """What every step says of the next token (`service.bundle.manifest.STEP_OUTPUTS`)."""
    return [
        *tensors(["top_log_probs"], "float32", ["rows", "candidates"]),
        *tensors(["top_ids"], "int64", ["rows", "candidates"]),
        *tensors(["end_log_probs"], "float32", ["rows", 1]),
    ]


def scores(logits: Tensor, eos_id: int, candidates: Tensor) -> list[Tensor]:
    """logits [R, V], how many candidates [1] -> those tensors. The choice is the graph's, so that what crosses into the
    service is a few numbers a row and not a vocabulary."""
    # Of one dimension: ONNX's TopK wants its k so, and tracing keeps it a number that is not known yet.
    log_probs = logits.log_softmax(-1)
    top_log_probs, top_ids = log_probs.topk(candidates[0], dim=-1)  # type: ignore[arg-type]
    return [top_log_probs, top_ids, log_probs[:, eos_id : eos_id + 1]]


def check_scores(where: str, logits: Tensor, eos_id: int, answer: Arrays) -> None:
    """Compare what a step says of the next token with the network's logits [R, V]. Raises ParityError."""
    log_probs = logits.log_softmax(-1)
    require_equal(f"end_log_probs {where}", log_probs[:, eos_id : eos_id + 1], answer["end_log_probs"])
    require_equal(f"top_log_probs {where}", log_probs.topk(answer["top_ids"].shape[1]).values, answer["top_log_probs"])
    chosen = log_probs.gather(1, torch.from_numpy(answer["top_ids"]))
    require_equal(f"log_probs of the top_ids {where}", chosen, answer["top_log_probs"])


LENGTHS = [[1], [7], [5, 5, 5], [11, 2, 7, 1, 3], [2, 13], [64, 3]]
"""Batches to compare: alone and together, padded and unpadded, shorter and longer than what was traced."""


def padded_batch(lengths: list[int], vocabulary: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random ids [B, S] with zeros behind each text's end, and the lengths [B]."""
    ids = torch.randint(4, vocabulary, (len(lengths), max(lengths)), generator=generator)
    lengths_tensor = torch.tensor(lengths)
    return ids.masked_fill(torch.arange(max(lengths))[None, :] >= lengths_tensor[:, None], 0), lengths_tensor


ROWS = 2
"""For each sentence of a trial."""


@dataclass(frozen=True)
class Trial:
    """A batch as PyTorch and the written graphs read it."""

    lengths: list[int]
    source_ids: Tensor
    """[B, S]"""
    target_ids: Tensor
    """[B * ROWS, T]"""
    encoded: Arrays
    """What the encode graph answers."""
    steps: list[Arrays]
    """What the step graph answers at each position."""

    @property
    def row_source_ids(self) -> Tensor:
        """[B * ROWS, S]: the source of every row."""
        return self.source_ids.repeat_interleave(ROWS, 0)


def trials(folder: Path, graphs: list[Graph], vocabulary: int, pad_id: int, longest: int = 64) -> Iterator[Trial]:
    """Random batches through the written graphs of a translator that reads up to `longest` tokens at least."""
    run = open_graphs(folder, graphs)
    generator = torch.Generator().manual_seed(0)
    for lengths in [[min(n, longest) for n in batch] for batch in LENGTHS]:
        source_ids, lengths_tensor = padded_batch(lengths, vocabulary, generator)
        target_ids = torch.randint(4, vocabulary, (ROWS * len(lengths), 5), generator=generator)
        encoded = run["encode"]({"source_ids": source_ids.numpy(), "source_lengths": lengths_tensor.numpy()})
        steps = list(decode_in_steps(run, graphs[1], encoded, target_ids))
        yield Trial(lengths, source_ids.masked_fill(source_ids == 0, pad_id), target_ids, encoded, steps)
