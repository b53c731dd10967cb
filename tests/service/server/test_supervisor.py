"""Child processes that stop, hang or do not end."""

import os
import signal
import threading
import time
from collections.abc import Callable
from ctypes import c_double
from pathlib import Path

import pytest

from service.server import supervisor
from service.server.supervisor import STALL_S, START_S, Child, Slot
from service.server.uvicorn import CLOSE_S
from tests.fakes import until
from tests.service.server.running import WIND, Running, supervised


def test_a_stopped_process_is_replaced_and_does_not_delay_the_end(
    models: Path, running: Callable[..., Running]
) -> None:
    service = running(models, supervised(STALL_S=2, RESTART_DELAY_S=0.1), DRAIN_DELAY_S="0", PROCESSES="2")
    [stopped, other] = service.pids()
    os.kill(stopped, signal.SIGSTOP)
    assert str(stopped) in service.wait_for("does not respond and is killed")["message"]
    assert "(-9)" in service.wait_for("has died")["message"]
    assert [service.request(*WIND)[0] for _ in range(16)] == [200] * 16
    while service.count_lines("startup complete") < 3:
        service.wait_for("")
    assert service.pids()[1] == other and len(service.pids()) == 3
    os.kill(other, signal.SIGSTOP)  # it does not delay the end
    service.process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    service.end()
    assert time.monotonic() - start < 10  # without SIGCONT it would end after 30 s


def test_a_process_that_stays_stopped_is_killed_at_the_end(models: Path, running: Callable[..., Running]) -> None:
    service = running(models, supervised(EXIT_S=1), DRAIN_DELAY_S="0", DRAIN_TIMEOUT_S="0.5", PROCESSES="2")
    [stopped, _] = service.pids()
    ended = threading.Event()

    def stop_again_and_again() -> None:
        while not ended.is_set():
            try:
                os.kill(stopped, signal.SIGSTOP)
            except ProcessLookupError:
                return

    thread = threading.Thread(target=stop_again_and_again)
    thread.start()
    time.sleep(0.1)
    service.process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    assert f"process {stopped} does not end and is killed" in service.end()
    assert time.monotonic() - start < 0.5 + CLOSE_S + 1 + 4
    ended.set()
    thread.join()


def test_a_stopped_parent_kills_nobody_when_it_continues(models: Path, running: Callable[..., Running]) -> None:
    """The whole group is stopped, as by a container that is paused."""
    service = running(models, supervised(STALL_S=2), DRAIN_DELAY_S="0", PROCESSES="2")
    os.killpg(service.process.pid, signal.SIGSTOP)
    time.sleep(3.2)  # over STALL_S, and over three intervals between checks
    os.killpg(service.process.pid, signal.SIGCONT)
    assert [service.request(*WIND)[0] for _ in range(8)] == [200] * 8
    time.sleep(1.2)  # over an interval between checks
    service.process.send_signal(signal.SIGTERM)
    assert "does not respond" not in service.end()


@pytest.mark.parametrize(
    ("start_at", "beat", "spared_until", "now", "expected"),
    [
        (100.0, 0.0, 0.0, 100.0 + START_S, True),  # it starts
        (100.0, 0.0, 0.0, 100.1 + START_S, False),
        (100.0, 150.0, 0.0, 150.0 + STALL_S, True),
        (100.0, 150.0, 0.0, 150.1 + STALL_S, False),
        (100.0, 101.0, 0.0, 101.1 + STALL_S, False),  # its first beat ends the time of the start
        (100.0, 150.0, 190.0, 190.0, True),
        (100.0, 150.0, 190.0, 190.1, False),
    ],
)
def test_responds(start_at: float, beat: float, spared_until: float, now: float, expected: bool) -> None:
    slot = Slot(None, c_double(beat), start_at=start_at, spared_until=spared_until)  # type: ignore[arg-type]
    assert slot.responds(now) == expected


def test_only_the_event_loop_beats_after_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "CHECK_INTERVAL_S", 0.01)
    monkeypatch.setattr(supervisor, "_end_with_parent", lambda: None)
    child = Child(None, c_double(0.0))  # type: ignore[arg-type]
    child.begin()
    until(lambda: child.heartbeat.value)
    child.beat_from_event_loop()
    time.sleep(0.1)
    last = child.heartbeat.value
    time.sleep(0.1)
    assert child.heartbeat.value == last
    child.beat()
    assert child.heartbeat.value > last
