"""The pages of docs/ do what they say: their commands and programs are run, and print what is printed there.

In `sh`, curl asks the served bundles, `python -m service` runs, and of what takes longer than seconds (make, training,
benchmarks) it is checked that the command, its options and its files exist. A block of `json` or `text` is what the
block before it prints. `python` blocks of one page run one after the other.
"""

import contextlib
import gc
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service.registry.registry import differences
from tests.listening import listening
from training.__main__ import app as training_app
from training.recipe import load_recipe

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name not in ("LOG.md", "operations.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOST = "localhost:8000"


@pytest.fixture(scope="module")
def address(real_models: Path) -> Iterator[str]:
    with listening(real_models) as address:
        yield address.removeprefix("http://")


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a program on a page need not close what ends with it
def test_a_page_does_what_it_says(page: Path, address: str, tmp_path: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    run_blocks(page, address, tmp_path, namespace)
    namespace.clear()
    gc.collect()  # here, where what was not closed is let be


def run_blocks(page: Path, address: str, tmp_path: Path, namespace: dict[str, Any]) -> None:
    printed, before = "", ""
    for kind, text in blocks(page):
        if kind == "sh":
            printed = "".join(shell(line, address) for line in text.replace("\\\n", " ").splitlines())
        elif kind == "python":
            printed = python(text.replace(HOST, address), namespace)
        elif kind == "toml":
            path = tmp_path / f"{page.stem}.toml"
            path.write_text(text, encoding="utf-8")
            load_recipe(str(path))
        elif kind == "json" and before == "sh":
            assert differences(json.loads(text), json.loads(printed), 0.5 if "detectedLanguage" in text else 2e-3) == []
        elif kind == "text" and before in ("sh", "python"):
            assert printed == text
        elif kind not in ("json", "text"):
            raise AssertionError(f"a block of {kind!r} is not run")
        before = kind


def python(program: str, namespace: dict[str, Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(program, "page", "exec"), namespace)
    return out.getvalue()


def shell(line: str, address: str) -> str:
    """Run a command, or see that it could be; what it prints."""
    words = shlex.split(line, comments=True)
    if not words:
        return ""
    if words[0] == "curl":
        return curl(words, address)
    if words[0] == "make":
        return run("make", "-n", *words[1:]) and ""
    assert words[0] == ".venv/bin/python", f"{words[0]} is not run"
    if words[1:3] == ["-m", "service"]:
        return run(sys.executable, *words[1:])
    if words[1:3] == ["-m", "training"]:
        described = CliRunner().invoke(training_app, [words[3], "--help"], env={"COLUMNS": "200"}).output
        assert all(word in described for word in words if word.startswith("--"))
        assert (ROOT / "training" / "recipes" / f"{words[4]}.toml").is_file()
    elif words[1:4] == ["-m", "pip", "install"]:
        assert all((ROOT / word / "pyproject.toml").is_file() for word in words[4:])
    else:
        assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file(), line
    return ""


def run(*command: str) -> str:
    environment = {"TERM": "dumb", "COLUMNS": "200", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def curl(words: list[str], address: str) -> str:
    """What curl does of this: -d sends a form unless a header says otherwise; with no -d it is a GET."""
    options: dict[str, list[str]] = {"-d": [], "-H": []}
    left, url = iter(words[1:]), ""
    for word in left:
        if word in options:
            options[word].append(next(left))
        elif word != "-s":
            url = word
    assert url.startswith(HOST), url
    headers = dict(header.split(": ", 1) for header in options["-H"])
    body = "&".join(options["-d"])
    if body:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    method = "POST" if body else "GET"
    return httpx.request(method, f"http://{address}{url.removeprefix(HOST)}", content=body, headers=headers).text


def test_every_page_is_listed() -> None:
    listed = set(re.findall(r"\]\(([\w./-]+)\)", (ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= listed


def test_most_pages_show_something() -> None:
    shown = {page.name: len(blocks(page)) for page in PAGES}
    assert all(shown[page] >= 4 for page in ("start.md", "api.md", "train-a-classifier.md", "attention.md")), shown
