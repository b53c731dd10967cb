"""Lexical shortlists: learning, the restricted int8 graphs, and a bundle that is served with them."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from service.bundle.bundle import read_bundle
from service.bundle.files import read_manifest
from service.bundle.manifest import SHORTLIST_FILE, Graph, TensorInfo, TranslationManifest
from service.bundle.shortlist import read_shortlist
from tests.conftest import REAL_MODELS
from training import shortlist
from training.evaluate import check_golden
from training.graphs.shortlist import restrict
from training.shortlist import ShortlistError, add_shortlist, make_shortlist, translation_probabilities, write_shortlist

RANDOM = np.random.default_rng(5)
PAIRS = [([4, 5, 1], [7, 8, 1]), ([4, 1], [7, 1]), ([6, 5, 1], [9, 8, 1]), ([6, 1], [9, 9, 1])] * 3
"""Source 4 is target 7, 5 is 8, 6 is 9, and 1 is </s>."""


def test_translation_probabilities() -> None:
    found = translation_probabilities(PAIRS, 7, 10)
    assert found.shape == (7, 10)
    assert found[[4, 5, 6]].argmax(axis=1).tolist() == [7, 8, 9]
    assert found[[1, 4, 5, 6]].sum(axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert not found[[0, 2, 3]].any()  # tokens of no pair


def test_make_shortlist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist, "TARGETS", 1)
    monkeypatch.setattr(shortlist, "COMMON", 2)
    made = make_shortlist(PAIRS, 7, 10, shared=False)
    assert made.common_ids.tolist() == [1, 9]
    assert made.targets([4, 5]).tolist() == [1, 7, 8, 9]
    assert made.targets([2], [3]).tolist() == [1, 3, 9]
    shared = make_shortlist(PAIRS, 7, 10, shared=True)
    assert shared.targets([4, 2]).tolist() == [1, 2, 4, 7, 9]


def test_a_written_shortlist_is_read(tmp_path: Path) -> None:
    made = make_shortlist(PAIRS, 7, 10, shared=True)
    write_shortlist(made, tmp_path / SHORTLIST_FILE)
    read = read_shortlist((tmp_path / SHORTLIST_FILE).read_bytes(), 7, 10)
    for name in ("offsets", "target_ids", "common_ids"):
        assert np.array_equal(getattr(read, name), getattr(made, name))


V, D = 11, 6
STEP = f"""
<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>
step (uint8[rows, {D}] states, int64[1] candidates, bool[sentences, source_length] source_mask) =>
  (float[rows, candidates] top_log_probs, int64[rows, candidates] top_ids, float[rows, 1] end_log_probs) {{
  quantised = QuantizeLinear <axis = 1, output_dtype = 3> (weights, scales)
  logits = com.microsoft.MatMulIntegerToFloat (states, quantised, scale, scales, zero, , bias)
  log_probs = LogSoftmax <axis = -1> (logits)
  top_log_probs, top_ids = TopK (log_probs, candidates)
  end_log_probs = Gather <axis = 1> (log_probs, end)
}}
"""


@pytest.fixture(scope="module")
def step() -> tuple[onnx.ModelProto, Graph]:
    """An int8 step that is an output layer only, with </s> = 3."""
    model = onnx.parser.parse_model(STEP)
    weights = RANDOM.normal(size=(D, V)).astype(np.float32)
    values = {
        "weights": weights,
        "scales": (np.abs(weights).max(axis=0) / 64).astype(np.float32),
        "scale": np.array(0.05, np.float32),
        "zero": np.array(7, np.uint8),
        "bias": RANDOM.normal(size=V).astype(np.float32),
        "end": np.array([3]),
    }
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in values.items())
    mask = TensorInfo(name="source_mask", dtype="bool", shape=["sentences", "source_length"])
    rows = TensorInfo(name="states", dtype="int64", shape=["rows", D])
    return model, Graph(role="step", file="step.int8.onnx", precision="int8", inputs=[rows, mask], outputs=[])


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_restricted_graphs_equal_the_renormalised_whole(step: tuple[onnx.ModelProto, Graph]) -> None:
    """Each sentence has the log-probabilities of its own shortlist, in a batch with another one."""
    model, graph = step
    restricted, output_layer, entries = restrict(model, graph)
    assert [entry.role for entry in entries] == ["step", "shortlist"]
    assert entries[1].file == "shortlist.int8.onnx"
    states = RANDOM.integers(0, 255, (4, D)).astype(np.uint8)
    source_mask = np.ones((2, 5), np.bool_)
    inputs = {"states": states, "source_mask": source_mask}
    whole, ids, _ = session(model).run(None, {**inputs, "candidates": np.array([V])})
    log_probs = np.take_along_axis(whole, ids.argsort(axis=1), axis=1)

    shortlists = [[3, 1, 8, 9], [3, 2, 8]]
    union = np.array([3, 1, 2, 8, 9])
    mask = np.where([np.isin(union, own) for own in shortlists], 0, -np.inf).astype(np.float32)
    names = [output.name for output in output_layer.graph.output]
    columns = dict(zip(names, session(output_layer).run(names, {"shortlist": union}), strict=True))
    assert {tensor.name for tensor in entries[0].inputs} == {*inputs, *columns, "shortlist", "shortlist_mask"}
    feeds = {**inputs, **columns, "candidates": np.array([5]), "shortlist": union, "shortlist_mask": mask}
    top, top_ids, end = session(restricted).run(["top_log_probs", "top_ids", "end_log_probs"], feeds)
    for row in range(4):
        own = shortlists[row // 2]
        expected = log_probs[row, own] - np.logaddexp.reduce(log_probs[row, own])
        found = dict(zip(top_ids[row].tolist(), top[row].tolist(), strict=True))
        assert [found[token] for token in own] == pytest.approx(expected.tolist(), abs=1e-5)
        assert all(np.isneginf(value) for token, value in found.items() if token not in own)
        assert end[row] == pytest.approx(expected[0], abs=1e-5)


def test_an_output_layer_in_float_is_refused(step: tuple[onnx.ModelProto, Graph]) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(step[0])
    [product] = [node for node in model.graph.node if node.op_type == "MatMulIntegerToFloat"]
    product.op_type = "MatMul"
    with pytest.raises(ValueError, match="is a MatMul, no int8 product"):
        restrict(model, step[1])


TEXT_PAIRS = [
    ("A man in a red jacket is riding a bicycle down the street.", "Un homme en veste rouge fait du vélo dans la rue."),
    ("Two dogs are running.", "Deux chiens courent."),
]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the committed bundle en-fr/2."""
    return Path(shutil.copytree(REAL_MODELS / "en-fr" / "2", tmp_path / "en-fr" / "2"))


