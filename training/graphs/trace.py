"""Tracing: a network becomes the ONNX files that its Description lists."""

import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from service.bundle.cuda_graphs import split_weights
from service.bundle.manifest import WEIGHTS, Graph
from training.graphs import Description
from training.graphs.surgery import (
    CUSTOM_DOMAIN,
    Offsets,
    declare_shapes,
    drop_unused_outputs,
    link_weights,
    use_standard_attention,
    write_weights,
)

TRACED_OPSET = 20
"""The highest opset that the TorchScript exporter supports."""
EXAMPLE_SIZES = {"sentences": 2, "rows": 4, "before": 3, "batch": 2}
"""Sizes of symbolic dimensions in the traced example. Other dimensions have size 3."""


def round_to_float16(network: nn.Module) -> None:
    """Round every weight to float16, so that the comparison uses the stored values."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half().float())


def write_graphs(network: nn.Module, described: Description, folder: Path) -> None:
    """Write the weights and all graphs of a network, and compare them with PyTorch. Raises ParityError."""
    offsets = write_weights(network, folder / WEIGHTS)
    for graph, wrapper in zip(described.graphs, described.wrappers, strict=True):
        write_graph(wrapper, graph, folder, offsets)
    described.check(folder)


def write_graph(wrapper: nn.Module, graph: Graph, folder: Path, offsets: Offsets) -> None:
    """Trace a wrapper to `graph.file`. Its weights stay in the shared weights file."""
    path = folder / graph.file
    dynamic = {
        tensor.name: {axis: d for axis, d in enumerate(tensor.shape) if isinstance(d, str)}
        for tensor in [*graph.inputs, *graph.outputs]
    }
    with warnings.catch_warnings():
        # Only the TorchScript exporter translates packed sequences to `sequence_lens`. It warns that it is
        # deprecated, and about traced shapes, which the parity check covers.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            wrapper.eval(),
            example_inputs(graph),
            str(path),
            input_names=[tensor.name for tensor in graph.inputs],
            output_names=[tensor.name for tensor in graph.outputs],
            dynamic_axes=dynamic,
            opset_version=TRACED_OPSET,
            custom_opsets={CUSTOM_DOMAIN: 1},
            do_constant_folding=False,  # keeps the parameter names; onnxruntime folds constants at load time
            dynamo=False,
        )
    model = onnx.load(str(path))
    declare_shapes(model, graph)
    use_standard_attention(model)
    drop_unused_outputs(model)
    split_weights(model)
    link_weights(model, offsets)
    onnx.save(model, str(path))


def example_inputs(graph: Graph) -> tuple[Tensor, ...]:
    """Inputs of the graph's shapes, used for tracing."""
    dtypes = {"int64": torch.int64, "bool": torch.bool, "float32": torch.float32}
    counts = ("lengths", "candidates")  # numbers that are limited by another dimension
    found = []
    for tensor in graph.inputs:
        shape = [EXAMPLE_SIZES.get(d, 3) if isinstance(d, str) else d for d in tensor.shape]
        example = torch.full(shape, 3) if tensor.name.endswith(counts) else torch.ones(shape)
        found.append(example.to(dtypes[tensor.dtype]))
    return tuple(found)
