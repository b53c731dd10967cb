"""Attention weights in float32 and int8 graphs.

Float32 graphs also run with CUDA, whose Attention kernel cannot return weights. They compute the weights from the
scores (`service.bundle.cuda_graphs.split_weights`). Int8 graphs run only on CPUs, where an Attention node that returns
weights is a few percent faster.
"""

import onnx

from service.bundle.cuda_graphs import HIDDEN, VISIBLE, WEIGHTS, output_mode, replace_nodes, returns_weights


def fuse_weights(model: onnx.ModelProto) -> None:
    """Undo `split_weights`."""
    graph = model.graph
    added: set[str] = set()  # outputs of the nodes that split_weights added
    for node in graph.node:
        if returns_weights(node):
            weights = node.output[3].removesuffix(".scores")
            added |= {f"{node.input[3]}.bias", f"{weights}.biased", weights}
            output_mode(node).i = WEIGHTS
            node.output[3] = weights
    attention = [node for node in graph.node if node.op_type == "Attention"]
    replace_nodes(graph, [node for node in graph.node if node in attention or not added & set(node.output)])
    kept = [tensor for tensor in graph.initializer if tensor.name not in (VISIBLE, HIDDEN)]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)