def golden_pairs(folder: Path) -> list[tuple[str, str]]:
    cases = json.loads((folder / "golden.json").read_text())["cases"]
    return [(case["text"], case["answer"]["translation"]) for case in cases]


def test_a_bundle_with_a_shortlist_answers_its_golden_cases(bundle: Path) -> None:
    """The pairs are the golden cases, so the shortlist contains their translations."""
    before = read_manifest(bundle, TranslationManifest)
    manifest = add_shortlist(bundle, golden_pairs(bundle), check_golden)
    read_bundle(bundle, manifest)
    assert manifest == read_manifest(bundle, TranslationManifest).model_copy(update={"sha256": manifest.sha256})
    check_golden(bundle)
    assert {(g.role, g.precision) for g in manifest.graphs} == {(g.role, g.precision) for g in before.graphs} | {
        ("shortlist", "int8")
    }
    assert not list(bundle.parent.glob(".shortlist-*"))
    with pytest.raises(ShortlistError, match="needs int8 graphs without a shortlist"):
        add_shortlist(bundle, TEXT_PAIRS, check_golden)


def test_a_shortlist_that_changes_a_golden_case_is_refused(bundle: Path) -> None:
    files = {path.name: path.read_bytes() for path in bundle.iterdir()}
    with pytest.raises(ShortlistError, match="the shortlist changes the translation of"):
        add_shortlist(bundle, TEXT_PAIRS, check_golden)
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == files
    assert not list(bundle.parent.glob(".shortlist-*"))
