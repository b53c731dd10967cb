"""The README's curls answer as printed there, and what it and the docs name exists."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.bundle.manifest import find_bundles, read_manifest
from service.handlers.schemas import EXAMPLES
from service.registry.registry import differences
from service.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CALLS = re.findall(r"```sh\n(curl [^`]+)```\n\n```json\n([^`]+)```", README)


def send(client: TestClient, command: str) -> Any:
    """Do what a curl command does: -d sends a form unless a header says otherwise."""
    words = shlex.split(command.replace("\\\n", " "))
    data = [words[i + 1] for i, word in enumerate(words) if word == "-d"]
    headers = dict(words[i + 1].split(": ") for i, word in enumerate(words) if word == "-H")
    [path] = [word.removeprefix("localhost:8000") for word in words if word.startswith("localhost:8000")]
    headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    return client.post(path, content="&".join(data).encode(), headers=headers).json()


def test_there_is_one_call_for_each_endpoint() -> None:
    asked = [path for command, _ in CALLS for path in re.findall(r"localhost:8000(\S+)", command)]
    assert asked == ["/classify", "/translate", "/generate"]


@pytest.mark.parametrize(("command", "printed"), CALLS)
def test_calls_answer_as_printed(real_client: TestClient, command: str, printed: str) -> None:
    # 2e-3: what the interface promises between machines and precisions.
    assert differences(json.loads(printed), send(real_client, command), 2e-3) == []


@pytest.mark.parametrize("path", sorted(EXAMPLES))
def test_the_documentations_examples_are_real(real_client: TestClient, path: str) -> None:
    answer = real_client.post(path, json=EXAMPLES[path]["request"]).json()
    assert differences(EXAMPLES[path]["answer"], answer, 2e-3) == []


@pytest.mark.parametrize(
    "page", ["README.md", "SECURITY.md", *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
)
def test_links_and_pictures_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), target


def test_the_file_tree_is_complete() -> None:
    [tree] = re.findall(r"## Where everything is\n\n```\n(.+?)```", README, flags=re.DOTALL)
    for package in ("service", "training"):
        for path in (ROOT / package).rglob("*.py"):
            if path.name != "__init__.py" and path.parent.name not in ("api",):
                assert re.search(rf"\b{path.name}", tree), path


def test_every_setting_is_documented() -> None:
    documented = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for name in Settings.model_fields:
        assert f"`LIMELIGHT_{name.upper()}`" in documented


ROW = re.compile(
    r"^\| \[([^\]]+)\]\((models/[^)]+)\) \| ([^|]+) \| ([^|]+) \| \*\*([^*]+)\*\* \| (\d+) min, ([^|]+) \|",
    re.MULTILINE,
)


@pytest.mark.parametrize("row", ROW.findall(README), ids=lambda row: f"{row[0]}-{row[3]}-{row[2].split()[0]}")
def test_results_are_those_of_the_bundles(row: tuple[str, ...]) -> None:
    name, folder, data, metric, value, minutes, hardware = row
    manifest = read_manifest(ROOT / folder)
    assert manifest.name == name
    [measured] = [m.value for m in manifest.metrics if (m.name, m.data) == (metric, data)]
    assert float(value) == measured
    assert (int(minutes), hardware) == (round(manifest.training.minutes), manifest.training.hardware)


TRANSLATOR = re.compile(
    r"^\| \[([^\]]+)\]\((models/[^)]+)\) \| [^|]+ \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.-]+) "
    r"\| (\d+) min, ([^|]+) \|",
    re.MULTILINE,
)


@pytest.mark.parametrize("row", TRANSLATOR.findall(README), ids=lambda row: row[0])
def test_results_of_translators_are_those_of_the_bundles(row: tuple[str, ...]) -> None:
    name, folder, *values, error, minutes, hardware = row
    manifest = read_manifest(ROOT / folder)
    assert manifest.name == name
    tests = [(metric, corpus) for corpus in ("tatoeba", "multi30k") for metric in ("BLEU", "chrF2")]
    measured = {(m.name, m.data.split("-")[0].split()[0]): m.value for m in manifest.metrics}
    assert [float(value) for value in values] == [measured[test] for test in tests]
    errors = [m.value for m in manifest.metrics if m.name == "alignment error rate"]
    assert ([] if error == "-" else [float(error)]) == errors
    assert (int(minutes), hardware) == (round(manifest.training.minutes), manifest.training.hardware)


def test_every_translator_has_a_row_of_results() -> None:
    newest = {name: versions[max(versions)] for name, versions in find_bundles(ROOT / "models").items()}
    translators = {name for name, folder in newest.items() if read_manifest(folder).task == "translation"}
    assert {row[0] for row in TRANSLATOR.findall(README)} == translators


def test_every_model_has_a_row_of_results() -> None:
    for folder in sorted((ROOT / "models").iterdir()):
        assert f"](models/{folder.name}/" in README
