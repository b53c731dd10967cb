"""Rewrites the float32 graph of a bundle for CUDA, when it is loaded. Names of inputs and outputs stay.

onnxruntime's CUDA kernel of the Attention operator refuses to return weights (output mode 3). It returns the scores
before the mask (mode 0), and separate operators compute softmax(scores + bias).

In float16, products, recurrent layers and states are float16. Softmax and log-probabilities are float32, and so are
the statistics of layer normalisation and positions. The weights are the same, since a bundle stores them as float16.

This module needs the package `onnx`, which the extra `gpu` installs.
"""

import math
from collections.abc import Collection, Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from service.bundle.manifest import Graph, Manifest, Precision, TensorInfo

SCORES, WEIGHTS = 0, 3
"""Values of `qk_matmul_output_mode`."""
VISIBLE, HIDDEN = "attention.visible", "attention.hidden"
"""Constants 0 and minus infinity, the bias of visible and hidden keys."""

FLOAT32_OPERATORS = frozenset(
    "Cos Exp Log LogSoftmax Pow Range ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Sin Softmax Sqrt TopK".split()
)
"""Operators that stay in float32."""
BOUNDED = frozenset(["Cos", "Sin"])
"""Operators with outputs from -1 to 1 for every input."""
FROM_INTEGERS = frozenset(["Cast", "ConstantOfShape", "Where"])
"""Operators that make float numbers from integers, or choose between constants."""


def graph_for_cuda(
    manifest: Manifest, graph: Graph, content: bytes, precision: Precision = "float32"
) -> tuple[Graph, bytes]:
    """Rewrite a float32 graph in `precision`, float32 or float16. Returns its new description and content.

    Raises ValueError if the graph has an operator with subgraphs or tensors of unknown type.
    """
    model = onnx.load_from_string(content)
    split_weights(model)
    if precision == "float16":
        halves = exchanged(manifest)
        to_float16(model, halves)
        graph = graph.model_copy(
            update={
                "precision": "float16",
                "inputs": [_described(tensor, halves) for tensor in graph.inputs],
                "outputs": [_described(tensor, halves) for tensor in graph.outputs],
            }
        )
    return graph, model.SerializeToString()


def exchanged(manifest: Manifest) -> frozenset[str]:
    """Names of the float32 tensors that graphs pass to each other: states, and outputs that a step reads."""
    steps = [graph for graph in manifest.graphs if (graph.role, graph.precision) == ("step", "float32")]
    produced = {tensor.name for graph in manifest.graphs if graph.role != "step" for tensor in graph.outputs}
    found: set[str] = set()
    for step in steps:
        pairs = {pair.input: pair.output for pair in step.state}
        for tensor in step.inputs:
            if tensor.dtype == "float32" and tensor.name in produced | pairs.keys():
                found |= {tensor.name, pairs.get(tensor.name, tensor.name)}
    return frozenset(found)


def _described(tensor: TensorInfo, halves: Collection[str]) -> TensorInfo:
    if tensor.name not in halves or tensor.dtype != "float32":
        return tensor
    return tensor.model_copy(update={"dtype": "float16"})


def split_weights(model: onnx.ModelProto) -> None:
    """Compute the weights of every Attention node from its scores, unless the graph does so already."""
    split = [node for node in model.graph.node if returns_weights(node) and output_mode(node).i == WEIGHTS]
    if not split:
        return
    types = element_types(model)
    nodes: list[onnx.NodeProto] = []
    biases: dict[str, str] = {}  # mask -> bias
    for node in model.graph.node:
        if node not in split:
            nodes.append(node)
            continue
        mask, weights = node.input[3], node.output[3]
        if mask not in biases:
            biases[mask] = mask
            if types[mask] == TensorProto.BOOL:
                biases[mask] = f"{mask}.bias"
                nodes.append(helper.make_node("Where", [mask, VISIBLE, HIDDEN], [f"{mask}.bias"], name=f"{mask}.bias"))
        output_mode(node).i = SCORES
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


def returns_weights(node: onnx.NodeProto) -> bool:
    """True for an Attention node with its fourth output."""
    return node.op_type == "Attention" and len(node.output) > 3 and bool(node.output[3])


def output_mode(node: onnx.NodeProto) -> onnx.AttributeProto:
    """The attribute `qk_matmul_output_mode` of an Attention node."""
    found: list[onnx.AttributeProto] = [a for a in node.attribute if a.name == "qk_matmul_output_mode"]
    [attribute] = found
    return attribute


