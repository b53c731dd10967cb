"""Static int8 quantisation of a graph's products with weights.

Weights have one scale per column. Inputs have one scale per tensor, taken from calibration sentences. The scale does
not depend on the batch, so that a text gets the same result alone and in a batch; onnxruntime's dynamic quantisation
has one scale per batch. The graph quantises the float16 weights when it is loaded: no second copy is stored.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.graphs.parity import Arrays, open_graph

INPUT_LEVELS = 255
"""Steps between the smallest and the largest value of an input."""
WEIGHT_LEVELS = 64
"""Steps on each side of zero. Processors without VNNI add two products in 16 bits, and 2 * 255 * 64 < 2**15."""

Ranges = dict[str, tuple[float, float]]
"""Tensor name -> smallest and largest value seen."""


def constants(graph: onnx.GraphProto) -> set[str]:
    """Names of the tensors that do not depend on an input."""
    found = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if all(name in found for name in node.input if name):
            found |= set(node.output)
    return found


def weight_products(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """MatMul nodes with a variable first and a constant second operand."""
    known = constants(graph)
    return [
        node
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in known and node.input[0] not in known
    ]


def observe(path: Path) -> tuple[Callable[[Arrays], Arrays], Ranges]:
    """Load a float32 graph for calibration.

    Returns the graph as a function and the ranges of its products' inputs. Each call of the function widens the
    ranges.
    """
    model = onnx.load(str(path))
    observed = sorted({node.input[0] for node in weight_products(model.graph)})
    own = [output.name for output in model.graph.output]
    known = {*own, *(entry.name for entry in model.graph.input)}
    inner = [name for name in observed if name not in known]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner)
    graph = open_graph(model.SerializeToString())
    ranges: Ranges = dict.fromkeys(observed, (0.0, 0.0))

    def run(inputs: Arrays) -> Arrays:
        outputs = graph(inputs)
        arrays = inputs | outputs
        for name in observed:
            low, high = ranges[name]
            ranges[name] = (min(low, float(arrays[name].min())), max(high, float(arrays[name].max())))
        return {name: outputs[name] for name in own}

    return run, ranges


def quantize_weights(weights: str) -> list[onnx.NodeProto]:
    """Nodes that compute `<weights>.int8` and `<weights>.scale` of weights [K, N], one scale per column."""
    quantize = helper.make_node(
        "QuantizeLinear",
        [weights, f"{weights}.scale"],
        [f"{weights}.int8"],
        axis=1,
        output_dtype=TensorProto.INT8,
        name=f"round.{weights}",
    )
    return [
        helper.make_node("Abs", [weights], [f"{weights}.size"]),
        helper.make_node("ReduceMax", [f"{weights}.size", "int8.axis"], [f"{weights}.largest"], keepdims=0),
        helper.make_node("Mul", [f"{weights}.largest", "int8.weight_level"], [f"{weights}.step"]),
        helper.make_node("Max", [f"{weights}.step", "int8.smallest"], [f"{weights}.scale"]),
        quantize,
    ]


def quantize_input(x: str) -> list[onnx.NodeProto]:
    """Node that computes `<x>.int8`. It is unsigned: processors multiply uint8 by int8."""
    return [helper.make_node("QuantizeLinear", [x, f"{x}.scale", f"{x}.zero"], [f"{x}.int8"], name=f"round.{x}")]


def input_parameters(x: str, low: float, high: float) -> list[onnx.TensorProto]:
    """Scale and zero point of an input with values from `low` <= 0 to `high` >= 0."""
    scale = np.float32(max((high - low) / INPUT_LEVELS, 1e-30))
    return [
        numpy_helper.from_array(np.asarray(scale), f"{x}.scale"),
        numpy_helper.from_array(np.asarray(np.uint8(round(-low / float(scale)))), f"{x}.zero"),
    ]


def bias_additions(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Tensor name -> the Add of a constant vector, for tensors that only this Add reads."""
    known = constants(model.graph)
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {value.name: len(value.type.tensor_type.shape.dim) for value in inferred.value_info}
    shapes |= {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    readers = Counter(name for node in model.graph.node for name in node.input)
    readers.update(output.name for output in model.graph.output)
    return {
        x: node
        for node in model.graph.node
        if node.op_type == "Add"
        for bias, x in (node.input, reversed(node.input))
        if bias in known and shapes.get(bias) == 1 and x not in known and readers[x] == 1
    }


def quantize(model: onnx.ModelProto, ranges: Ranges) -> onnx.ModelProto:
    """Return a copy of a graph (opset 21 or higher) with its weight products, biases included, in int8.

    `ranges` are those of `observe`.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    products = {node.output[0]: node for node in weight_products(graph)}
    nodes = quantized_nodes(graph, products, bias_additions(model))
    graph.ClearField("node")
    graph.node.extend(nodes)
    values = {"axis": np.array([0]), "weight_level": np.float32(1 / WEIGHT_LEVELS), "smallest": np.float32(1e-30)}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(v), f"int8.{name}") for name, v in values.items())
    for x in sorted({node.input[0] for node in products.values()}):
        graph.initializer.extend(input_parameters(x, *ranges[x]))
    quantized.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return quantized


def quantized_nodes(
    graph: onnx.GraphProto, products: dict[str, onnx.NodeProto], biases: dict[str, onnx.NodeProto]
) -> list[onnx.NodeProto]:
    """Nodes of the graph, with each product and its bias replaced by quantisation and MatMulIntegerToFloat."""
    done: set[str] = set()
    merged: set[str] = set()  # outputs of Adds that became part of a product
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        y = node.output[0]
        if y in merged:
            continue
        if y not in products:
            nodes.append(node)
            continue
        x, weights = node.input
        for name, quantization in ((x, quantize_input), (weights, quantize_weights)):
            if name not in done:
                nodes += quantization(name)
                done.add(name)
        inputs = [f"{x}.int8", f"{weights}.int8", f"{x}.scale", f"{weights}.scale", f"{x}.zero"]
        if y in biases:
            [bias] = set(biases[y].input) - {y}
            y = biases[y].output[0]
            inputs += ["", bias]
            merged.add(y)
        nodes.append(helper.make_node("MatMulIntegerToFloat", inputs, [y], domain="com.microsoft"))
    return nodes
