"""Every operator of the graphs that are loaded with CUDA has a kernel of the CUDA provider.

`cuda_kernels.tsv` lists the kernels of the pinned onnxruntime-gpu. `python -m bench.cuda_kernels table` writes it.
"""

from collections import defaultdict
from pathlib import Path

import onnx
import pytest

from service.bundle.bundle import read_bundle
from service.bundle.cuda_graphs import SCORES, element_types, graph_for_cuda, output_mode, returns_weights
from service.bundle.files import find_bundles, read_manifest
from service.bundle.manifest import Precision
from tests.conftest import REAL_MODELS

TABLE = Path(__file__).with_name("cuda_kernels.tsv")
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
FOLDERS = [folder for versions in find_bundles(REAL_MODELS).values() for folder in versions.values()]
NAMES = {f"{folder.parent.name}/{folder.name}": folder for folder in FOLDERS}
SHAPES = frozenset("Add Concat Div Equal Gather Mul ReduceProd Reshape Slice Squeeze Sub Unsqueeze Where".split())
"""Operators on shapes, which onnxruntime runs on the CPU. A shape is on the CPU already."""

Kernel = tuple[int, int, dict[str, set[str]]]
"""First and last version of the operator, and the types of each type parameter."""


def kernels() -> dict[tuple[str, str], list[Kernel]]:
    """The kernels of each operator."""
    found = defaultdict(list)
    for line in TABLE.read_text().splitlines()[1:]:
        domain, operator, first, last, types = line.split("\t")
        listed = {name: set(names.split(",")) for name, _, names in (pair.partition("=") for pair in types.split())}
        found[domain, operator].append((int(first), int(last), listed))
    return found


KERNELS = kernels()


def type_names(element_type: int) -> str:
    return {"FLOAT": "float", "DOUBLE": "double"}.get(
        name := onnx.TensorProto.DataType.Name(element_type), name.lower()
    )


def problem(node: onnx.NodeProto, types: dict[str, int], version: int) -> str | None:
    """The reason why no kernel of the CUDA provider takes a node, or None."""
    schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    bound: dict[str, str] = {}  # type parameter -> type
    for formals, names in ((schema.inputs, node.input), (schema.outputs, node.output)):
        for place, name in enumerate(names):
            if name:
                bound[formals[min(place, len(formals) - 1)].type_str] = type_names(types[name])
    if returns_weights(node) and output_mode(node).i != SCORES:
        return f"output mode {output_mode(node).i}"
    for first, last, listed in KERNELS[node.domain, node.op_type]:
        if first <= schema.since_version <= last and all(
            bound[parameter] in allowed for parameter, allowed in listed.items() if parameter in bound
        ):
            return None
    return f"no kernel for {bound}, version {schema.since_version}"


def uncovered(model: onnx.ModelProto) -> list[str]:
    """The nodes without a kernel that depend on an input, apart from operators on shapes."""
    types = element_types(model)
    version = next(opset.version for opset in model.opset_import if opset.domain == "")
    fixed = {tensor.name for tensor in model.graph.initializer}  # folded when the graph is loaded
    shapes: set[str] = set()
    found = []
    for node in model.graph.node:
        inputs = [name for name in node.input if name]
        if all(name in fixed for name in inputs):
            fixed |= set(node.output)
        elif node.op_type == "Shape" or (
            node.op_type in {*SHAPES, "Cast"} and all(name in fixed | shapes for name in inputs)
        ):
            shapes |= set(node.output)
        elif (reason := problem(node, types, version)) is not None:
            found.append(f"{node.op_type} {node.name}: {reason}")
    return found


def test_the_table_is_that_of_the_pinned_version() -> None:
    [pinned] = [line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("onnxruntime-gpu==")]
    assert TABLE.read_text().startswith(f"# onnxruntime-gpu {pinned.partition('==')[2]}:")


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name", NAMES)
def test_every_operator_has_a_kernel(name: str, precision: Precision) -> None:
    folder = NAMES[name]
    manifest = read_manifest(folder)
    bundle = read_bundle(folder, manifest)
    for graph in manifest.graphs:
        if graph.precision == "float32":
            _, content = graph_for_cuda(manifest, graph, bundle.files[graph.file], precision)
            assert uncovered(onnx.load_from_string(content)) == []


def test_the_check_finds_operators_without_a_kernel() -> None:
    query = onnx.helper.make_tensor_value_info("query", onnx.TensorProto.FLOAT, [1, 2, 8])
    mask = onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.BOOL, [2, 2])
    outputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("context", "weights")
    ]
    attention = onnx.helper.make_node(
        "Attention",
        ["query"] * 3 + ["mask"],
        ["context", "", "", "weights"],
        qk_matmul_output_mode=3,
        q_num_heads=2,
        kv_num_heads=2,
    )
    sinh = onnx.helper.make_node("Sinh", ["context"], ["sinh"])
    graph = onnx.helper.make_graph([attention, sinh], "graph", [query, mask], outputs)
    found = uncovered(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 23)]))
    assert found == ["Attention : output mode 3", "Sinh : no kernel for {'T': 'float'}, version 22"]
