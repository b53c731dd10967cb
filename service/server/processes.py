"""The processes that serve: one, or several on one port, each a whole service, among which the kernel divides the
connections.

What several have to know is told to all: figures are in files that each writes and any reads, SIGHUP is handed on.
"""

import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess

from prometheus_client import multiprocess

from service.app import create_app
from service.errors import LimelightError
from service.observability import configure_logging
from service.registry.registry import Registry
from service.server.uvicorn import serve
from service.settings import Settings

log = logging.getLogger(__name__)

CANNOT_START = 1
HAS_SAID_WHY = (CANNOT_START, 3)
"""Exit codes, ours and uvicorn's, of a process that has said why it does not serve: the next would say the same."""
REST_S = 1.0
"""Before a process that died is started anew, so that one that dies at once does not keep the machine busy."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; requests in flight finish first. Returns the exit code."""
    configure_logging(settings.log_level)
    return run_one(settings) if settings.processes == 1 else run_several(settings)


def run_one(settings: Settings, door: socket.socket | None = None) -> int:
    """In this process, on a socket that is bound already or one of its own."""
    try:
        app = create_app(settings)
    except LimelightError as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return CANNOT_START
    registry: Registry = app.state.registry
    if door is not None:
        app.state.tell_all_to_reload = _tell_all_to_reload
    # uvicorn drains on SIGTERM and then raises it again, for whoever handled it before: that ends the process well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=_reload, args=[registry], daemon=True).start())
    serve(app, settings.host, settings.port, registry.drain, settings.drain_delay_s, settings.drain_timeout_s, door)
    return 0


def _reload(registry: Registry) -> None:
    """The registry logs what it did."""
    try:
        registry.reload()
    except LimelightError as error:
        log.error("nothing is reloaded: %s", error)


def run_several(settings: Settings) -> int:
    """In processes of their own, which are started anew where they die.

    The sockets stay open here until the end: who comes to a process that has died waits for the next.
    """
    try:
        doors = _bind(settings.processes, settings.host, settings.port)
    except OSError as error:
        print(f"cannot start: {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return CANNOT_START
    came, coming = socket.socketpair()
    coming.setblocking(False)
    for each in SIGNALS:
        signal.signal(each, lambda *_: None)
    signal.set_wakeup_fd(coming.fileno())  # each is a byte to be read, so that nothing is interrupted halfway
    with tempfile.TemporaryDirectory() as figures:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures  # prometheus_client reads it where it is imported: over there
        running = {door: _start(settings, door) for door in doors}
        host, port = doors[0].getsockname()[:2]
        log.info("%d processes running on http://%s:%d", len(doors), f"[{host}]" if ":" in host else host, port)
        code = None
        while code is None:
            number = came.recv(1)[0]
            if number == signal.SIGHUP:
                _tell(running.values(), signal.SIGHUP)
            elif number == signal.SIGCHLD:
                code = _mend(running, settings)
            else:
                code = 0
        for door in doors:
            door.close()
        # Never SIGINT: a terminal has sent that to all of them, and a second one would cut off what is in flight.
        _tell(running.values(), signal.SIGTERM)
        for process in running.values():
            process.join()
    return code


def _bind(count: int, host: str, port: int) -> list[socket.socket]:
    """So many sockets on one address, which do not listen yet; port 0 is any that is free. Raises OSError."""
    doors: list[socket.socket] = []
    for _ in range(count):
        door = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if doors:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        door.bind((host, port))
        # Only now of the first, which so finds out whether the port is somebody else's.
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port = door.getsockname()[1]
        doors.append(door)
    return doors


def _start(settings: Settings, door: socket.socket) -> BaseProcess:
    # Not forked: threads and what onnxruntime holds would not come along.
    process = get_context("spawn").Process(target=_work, args=(settings, door))
    process.start()
    return process


def _work(settings: Settings, door: socket.socket) -> None:
    configure_logging(settings.log_level)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(run_one(settings, door))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _tell_all_to_reload() -> None:
    parent = parent_process()
    assert parent is not None and parent.pid is not None
    os.kill(parent.pid, signal.SIGHUP)


def _tell(processes: Iterable[BaseProcess], number: int) -> None:
    for process in processes:
        if process.exitcode is None and process.pid is not None:
            os.kill(process.pid, number)


def _mend(running: dict[socket.socket, BaseProcess], settings: Settings) -> int | None:
    """Start anew what has died; the exit code where that would help nothing."""
    for door, process in running.items():
        if process.exitcode in HAS_SAID_WHY:
            return process.exitcode
        if process.exitcode is not None:
            log.error("process %s has died (%d) and is started anew", process.pid, process.exitcode)
            multiprocess.mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
            time.sleep(REST_S)
            running[door] = _start(settings, door)
    return None
