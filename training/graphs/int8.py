"""A graph with its products by weights in int8: a quarter of the memory to read, four times the products at once.

Weights are rounded per column. Inputs are rounded by what sentences showed them to hold: nothing is looked at when the
graph runs, so that it costs one operator, and what a text gets never depends on its batch mates (which onnxruntime's
own dynamic quantisation, one scale a tensor, cannot say). Weights are not stored again: their rounding is part of the
graph, and onnxruntime folds it when it loads it.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

LEVELS = 255
"""Of what comes in, from the least to the most."""
WEIGHT_LEVELS = 64
"""Of weights, to either side of zero: a processor without VNNI adds two products in 16 bits, and 2 * 255 * 64 fits into
them."""

Arrays = dict[str, np.ndarray]
Ranges = dict[str, tuple[float, float]]
"""Of tensors, by name: the least and the most they held."""


def constants(graph: onnx.GraphProto) -> set[str]:
    """The tensors that no input decides."""
    found = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if all(name in found for name in node.input if name):
            found |= set(node.output)
    return found


def products(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Every MatMul of something by weights."""
    known = constants(graph)
    return [
        node
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in known and node.input[0] not in known
    ]


def observed(path: Path) -> tuple[Callable[[Arrays], Arrays], Ranges]:
    """The float32 graph of a file as a function, and what its products have read so far: every call adds to it."""
    model = onnx.load(str(path))
    read = sorted({node.input[0] for node in products(model.graph)})
    own = [output.name for output in model.graph.output]
    known = {*own, *(entry.name for entry in model.graph.input)}
    inner = [name for name in read if name not in known]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner)
    options = ort.SessionOptions()
    options.log_severity_level = 3  # it warns of lengths that it inferred wrongly, of the operator Attention
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ranges: Ranges = dict.fromkeys(read, (0.0, 0.0))

    def run(inputs: Arrays) -> Arrays:
        arrays = inputs | dict(zip([*own, *inner], session.run([*own, *inner], inputs), strict=True))
        for name in read:
            low, high = ranges[name]
            ranges[name] = (min(low, float(arrays[name].min())), max(high, float(arrays[name].max())))
        return {name: arrays[name] for name in own}

    return run, ranges


def rounded_weights(weights: str) -> list[onnx.NodeProto]:
    """`.int8` of weights [K, N], with one scale a column."""
    rounding = helper.make_node(
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
        rounding,
    ]


def rounded_input(x: str) -> list[onnx.NodeProto]:
    """`.int8` of x, unsigned, which is what processors multiply by int8."""
    return [helper.make_node("QuantizeLinear", [x, f"{x}.scale", f"{x}.zero"], [f"{x}.int8"], name=f"round.{x}")]


def rounding_of(x: str, low: float, high: float) -> list[onnx.TensorProto]:
    """What one level of x stands for, and the level of zero, which is in its range."""
    scale = np.float32(max((high - low) / LEVELS, 1e-30))
    return [
        numpy_helper.from_array(np.asarray(scale), f"{x}.scale"),
        numpy_helper.from_array(np.asarray(np.uint8(round(-low / float(scale)))), f"{x}.zero"),
    ]


def biases(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """The Add of a constant vector to it, of every tensor that nothing else reads, by its name."""
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


def in_int8(model: onnx.ModelProto, ranges: Ranges) -> onnx.ModelProto:
    """The same graph with every MatMul by weights in int8 (opset 21 and above), the bias behind it included. `ranges`:
    of what these read."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    added = biases(model)
    multiplied = {node.output[0]: node for node in products(graph)}
    done: set[str] = set()
    gone: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        y = node.output[0]
        if y in gone:
            continue
        if y not in multiplied:
            nodes.append(node)
            continue
        x, weights = node.input
        for name, rounding in ((x, rounded_input), (weights, rounded_weights)):
            if name not in done:
                nodes += rounding(name)
                done.add(name)
        inputs = [f"{x}.int8", f"{weights}.int8", f"{x}.scale", f"{weights}.scale", f"{x}.zero"]
        if y in added:
            [bias] = set(added[y].input) - {y}
            y = added[y].output[0]
            inputs += ["", bias]
            gone.add(y)
        nodes.append(helper.make_node("MatMulIntegerToFloat", inputs, [y], domain="com.microsoft"))
    graph.ClearField("node")
    graph.node.extend(nodes)
    values = {"axis": np.array([0]), "weight_level": np.float32(1 / WEIGHT_LEVELS), "smallest": np.float32(1e-30)}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(v), f"int8.{name}") for name, v in values.items())
    for x in sorted({node.input[0] for node in multiplied.values()}):
        graph.initializer.extend(rounding_of(x, *ranges[x]))
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made
