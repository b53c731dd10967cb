"""The examples in docstrings run."""

import doctest
import importlib
from pathlib import Path

import pytest

import training

ROOT = Path(training.__file__).parent
MODULES = [
    ".".join(("training", *path.relative_to(ROOT).with_suffix("").parts))
    for path in sorted(ROOT.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0 and found.failed == 0
