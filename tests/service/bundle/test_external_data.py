"""The parser of external data finds the same files as the onnx library."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from service.bundle.bundle import verify
from service.bundle.external_data import locations
from service.bundle.files import find_bundles, read_manifest, sha256_of
from service.bundle.manifest import MANIFEST
from service.errors import BundleCorrupt
from tests.conftest import REAL_MODELS
from tests.fakes import change_manifest, read_json, write_classifier


def external(location: str, name: str = "weights") -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.zeros(3, dtype=np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("offset", "0"), ("location", location), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def graph(**parts: object) -> onnx.GraphProto:
    return helper.make_graph(name="g", **{"nodes": [], "inputs": [], "outputs": [], **parts})  # type: ignore[arg-type]


def sparse() -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(external("values"), numpy_helper.from_array(np.arange(3), "indices"), [7])


def constant(**attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["x"], **attributes)


PLACES: dict[str, Callable[[], onnx.ModelProto]] = {
    "initializer": lambda: helper.make_model(graph(initializer=[external("values")])),
    "attribute": lambda: helper.make_model(graph(nodes=[constant(value=external("values"))])),
    "attributes": lambda: helper.make_model(graph(nodes=[constant(values=[external("values")])])),
    "nested": lambda: helper.make_model(
        graph(nodes=[helper.make_node("If", ["c"], ["y"], then_branch=graph(initializer=[external("values")]))])
    ),
    "sparse": lambda: helper.make_model(graph(sparse_initializer=[sparse()])),
    "function": lambda: helper.make_model(
        graph(), functions=[helper.make_function("d", "f", [], ["x"], [constant(value=external("values"))], [])]
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_of_a_tensor(place: str) -> None:
    assert locations(PLACES[place]().SerializeToString()) == {"values"}


def test_several_files() -> None:
    names = ["weights.safetensors", "../../secret", "/etc/hostname", "é"]
    model = helper.make_model(graph(initializer=[external(n, n) for n in names]))
    assert locations(model.SerializeToString()) == set(names)


def test_no_external_data() -> None:
    inside = numpy_helper.from_array(np.zeros(3, dtype=np.float32), "location")
    assert locations(helper.make_model(graph(initializer=[inside])).SerializeToString()) == set()
    assert locations(b"") == set()


@pytest.mark.parametrize("folder", [f for versions in find_bundles(REAL_MODELS).values() for f in versions.values()])
def test_the_committed_graphs_read_by_onnx(folder: Path) -> None:
    for path in folder.glob("*.onnx"):
        model = onnx.load(path, load_external_data=False)
        seen = {entry.value for t in model.graph.initializer for entry in t.external_data if entry.key == "location"}
        assert locations(path.read_bytes()) == seen == {"weights.safetensors"}


@given(st.binary(max_size=101))
def test_any_bytes_are_parsed_or_raise_value_error(content: bytes) -> None:
    try:
        locations(content)
    except ValueError:
        pass


def test_the_depth_is_bounded() -> None:
    message = b""
    for _ in range(70):  # Graph in Attribute in Node in Graph ...
        for tag in (0x32, 0x2A, 0x0A):
            message = bytes([tag]) + _varint(len(message)) + message
    with pytest.raises(ValueError, match="nested deeper"):
        locations(bytes([0x3A]) + _varint(len(message)) + message)


def _varint(number: int) -> bytes:
    head, rest = number & 127, number >> 7
    return bytes([head]) if not rest else bytes([head | 128]) + _varint(rest)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "unlisted.bin", "README.md"])
def test_unlisted_weights_are_refused(tmp_path: Path, location: str) -> None:
    folder = write_classifier(tmp_path)
    (tmp_path / "toy" / "secret.bin").write_bytes(b"0" * 12)
    (folder / "unlisted.bin").write_bytes(b"0" * 12)
    path = folder / "classify.onnx"
    model = onnx.load(path)
    model.graph.initializer.append(external(location, "stolen"))
    path.write_bytes(model.SerializeToString())
    change_manifest(folder, files={**read_json(folder / MANIFEST)["files"], "classify.onnx": sha256_of(path)})
    with pytest.raises(BundleCorrupt, match=f"takes weights from '{location}', which the manifest does not list"):
        verify(folder, read_manifest(folder))


def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path)
    (folder / "classify.onnx").write_bytes(b"\xff" * 23)
    files = {**read_json(folder / MANIFEST)["files"], "classify.onnx": sha256_of(folder / "classify.onnx")}
    change_manifest(folder, files=files)
    with pytest.raises(BundleCorrupt, match="classify.onnx is no ONNX graph"):
        verify(folder, read_manifest(folder))
