"""The service runs without torch, and its modules depend on each other in one direction."""

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
"""From top to bottom: a module imports modules of lower layers only."""

PROGRAM = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {
            "torch", "lightning", "training", "onnx", "matplotlib", "safetensors", "pytest", "grpc", "google"
        }:
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
    """Full names of all imports of a file, inside functions too."""
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


def test_it_answers_without_the_packages_of_training(real_models: Path, tmp_path: Path) -> None:
    for name in ("sms-spam", "en-fr"):
        (tmp_path / name).symlink_to(real_models / name)
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=SERVICE.parent,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == ["200 spam", "200 1"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SERVICE)))
def test_imports_point_to_lower_layers(path: Path) -> None:
    own = path.relative_to(SERVICE).parts[0].removesuffix(".py")
    forbidden = {"torch", "lightning", "training", "onnx", "tests", "pickle"}
    if path.name == "cuda_graphs.py":  # loaded with CUDA only, whose extra installs onnx
        forbidden.remove("onnx")
    for name in imports(path):
        package, *rest = name.split(".")
        assert package not in forbidden, name
        if package != "service" or own == "__init__" or rest[0] == "__version__":
            continue
        part = rest[0]
        assert part == own or layer(part) > layer(own), f"{own} imports {name}"


def test_every_module_has_a_layer() -> None:
    parts = {path.relative_to(SERVICE).parts[0].removesuffix(".py") for path in MODULES} - {"__init__"}
    assert parts <= set().union(*LAYERS)


def test_decoding_knows_nothing_of_models() -> None:
    """One loop for every translator, over numpy arrays; only onnx_step.py knows the runtime."""
    for path in (SERVICE / "decoding").glob("*.py"):
        packages = {name.split(".")[0] for name in imports(path)}
        assert packages <= {"collections", "dataclasses", "functools", "itertools", "typing", "numpy", "service"}
        allowed = ("service.decoding.", "service.runtime.") if path.name == "onnx_step.py" else ("service.decoding.",)
        assert all(n.startswith(allowed) for n in imports(path) if n.startswith("service"))


def test_http_stays_in_the_api() -> None:
    for path in MODULES:
        if path.relative_to(SERVICE).parts[0] not in {"api", "app.py", "server", "__main__.py"}:
            assert not {"fastapi", "starlette", "uvicorn", "grpc"} & {name.split(".")[0] for name in imports(path)}, (
                path
            )


ORDER = "server app api handlers registry classification markup decoding batching runtime bundle errors".split()
"""The dependency rule of docs/architecture.md, pinned here: each layer is above the next."""


def test_the_layers_are_in_the_documented_order() -> None:
    layers = [layer(part) for part in ORDER]
    assert layers == sorted(set(layers))
    assert layer("classification") == layer("translation") == layer("generation")


SCHEDULING = {f"batching.{module}" for module in ("scheduler", "fair_queue", "worker", "request", "engine")}
"""Everything in batching except time budgets and threads for texts."""

FORBIDDEN = {
    "handlers": {"api", "app", "server", "terminal", *SCHEDULING, "decoding", "runtime"},
    "api": {"app", "server", "terminal", *SCHEDULING, "decoding", "markup", "runtime"},
    "terminal.py": {"api", "app", "server", "decoding", "markup", "translation.engine", "generation"},
}
"""Part of the service -> parts that it does not import: protocols call handlers, and handlers call predictors."""


@pytest.mark.parametrize("part", FORBIDDEN)
def test_protocols_use_the_handlers(part: str) -> None:
    paths = [path for path in MODULES if path.relative_to(SERVICE).parts[0] == part]
    assert paths
    for path in paths:
        for name in imports(path):
            for forbidden in FORBIDDEN[part]:
                assert not f"{name}.".startswith(f"service.{forbidden}."), f"{path} imports {name}"


def test_nothing_branches_on_the_architecture() -> None:
    """The field is descriptive. A branch on it means that the manifest lacks a field."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare | ast.Match):
                assert "architecture" not in ast.unparse(node), path
