"""Server processes: one, or several on one port.

Each process is a complete service, and the kernel divides the connections between them. Processes share metrics
through files: each writes its own, and any of them reads all. The parent forwards SIGHUP.
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
FATAL_EXIT_CODES = (CANNOT_START, 3)
"""Exit codes of a process that printed why it cannot start: ours, and uvicorn's for a failed startup. A new process
would fail in the same way."""
RESTART_DELAY_S = 1.0
"""Delay before a dead process is restarted. It bounds the load of a process that dies repeatedly."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, finish the requests in flight, and return the exit code."""
    configure_logging(settings.log_level)
    return run_one(settings) if settings.processes == 1 else run_several(settings)


def run_one(settings: Settings, sock: socket.socket | None = None) -> int:
    """Serve in this process, on a bound socket or, by default, on a new one."""
    try:
        app = create_app(settings)
    except LimelightError as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return CANNOT_START
    registry: Registry = app.state.registry
    if sock is not None:
        app.state.reload_processes = _signal_parent_to_reload
    # uvicorn handles SIGTERM, then restores this handler and raises SIGTERM again: it ends the process with code 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=_reload, args=[registry], daemon=True).start())
    serve(app, settings.host, settings.port, registry.drain, settings.drain_delay_s, settings.drain_timeout_s, sock)
    return 0


def _reload(registry: Registry) -> None:
    """Reload the registry, which logs the result."""
    try:
        registry.reload()
    except LimelightError as error:
        log.error("nothing is reloaded: %s", error)


def run_several(settings: Settings) -> int:
    """Serve in child processes, and restart those that die.

    The sockets stay open here until the end, so that connections to a dead process wait for its successor.
    """
    try:
        sockets = _bind(settings.processes, settings.host, settings.port)
    except OSError as error:
        print(f"cannot start: {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return CANNOT_START
    signals, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    for each in SIGNALS:
        signal.signal(each, lambda *_: None)
    signal.set_wakeup_fd(wakeup.fileno())  # each signal becomes a byte in the socket
    with tempfile.TemporaryDirectory() as metrics:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics  # prometheus_client reads it at import, in the children
        running = {sock: _start(settings, sock) for sock in sockets}
        host, port = sockets[0].getsockname()[:2]
        log.info("%d processes running on http://%s:%d", len(sockets), f"[{host}]" if ":" in host else host, port)
        code = None
        while code is None:
            number = signals.recv(1)[0]
            if number == signal.SIGHUP:
                _signal(running.values(), signal.SIGHUP)
            elif number == signal.SIGCHLD:
                code = _restart_dead(running, settings)
            else:
                code = 0
        for sock in sockets:
            sock.close()
        # SIGTERM also after SIGINT: a terminal sends SIGINT to all processes, and a second one would cut off requests.
        _signal(running.values(), signal.SIGTERM)
        for process in running.values():
            process.join()
    return code


def _bind(count: int, host: str, port: int) -> list[socket.socket]:
    """Bind sockets to one address, without listening. Port 0 is any free port. Raises OSError."""
    sockets: list[socket.socket] = []
    for _ in range(count):
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        # The first socket binds without it, which fails if another program has the port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port = sock.getsockname()[1]
        sockets.append(sock)
    return sockets


def _start(settings: Settings, sock: socket.socket) -> BaseProcess:
    """Start a child process. It is spawned: a fork would lack the threads of onnxruntime."""
    process = get_context("spawn").Process(target=_serve_in_child, args=(settings, sock))
    process.start()
    return process


def _serve_in_child(settings: Settings, sock: socket.socket) -> None:
    configure_logging(settings.log_level)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(run_one(settings, sock))


def _end_with_parent() -> None:
    """Wait for the end of the parent, then end this process."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _signal_parent_to_reload() -> None:
    """Send SIGHUP to the parent, which forwards it to all processes."""
    parent = parent_process()
    assert parent is not None and parent.pid is not None
    os.kill(parent.pid, signal.SIGHUP)


def _signal(processes: Iterable[BaseProcess], number: int) -> None:
    """Send a signal to all processes that run."""
    for process in processes:
        if process.exitcode is None and process.pid is not None:
            os.kill(process.pid, number)


def _restart_dead(running: dict[socket.socket, BaseProcess], settings: Settings) -> int | None:
    """Restart the processes that died. Returns the exit code of a process that cannot start, else None."""
    for sock, process in running.items():
        if process.exitcode in FATAL_EXIT_CODES:
            return process.exitcode
        if process.exitcode is not None:
            log.error("process %s has died (%d) and is restarted", process.pid, process.exitcode)
            multiprocess.mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
            time.sleep(RESTART_DELAY_S)
            running[sock] = _start(settings, sock)
    return None
