"""Runs the service in child processes, and replaces those that die or do not respond.

The sockets stay open here until the end, so that connections to a dead process wait for its successor.
"""

import contextlib
import logging
import multiprocessing.connection
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any

from prometheus_client import multiprocess

log = logging.getLogger(__name__)

CANNOT_START = 1
FATAL_EXIT_CODES = (CANNOT_START, 3)
"""Exit codes of a process that printed why it cannot start: ours, and uvicorn's for a failed startup. A new process
would fail in the same way."""
RESTART_DELAY_S = 1.0
"""Delay before a dead process is restarted. It bounds the load of a process that dies repeatedly."""
CHECK_INTERVAL_S = 1.0
"""Time between two checks of the heartbeats."""
STALL_S = 10.0
"""Maximum age of a heartbeat. An older one means that the process is stopped or its event loop is blocked."""
START_S = 60.0
"""Maximum age of the first heartbeat, which includes the import of the modules."""
EXIT_S = 5.0
"""Time in addition to the drain after which children are killed."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
Heartbeat = Any
"""A shared float64: the monotonic time of the last beat, which is the same clock in all processes."""


@dataclass
class Child:
    """The view of a child process on its supervisor."""

    sock: socket.socket
    heartbeat: Heartbeat
    _event_loop_beats: bool = False

    def begin(self) -> None:
        """Beat until the event loop does, end with the parent, and accept the signals that were held back."""
        for target in (self._beat_until_event_loop, _end_with_parent):
            threading.Thread(target=target, daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def beat(self) -> None:
        self.heartbeat.value = time.monotonic()

    def beat_from_event_loop(self) -> None:
        """From now on only the event loop beats, so that the supervisor notices if it is blocked."""
        self._event_loop_beats = True

    def signal_parent_to_reload(self) -> None:
        """Send SIGHUP to the parent, which forwards it to all processes."""
        parent = parent_process()
        assert parent is not None and parent.pid is not None
        os.kill(parent.pid, signal.SIGHUP)

    def _beat_until_event_loop(self) -> None:
        while not self._event_loop_beats:
            self.beat()
            time.sleep(CHECK_INTERVAL_S)


@dataclass
class Slot:
    """A socket and the process that serves it."""

    sock: socket.socket
    heartbeat: Heartbeat
    process: BaseProcess | None = None
    """None before its start, and while a restart is due."""
    start_at: float = 0.0
    """Time of the start, which is in the future if there is no process."""
    spared_until: float = 0.0
    """Time before which the process is not killed."""

    def responds(self, now: float) -> bool:
        """Return whether the process has beaten in time."""
        beat = self.heartbeat.value
        limit = beat + STALL_S if beat else self.start_at + START_S
        return now <= max(limit, self.spared_until)


class Supervisor:
    """Starts one process for each socket. `target` gets `settings` and a `Child`; `drain_s` bounds its shutdown."""

    def __init__(
        self, sockets: list[socket.socket], target: Callable[[Any, Child], None], settings: Any, drain_s: float
    ):
        self._context = get_context("spawn")  # a fork would lack the threads of onnxruntime
        self._target = target
        self._settings = settings
        self._drain_s = drain_s
        self._slots = [Slot(sock, self._context.RawValue("d", 0.0)) for sock in sockets]
        self._checked = time.monotonic()

    def run(self) -> int:
        """Run until SIGTERM or SIGINT, or until a process cannot start. Returns the exit code."""
        received, wakeup = socket.socketpair()
        wakeup.setblocking(False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)  # each signal becomes a byte in the socket
        received.settimeout(CHECK_INTERVAL_S)
        with tempfile.TemporaryDirectory() as metrics:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics  # prometheus_client reads it at import, in the children
            code = self._supervise(received)
            self._end()
        return code

    def _supervise(self, received: socket.socket) -> int:
        """Start, check and restart processes. Returns the exit code."""
        while True:
            for slot in self._slots:
                if slot.process is not None and slot.process.exitcode in FATAL_EXIT_CODES:
                    return slot.process.exitcode
                self._check(slot)
            self._checked = time.monotonic()
            numbers: set[int] = set()
            with contextlib.suppress(TimeoutError):
                numbers = set(received.recv(4096))
            if numbers & {signal.SIGTERM, signal.SIGINT}:
                return 0
            if signal.SIGHUP in numbers:
                self._signal(signal.SIGHUP)

    def _check(self, slot: Slot) -> None:
        """Start the process of a slot, note its death, or kill it if it does not respond."""
        now = time.monotonic()
        if (
            now - self._checked > 3 * CHECK_INTERVAL_S
        ):  # this process was stopped itself, perhaps with the whole machine
            slot.spared_until = now + STALL_S
        if slot.process is None:
            if now >= slot.start_at:
                self._start(slot)
        elif slot.process.exitcode is not None:
            log.error("process %s has died (%d) and is restarted", slot.process.pid, slot.process.exitcode)
            multiprocess.mark_process_dead(slot.process.pid)  # type: ignore[no-untyped-call]
            slot.process, slot.start_at = None, now + RESTART_DELAY_S
        elif not slot.responds(now):
            log.error("process %s does not respond and is killed", slot.process.pid)
            slot.process.kill()  # SIGCHLD follows

    def _start(self, slot: Slot) -> None:
        """Start the process of a slot. Its signals are held back until it has handlers: SIGHUP would end it."""
        slot.heartbeat.value, slot.start_at = 0.0, time.monotonic()
        child = Child(slot.sock, slot.heartbeat)
        process = self._context.Process(target=self._target, args=(self._settings, child))
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        slot.process = process

    def _signal(self, number: int) -> None:
        """Send a signal to all processes that run."""
        for slot in self._slots:
            if slot.process is not None and slot.process.exitcode is None and slot.process.pid is not None:
                os.kill(slot.process.pid, number)

    def _end(self) -> None:
        """Drain all processes, and kill those that do not end in time."""
        for slot in self._slots:
            slot.sock.close()
        # SIGTERM also after SIGINT: a terminal sends SIGINT to all processes, and a second one would cut off requests.
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a stopped process handles SIGTERM after it
        processes = [slot.process for slot in self._slots if slot.process is not None]
        end = time.monotonic() + self._drain_s + EXIT_S
        while running := [process for process in processes if process.exitcode is None]:
            if (left := end - time.monotonic()) <= 0:
                break
            multiprocessing.connection.wait([process.sentinel for process in running], left)
        for process in running:
            log.error("process %s does not end and is killed", process.pid)
            process.kill()
        for process in processes:
            process.join()


def _end_with_parent() -> None:
    """Wait for the end of the parent, then end this process."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
