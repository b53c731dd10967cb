"""README.md and the pages of docs/: their blocks run, the files and links they name exist, and all is listed."""

import gc
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.api.errors import snake_case
from service.errors import ServiceError
from service.handlers.schemas import EXAMPLES
from service.registry.golden import differences
from service.settings import Settings
from tests.code_blocks import HOST, ROOT, TOLERANCE, blocks, run_blocks
from tests.listening import listening

DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", *(page for page in DOCS if page.parent.name == "docs" and page.name != "LOG.md")]
CURRENT = [*PAGES, ROOT / "SECURITY.md", *(page for page in DOCS if page.parent.name == "decisions")]
"""Pages that describe the present state. The lab log and the changelog describe earlier states too."""
FILES = {
    path.relative_to(ROOT).as_posix()
    for folder in ("service", "training", "bench", "deploy", "clients", "tests")
    for path in (ROOT / folder).rglob("*.py")
}
PACKED = "train.py"
"""The program in an archive of `python -m training pack`."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def address(real_models: Path) -> Iterator[str]:
    with listening(real_models) as address:
        yield address.removeprefix("http://")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # programs on a page need not close their clients
def test_the_blocks_of_a_page_run(page: Path, address: str, tmp_path: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    run_blocks(page, address, tmp_path, namespace)
    namespace.clear()
    gc.collect()  # unclosed clients of the page are reported within this test


@pytest.mark.parametrize("path", sorted(EXAMPLES))
def test_the_examples_of_the_api_documentation_are_real_answers(real_client: Any, path: str) -> None:
    answer = real_client.post(path, json=EXAMPLES[path]["request"]).json()
    assert differences(EXAMPLES[path]["answer"], answer, TOLERANCE) == []


@pytest.mark.parametrize("page", [*DOCS, ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"], ids=name_of)
def test_links_and_pictures_exist(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [*DOCS, ROOT / "README.md", ROOT / "SECURITY.md"], ids=name_of)
def test_linked_sections_exist(page: Path) -> None:
    for target, section in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        linked = (page.parent / target) if target else page
        headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert section in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings], section


@pytest.mark.parametrize("page", CURRENT, ids=name_of)
def test_python_files_named_on_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"(?<![\w/.-])[\w/-]+\.py\b", text):
        assert Path(name).name == PACKED or any(f"/{file}".endswith(f"/{name}") for file in FILES), name


@pytest.mark.parametrize("page", CURRENT, ids=name_of)
def test_settings_named_on_a_page_exist(page: Path) -> None:
    known = {f"LIMELIGHT_{name.upper()}" for name in Settings.model_fields}
    outside = {"LIMELIGHT_DATA", "LIMELIGHT_RUNS", "LIMELIGHT_MODELS"}  # read by training and bench
    named = set(re.findall(r"LIMELIGHT_[A-Z_]*[A-Z]", page.read_text(encoding="utf-8")))
    assert named <= known | outside


def test_every_setting_is_documented() -> None:
    documented = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for name in Settings.model_fields:
        assert f"`LIMELIGHT_{name.upper()}`" in documented


def kinds(cls: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for kind in cls.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_kind_of_error_is_documented() -> None:
    documented = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for kind in kinds(ServiceError):
        if kind.__module__ == "service.errors":
            assert f"`{snake_case(kind.__name__)}`" in documented, kind


def test_every_page_is_listed() -> None:
    listed = set(re.findall(r"\]\(([\w./-]+)\)", (ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= listed


def test_the_guides_have_blocks_to_run() -> None:
    shown = {page.name: len(blocks(page)) for page in PAGES if page.parent.name == "docs"}
    assert all(shown[page] >= 4 for page in ("start.md", "api.md", "train-a-classifier.md", "attention.md")), shown


def test_the_readme_has_one_request_with_its_answer() -> None:
    found = blocks(ROOT / "README.md")
    [request] = [text for _, text in found if "curl" in text]
    assert f"{HOST}/classify" in request
    [answer] = [text for kind, text in found if kind == "json"]
    assert len(answer.splitlines()) == 1
