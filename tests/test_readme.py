"""The file tree of README.md is complete, and the results there and in docs/results.md are those of the bundles."""

import re
from pathlib import Path

import pytest

from service.bundle.files import find_bundles, read_manifest
from service.bundle.manifest import Manifest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
SHORT = re.compile(r"^\| \[([^\]]+)\]\((models/[^)]+)\)[^|]* \| ([^|]+) \| ([^|]+) ([\d.]+) \|$", re.MULTILINE)
"""model, folder, test set, metric, value: a row of README.md."""
ROW = re.compile(
    r"^\| \[([^\]]+)\]\(\.\./(models/[^)]+)\) \| ([^|]+) \| ([^|]+) \| \*\*([^*]+)\*\* \| (\d+) min, ([^|]+) \|",
    re.MULTILINE,
)
"""model, folder, test set, metric, value, minutes, hardware: a row of docs/results.md."""
TRANSLATOR = re.compile(
    r"^\| \[([^\]]+)\]\(\.\./(models/[^)]+)\) \| [^|]+ \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.-]+) "
    r"\| (\d+) min, ([^|]+) \|",
    re.MULTILINE,
)
"""model, folder, BLEU, chrF2, BLEU, chrF2, alignment error rate, minutes, hardware."""


def manifest_of(name: str, folder: str) -> Manifest:
    manifest = read_manifest(ROOT / folder)
    assert manifest.name == name
    return manifest


def newest() -> dict[str, Path]:
    return {name: versions[max(versions)] for name, versions in find_bundles(ROOT / "models").items()}


def test_the_file_tree_is_complete() -> None:
    [tree] = re.findall(r"## Where everything is\n\n```\n(.+?)```", README, flags=re.DOTALL)
    for package in ("service", "training"):
        [section] = re.findall(rf"^{package}/.*\n((?:  .*\n)+)", tree, flags=re.MULTILINE)
        for path in (ROOT / package).iterdir():
            if path.is_dir() and path.name != "__pycache__":
                assert re.search(rf"^  {path.name}/", section, flags=re.MULTILINE), path
            elif path.suffix == ".py" and path.name != "__init__.py":
                assert re.search(rf"\b{path.stem}\b", section), path


@pytest.mark.parametrize("row", SHORT.findall(README), ids=lambda row: row[0])
def test_results_of_the_readme_are_those_of_the_bundles(row: tuple[str, ...]) -> None:
    name, folder, data, metric, value = row
    manifest = manifest_of(name, folder)
    assert [m.value for m in manifest.metrics if (m.name, m.data) == (metric, data)] == [float(value)]
    assert newest()[name] == ROOT / folder


def test_the_readme_shows_results_of_every_task() -> None:
    tasks = {read_manifest(ROOT / row[1]).task for row in SHORT.findall(README)}
    assert tasks == {"classification", "translation", "generation"}


@pytest.mark.parametrize("row", ROW.findall(RESULTS), ids=lambda row: f"{row[0]}-{row[3]}-{row[2].split()[0]}")
def test_results_are_those_of_the_bundles(row: tuple[str, ...]) -> None:
    name, folder, data, metric, value, minutes, hardware = row
    manifest = manifest_of(name, folder)
    [measured] = [m.value for m in manifest.metrics if (m.name, m.data) == (metric, data)]
    assert float(value) == measured
    assert (int(minutes), hardware) == (round(manifest.training.minutes), manifest.training.hardware)


@pytest.mark.parametrize("row", TRANSLATOR.findall(RESULTS), ids=lambda row: row[0])
def test_results_of_translators_are_those_of_the_bundles(row: tuple[str, ...]) -> None:
    name, folder, *values, error, minutes, hardware = row
    manifest = manifest_of(name, folder)
    tests = [(metric, corpus) for corpus in ("tatoeba", "multi30k") for metric in ("BLEU", "chrF2")]
    measured = {(m.name, m.data.split("-")[0].split()[0]): m.value for m in manifest.metrics}
    assert [float(value) for value in values] == [measured[test] for test in tests]
    errors = [m.value for m in manifest.metrics if m.name == "alignment error rate" and "software" not in m.data]
    assert ([] if error == "-" else [float(error)]) == errors
    assert (int(minutes), hardware) == (round(manifest.training.minutes), manifest.training.hardware)


def test_every_translator_has_a_row_of_results() -> None:
    translators = {name for name, folder in newest().items() if read_manifest(folder).task == "translation"}
    assert {row[0] for row in TRANSLATOR.findall(RESULTS)} == translators


def test_every_model_has_a_row_of_results() -> None:
    for folder in sorted((ROOT / "models").iterdir()):
        assert f"](../models/{folder.name}/" in RESULTS
