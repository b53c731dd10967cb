import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from service.__main__ import main
from service.settings import Settings


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """`main` sets one for the whole process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What uvicorn was asked to do, which it does not."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: calls.append({"app": app, **options}))
    return calls


def test_settings_come_from_the_environment(
    models: Path, monkeypatch: pytest.MonkeyPatch, served: list[dict[str, Any]]
) -> None:
    environment = {"MODELS": str(models), "HOST": "::1", "PORT": "9001", "THREADS": "3", "LOG_LEVEL": "WARNING"}
    for name, value in environment.items():
        monkeypatch.setenv(f"LIMELIGHT_{name}", value)
    assert main() == 0
    [call] = served
    assert (call["host"], call["port"]) == ("::1", 9001)
    assert call["app"].state.settings.threads == 3
    assert call["app"].state.settings.models == models


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("THREADS", "0"),
        ("DEVICE", "tpu"),
        ("TIMEOUT_S", "0"),
        ("MAX_TEXTS", ""),
        ("BATCH_TOKENS", "1.5"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    served: list[dict[str, Any]],
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv(f"LIMELIGHT_{name}", value)
    assert main() == 2
    assert capsys.readouterr().err.startswith(f"LIMELIGHT_{name}: ")
    assert not served


def test_it_runs_as_a_module(models: Path, monkeypatch: pytest.MonkeyPatch, served: list[dict[str, Any]]) -> None:
    monkeypatch.setenv("LIMELIGHT_MODELS", str(models))
    for arguments, is_served in (([], True), (["--help"], False)):
        monkeypatch.setattr(sys, "argv", ["service", *arguments])
        monkeypatch.delitem(sys.modules, "service.__main__", raising=False)
        with pytest.raises(SystemExit) as caught:
            runpy.run_module("service", run_name="__main__")
        assert caught.value.code == 0
        assert bool(served) == is_served
        served.clear()


def test_no_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], served: list[dict[str, Any]]
) -> None:
    monkeypatch.setenv("LIMELIGHT_MODELS", str(tmp_path))
    assert main() == 1
    assert capsys.readouterr().err.startswith(f"cannot start: no bundle in {tmp_path}")
    assert not served


def test_every_setting_is_explained() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_sigterm_ends_it_well(models: Path) -> None:
    """It says where it listens, answers there, and leaves with 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "service"],
        env={**os.environ, "LIMELIGHT_MODELS": str(models), "LIMELIGHT_PORT": "0", "LIMELIGHT_DEVICE": "cpu"},
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        address = next(line for line in process.stderr if "running on" in line).split("running on ")[1].split()[0]
        connection = HTTPConnection(address.removeprefix("http://"))
        connection.request("GET", "/health/live")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
