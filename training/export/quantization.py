"""Int8 variants of a translator's graphs: calibration, writing, comparison with PyTorch."""

from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from service.bundle.manifest import Graph
from training.export.golden import TOLERANCES, GreedyTranslation
from training.graphs import Description
from training.graphs.cuda import fuse_weights
from training.graphs.int8 import Ranges, observe, quantize
from training.graphs.parity import Arrays, decode_in_steps, open_graphs
from training.tasks import TranslationTask

CALIBRATION_PAIRS = 256
"""Number of sentence pairs that set the input ranges."""

Pairs = list[tuple[list[int], list[int]]]
"""Source ids with </s>, target ids from <s> on."""


def calibration_pairs(task: TranslationTask) -> Pairs:
    """Pairs of the validation split, evenly spaced."""
    task.load("valid")
    examples = task.examples["valid"]
    return [
        (source, [task.bos_id, *target]) for source, target in examples[:: max(1, len(examples) // CALIBRATION_PAIRS)]
    ]


def write_int8(graphs: list[Graph], folder: Path, pairs: Pairs) -> list[Graph]:
    """Write the int8 variants of the `encode` and `step` graphs, calibrated on sentence pairs."""
    run: dict[str, Callable[[Arrays], Arrays]] = {}
    ranges: dict[str, Ranges] = {}
    for graph in graphs:
        run[graph.role], ranges[graph.role] = observe(folder / graph.file)
    for source_ids, target_ids in pairs:
        encoded = run["encode"]({"source_ids": np.array([source_ids]), "source_lengths": np.array([len(source_ids)])})
        deque(decode_in_steps(run, graphs[1], encoded, np.array([target_ids])), maxlen=0)
    variants = []
    for graph in graphs:
        variant = graph.model_copy(update={"precision": "int8", "file": graph.file.replace(".onnx", ".int8.onnx")})
        model = onnx.load(str(folder / graph.file), load_external_data=False)
        fuse_weights(model)
        onnx.save(quantize(model, ranges[graph.role]), str(folder / variant.file))
        variants.append(variant)
    return variants


def equals(
    folder: Path, described: Description, graphs: list[Graph], expected: GreedyTranslation, never: list[int]
) -> bool:
    """True if the int8 graphs choose the expected tokens, with scores and attention within the tolerance."""
    run = open_graphs(folder, graphs, "int8")
    source, target = np.array([expected.source_ids]), np.array([expected.target_ids])
    encoded = run["encode"]({"source_ids": source, "source_lengths": np.array([source.size])})
    steps = list(decode_in_steps(run, described.graphs[1], encoded, target[:, :-1], len(never) + 1))
    total = 0.0
    for outputs, token in zip(steps, expected.target_ids[1:], strict=True):
        ids, log_probs = outputs["top_ids"][0].tolist(), outputs["top_log_probs"][0].tolist()
        best, log_prob = next((i, p) for i, p in zip(ids, log_probs, strict=True) if i not in never)
        if best != token:
            return False
        total += log_prob
    differences = [abs(total / len(steps) - expected.score)]
    summary = next((output for output in described.attention if output.summary), None)
    if summary is not None and expected.weights is not None and len(steps) > 1:
        rows = [outputs[summary.output][0].reshape(-1, source.size).mean(0) for outputs in steps[:-1]]
        differences.append(float(np.abs(np.stack(rows) - expected.weights.numpy()).max()))
    return max(differences) < TOLERANCES["int8"]
