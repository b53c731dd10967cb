import json
import logging
import os
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from service import server
from service.__main__ import main
from service.access import new_key
from service.settings import Settings
from tests.fakes import change_manifest, until


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """`main` sets one for the whole process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers, logging.root.level = handlers, level
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the server was asked to do, which it does not."""
    calls: list[dict[str, Any]] = []
    for module in (server, sys.modules["service.__main__"]):
        monkeypatch.setattr(module, "serve", lambda app, host, port, *_: calls.append({"app": app, "at": (host, port)}))
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
        ("DEVICE", "tpu"),
        ("TIMEOUT_S", "0"),
        ("MAX_TEXTS", ""),
        ("BATCH_TOKENS", "1.5"),
        ("LOG_LEVEL", "loud"),
        ("API_KEYS", "alice:secret"),
        ("API_KEYS_FILE", "/nowhere/keys"),
        ("RATE_LIMIT", "often"),
        ("ADMIN_TOKEN", "short"),
        ("DRAIN_DELAY_S", "-1"),
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
    said = capsys.readouterr().err
    assert said.startswith(f"LIMELIGHT_{name}: ")
    assert "secret" not in said and "short" not in said.replace("shorter", "")
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
def test_what_is_asked_for_and_not_there(
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


def test_cuda_that_does_not_start(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], served: list[dict[str, Any]]
) -> None:
    """The provider is there, its libraries or its device are not: onnxruntime goes on with the CPU, and we do not."""
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("service.runtime.ort.get_available_providers", lambda: both)
    opened = ort.InferenceSession
    monkeypatch.setattr(
        "service.runtime.ort.InferenceSession",
        lambda path, options, providers: opened(path, options, providers=["CPUExecutionProvider"]),
    )
    monkeypatch.setenv("LIMELIGHT_MODELS", str(models))
    monkeypatch.setenv("LIMELIGHT_DEVICE", "cuda")
    assert main() == 1
    assert "the CUDA provider did not start" in capsys.readouterr().err
    assert not served


class Running:
    """The service in a process of its own."""

    def __init__(self, models: Path, **settings: str):
        environment = {"MODELS": str(models), "PORT": "0", "DEVICE": "cpu", "THREADS": "1", **settings}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service"],
            env={**os.environ, **{f"LIMELIGHT_{name}": value for name, value in environment.items()}},
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.log = self.process.stderr
        self.address = self.wait_for("running on")["message"].split("http://")[1].split()[0]
        for _ in models.glob("*/*/bundle.json"):
            self.wait_for("is ready")

    def wait_for(self, said: str) -> dict[str, Any]:
        """The next line of the log that says so."""
        return next(line for line in map(json.loads, self.log) if said in line["message"])

    def ask(self, path: str, method: str = "GET", body: str | None = None) -> tuple[int, Any]:
        connection = HTTPConnection(self.address, timeout=30)
        connection.request(method, path, body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, json.loads(content)

    def end(self) -> str:
        """What it still said, after it left well."""
        with self.process:
            rest = self.log.read()
        assert self.process.returncode == 0, rest
        assert "Traceback" not in rest
        return rest


@pytest.fixture
def running() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def start(models: Path, **settings: str) -> Running:
        made.append(Running(models, **settings))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()
        one.log.close()


def test_sigterm_ends_it_well(models: Path, running: Callable[..., Running]) -> None:
    """Load balancers see that it goes before it is gone; whoever asks meanwhile is answered."""
    service = running(models, DRAIN_DELAY_S="0.7")
    assert service.ask("/health/ready")[0] == 200
    service.process.send_signal(signal.SIGTERM)
    until(lambda: service.ask("/health/ready")[0] == 503)
    assert service.ask("/health/live")[0] == 200
    assert service.ask("/classify", "POST", '{"text": "wind"}')[0] == 200
    service.end()


def test_sigint_does_not_wait(models: Path, running: Callable[..., Running]) -> None:
    service = running(models, DRAIN_DELAY_S="60")
    service.process.send_signal(signal.SIGINT)
    service.end()


def test_sighup_looks_into_the_folder_again(models: Path, tmp_path: Path, running: Callable[..., Running]) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    service = running(tmp_path, DRAIN_DELAY_S="0")
    change_manifest(tmp_path / "toy" / "1", description="Another.")
    service.process.send_signal(signal.SIGHUP)
    assert "loaded=['toy/1']" in service.wait_for("reloaded")["message"]
    assert service.ask("/models/toy")[1]["description"] == "Another."
    shutil.rmtree(tmp_path)
    service.process.send_signal(signal.SIGHUP)
    assert "no bundle in" in service.wait_for("nothing is reloaded")["message"]
    assert service.ask("/classify", "POST", '{"text": "wind"}')[0] == 200
    service.process.send_signal(signal.SIGTERM)
    service.end()


def test_a_port_that_is_taken(models: Path, running: Callable[..., Running]) -> None:
    service = running(models, DRAIN_DELAY_S="0")
    other = subprocess.run(
        [sys.executable, "-m", "service"],
        env={
            **os.environ,
            "LIMELIGHT_MODELS": str(models),
            "LIMELIGHT_DEVICE": "cpu",
            "LIMELIGHT_PORT": service.address.split(":")[1],
        },
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode != 0
    assert "address already in use" in other.stderr
