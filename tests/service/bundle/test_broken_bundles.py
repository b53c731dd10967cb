"""A broken bundle is refused with a reason, and the other bundles are served."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.bundle.manifest import GOLDEN, MANIFEST
from service.errors import (
    ModelNotFound,
    ModelNotReady,
)
from service.registry.golden import differences
from service.registry.registry import Registry
from tests.fakes import change_manifest, read_json, rewrite
from tests.service.conftest import Open


def problem(registry: Registry) -> str:
    return registry.entry("toy").problem or ""


def damage_graph(folder: Path) -> str:
    (folder / "classify.onnx").write_bytes(b"no graph")
    return "classify.onnx has sha256"


def remove_tokenizer(folder: Path) -> str:
    (folder / "tokenizer.json").unlink()
    return "tokenizer.json cannot be read"


def damage_manifest(folder: Path) -> str:
    (folder / MANIFEST).write_text("{")
    return MANIFEST


def change_name(folder: Path) -> str:
    change_manifest(folder, name="other")
    return "name and folder must agree"


def change_version(folder: Path) -> str:
    change_manifest(folder, version=7)
    return "name and folder must agree"


def raise_the_format_version(folder: Path) -> str:
    change_manifest(folder, format_version=7)
    return "format 7"


def remove_an_output(folder: Path) -> str:
    [graph] = read_json(folder / MANIFEST)["graphs"]
    change_manifest(folder, graphs=[{**graph, "outputs": graph["outputs"][:-1]}])
    return "output self_0"


def add_an_unknown_output(folder: Path) -> str:
    [first, second] = read_json(folder / MANIFEST)["attention"]
    change_manifest(folder, attention=[{**first, "output": "nowhere"}, second])
    return "nowhere"


def break_tokenizer(folder: Path) -> str:
    rewrite(folder, "tokenizer.json", "{}")
    return "is not a tokenizer"


def expect_answer(**changes: Any) -> Callable[[Path], str]:
    """Change the answer of the last golden case."""

    def change(folder: Path) -> str:
        golden = read_json(folder / GOLDEN)
        golden["cases"][-1]["answer"].update(changes)
        rewrite(folder, GOLDEN, json.dumps(golden))
        return "is answered wrongly"

    return change


def add_a_golden_field(folder: Path) -> str:
    golden = read_json(folder / GOLDEN)
    golden["cases"][-1]["answer"]["surplus"] = 1
    rewrite(folder, GOLDEN, json.dumps(golden))
    return "answer.surplus"


def write_golden(content: str) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        rewrite(folder, GOLDEN, content)
        return GOLDEN

    return write


DAMAGES = [
    damage_graph,
    remove_tokenizer,
    damage_manifest,
    change_name,
    change_version,
    raise_the_format_version,
    remove_an_output,
    add_an_unknown_output,
    break_tokenizer,
    expect_answer(scores={"cold": 1.0, "mild": 0.0, "warm": 0.0}),
    expect_answer(scores={"cold": 1.0}),
    expect_answer(attention=[[1.0]]),
    add_a_golden_field,
    *map(
        write_golden,
        [
            "{",
            "[]",
            "{}",
            '{"tolerance": 1}',
            '{"tolerance": 1, "cases": []}',
            '{"tolerance": 1, "cases": [{}]}',
            "[" * 100_000,
        ],
    ),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_bundle_beside_a_good_one(
    models: Path, tmp_path: Path, registry: Open, damage: Callable[[Path], str], caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    expected = damage(tmp_path / "toy" / "1")
    with caplog.at_level(logging.ERROR):
        loaded = registry(tmp_path)
    assert expected in problem(loaded)
    assert loaded.problems() == {}  # a refused bundle does not delay readiness
    assert problem(loaded) in caplog.text
    assert loaded.translator("en", "xx").manifest.name == "en-xx"
    with pytest.raises(ModelNotReady, match="toy/1 is not ready"):
        loaded.classifier("toy")


def test_the_golden_tolerance(models: Path, tmp_path: Path, registry: Open) -> None:
    folder = Path(shutil.copytree(models / "toy", tmp_path / "toy")) / "1"
    golden = read_json(folder / GOLDEN)
    golden["cases"][0]["answer"]["scores"]["cold"] += 0.03
    rewrite(folder, GOLDEN, json.dumps({**golden, "tolerance": 0.1}))
    assert registry(tmp_path).problems() == {}


@pytest.mark.parametrize(
    ("expected", "actual", "count"),
    [
        ({"a": [1.0, 2.0]}, {"a": [1.05, 1.95]}, 0),
        ({"a": [1.0, 2.0]}, {"a": [1.2, 2.2]}, 2),
        ({"a": 1.0}, {"b": 1.0}, 1),
        ([1.0], [1.0, 2.0], 1),
        ("text", "other", 1),
        ("text", "text", 0),
        (None, None, 0),
        (1.0, None, 1),
        (1.0, float("nan"), 1),
    ],
)
def test_differences(expected: object, actual: object, count: int) -> None:
    assert len(differences(expected, actual, tolerance=0.1)) == count


def test_a_difference_names_its_path() -> None:
    [found] = differences({"a": [1.0, {"b": "x"}]}, {"a": [1.0, {"b": "y"}]}, 0.1)
    assert found == ".a[1].b: expected x, got y"


def test_the_description_of_a_model_with_a_broken_manifest(models: Path, tmp_path: Path, registry: Open) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    damage_manifest(tmp_path / "toy" / "1")
    loaded = registry(tmp_path)
    described = loaded.describe(loaded.entry("toy"))
    assert described.keys() == {"name", "version", "ready", "problem"}
    assert (described["name"], described["version"], described["ready"]) == ("toy", "1", False)
    assert loaded.pairs() == {("en", "xx"): "en-xx"}
    with pytest.raises(ModelNotFound, match="no model for classification"):
        loaded.classifier()
