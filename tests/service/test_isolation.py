"""The service stands alone: it runs where there is no torch, and its modules build on each other one way only."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "service"
MODULES = sorted(SERVICE.rglob("*.py"))
CONTRACTS = tomllib.loads((SERVICE.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = [
    {part.strip("() ") for part in layer.split("|")}
    for contract in CONTRACTS
    if contract["type"] == "layers"
    for layer in contract["layers"]
]
"""From the top: a module imports what is below it."""

PROGRAM = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "lightning", "training", "onnx", "matplotlib", "safetensors", "pytest"}:
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Blocker())

import time
from starlette.testclient import TestClient
from service.app import create_app
from service.settings import Settings

with TestClient(create_app(Settings(models=sys.argv[1], device="cpu"))) as client:
    def answer(path, body):
        for _ in range(6000):  # still loading
            if (found := client.post(path, json=body)).status_code != 503:
                break
            time.sleep(0.01)
        return found

    classified = answer("/classify", {"text": "FREE entry! Text WIN to 80086 now", "model": "sms-spam"})
    translated = answer("/translate", {"q": "A dog.", "source": "en", "target": "fr"})
    print(classified.status_code, classified.json()["predictions"][0]["label"])
    print(translated.status_code, len(translated.json()["translations"][0]["sentences"]))
"""


def imports(path: Path) -> set[str]:
    """Full names of everything that a file imports, at the top or within."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def layer(part: str) -> int:
    [found] = [index for index, parts in enumerate(LAYERS) if part in parts]
    return found


def test_it_answers_without_what_training_needs(real_models: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(real_models)],
        capture_output=True,
        text=True,
        cwd=SERVICE.parent,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == ["200 spam", "200 1"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SERVICE)))
def test_imports_go_one_way(path: Path) -> None:
    own = path.relative_to(SERVICE).parts[0].removesuffix(".py")
    for name in imports(path):
        package, *rest = name.split(".")
        assert package not in {"torch", "lightning", "training", "onnx", "tests", "pickle"}, name
        if package != "service" or own == "__init__" or rest[0] == "__version__":
            continue
        part = rest[0]
        assert part == own or layer(part) > layer(own), f"{own} imports {name}"


def test_every_module_has_its_layer() -> None:
    parts = {path.relative_to(SERVICE).parts[0].removesuffix(".py") for path in MODULES} - {"__init__"}
    assert parts <= set().union(*LAYERS)


def test_decoding_knows_nothing_of_models() -> None:
    """One loop for every translator: numpy in, numpy out."""
    for path in (SERVICE / "decoding").glob("*.py"):
        packages = {name.split(".")[0] for name in imports(path)}
        assert packages <= {"collections", "dataclasses", "functools", "typing", "numpy", "service"}
        assert all(n.startswith("service.decoding.") for n in imports(path) if n.startswith("service"))


def test_http_stays_in_the_api() -> None:
    for path in MODULES:
        if path.relative_to(SERVICE).parts[0] not in {"api", "app.py", "server", "__main__.py"}:
            assert not {"fastapi", "starlette", "uvicorn"} & {name.split(".")[0] for name in imports(path)}, path


def test_nothing_asks_for_the_architecture() -> None:
    """It is for people: a branch on it means that the manifest lacks a field."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare | ast.Match):
                assert "architecture" not in ast.unparse(node), path
