"""Signals before the server runs."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys
from service.server import signals

signals.install()
assert not any(name in sys.modules for name in ("fastapi", "onnxruntime", "numpy", "pydantic"))
os.kill(os.getpid(), signal.{})
print(signals.was_hung_up())
"""


@pytest.mark.parametrize(
    ("name", "output"), [("SIGHUP", "True\n"), ("SIGTERM", ""), ("SIGINT", ""), ("SIGCHLD", "False\n")]
)
def test_signals(name: str, output: str) -> None:
    process = subprocess.run([sys.executable, "-c", PROGRAM.format(name)], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout, process.stderr) == (0, output, "")
