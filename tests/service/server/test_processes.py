"""The service as one process and as several: signals, restarts, shared metrics, reloads."""

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

from service.observability import FLUSH_INTERVAL_S
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
        start_new_session=True,  # a process group, as in a terminal
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
        while self.count_lines("startup complete") < self.count or self.count_lines("is ready") < self.count * bundles:
            self.wait_for("")
        [self.address] = [
            line["message"].split("http://")[1].split()[0]
            for line in self.lines
            if "running on http" in line["message"]
        ]

    def count_lines(self, what: str) -> int:
        """Count the log lines with this text."""
        return sum(what in line["message"] for line in self.lines)

    def wait_for(self, what: str) -> dict[str, Any]:
        """Read the log up to a line with this text."""
        for line in map(json.loads, self.log):
            self.lines.append(line)
            if what in line["message"]:
                return self.lines[-1]
        raise AssertionError(f"the service ended without {what!r} in its log")

    def pids(self) -> list[int]:
        """Return the ids of the serving processes, in the order of their start."""
        begun = [line["message"] for line in self.lines if "Started server process" in line["message"]]
        return [int(message.split("[")[1].rstrip("]")) for message in begun]

    def request(self, path: str, method: str = "GET", body: str | None = None) -> tuple[int, Any]:
        """Send a request on a new connection."""
        connection = HTTPConnection(self.address, timeout=30)
        connection.request(method, path, body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, json.loads(content) if "json" in answer.headers["content-type"] else content.decode()

    def end(self) -> str:
        """Wait for a clean exit and return the rest of the log."""
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
        one.process.kill()  # its children end too
        one.process.wait()
        one.log.close()


ANY = pytest.mark.parametrize("count", ["1", "2"])


@ANY
def test_sigterm_drains(models: Path, running: Callable[..., Running], count: str) -> None:
    """Readiness is 503 before the socket is closed, and requests are answered meanwhile."""
    service = running(models, DRAIN_DELAY_S="0.7", PROCESSES=count)
    assert service.request("/health/ready")[0] == 200
    service.process.send_signal(signal.SIGTERM)
    until(lambda: service.request("/health/ready")[0] == 503)
    assert service.request("/health/live")[0] == 200
    assert service.request(*WIND)[0] == 200
    service.end()


@ANY
def test_sigint_skips_the_delay(models: Path, running: Callable[..., Running], count: str) -> None:
    """A terminal sends it to all processes."""
    service = running(models, DRAIN_DELAY_S="60", PROCESSES=count)
    os.killpg(service.process.pid, signal.SIGINT)
    service.end()


@ANY
def test_sigint_ends_the_delay(models: Path, running: Callable[..., Running], count: str) -> None:
    """SIGTERM starts the delay."""
    service = running(models, DRAIN_DELAY_S="60", PROCESSES=count)
    service.process.send_signal(signal.SIGTERM)
    until(lambda: service.request("/health/ready")[0] == 503)
    os.killpg(service.process.pid, signal.SIGINT)
    service.end()


@ANY
def test_sighup_reloads(models: Path, tmp_path: Path, running: Callable[..., Running], count: str) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    service = running(tmp_path, DRAIN_DELAY_S="0", PROCESSES=count)
    change_manifest(tmp_path / "toy" / "1", description="Another.")
    service.process.send_signal(signal.SIGHUP)
    for _ in range(service.count):
        assert "loaded=['toy/1']" in service.wait_for("reloaded")["message"]
    assert {service.request("/models/toy")[1]["description"] for _ in range(8)} == {"Another."}
    shutil.rmtree(tmp_path)
    service.process.send_signal(signal.SIGHUP)
    for _ in range(service.count):
        assert "no bundle in" in service.wait_for("nothing is reloaded")["message"]
    assert service.request(*WIND)[0] == 200
    service.process.send_signal(signal.SIGTERM)
    service.end()


@ANY
def test_a_port_in_use(models: Path, running: Callable[..., Running], count: str) -> None:
    service = running(models, DRAIN_DELAY_S="0", PROCESSES="2")
    other = start(models, PORT=service.address.split(":")[1], PROCESSES=count)
    stderr = other.communicate(timeout=60)[1]
    assert other.returncode != 0
    assert "address already in use" in stderr.lower()


def test_processes_without_bundles_do_not_start(tmp_path: Path) -> None:
    other = start(tmp_path, PROCESSES="2")
    stderr = other.communicate(timeout=60)[1]
    assert other.returncode == 1
    assert f"cannot start: no bundle in {tmp_path}" in stderr


def test_connections_to_a_dead_process_wait_for_its_successor(models: Path, running: Callable[..., Running]) -> None:
    service = running(models, DRAIN_DELAY_S="0", PROCESSES="2")
    first = service.pids()
    for pid in first:  # all, so that no other process can answer
        os.kill(pid, signal.SIGKILL)
    assert [service.request(*WIND)[0] for _ in range(8)] == [200] * 8
    for _ in first:
        assert "(-9)" in service.wait_for("has died")["message"]
    service.process.send_signal(signal.SIGTERM)
    service.end()


def test_no_child_outlives_the_parent(models: Path, running: Callable[..., Running]) -> None:
    service = running(models, DRAIN_DELAY_S="0", PROCESSES="2")
    service.process.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in service.pids()))


def test_metrics_of_all_processes(models: Path, running: Callable[..., Running]) -> None:
    service = running(models, DRAIN_DELAY_S="0", PROCESSES="2")
    for _ in range(16):
        assert service.request(*WIND)[0] == 200

    def metrics() -> dict[str, str]:
        lines = service.request("/metrics")[1].splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")

    counted = 'limelight_requests_total{method="POST",route="/classify",status="200"}'
    until(lambda: float(metrics()[counted]) == 16)  # metrics of other processes are up to a second old

    def one_in_flight() -> bool:
        time.sleep(1.5 * FLUSH_INTERVAL_S)  # until each process has written its metrics
        return float(metrics()["limelight_requests_in_flight"]) == 1  # this request itself

    until(one_in_flight)
    for _ in range(4):  # in any process
        assert float(metrics()[counted]) == 16
        assert float(metrics()['limelight_model_ready{model="toy",version="1"}']) == 1


def test_a_reload_reaches_all_processes(models: Path, tmp_path: Path, running: Callable[..., Running]) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    service = running(tmp_path, DRAIN_DELAY_S="0", PROCESSES="2")
    change_manifest(tmp_path / "toy" / "1", description="Another.")
    assert service.request("/admin/reload", "POST")[1]["loaded"] == ["toy/1"]
    until(lambda: {service.request("/models/toy")[1]["description"] for _ in range(8)} == {"Another."})
