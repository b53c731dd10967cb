"""The service as one process and as several: signals, restarts, shared metrics, reloads."""

import os
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import IO

import pytest

from service.observability import FLUSH_INTERVAL_S
from service.server.uvicorn import CLOSE_S
from tests.fakes import change_manifest, until
from tests.service.server.running import WIND, Running, start, supervised


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


ANY = pytest.mark.parametrize("count", ["1", "2"])


@ANY
@pytest.mark.parametrize("delay", ["0", "1"])
def test_connections_are_answered_or_refused(
    models: Path, running: Callable[..., Running], count: str, delay: str
) -> None:
    """No connection is reset and none waits, at any time after SIGTERM."""
    service = running(models, DRAIN_DELAY_S=delay, PROCESSES=count)
    outcomes: Counter[str] = Counter()
    ended = threading.Event()

    def connect_again_and_again() -> None:
        while not ended.is_set():
            connection = HTTPConnection(service.address, timeout=30)
            try:
                connection.connect()
                time.sleep(0.01)  # the server may begin its shutdown between the connection and its request
                connection.request(*WIND[1::-1], WIND[2])
                outcomes[str(connection.getresponse().status)] += 1
            except OSError as error:
                outcomes[type(error).__name__] += 1
            connection.close()

    threads = [threading.Thread(target=connect_again_and_again) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: outcomes["200"] > 50)
    service.process.send_signal(signal.SIGTERM)
    service.end()
    until(lambda: outcomes["ConnectionRefusedError"] > 8)
    ended.set()
    for thread in threads:
        thread.join()
    assert set(outcomes) == {"200", "ConnectionRefusedError"}, outcomes


def test_a_thread_that_never_returns(models: Path, running: Callable[..., Running]) -> None:
    """The process ends in the time of its drain, with the code of a drain."""
    program = """
import asyncio, time
from service.registry.registry import Registry

async def check(self, over_s):
    await asyncio.to_thread(time.sleep, 1e6)

Registry.check = check
import sys
from service.__main__ import main
sys.exit(main())
"""
    service = running(models, program, DRAIN_DELAY_S="0", DRAIN_TIMEOUT_S="1")
    assert service.request(*WIND)[0] == 200
    service.process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    assert "exit without the threads that do not end" in service.end()
    assert time.monotonic() - start < 1 + CLOSE_S + 1


@ANY
def test_sigterm_while_models_load(models: Path, tmp_path: Path, count: str) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    for version in range(2, 40):
        shutil.copytree(tmp_path / "toy" / "1", tmp_path / "toy" / str(version))
        change_manifest(tmp_path / "toy" / str(version), version=version)
    process = start(tmp_path, PROCESSES=count, DRAIN_DELAY_S="0")
    stderr = process.stderr
    assert stderr is not None
    until(lambda: "is ready" in stderr.readline())
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


@ANY
def test_sigint_skips_the_delay(models: Path, running: Callable[..., Running], count: str) -> None:
    """A terminal sends it to all processes."""
    service = running(models, DRAIN_DELAY_S="60", PROCESSES=count)
    os.killpg(service.process.pid, signal.SIGINT)
    service.end()


@ANY
def test_sigterm_drains_until_sigint(models: Path, running: Callable[..., Running], count: str) -> None:
    """SIGTERM starts the delay: readiness is 503, and requests are answered. SIGINT ends the delay."""
    service = running(models, DRAIN_DELAY_S="60", PROCESSES=count)
    assert service.request("/health/ready")[0] == 200
    service.process.send_signal(signal.SIGTERM)
    until(lambda: service.request("/health/ready")[0] == 503)
    assert service.request("/health/live")[0] == 200
    assert service.request(*WIND)[0] == 200
    os.killpg(service.process.pid, signal.SIGINT)
    service.end()


@ANY
def test_sighup_reloads(models: Path, tmp_path: Path, running: Callable[..., Running], count: str) -> None:
    folder = shutil.copytree(models, tmp_path / "models")
    service = running(folder, DRAIN_DELAY_S="0", PROCESSES=count)
    change_manifest(folder / "toy" / "1", description="Another.")
    service.process.send_signal(signal.SIGHUP)
    for _ in range(service.count):
        assert "loaded=['toy/1']" in service.wait_for("reloaded")["message"]
    assert {service.request("/models/toy")[1]["description"] for _ in range(8)} == {"Another."}
    moved = folder.rename(tmp_path / "elsewhere")
    service.process.send_signal(signal.SIGHUP)
    for _ in range(service.count):
        assert "no bundle in" in service.wait_for("nothing is reloaded")["message"]
    assert service.request(*WIND)[0] == 200
    moved.rename(folder)
    check_that_many_sighups_are_few_reloads(service)


