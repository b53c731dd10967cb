"""Restricts the output layer of an int8 step graph to a shortlist of target ids.

The step graph reads the columns of the output layer as inputs. A second graph selects them, once for a batch instead
of at every step.

Legend: B sentences, R rows, W rows per sentence, D size of the decoder's states, U ids of the shortlist.
"""

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from service.bundle.conventions import SHORTLIST, SHORTLIST_MASK
from service.bundle.manifest import Graph, TensorInfo

WEIGHTS, SCALES, BIAS = "shortlist_weights", "shortlist_scales", "shortlist_bias"
COLUMNS = {1: WEIGHTS, 3: SCALES, 6: BIAS}
"""Input of the output layer's MatMulIntegerToFloat -> name of its columns: int8 [D, U], float32 [U], float32 [U]."""
ELEMENTS = {"int64": TensorProto.INT64, "int8": TensorProto.INT8, "float32": TensorProto.FLOAT}


def restrict(model: onnx.ModelProto, step: Graph) -> tuple[onnx.ModelProto, onnx.ModelProto, list[Graph]]:
    """Return a step graph that reads a shortlist, the graph that selects its columns, and their manifest entries.

    `model` is an int8 step graph with the manifest entry `step`. Raises ValueError if its output layer is no int8
    product.
    """
    [softmax] = [node for node in model.graph.node if node.op_type == "LogSoftmax"]
    [product] = [node for node in model.graph.node if node.output[0] == softmax.input[0]]
    if product.op_type != "MatMulIntegerToFloat":
        raise ValueError(f"the output layer of {step.file} is a {product.op_type}, no int8 product")
    tensors = {name: product.input[at] for at, name in COLUMNS.items() if at < len(product.input) and product.input[at]}
    shapes: dict[str, list[int | str]] = {WEIGHTS: [weight_rows(model, tensors[WEIGHTS]), SHORTLIST]}
    columns = [info(name, "int8" if name == WEIGHTS else "float32", shapes.get(name, [SHORTLIST])) for name in tensors]
    sentences = next(tensor.shape[0] for tensor in step.inputs if tensor.shape[0] not in ("rows", "before", 1))
    ids, mask = info(SHORTLIST, "int64", [SHORTLIST]), info(SHORTLIST_MASK, "float32", [sentences, SHORTLIST])
    restricted = restricted_step(model, softmax, product, [ids, mask, *columns])
    entries = [
        step.model_copy(update={"inputs": [*step.inputs, ids, mask, *columns]}),
        Graph(
            role="shortlist",
            file=step.file.replace("step", "shortlist"),
            precision=step.precision,
            inputs=[ids],
            outputs=columns,
        ),
    ]
    return restricted, output_layer(model, tensors, ids, columns), entries


def info(name: str, dtype: str, shape: list[int | str]) -> TensorInfo:
    """Manifest entry of a tensor."""
    return TensorInfo.model_validate({"name": name, "dtype": dtype, "shape": shape})


def weight_rows(model: onnx.ModelProto, name: str) -> int:
    """Return D of weights [D, V]."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    [value] = [value for value in inferred.value_info if value.name == name]
    return int(value.type.tensor_type.shape.dim[0].dim_value)


def restricted_step(
    model: onnx.ModelProto, softmax: onnx.NodeProto, product: onnx.NodeProto, inputs: list[TensorInfo]
) -> onnx.ModelProto:
    """The step graph over a shortlist, whose first id is </s>."""
    restricted = onnx.ModelProto()
    restricted.CopyFrom(model)
    graph = restricted.graph
    logits = product.output[0]
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.output[0] == logits:
            for at, name in COLUMNS.items():
                if at < len(node.input) and node.input[at]:
                    node.input[at] = name
            node.output[0] = f"{logits}.unmasked"
            nodes += [node, *mask_nodes(node.output[0], logits)]
        elif "end_log_probs" in node.output:
            nodes.append(helper.make_node("Gather", [softmax.output[0], "shortlist.zero"], ["end_log_probs"], axis=1))
        elif "top_ids" in node.output:
            node.output[list(node.output).index("top_ids")] = "shortlist.top"
            nodes += [node, helper.make_node("Gather", [SHORTLIST, "shortlist.top"], ["top_ids"])]
        else:
            nodes.append(node)
    graph.input.extend(value_info(tensor) for tensor in inputs)
    values = {"zero": [0], "any": [-1], "one": [1]}
    graph.initializer.extend(numpy_helper.from_array(np.array(v), f"shortlist.{name}") for name, v in values.items())
    keep_needed(graph, nodes, [output.name for output in graph.output])
    return restricted


def mask_nodes(logits: str, masked: str) -> list[onnx.NodeProto]:
    """Nodes that add the mask [B, U] to the logits [R, U] of all rows of a sentence."""
    return [
        helper.make_node("Shape", [SHORTLIST_MASK], ["shortlist.B"], start=0, end=1),
        helper.make_node("Shape", [SHORTLIST_MASK], ["shortlist.U"], start=1, end=2),
        helper.make_node("Concat", ["shortlist.B", "shortlist.any", "shortlist.U"], ["shortlist.BWU"], axis=0),
        helper.make_node("Concat", ["shortlist.any", "shortlist.U"], ["shortlist.RU"], axis=0),
        helper.make_node("Reshape", [logits, "shortlist.BWU"], ["shortlist.logits"]),
        helper.make_node("Unsqueeze", [SHORTLIST_MASK, "shortlist.one"], ["shortlist.mask"]),
        helper.make_node("Add", ["shortlist.logits", "shortlist.mask"], ["shortlist.masked"]),
        helper.make_node("Reshape", ["shortlist.masked", "shortlist.RU"], [masked]),
    ]


def output_layer(
    model: onnx.ModelProto, tensors: dict[str, str], ids: TensorInfo, columns: list[TensorInfo]
) -> onnx.ModelProto:
    """The graph that selects columns of the output layer. onnxruntime folds the quantisation when it loads the graph.

    tensors: output name -> tensor of `model` to select from.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    graph.name = "shortlist"
    nodes = list(graph.node)
    for name, tensor in tensors.items():
        if name == WEIGHTS:  # the rows of the transposed weights are contiguous
            nodes += [
                helper.make_node("Transpose", [tensor], [f"{tensor}.rows"], perm=[1, 0]),
                helper.make_node("Gather", [f"{tensor}.rows", SHORTLIST], [f"{name}.rows"]),
                helper.make_node("Transpose", [f"{name}.rows"], [name], perm=[1, 0]),
            ]
        else:
            nodes.append(helper.make_node("Gather", [tensor, SHORTLIST], [name]))
    graph.ClearField("value_info")
    for field, values in (("input", [ids]), ("output", columns)):
        graph.ClearField(field)
        getattr(graph, field).extend(value_info(tensor) for tensor in values)
    keep_needed(graph, nodes, [tensor.name for tensor in columns])
    return made


def keep_needed(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], outputs: Iterable[str]) -> None:
    """Set the nodes of a graph, without nodes and initializers that no output needs."""
    needed = set(outputs)
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    initializers = [tensor for tensor in graph.initializer if tensor.name in needed]
    for field, content in (("node", kept[::-1]), ("initializer", initializers)):
        graph.ClearField(field)
        getattr(graph, field).extend(content)


def value_info(tensor: TensorInfo) -> onnx.ValueInfoProto:
    """The ONNX declaration of an input or output."""
    return helper.make_tensor_value_info(tensor.name, ELEMENTS[tensor.dtype], tensor.shape)
