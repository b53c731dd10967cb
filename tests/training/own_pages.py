"""Follows the commands of a page about the user's own data."""

import re
import shlex
import subprocess
from pathlib import Path

from typer.testing import CliRunner

from tests.code_blocks import ROOT
from training.__main__ import app


def arguments(line: str) -> list[str]:
    """Arguments of `python -m training` in a line of a page. The Makefile gives those of `make train`."""
    if line.startswith("make"):
        made = subprocess.run(
            ["make", "--no-print-directory", "-n", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, text=True
        )
        shown = made.stdout.replace("\\\n", " ")
        line = shown[shown.rindex(".venv/bin/python -m training") :]
    words = shlex.split(line)
    assert words[1:3] == ["-m", "training"]
    return words[3:]


def run(line: str) -> str:
    """Run a line of a page and return its output."""
    result = CliRunner().invoke(app, arguments(line), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def lines(page: Path, heading: str) -> list[str]:
    """Commands of the section of a page whose heading starts with `heading`."""
    sections = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)
    [section] = [section for section in sections if section.startswith(heading)]
    return [
        line for kind, text in re.findall(r"^```(sh)\n(.*?)^```$", section, re.M | re.S) for line in text.splitlines()
    ]
