import logging
import runpy
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.__main__ import main
from service.access import new_key
from service.server import processes, sockets
from service.settings import Settings
from tests.service import cuda_fakes


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Restore the handlers that `main` sets for the whole process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers, logging.root.level = handlers, level
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The calls of the server, which is replaced."""
    calls: list[dict[str, Any]] = []
    addresses: list[tuple[str, int]] = []

    def bind(count: int, host: str, port: int) -> list[socket.socket]:
        addresses.append((host, port))
        return sockets.bind(count, "127.0.0.1", 0)

    def serve(app: Any, sock: socket.socket, *_: Any) -> None:
        sock.close()
        calls.append({"app": app, "at": addresses[-1]})

    monkeypatch.setattr(processes, "bind", bind)
    monkeypatch.setattr(processes, "serve", serve)
    return calls


def test_settings_come_from_the_environment(
    models: Path, monkeypatch: pytest.MonkeyPatch, served: list[dict[str, Any]]
) -> None:
    environment = {"MODELS": str(models), "HOST": "::1", "PORT": "9001", "THREADS": "3", "LOG_LEVEL": "WARNING"}
    for name, value in environment.items():
        monkeypatch.setenv(f"LIMELIGHT_{name}", value)
    assert main() == 0
    [call] = served
    assert call["at"] == ("::1", 9001)
    assert call["app"].state.settings.threads == 3
    assert call["app"].state.settings.models == models


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("THREADS", "0"),
        ("THREADS", "1025"),
        ("PROCESSES", "257"),
        ("TIMEOUT_S", "inf"),
        ("TIMEOUT_S", "nan"),
        ("DRAIN_TIMEOUT_S", "1e9"),
        ("DEVICE", "tpu"),
        ("TIMEOUT_S", "0"),
        ("MAX_TEXTS", ""),
        ("BATCH_TOKENS", "1.5"),
        ("LOG_LEVEL", "loud"),
        ("API_KEYS", "alice:secret"),
        ("API_KEYS_FILE", "/nowhere/keys"),
        ("RATE_LIMIT", "often"),
        ("RATE_LIMIT", ""),
        ("RATE_LIMIT", "0/second"),
        ("RATE_LIMIT", "60/0 minutes"),
        ("RATE_LIMIT", "60/fortnight"),
        ("RATE_LIMIT", "5/minute;10/hour"),
        ("RATE_LIMIT", "10/999999999 years"),
        ("RATE_LIMIT", "999999/second"),
        ("RATE_LIMIT", "9999999999999/second"),
        ("PROCESSES", "0"),
        ("ADMIN_TOKEN", "short"),
        ("DRAIN_DELAY_S", "-1"),
    ],
)
def test_an_invalid_setting_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    served: list[dict[str, Any]],
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv(f"LIMELIGHT_{name}", value)
    assert main() == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith(f"LIMELIGHT_{name}: ")
    assert "secret" not in stderr and "short" not in stderr.replace("shorter", "")
    assert not served


def test_several_processes_refuse_a_rate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"RATE_LIMIT": "60/minute", "PROCESSES": "2"}.items():
        monkeypatch.setenv(f"LIMELIGHT_{name}", value)
    assert main() == 2
    assert capsys.readouterr().err.startswith("LIMELIGHT_RATE_LIMIT: ")


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


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_settings_may_be_lists(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, line = new_key("alice")
    for name, value in {"CORS_ORIGINS": "https://a.example https://b.example", "API_KEYS": line}.items():
        monkeypatch.setenv(f"LIMELIGHT_{name}", value)
    settings = Settings()
    assert settings.cors_origins == ["https://a.example", "https://b.example"]
    assert list(settings.keys().values()) == ["alice"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("DEFAULT_CLASSIFIER", "nobody", "names 'nobody', which is not there"),
        ("DEVICE", "cuda", "LIMELIGHT_DEVICE=cuda"),
    ],
)
def test_a_missing_default_or_device(
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    served: list[dict[str, Any]],
    name: str,
    value: str,
    told: str,
) -> None:
    monkeypatch.setattr("service.runtime.ort.get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setenv("LIMELIGHT_MODELS", str(models))
    monkeypatch.setenv(f"LIMELIGHT_{name}", value)
    assert main() == 1
    assert capsys.readouterr().err.startswith("cannot start: ")
    assert not served


def test_an_unavailable_cuda_device(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], served: list[dict[str, Any]]
) -> None:
    """If the libraries or the device are missing, onnxruntime falls back to the CPU. The service does not start."""
    cuda_fakes.install(monkeypatch).starts = False
    monkeypatch.setenv("LIMELIGHT_MODELS", str(models))
    monkeypatch.setenv("LIMELIGHT_DEVICE", "cuda")
    assert main() == 1
    assert "the CUDA provider did not start" in capsys.readouterr().err
    assert not served
