"""The client for browsers and Node against the running service, with node's test runner. Skipped without node."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.listening import listening

CLIENT = Path(__file__).parents[2] / "clients" / "typescript"
NODE = shutil.which("node")
CHECK_S = 300


def run(folder: Path, *command: str, **environment: str) -> None:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=CHECK_S
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_client(models: Path, tmp_path: Path) -> None:
    with listening(models, glossaries=tmp_path) as address:
        run(CLIENT, "node", "--test", "test/client.test.js", LIMELIGHT_ADDRESS=address)


@pytest.mark.skipif(not (CLIENT / "node_modules").is_dir(), reason="`npm install` was not run in clients/typescript")
def test_the_types() -> None:
    """The types of the OpenAPI document, of the client's own files, and of a program that uses them."""
    run(CLIENT, "npm", "run", "check")