def replace_nodes(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Replace all nodes of a graph."""
    kept = list(nodes)
    graph.ClearField("node")
    graph.node.extend(kept)


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every tensor whose type ONNX can infer."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        types[value.name] = value.type.tensor_type.elem_type
    return types


def to_float16(model: onnx.ModelProto, halves: Collection[str]) -> None:
    """Compute a graph in float16, except FLOAT32_OPERATORS. `halves` names the inputs and outputs that are float16.

    Raises ValueError if the graph has an operator with subgraphs or tensors of unknown type.
    """
    Halving(model, halves).run()


class Halving:
    """State of `to_float16`: the form in which each float tensor is computed, and the casts between the forms."""

    def __init__(self, model: onnx.ModelProto, halves: Collection[str]):
        self._graph = model.graph
        self._types = element_types(model)
        self._halves = halves
        self._outputs = {output.name for output in model.graph.output}
        self._nodes: list[onnx.NodeProto] = []
        self._names: dict[tuple[str, int], str] = {}
        """The name of a tensor in the element type FLOAT or FLOAT16, where it exists in that type."""
        self._constant = {tensor.name for tensor in model.graph.initializer}
        """Tensors that do not depend on an input. onnxruntime folds them when it loads the graph."""
        self._counts: set[str] = set()
        """Tensors computed only from integers, such as positions, which float16 cannot represent."""

    def run(self) -> None:
        for tensor in self._graph.initializer:
            if tensor.data_type == TensorProto.FLOAT:
                self._names[tensor.name, TensorProto.FLOAT] = tensor.name
        for value in self._graph.input:
            if value.type.tensor_type.elem_type == TensorProto.FLOAT:
                element = TensorProto.FLOAT16 if value.name in self._halves else TensorProto.FLOAT
                value.type.tensor_type.elem_type = element
                self._names[value.name, element] = value.name
        for node in self._graph.node:
            self._convert(node)
        for value in self._graph.output:
            if value.name in self._halves and value.type.tensor_type.elem_type == TensorProto.FLOAT:
                value.type.tensor_type.elem_type = TensorProto.FLOAT16
        replace_nodes(self._graph, self._nodes)
        self._graph.ClearField("value_info")  # the types have changed

    def _convert(self, node: onnx.NodeProto) -> None:
        if any(attribute.HasField("g") for attribute in node.attribute):
            raise ValueError(f"the operator {node.op_type} has a subgraph")
        if unknown := [name for name in (*node.input, *node.output) if name and not self._types.get(name)]:
            raise ValueError(f"the type of {unknown[0]} is not known")
        inputs = [name for name in node.input if name]
        if all(name in self._constant for name in inputs):
            self._constant |= set(node.output)
        element = self._element(node)
        if node.op_type == "Cast" and self._types[node.input[0]] == TensorProto.FLOAT16:
            self._names[node.output[0], TensorProto.FLOAT16] = node.input[0]
        node.input[:] = [self._in(name, element) for name in node.input]
        written = list(node.output)
        node.output[:] = [self._internal(name, element) for name in written]
        if node.op_type == "Cast" and self._is_float(written[0]):
            node.attribute[0].i = element
        if node.op_type == "Attention" and element == TensorProto.FLOAT16:
            node.attribute.append(helper.make_attribute("softmax_precision", int(TensorProto.FLOAT)))
        self._nodes.append(node)
        for name, internal in zip(written, node.output, strict=True):
            if self._is_float(name):
                self._names[name, element] = internal
                if internal != name:
                    self._names[name, self._declared(name)] = self._cast(internal, name, self._declared(name))

    def _element(self, node: onnx.NodeProto) -> int:
        """The element type in which a node computes."""
        casts_to_integers = node.op_type == "Cast" and not self._is_float(node.output[0])
        if node.output[0] in self._constant or casts_to_integers:
            return int(TensorProto.FLOAT)
        floats = [name for name in node.input if self._is_float(name) and name not in self._constant]
        counts = all(name in self._counts for name in floats) if floats else node.op_type in FROM_INTEGERS
        if counts and node.op_type not in BOUNDED:
            self._counts |= set(node.output)
        return int(TensorProto.FLOAT if counts or node.op_type in FLOAT32_OPERATORS else TensorProto.FLOAT16)

    def _is_float(self, name: str) -> bool:
        return bool(name) and self._types[name] == TensorProto.FLOAT

    def _declared(self, output: str) -> int:
        return int(TensorProto.FLOAT16 if output in self._halves else TensorProto.FLOAT)

    def _internal(self, name: str, element: int) -> str:
        """The name under which a node writes a tensor: another one for an output of the graph of the other type."""
        if self._is_float(name) and name in self._outputs and self._declared(name) != element:
            return f"{name}.computed"
        return name

    def _in(self, name: str, element: int) -> str:
        """The name of an input in an element type. Adds a cast if there is none yet."""
        if not self._is_float(name):
            return name
        if (name, element) not in self._names:
            half = element == TensorProto.FLOAT16
            other = self._names[name, int(TensorProto.FLOAT if half else TensorProto.FLOAT16)]
            self._names[name, element] = self._cast(other, f"{name}.half" if half else f"{name}.float", element)
        return self._names[name, element]

    def _cast(self, name: str, result: str, element: int) -> str:
        """Add a cast and return the name of its result."""
        self._nodes.append(helper.make_node("Cast", [name], [result], to=element, name=f"cast.{result}"))
        return result