def check_that_many_sighups_are_few_reloads(service: Running) -> None:
    """Ends the service."""
    earlier = service.count_lines("reloaded")
    before = {pid: threads_of(pid) for pid in service.pids()}
    for _ in range(200):
        service.process.send_signal(signal.SIGHUP)
        time.sleep(0.001)
    most = {pid: threads_of(pid) for pid in service.pids()}
    for _ in range(service.count):
        service.wait_for("reloaded")
    assert service.request(*WIND)[0] == 200
    service.process.send_signal(signal.SIGTERM)
    reloads = service.count_lines("reloaded") - earlier + service.end().count("reloaded")
    assert service.count <= reloads <= 50 * service.count
    assert all(most[pid] <= before[pid] + 8 for pid in before), (before, most)


def read(stream: IO[str], lines: list[str]) -> None:
    with stream:
        for line in stream:
            lines.append(line)


@ANY
def test_sighup_from_the_first_moment(models: Path, count: str) -> None:
    """It is handled before the modules are imported, and in children too."""
    process = start(models, PROCESSES=count, DRAIN_DELAY_S="0")
    lines: list[str] = []
    reading = threading.Thread(target=read, args=[process.stderr, lines])
    until(lambda: has_handler(process.pid, signal.SIGHUP))
    reading.start()
    while sum("startup complete" in line for line in lines) < int(count):
        assert process.poll() is None, lines
        process.send_signal(signal.SIGHUP)
        time.sleep(0.01)
    until(lambda: any("reloaded" in line for line in lines))
    process.terminate()
    process.wait(timeout=60)
    reading.join()
    assert not any("has died" in line for line in lines)
    assert process.returncode == 0


def has_handler(pid: int, number: int) -> bool:
    """Return whether a process handles a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) & 1 << (number - 1))


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_the_end_during_the_import(models: Path, signal_name: str) -> None:
    process = start(models)
    until(lambda: has_handler(process.pid, signal.SIGHUP))
    process.send_signal(signal.Signals[signal_name])
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


@ANY
def test_a_port_in_use(models: Path, two_processes: Running, count: str) -> None:
    port = two_processes.address.split(":")[1]
    other = start(models, PORT=port, PROCESSES=count)
    stderr = other.communicate(timeout=60)[1]
    assert other.returncode == 1
    assert stderr.splitlines()[-1] == f"cannot start: LIMELIGHT_PORT={port}: 127.0.0.1:{port}: Address already in use"
    assert "Traceback" not in stderr


def test_a_port_that_is_taken_during_the_start(models: Path) -> None:
    """Two sockets can be bound to one port until one of them listens."""
    port = str(free_port())
    both = [start(models, PORT=port) for _ in range(2)]
    until(lambda: any(each.poll() is not None for each in both))
    [ended] = [each for each in both if each.poll() is not None]
    [other] = [each for each in both if each is not ended]
    assert ended.communicate()[1].splitlines()[-1].startswith(f"cannot start: LIMELIGHT_PORT={port}: ")
    other.terminate()
    other.communicate(timeout=60)
    assert (ended.returncode, other.returncode) == (1, 0)


def test_processes_without_bundles_do_not_start(tmp_path: Path) -> None:
    other = start(tmp_path, PROCESSES="2")
    stderr = other.communicate(timeout=60)[1]
    assert other.returncode == 1
    assert f"cannot start: no bundle in {tmp_path}" in stderr


def test_connections_to_a_dead_process_wait_for_its_successor_and_no_child_outlives_the_parent(
    models: Path, running: Callable[..., Running]
) -> None:
    service = running(models, supervised(RESTART_DELAY_S=0.1), DRAIN_DELAY_S="0", PROCESSES="2")
    first = service.pids()
    for pid in first:  # all, so that no other process can answer
        os.kill(pid, signal.SIGKILL)
    assert [service.request(*WIND)[0] for _ in range(8)] == [200] * 8
    for _ in first:
        assert "(-9)" in service.wait_for("has died")["message"]
    while service.count_lines("startup complete") < 4:
        service.wait_for("")
    children = service.pids()[2:]
    assert len(children) == 2 and all(Path(f"/proc/{pid}").exists() for pid in children)
    service.process.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


def test_metrics_of_all_processes(two_processes: Running) -> None:
    service = two_processes
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
