"""The schema of golden.json."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.bundle.golden import (
    SCHEMAS,
    ClassificationAnswer,
    ClassificationCase,
    ClassificationGolden,
    read_golden,
    write_golden,
)
from service.bundle.manifest import GOLDEN
from service.errors import BundleCorrupt
from tests.fakes import read_json

CASE = ClassificationCase(text="wind", answer=ClassificationAnswer(scores={"cold": 1.0}, attention=None))


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    """A copy of the fake classifier that a test may change."""
    return Path(shutil.copytree(models / "toy", tmp_path / "toy")) / "1"


@pytest.mark.parametrize(
    ("name", "task"), [("toy", "classification"), ("en-xx", "translation"), ("writer", "generation")]
)
def test_round_trip(models: Path, tmp_path: Path, name: str, task: Any) -> None:
    golden = read_golden(models / name / "1", task)
    assert golden.cases
    write_golden(tmp_path, golden)
    assert read_json(tmp_path / GOLDEN) == read_json(models / name / "1" / GOLDEN)
    assert read_golden(tmp_path, task) == golden


def test_the_tolerance_of_a_precision() -> None:
    golden = ClassificationGolden(tolerance=0.001, tolerances={"int8": 0.05}, cases=[CASE])
    assert (golden.tolerance_for("float32"), golden.tolerance_for("int8")) == (0.001, 0.05)


def test_a_file_without_a_tolerance_for_int8(tmp_path: Path) -> None:
    golden = {"tolerance": 0.5, "cases": [CASE.model_dump()]}
    write_golden(tmp_path, SCHEMAS["classification"].model_validate(golden))
    assert read_json(tmp_path / GOLDEN) == golden


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tolerance": None}, "tolerance: "),
        ({"tolerance": -1.0}, "tolerance: "),
        ({"tolerance": float("inf")}, "tolerance: "),
        ({"tolerances": {"int4": 0.1}}, "tolerances.int4"),
        ({"cases": []}, "cases: "),
        ({"cases": [{"text": "wind"}]}, "cases.0.answer: "),
        ({"cases": [{"text": "wind", "answer": {"scores": {}, "attention": [1.0]}}]}, "cases.0.answer.attention.0: "),
        ({"cases": [{"text": "wind", "answer": {"translation": "", "score": 0.0, "attention": None}}]}, "scores: "),
        ({"unheard_of": 1}, "unheard_of: "),
    ],
)
def test_fields_are_checked(folder: Path, changes: dict[str, Any], expected: str) -> None:
    content = {**read_json(folder / GOLDEN), **changes}
    (folder / GOLDEN).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BundleCorrupt, match=f"{GOLDEN}: ") as caught:
        read_golden(folder, "classification")
    assert expected in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000])
def test_no_json_object(folder: Path, content: str) -> None:
    (folder / GOLDEN).write_text(content)
    with pytest.raises(BundleCorrupt, match=GOLDEN):
        read_golden(folder, "classification")


def test_no_file(folder: Path) -> None:
    (folder / GOLDEN).unlink()
    with pytest.raises(BundleCorrupt, match=r"golden.json cannot be read \(No such file"):
        read_golden(folder, "classification")
