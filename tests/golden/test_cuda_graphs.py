"""The graphs that are loaded with CUDA give the right answers. A CPU runs them here."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.batching.scheduler import Limits
from service.bundle.bundle import read_bundle
from service.bundle.cuda_graphs import exchanged, graph_for_cuda, to_float16
from service.bundle.files import read_manifest
from service.bundle.golden import FLOAT16_TOLERANCE, parse_golden, read_golden
from service.bundle.manifest import GOLDEN
from service.registry.entry import open_predictor
from service.registry.golden import differences
from service.runtime import Runtime
from tests.golden.test_bundles import FOLDERS, MANIFESTS

CLOSE = 1e-6
"""Tolerance between the graphs of a CPU and of CUDA in float32. Softmax is another kernel."""


def answers(folder: Path, runtime: Runtime) -> list[Any]:
    """Answers to the golden cases of a bundle."""
    manifest = read_manifest(folder)
    bundle = read_bundle(folder, manifest)
    predictor: Any = open_predictor(bundle, runtime, Limits())
    try:
        assert predictor.precision == runtime.precision
        cases = parse_golden(bundle.files[GOLDEN], manifest.task).cases
        return [asyncio.run(predictor.golden(case)).model_dump() for case in cases]
    finally:
        predictor.close()


NETWORKS = {
    (manifest.task, *manifest.architecture.model_dump(exclude={"parameters"}).values()): folder
    for manifest, folder in zip(MANIFESTS.values(), FOLDERS, strict=True)
}
"""One bundle of each network."""


@pytest.mark.parametrize("folder", NETWORKS.values(), ids=lambda folder: folder.parent.name)
def test_float16(folder: Path) -> None:
    """Answers in float16 are within the tolerance."""
    runtime = Runtime("cpu", threads=1, precision="float16")
    runtime.rewrites = True
    manifest = read_manifest(folder)
    golden = read_golden(folder, manifest.task)
    expected = [case.answer.model_dump() for case in golden.cases]
    assert differences(expected, answers(folder, runtime), FLOAT16_TOLERANCE) == []


def test_float32(real_models: Path) -> None:
    """Weights that are computed from scores are those of the Attention operator."""
    folder = newest(real_models / "en-fr")
    runtime = Runtime("cpu", threads=1, precision="float32")
    expected = answers(folder, runtime)
    runtime.rewrites = True
    assert differences(expected, answers(folder, runtime), CLOSE) == []


def newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda version: int(version.name))


def test_states_are_float16(real_models: Path) -> None:
    """Graphs exchange float16 tensors. Scores and attention are float32."""
    folder = newest(real_models / "en-fr")
    manifest = read_manifest(folder)
    bundle = read_bundle(folder, manifest)
    halves = exchanged(manifest)
    for role in ("encode", "step"):
        graph = manifest.graph(role)
        described, content = graph_for_cuda(manifest, graph, bundle.files[graph.file], "float16")
        tensors = {tensor.name: tensor.dtype for tensor in [*described.inputs, *described.outputs]}
        assert all(tensors[name] == "float16" for name in halves & tensors.keys())
        attention = {output.output for output in manifest.attention if output.graph == role}
        assert all(tensors[name] == "float32" for name in attention)
        assert halves & tensors.keys() and attention
        assert described.precision == "float16" and len(content) < 500_000
        if role == "step":
            assert tensors["top_log_probs"] == tensors["end_log_probs"] == "float32"


def test_positions_are_float32() -> None:
    """Numbers above 2,048 that come from integers are not rounded to float16."""
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["length"])
    found = helper.make_tensor_value_info("found", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("Cast", ["ids"], ["positions"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["positions", "frequency"], ["angles"]),
        helper.make_node("Sin", ["angles"], ["sines"]),
        helper.make_node("Mul", ["sines", "frequency"], ["found"]),
    ]
    frequency = numpy_helper.from_array(np.array(0.7, np.float32), "frequency")
    model = helper.make_model(helper.make_graph(nodes, "graph", [ids], [found], [frequency]))
    model.opset_import[0].version, model.ir_version = 23, 11
    positions = np.arange(2_040, 2_070)
    to_float16(model, ())
    assert [node.op_type for node in model.graph.node].count("Cast") > 1
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    [sines] = session.run(None, {"ids": positions})
    assert np.abs(sines - 0.7 * np.sin(0.7 * positions)).max() < 1e-3


def test_subgraphs_are_refused() -> None:
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    found = helper.make_tensor_value_info("found", TensorProto.FLOAT, [1])
    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    branch = helper.make_graph([helper.make_node("Identity", ["one"], ["found"])], "branch", [], [found], [one])
    choice = helper.make_node("If", ["flag"], ["found"], then_branch=branch, else_branch=branch)
    with pytest.raises(ValueError, match="If has a subgraph"):
        to_float16(helper.make_model(helper.make_graph([choice], "graph", [flag], [found])), ())
