"""The schema of bundle.json."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from service.bundle.conventions import STAND_INS
from service.bundle.files import read_manifest
from service.bundle.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    ClassificationManifest,
    GenerationManifest,
    TranslationManifest,
    parse_manifest,
)
from service.errors import BundleCorrupt, BundleMismatch, BundleVersionUnsupported
from tests.fakes import change_manifest, read_json

CLASSIFIER_FILES = ["classify.onnx", "tokenizer.json", "golden.json"]
TRANSLATOR_FILES = ["encode.onnx", "step.onnx", "source_tokenizer.json", "target_tokenizer.json", "golden.json"]


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    """A copy of the fake classifier that a test may change."""
    return Path(shutil.copytree(models / "toy", tmp_path / "toy")) / "1"


@pytest.fixture
def translator(models: Path, tmp_path: Path) -> Path:
    """A copy of the fake translator that a test may change."""
    return Path(shutil.copytree(models / "en-xx", tmp_path / "en-xx")) / "1"


@pytest.mark.parametrize(
    ("name", "kind", "files"),
    [
        ("toy", ClassificationManifest, CLASSIFIER_FILES),
        ("en-xx", TranslationManifest, TRANSLATOR_FILES),
        ("writer", GenerationManifest, ["step.onnx", "tokenizer.json", "golden.json"]),
    ],
)
def test_round_trip(models: Path, name: str, kind: type, files: list[str]) -> None:
    manifest = read_manifest(models / name / "1")
    assert type(manifest) is kind
    assert set(manifest.files) == set(files)
    assert parse_manifest(manifest.model_dump(mode="json")) == manifest
    assert [output.summary for output in manifest.attention] == [True, *[False] * (len(manifest.attention) - 1)]
    assert manifest.graph(manifest.graphs[-1].role) is manifest.graphs[-1]


MISSING: list[tuple[str, dict[str, Any], list[str]]] = [
    ("toy", {"graphs": []}, ["roles: classify"]),
    ("toy", {"labels": None}, ["labels: Input should be a valid list"]),
    ("toy", {"labels": ["only"]}, ["labels: List should have at least 2 items"]),
    ("toy", {"tokenizers": {}}, ["keys: text"]),
    ("toy", {"files": {}}, [f"a sha256 of {name}" for name in CLASSIFIER_FILES]),
    ("en-xx", {"graphs": []}, ["roles: encode, step"]),
    ("en-xx", {"source": None}, ["source: "]),
    ("en-xx", {"target": ""}, ["target: "]),
    ("en-xx", {"tokenizers": {"text": "golden.json"}}, ["keys: source, target"]),
    ("en-xx", {"special_ids": None}, ["special_ids: "]),
    ("en-xx", {"limits": {"max_tokens": 7}}, ["limits.max_target_tokens: ", "limits.max_beam_size: "]),
    ("en-xx", {"files": {}}, [f"a sha256 of {name}" for name in TRANSLATOR_FILES]),
    ("toy", {"task": "translation"}, ["roles: encode, step", "source: ", "target: ", "special_ids: ", "labels: "]),
    (
        "en-xx",
        {"graphs": [], "source": None, "special_ids": None, "files": {}},
        ["roles: encode, step", "source: ", "special_ids: ", "a sha256 of golden.json"],
    ),
]


@pytest.mark.parametrize(("name", "changes", "expected"), MISSING)
def test_one_error_lists_every_missing_field(
    models: Path, tmp_path: Path, name: str, changes: dict[str, Any], expected: list[str]
) -> None:
    folder = Path(shutil.copytree(models / name / "1", tmp_path / "1"))
    change_manifest(folder, **changes)
    with pytest.raises(BundleCorrupt) as caught:
        read_manifest(folder)
    assert all(message in str(caught.value) for message in expected), caught.value


@pytest.mark.parametrize("tensors", ["inputs", "outputs"])
def test_a_step_graph_needs_its_inputs_and_outputs(translator: Path, tensors: str) -> None:
    graphs = read_json(translator / MANIFEST)["graphs"]
    change_manifest(translator, graphs=[{**graph, tensors: []} for graph in graphs])
    names = {"inputs": ("token_ids", "parents", "candidates"), "outputs": ("top_log_probs", "top_ids", "end_log_probs")}
    with pytest.raises(BundleCorrupt) as caught:
        read_manifest(translator)
    assert all(f"the {tensors[:-1]} {name} of step.onnx" in str(caught.value) for name in names[tensors])


def test_two_graphs_of_one_role_and_precision(folder: Path) -> None:
    graphs = read_json(folder / MANIFEST)["graphs"]
    change_manifest(folder, graphs=[*graphs, *graphs])
    with pytest.raises(BundleCorrupt, match="one graph of each role and precision"):
        read_manifest(folder)


def test_a_role_without_a_float32_graph(folder: Path) -> None:
    graphs = read_json(folder / MANIFEST)["graphs"]
    change_manifest(folder, graphs=[{**graph, "precision": "int8"} for graph in graphs])
    with pytest.raises(BundleCorrupt, match="one float32 graph with the role classify"):
        read_manifest(folder)


@pytest.mark.parametrize("summary", [True, False])
def test_exactly_one_summary_attention(folder: Path, summary: bool) -> None:
    attention = read_json(folder / MANIFEST)["attention"]
    change_manifest(folder, attention=[{**output, "summary": summary} for output in attention])
    with pytest.raises(BundleCorrupt, match="exactly one summary attention"):
        read_manifest(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Toy"},
        {"name": "../toy"},
        {"version": 0},
        {"version": "one"},
        {"task": "summarisation"},
        {"limits": {"max_tokens": 0}},
        {"unheard_of": 1},
        {"graphs": [{"role": "classify"}]},
        {"format_version": None},
        {"format_version": "newest"},
    ],
)
def test_fields_are_checked(folder: Path, changes: dict[str, Any]) -> None:
    change_manifest(folder, **changes)
    with pytest.raises(BundleCorrupt, match=rf"{MANIFEST}: .*{next(iter(changes))}"):
        read_manifest(folder)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname", "sub/file.txt", "..", ".", "", "a\0b"])
def test_file_names_have_no_folder(folder: Path, name: str) -> None:
    files = read_json(folder / MANIFEST)["files"]
    change_manifest(folder, files={**files, name: "0" * 64})
    with pytest.raises(BundleCorrupt, match="a plain file name instead of"):
        read_manifest(folder)


def test_a_newer_format_is_refused(folder: Path) -> None:
    change_manifest(folder, format_version=FORMAT_VERSION + 1, something_new=True)
    with pytest.raises(BundleVersionUnsupported, match=f"format {FORMAT_VERSION + 1}.*up to {FORMAT_VERSION}"):
        read_manifest(folder)


def test_null_fields_of_other_tasks_are_absent_fields(folder: Path) -> None:
    """Bundles written before the manifest was a union contain them."""
    expected = read_manifest(folder)
    limits = {"max_tokens": expected.limits.max_tokens, "max_target_tokens": None, "max_beam_size": None}
    change_manifest(folder, source=None, target=None, special_ids=None, limits=limits)
    assert read_manifest(folder).model_copy(update={"sha256": None}) == expected.model_copy(update={"sha256": None})
    change_manifest(folder, source="en")
    with pytest.raises(BundleCorrupt, match="source: Extra inputs"):
        read_manifest(folder)


def test_the_architecture_is_open(folder: Path) -> None:
    """A new network needs no change of the service."""
    architecture = read_json(folder / MANIFEST)["architecture"]
    change_manifest(folder, architecture={**architecture, "network": "mamba", "cell": "ssm", "attention": "grouped"})
    assert read_manifest(folder).architecture.network == "mamba"


def test_stand_ins(translator: Path) -> None:
    assert read_manifest(translator, TranslationManifest).stand_ins == []
    change_manifest(translator, stand_ins=list(STAND_INS))
    assert read_manifest(translator, TranslationManifest).stand_ins == [chr(0xE000 + n) for n in range(16)]
    for wrong in (["a"], ["\ue000\ue001"], [""], "\ue000"):
        change_manifest(translator, stand_ins=wrong)
        with pytest.raises(BundleCorrupt, match="stand_ins"):
            read_manifest(translator)


def test_a_manifest_of_another_task(folder: Path) -> None:
    assert read_manifest(folder, ClassificationManifest).labels == ["cold", "mild", "warm"]
    with pytest.raises(BundleMismatch, match="is for classification, not a TranslationManifest"):
        read_manifest(folder, TranslationManifest)
