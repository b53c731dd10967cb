"""Bundles are read and verified as a whole, and loaded from the bytes that were verified."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from service.batching.scheduler import Limits
from service.bundle.bundle import read_bundle, verify
from service.bundle.files import find_bundles, read_manifest, sha256_of
from service.bundle.golden import parse_golden
from service.bundle.manifest import CARD, GOLDEN, MANIFEST, WEIGHTS, ClassificationManifest, GraphRole, Precision
from service.classification.classifier import Classifier
from service.errors import BundleCorrupt
from service.runtime import Runtime
from tests.conftest import REAL_MODELS
from tests.fakes import PICTURE, change_manifest, read_json, write_classifier
from tests.service.bundle.irregular import IRREGULAR, make_irregular


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fake classifier that a test may change."""
    return write_classifier(tmp_path)


def test_the_content_of_all_files(folder: Path) -> None:
    manifest = read_manifest(folder, ClassificationManifest)
    bundle = read_bundle(folder, manifest)
    assert bundle.manifest is manifest and bundle.folder == folder
    assert bundle.files == {name: (folder / name).read_bytes() for name in manifest.files}


def to_external(folder: Path) -> None:
    """Move the weights of the fake classifier to a file of their own, as training does."""
    path = folder / "classify.onnx"
    model = onnx.load(path)
    content = b""
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:  # shapes and axes must be in the graph
            continue
        raw = numpy_helper.to_array(tensor).tobytes()
        for field in ("float_data", "int64_data", "int32_data", "raw_data"):
            tensor.ClearField(field)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": WEIGHTS, "offset": str(len(content)), "length": str(len(raw))}.items():
            tensor.external_data.add(key=key, value=value)
        content += raw
    (folder / WEIGHTS).write_bytes(content)
    path.write_bytes(model.SerializeToString())
    files = read_json(folder / MANIFEST)["files"]
    change_manifest(folder, files={**files, **{name: sha256_of(folder / name) for name in (path.name, WEIGHTS)}})


@pytest.mark.parametrize("change", ["overwrite", "remove"])
def test_a_model_is_loaded_from_the_verified_bytes(folder: Path, change: str) -> None:
    """The files change after the check and before the load."""
    to_external(folder)
    manifest = read_manifest(folder, ClassificationManifest)
    bundle = read_bundle(folder, manifest)
    for name in manifest.files:
        if change == "remove":
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(bytes(len(bundle.files[name])))
    classifier = Classifier(bundle, Runtime("cpu", threads=1), Limits())
    try:
        [prediction] = asyncio.run(classifier.classify(["The wind is cold."]))
    finally:
        classifier.close()
    [case, *_] = parse_golden(bundle.files[GOLDEN], "classification").cases
    assert case.text == "The wind is cold."
    assert prediction.scores == pytest.approx(case.answer.model_dump()["scores"], abs=1e-4)


@pytest.mark.parametrize("name", ["sms-spam", "en-fr"])
def test_committed_weights_from_memory_equal_those_from_the_file(name: str) -> None:
    versions = find_bundles(REAL_MODELS)[name]
    folder = versions[max(versions)]
    bundle = read_bundle(folder, read_manifest(folder))
    ids, lengths = np.array([[5, 7, 11]]), np.array([3])
    role: GraphRole = "classify" if name == "sms-spam" else "encode"
    prefix = "" if name == "sms-spam" else "source_"
    inputs: Any = {f"{prefix}ids": ids, f"{prefix}lengths": lengths}
    precisions: tuple[Precision, ...] = ("float32", "int8")
    for precision in precisions:
        session = Runtime("cpu", 1, precision).open(bundle, role)
        direct = onnxruntime.InferenceSession(str(folder / session.graph.file), providers=["CPUExecutionProvider"])
        for output, array in session.run(inputs).items():
            assert np.array_equal(array, direct.run([output], inputs)[0])


@pytest.mark.parametrize("name", ["tokenizer.json", CARD, PICTURE])
@pytest.mark.parametrize("kind", IRREGULAR)
def test_irregular_files_are_refused(folder: Path, name: str, kind: str) -> None:
    make_irregular(folder, name, kind)
    if (name, kind) == (PICTURE, "folder"):  # other folders are ignored
        verify(folder, read_manifest(folder))
        return
    with pytest.raises(BundleCorrupt, match=f"{name} {IRREGULAR[kind]}"):
        verify(folder, read_manifest(folder))


def test_an_irregular_file_of_any_other_name(folder: Path) -> None:
    make_irregular(folder, "notes.txt", "pipe")
    with pytest.raises(BundleCorrupt, match=r"notes\.txt is no file"):
        verify(folder, read_manifest(folder))


def test_links_within_the_folder(folder: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "tokenizer-2.json")
    (folder / "tokenizer.json").symlink_to("tokenizer-2.json")
    verify(folder, read_manifest(folder))


def test_the_folder_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder, elsewhere)
    folder.symlink_to(elsewhere)
    verify(folder, read_manifest(folder))


def test_a_card_is_optional(folder: Path) -> None:
    (folder / CARD).unlink()
    verify(folder, read_manifest(folder))
