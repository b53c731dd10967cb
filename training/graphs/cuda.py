"""Attention weights by operators with CUDA kernels.

The Attention operator can return the weights (output mode 3) or the scores before the mask (mode 0). onnxruntime's
CUDA kernel refuses mode 3. Float32 graphs therefore use mode 0 and compute softmax(scores + bias) with separate
operators. Int8 graphs run only on CPUs, where mode 3 is a few percent faster, and keep it.
"""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SCORES, WEIGHTS = 0, 3
"""Values of `qk_matmul_output_mode`."""
VISIBLE, HIDDEN = "attention.visible", "attention.hidden"
"""Constants 0 and minus infinity, the bias of visible and hidden keys."""


def split_weights(model: onnx.ModelProto) -> None:
    """Compute the weights of every Attention node from its scores."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in [*inferred.input, *inferred.value_info]}
    nodes: list[onnx.NodeProto] = []
    biases: dict[str, str] = {}  # mask -> bias
    for node in model.graph.node:
        if not returns_weights(node):
            nodes.append(node)
            continue
        mask, weights = node.input[3], node.output[3]
        if mask not in biases:
            biases[mask] = mask
            if types[mask] == TensorProto.BOOL:
                biases[mask] = f"{mask}.bias"
                nodes.append(helper.make_node("Where", [mask, VISIBLE, HIDDEN], [f"{mask}.bias"], name=f"{mask}.bias"))
        set_mode(node, SCORES)
        node.output[3] = f"{weights}.scores"
        nodes += [
            node,
            helper.make_node("Add", [f"{weights}.scores", biases[mask]], [f"{weights}.biased"], name=f"{weights}.add"),
            helper.make_node("Softmax", [f"{weights}.biased"], [weights], axis=-1, name=f"{weights}.softmax"),
        ]
    replace_nodes(model.graph, nodes)
    if any(mask != bias for mask, bias in biases.items()):
        for name, value in ((VISIBLE, 0.0), (HIDDEN, -math.inf)):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))


def fuse_weights(model: onnx.ModelProto) -> None:
    """Undo `split_weights`."""
    graph = model.graph
    added: set[str] = set()  # outputs of the nodes that split_weights added
    for node in graph.node:
        if returns_weights(node):
            weights = node.output[3].removesuffix(".scores")
            added |= {f"{node.input[3]}.bias", f"{weights}.biased", weights}
            set_mode(node, WEIGHTS)
            node.output[3] = weights
    attention = [node for node in graph.node if node.op_type == "Attention"]
    replace_nodes(graph, [node for node in graph.node if node in attention or not added & set(node.output)])
    kept = [tensor for tensor in graph.initializer if tensor.name not in (VISIBLE, HIDDEN)]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)


def returns_weights(node: onnx.NodeProto) -> bool:
    """True for an Attention node with its fourth output."""
    return node.op_type == "Attention" and len(node.output) > 3 and bool(node.output[3])


def set_mode(node: onnx.NodeProto, mode: int) -> None:
    """Set the output mode of an Attention node."""
    [attribute] = [attribute for attribute in node.attribute if attribute.name == "qk_matmul_output_mode"]
    attribute.i = mode


def replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Replace all nodes of a graph."""
    graph.ClearField("node")
    graph.node.extend(nodes)
