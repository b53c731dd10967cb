import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from service.bundle.bundle import Bundle, read_bundle
from service.bundle.files import read_manifest
from service.bundle.manifest import Graph, Manifest, TensorInfo
from service.errors import BundleCorrupt, BundleMismatch
from service.runtime import Runtime, available_cores
from tests.service import networks


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime("cpu", threads=1)


@pytest.fixture(scope="module")
def folder(models: Path) -> Path:
    return models / "toy" / "1"


@pytest.fixture(scope="module")
def graph(folder: Path) -> Graph:
    return read_manifest(folder).graph("classify")


@pytest.fixture(scope="module")
def of(folder: Path) -> Callable[..., Bundle[Manifest]]:
    """Return a function that makes a bundle with the given graphs, by default with the files of `folder`."""
    manifest = read_manifest(folder)

    def make(*graphs: Graph, files: Path = folder) -> Bundle[Manifest]:
        changed = manifest.model_copy(update={"graphs": list(graphs)})
        return Bundle(files, changed, {path.name: path.read_bytes() for path in files.iterdir()})

    return make


Of = Callable[..., Bundle[Manifest]]


def test_arrays_in_and_out(runtime: Runtime, folder: Path, graph: Graph, of: Of) -> None:
    ids = [5, 7, 11]
    outputs = runtime.open(of(graph), "classify").run({"ids": np.array([ids]), "lengths": np.array([3])})
    probabilities, pooling, self_attention = networks.classify(ids)
    assert list(outputs) == ["probabilities", "pooling", "self_0"]
    assert outputs["probabilities"][0] == pytest.approx(probabilities, abs=1e-6)
    assert outputs["pooling"][0] == pytest.approx(pooling, abs=1e-6)
    assert outputs["self_0"][0] == pytest.approx(self_attention, abs=1e-6)


def test_only_requested_outputs_are_returned(runtime: Runtime, folder: Path, graph: Graph, of: Of) -> None:
    session = runtime.open(of(graph), "classify")
    inputs: Any = {"ids": np.array([[5, 7]]), "lengths": np.array([2])}
    assert list(session.run(inputs, ["pooling"])) == ["pooling"]
    assert list(session.run(inputs, ["pooling", "probabilities"])) == ["pooling", "probabilities"]


def test_the_error_lists_every_difference(runtime: Runtime, folder: Path, graph: Graph, of: Of) -> None:
    ids, lengths = graph.inputs
    probabilities, pooling, self_attention = graph.outputs
    wrong = graph.model_copy(
        update={
            "inputs": [ids.model_copy(update={"dtype": "float32"}), lengths.model_copy(update={"name": "sizes"})],
            "outputs": [
                probabilities.model_copy(update={"shape": ["batch", 2]}),
                pooling,
                TensorInfo(name="extra", dtype="bool", shape=["batch"]),
            ],
        }
    )
    with pytest.raises(BundleMismatch) as caught:
        runtime.open(of(wrong), "classify")
    listed = str(caught.value).split("; ")
    assert len(listed) == 6
    for name in ("input ids", "input sizes", "input lengths", "output probabilities", "output extra", "output self_0"):
        assert any(name in difference for difference in listed)
    assert "the manifest says ('float32', ['batch', 'length']), the graph ('int64', ['batch', 'length'])" in listed[0]
    assert "pooling" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no graph", None])
def test_an_invalid_graph(
    runtime: Runtime, folder: Path, graph: Graph, of: Of, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "classify.onnx").write_bytes(content)
    with pytest.raises(BundleCorrupt, match=r"classify\.onnx cannot be loaded"):
        runtime.open(of(graph, files=tmp_path), "classify")


def test_a_truncated_graph(runtime: Runtime, folder: Path, graph: Graph, of: Of, tmp_path: Path) -> None:
    shutil.copy(folder / "classify.onnx", tmp_path)
    content = (tmp_path / "classify.onnx").read_bytes()
    (tmp_path / "classify.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleCorrupt, match=r"classify\.onnx cannot be loaded"):
        runtime.open(of(graph, files=tmp_path), "classify")


@pytest.mark.parametrize(
    ("affinity", "quota", "expected"),
    [
        (5, "max 100000", 5),
        (5, "200000 100000", 2),
        (5, "170000 100000", 2),
        (5, "10000 100000", 1),
        (2, "700000 100000", 2),
        (3, "", 3),
        (3, "nonsense here", 3),
        (3, None, 3),
    ],
)
def test_cores(monkeypatch: pytest.MonkeyPatch, affinity: int, quota: str | None, expected: int) -> None:
    def read_text(path: Path) -> str:
        assert path == Path("/sys/fs/cgroup/cpu.max")
        if quota is None:
            raise FileNotFoundError(path)
        return quota

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    monkeypatch.setattr(Path, "read_text", read_text)
    assert available_cores() == expected
    assert Runtime("cpu").threads == expected
    assert Runtime("cpu", threads=13).threads == 13


def test_cores_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


def test_sessions_use_the_threads(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A translator has at most four workers; with more threads than workers a session gets several."""
    seen = []
    opened = ort.InferenceSession

    def watched(path: str, options: ort.SessionOptions, providers: list[str]) -> ort.InferenceSession:
        seen.append((options.intra_op_num_threads, options.inter_op_num_threads))
        return opened(path, options, providers=providers)

    monkeypatch.setattr(ort, "InferenceSession", watched)
    classifier, translator = models / "toy" / "1", models / "en-xx" / "1"
    for threads, workers, each in ((1, 1, 1), (3, 3, 1), (9, 4, 2)):
        runtime = Runtime("cpu", threads=threads)
        assert runtime.open(read_bundle(classifier, read_manifest(classifier)), "classify").concurrency == threads
        assert runtime.open(read_bundle(translator, read_manifest(translator)), "step").concurrency == workers
        assert seen[-2:] == [(1, 1), (each, 1)]


def test_precisions(folder: Path, graph: Graph, of: Of) -> None:
    """The CPU prefers int8 and falls back to float32."""
    both = of(graph, graph.model_copy(update={"precision": "int8"}))
    assert Runtime("cpu", threads=1).open(both, "classify").graph.precision == "int8"
    assert Runtime("cpu", threads=1).open(of(graph), "classify").graph.precision == "float32"
    assert Runtime("cpu", 1, "float32").open(both, "classify").graph.precision == "float32"


def test_values_stay_valid_over_several_runs(runtime: Runtime, models: Path) -> None:
    folder = models / "en-xx" / "1"
    session = runtime.open(read_bundle(folder, read_manifest(folder)), "encode")
    inputs: Any = {"source_ids": np.array([[5, 7, 11]]), "source_lengths": np.array([3])}
    expected = session.run(inputs, ["source_mask", "mood"])
    values = {name: session.value(array) for name, array in inputs.items()}
    for _ in range(2):
        arrays, kept = session.run_keeping(values, ["source_mask"], ["mood"])
        assert arrays["source_mask"].tolist() == expected["source_mask"].tolist()
        assert np.array_equal(kept["mood"].numpy(), expected["mood"])
