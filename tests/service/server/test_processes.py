"""The service in processes of its own, one and several: how it ends, what it survives, and what all of them know."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from service.observability import WRITTEN_EVERY_S
from tests.fakes import change_manifest, until

WIND = ("/classify", "POST", '{"text": "wind"}')


def start(models: Path, **settings: str) -> subprocess.Popen[str]:
    environment = {"MODELS": str(models), "PORT": "0", "DEVICE": "cpu", "THREADS": "1", **settings}
    return subprocess.Popen(
        [sys.executable, "-m", "service"],
        env={**os.environ, **{f"LIMELIGHT_{name}": value for name, value in environment.items()}},
        cwd=Path(__file__).parents[3],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, as a terminal's
    )


class Running:
    """The service, when all of its processes answer."""

    def __init__(self, models: Path, **settings: str):
        self.process = start(models, **settings)
        assert self.process.stderr is not None
        self.log = self.process.stderr
        self.lines: list[dict[str, Any]] = []
        self.count = int(settings.get("PROCESSES", "1"))
        bundles = len(list(models.glob("*/*/bundle.json")))
        while self.said("startup complete") < self.count or self.said("is ready") < self.count * bundles:
            self.wait_for("")
        [self.address] = [
            line["message"].split("http://")[1].split()[0]
            for line in self.lines
            if "running on http" in line["message"]
        ]

    def said(self, what: str) -> int:
        """How many lines of the log say so, up to now."""
        return sum(what in line["message"] for line in self.lines)

    def wait_for(self, what: str) -> dict[str, Any]:
        """The next line of the log that says so."""
        for line in map(json.loads, self.log):
            self.lines.append(line)
            if what in line["message"]:
                return self.lines[-1]
        raise AssertionError(f"it ended, and did not say {what!r}")

    def pids(self) -> list[int]:
        """Of the processes that have begun to serve, in that order."""
        begun = [line["message"] for line in self.lines if "Started server process" in line["message"]]
        return [int(message.split("[")[1].rstrip("]")) for message in begun]

    def ask(self, path: str, method: str = "GET", body: str | None = None) -> tuple[int, Any]:
        """On a connection of its own."""
        connection = HTTPConnection(self.address, timeout=30)
        connection.request(method, path, body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, json.loads(content) if "json" in answer.headers["content-type"] else content.decode()

    def end(self) -> str:
        """What it still said, after it left well."""
        with self.process:
            rest = self.log.read()
        assert self.process.returncode == 0, rest
        assert "Traceback" not in rest, rest
        return rest


@pytest.fixture
def running() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def run(models: Path, **settings: str) -> Running:
        made.append(Running(models, **settings))
        return made[-1]

    yield run
    for one in made:
        one.process.kill()  # the others end with it
        one.process.wait()
        one.log.close()


ANY = pytest.mark.parametrize("count", ["1", "2"])


@ANY
def test_sigterm_ends_it_well(models: Path, running: Callable[..., Running], count: str) -> None:
    """Load balancers see that it goes before it is gone; whoever asks meanwhile is answered."""
    service = running(models, DRAIN_DELAY_S="0.7", PROCESSES=count)
    assert service.ask("/health/ready")[0] == 200
    service.process.send_signal(signal.SIGTERM)
    until(lambda: service.ask("/health/ready")[0] == 503)
    assert service.ask("/health/live")[0] == 200
    assert service.ask(*WIND)[0] == 200
    service.end()


@ANY
def test_sigint_does_not_wait(models: Path, running: Callable[..., Running], count: str) -> None:
    """All of them get it from a terminal."""
    service = running(models, DRAIN_DELAY_S="60", PROCESSES=count)
    os.killpg(service.process.pid, signal.SIGINT)
    service.end()


@ANY
def test_sigint_ends_the_wait(models: Path, running: Callable[..., Running], count: str) -> None:
    """Where somebody has said SIGTERM before it."""
    service = running(models, DRAIN_DELAY_S="60", PROCESSES=count)
    service.process.send_signal(signal.SIGTERM)
    until(lambda: service.ask("/health/ready")[0] == 503)
    os.killpg(service.process.pid, signal.SIGINT)
    service.end()


@ANY
def test_sighup_looks_into_the_folder_again(
    models: Path, tmp_path: Path, running: Callable[..., Running], count: str
) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    service = running(tmp_path, DRAIN_DELAY_S="0", PROCESSES=count)
    change_manifest(tmp_path / "toy" / "1", description="Another.")
    service.process.send_signal(signal.SIGHUP)
    for _ in range(service.count):
        assert "loaded=['toy/1']" in service.wait_for("reloaded")["message"]
    assert {service.ask("/models/toy")[1]["description"] for _ in range(8)} == {"Another."}
    shutil.rmtree(tmp_path)
    service.process.send_signal(signal.SIGHUP)
    for _ in range(service.count):
        assert "no bundle in" in service.wait_for("nothing is reloaded")["message"]
    assert service.ask(*WIND)[0] == 200
    service.process.send_signal(signal.SIGTERM)
    service.end()


@ANY
def test_a_port_that_is_taken(models: Path, running: Callable[..., Running], count: str) -> None:
    service = running(models, DRAIN_DELAY_S="0", PROCESSES="2")
    other = start(models, PORT=service.address.split(":")[1], PROCESSES=count)
    said = other.communicate(timeout=60)[1]
    assert other.returncode != 0
    assert "address already in use" in said.lower()


def test_several_that_cannot_start(tmp_path: Path) -> None:
    other = start(tmp_path, PROCESSES="2")
    said = other.communicate(timeout=60)[1]
    assert other.returncode == 1
    assert f"cannot start: no bundle in {tmp_path}" in said


def test_who_comes_to_a_process_that_died_waits_for_the_next(models: Path, running: Callable[..., Running]) -> None:
    service = running(models, DRAIN_DELAY_S="0", PROCESSES="2")
    first = service.pids()
    for pid in first:  # so that nobody else can answer
        os.kill(pid, signal.SIGKILL)
    assert [service.ask(*WIND)[0] for _ in range(8)] == [200] * 8
    for _ in first:
        assert "(-9)" in service.wait_for("has died")["message"]
    service.process.send_signal(signal.SIGTERM)
    service.end()


def test_nobody_outlives_the_first(models: Path, running: Callable[..., Running]) -> None:
    service = running(models, DRAIN_DELAY_S="0", PROCESSES="2")
    service.process.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in service.pids()))


def test_figures_are_of_all(models: Path, running: Callable[..., Running]) -> None:
    service = running(models, DRAIN_DELAY_S="0", PROCESSES="2")
    for _ in range(16):
        assert service.ask(*WIND)[0] == 200

    def figures() -> dict[str, str]:
        lines = service.ask("/metrics")[1].splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")

    counted = 'limelight_requests_total{method="POST",route="/classify",status="200"}'
    until(lambda: float(figures()[counted]) == 16)  # what others saw is a second old

    def one_in_flight() -> bool:
        time.sleep(1.5 * WRITTEN_EVERY_S)  # until the last one who was asked has told that it is done
        return float(figures()["limelight_requests_in_flight"]) == 1  # the one that asks

    until(one_in_flight)
    for _ in range(4):  # whoever is asked
        assert float(figures()[counted]) == 16
        assert float(figures()['limelight_model_ready{model="toy",version="1"}']) == 1


def test_a_reload_reaches_all(models: Path, tmp_path: Path, running: Callable[..., Running]) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    service = running(tmp_path, DRAIN_DELAY_S="0", PROCESSES="2")
    change_manifest(tmp_path / "toy" / "1", description="Another.")
    assert service.ask("/admin/reload", "POST")[1]["loaded"] == ["toy/1"]
    until(lambda: {service.ask("/models/toy")[1]["description"] for _ in range(8)} == {"Another."})
