"""Comparison of the written graphs with PyTorch, within one tolerance."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor

from service.bundle.manifest import Graph, Precision

TOLERANCE = 1e-5
"""Maximum difference between PyTorch and onnxruntime, absolute and relative."""

Arrays = dict[str, np.ndarray]
GraphFunction = Callable[[Arrays], Arrays]


class ParityError(RuntimeError):
    """The exported graphs and the PyTorch network differ. No bundle was written."""


def open_graph(model: str | bytes) -> GraphFunction:
    """Load a graph, from a path or from its bytes, as a function from named inputs to named outputs."""
    options = ort.SessionOptions()
    options.log_severity_level = 3  # onnxruntime warns about Attention shapes that it infers wrongly
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


def open_graphs(folder: Path, graphs: list[Graph], precision: Precision = "float32") -> dict[str, GraphFunction]:
    """Load the graphs of one precision: role -> function."""
    return {graph.role: open_graph(str(folder / graph.file)) for graph in graphs if graph.precision == precision}


def require_equal(where: str, expected: Tensor, actual: np.ndarray) -> None:
    """Raise ParityError unless onnxruntime's array equals PyTorch's within TOLERANCE."""
    wanted = expected.detach().numpy()
    if wanted.shape != actual.shape:
        raise ParityError(f"{where}: shape {actual.shape}, PyTorch has {wanted.shape}")
    if not np.allclose(actual, wanted, atol=TOLERANCE, rtol=TOLERANCE):
        raise ParityError(f"{where}: differs from PyTorch by up to {np.abs(actual - wanted).max():.2e}")


def decode_in_steps(
    run: dict[str, GraphFunction],
    step: Graph,
    encoded: Arrays,
    target_ids: Tensor | np.ndarray,
    candidates: int = 3,
) -> Iterator[Arrays]:
    """Run the step graph over target_ids [R, T] and yield its outputs at each position.

    Each of the B sentences of `encoded` has R / B consecutive rows. Without a source every row is a text.
    """
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


def check_scores(where: str, logits: Tensor, eos_id: int, outputs: Arrays) -> None:
    """Compare the scores of a step with the network's logits [R, V]. Raises ParityError."""
    log_probs = logits.log_softmax(-1)
    require_equal(f"end_log_probs {where}", log_probs[:, eos_id : eos_id + 1], outputs["end_log_probs"])
    best = log_probs.topk(outputs["top_ids"].shape[1]).values
    require_equal(f"top_log_probs {where}", best, outputs["top_log_probs"])
    chosen = log_probs.gather(1, torch.from_numpy(outputs["top_ids"]))
    require_equal(f"log_probs of the top_ids {where}", chosen, outputs["top_log_probs"])


LENGTHS = [[1], [7], [5, 5, 5], [11, 2, 7, 1, 3], [2, 13], [64, 3]]
"""Batches to compare: single and several texts, padded and unpadded, shorter and longer than the traced example."""


def padded_batch(lengths: list[int], vocabulary: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random ids [B, S], padded with zeros, and the lengths [B]."""
    ids = torch.randint(4, vocabulary, (len(lengths), max(lengths)), generator=generator)
    lengths_tensor = torch.tensor(lengths)
    return ids.masked_fill(torch.arange(max(lengths))[None, :] >= lengths_tensor[:, None], 0), lengths_tensor


ROWS = 2
"""Rows per sentence of a trial."""


@dataclass(frozen=True)
class Trial:
    """A random batch and the outputs of the graphs for it."""

    lengths: list[int]
    source_ids: Tensor
    """[B, S]"""
    target_ids: Tensor
    """[B * ROWS, T]"""
    encoded: Arrays
    """Outputs of the encode graph."""
    steps: list[Arrays]
    """Outputs of the step graph at each position."""

    @property
    def row_source_ids(self) -> Tensor:
        """[B * ROWS, S]: the source of each row."""
        return self.source_ids.repeat_interleave(ROWS, 0)


def trials(folder: Path, graphs: list[Graph], vocabulary: int, pad_id: int, longest: int = 64) -> Iterator[Trial]:
    """Run a translator's graphs on random batches of up to `longest` source tokens."""
    run = open_graphs(folder, graphs)
    generator = torch.Generator().manual_seed(0)
    for lengths in [[min(n, longest) for n in batch] for batch in LENGTHS]:
        source_ids, lengths_tensor = padded_batch(lengths, vocabulary, generator)
        target_ids = torch.randint(4, vocabulary, (ROWS * len(lengths), 5), generator=generator)
        encoded = run["encode"]({"source_ids": source_ids.numpy(), "source_lengths": lengths_tensor.numpy()})
        steps = list(decode_in_steps(run, graphs[1], encoded, target_ids))
        yield Trial(lengths, source_ids.masked_fill(source_ids == 0, pad_id), target_ids, encoded, steps)
