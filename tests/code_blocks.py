"""Run the code blocks of README.md and docs/ and compare them with the output that the pages show.

`sh`: curl is sent to the served bundles and `python -m service` runs. For long commands (make, training, benchmarks,
pip) the command, its options and its files must exist. `json` and `text`: the output of the block before. `python`: the
blocks of a page run in one namespace. `toml`: must be a valid recipe. A fence without a language is not run.
"""

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from typer.testing import CliRunner

from service.registry.golden import differences
from training.__main__ import app as training_app
from training.recipe import load_recipe

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOST = "localhost:8000"
TOLERANCE = 2e-3
"""Documented difference of scores and weights between machines and precisions."""
CONFIDENCE_TOLERANCE = 0.5
"""Difference in percent of a detected language's confidence."""


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and content of each block."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def run_blocks(page: Path, address: str, folder: Path, namespace: dict[str, Any]) -> None:
    """Run all blocks of a page against the service at `address` (host:port)."""
    printed, before = "", ""
    for kind, text in blocks(page):
        if kind == "sh":
            printed = "".join(shell(line, address) for line in text.replace("\\\n", " ").splitlines())
        elif kind == "python":
            printed = python(text.replace(HOST, address), namespace)
        elif kind == "toml":
            path = folder / f"{page.stem}.toml"
            path.write_text(text, encoding="utf-8")
            load_recipe(str(path))
        elif kind == "json" and before == "sh":
            tolerance = CONFIDENCE_TOLERANCE if "detectedLanguage" in text else TOLERANCE
            found = differences(json.loads(text), json.loads(printed), tolerance)
            assert not found, f"{found}\nin {text}"
        elif kind == "text" and before in ("sh", "python"):
            assert printed == text, f"{printed!r} is printed, not {text!r}"
        elif kind not in ("json", "text"):
            raise AssertionError(f"blocks of language {kind!r} are not supported")
        before = kind


def python(program: str, namespace: dict[str, Any]) -> str:
    """Execute a program and return its output."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(program, "page", "exec"), namespace)
    return out.getvalue()


def shell(line: str, address: str) -> str:
    """Run a command and return its output, or check that a long command exists."""
    words = shlex.split(line, comments=True)
    if not words:
        return ""
    if words[0] == "curl":
        return curl(words, address)
    if words[0] == "make":
        return run("make", "-n", *words[1:]) and ""
    if words[0] == "docker":
        assert (ROOT / "docker-compose.yml").is_file()
        return ""
    if words[0] == ".venv/bin/torchrun":
        words = [".venv/bin/python", *words[words.index("-m") :]]
    assert words[0] == ".venv/bin/python", f"{words[0]} is not supported"
    if words[1:3] == ["-m", "service"]:
        return run(sys.executable, *words[1:])
    if words[1:3] == ["-m", "training"]:
        described = CliRunner().invoke(training_app, [words[3], "--help"], env={"COLUMNS": "200"}).output
        assert all(word in described for word in words if word.startswith("--"))
        assert words[4].startswith("--") or (ROOT / "training" / "recipes" / f"{words[4]}.toml").is_file()
    elif words[1:4] == ["-m", "pip", "install"]:
        assert all((ROOT / word.split("[")[0] / "pyproject.toml").is_file() for word in words[4:] if word[0] == ".")
    else:
        module = ROOT / words[2].replace(".", "/")
        assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file(), line
    return ""


def run(*command: str) -> str:
    environment = {"TERM": "dumb", "COLUMNS": "200", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def curl(words: list[str], address: str) -> str:
    """Send the request of a curl command and return the body of the answer.

    Supports -s, -X, -H and -d. With -d the method is POST and the default media type is a form, else it is GET.
    """
    options: dict[str, list[str]] = {"-d": [], "-H": [], "-X": []}
    left, url = iter(words[1:]), ""
    for word in left:
        if word in options:
            options[word].append(next(left))
        elif word != "-s":
            url = word
    assert url.removeprefix("http://").startswith(HOST), url
    path = url.removeprefix("http://").removeprefix(HOST)
    headers = dict(header.split(": ", 1) for header in options["-H"])
    body = "&".join(options["-d"])
    if body:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    method = (options["-X"] or ["POST" if body else "GET"])[-1]
    answer = httpx.request(method, f"http://{address}{path}", content=body, headers=headers, timeout=60)
    return answer.text
