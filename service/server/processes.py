"""The process that serves: settings in, exit code out. With several processes, this one supervises them.

Each process is a complete service, and the kernel divides the connections between them. Processes share metrics
through files: each writes its own, and any of them reads all. The parent forwards SIGHUP.
"""

import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from service.app import create_app
from service.errors import LimelightError
from service.observability import configure_logging
from service.registry.registry import Registry
from service.server import signals
from service.server.sockets import CannotBind, address_of, bind, cannot_bind, reserve
from service.server.supervisor import CANNOT_START, Child, Supervisor
from service.server.uvicorn import Drain, serve
from service.settings import Settings

log = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, finish the requests in flight, and return the exit code."""
    configure_logging(settings.log_level)
    sockets: list[socket.socket] = []
    reserved: list[socket.socket] = []
    try:
        sockets = bind(settings.processes, settings.host, settings.port)
        if settings.grpc_port is not None:
            # gRPC binds the port again in each process. Another program that has it is noticed here.
            reserved = [reserve(settings.host, settings.grpc_port, "LIMELIGHT_GRPC_PORT")]
            settings = settings.model_copy(update={"grpc_port": reserved[0].getsockname()[1]})
        if settings.processes == 1:
            return serve_here(settings, sockets[0])
        log.info("%d processes running on http://%s", len(sockets), _address(sockets[0]))
        return Supervisor(sockets, serve_in_child, settings, drain_of(settings).limit_s).run()
    except CannotBind as error:
        return _cannot_start(error)
    finally:
        for sock in [*sockets, *reserved]:
            sock.close()


def serve_here(settings: Settings, sock: socket.socket, child: Child | None = None) -> int:
    """Serve in this process, on a bound socket. Returns the exit code."""
    try:
        app = create_app(settings)
    except LimelightError as error:
        return _cannot_start(error)
    registry: Registry = app.state.registry
    if child is not None:
        app.state.reload_processes = child.signal_parent_to_reload
    reloader = Reloader(registry)
    signal.signal(signal.SIGHUP, lambda *_: reloader.request())
    if signals.was_hung_up():
        reloader.request()
    # uvicorn handles SIGTERM, then restores this handler and raises SIGTERM again: it ends the process with code 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_start() -> None:
        if child is None:
            log.info("running on http://%s", _address(sock))
        else:
            child.beat_from_event_loop()

    try:
        serve(
            app,
            sock,
            drain_of(settings, registry.drain, app.state.grpc),
            on_start,
            None if child is None else child.beat,
        )
    except OSError as error:
        return _cannot_start(cannot_bind(settings.host, settings.port, error))
    return 0


def serve_in_child(settings: Settings, child: Child) -> None:
    """Serve in a child process of a supervisor."""
    signals.install()
    child.begin()
    configure_logging(settings.log_level)
    sys.exit(serve_here(settings, child.sock, child))


def drain_of(settings: Settings, begin: Callable[[], None] = lambda: None, grpc: Any = None) -> Drain:
    return Drain(begin, settings.drain_delay_s, settings.drain_timeout_s, None if grpc is None else grpc.stop)


class Reloader:
    """Reloads a registry in one thread. Requests that arrive during a reload cause one more reload together."""

    def __init__(self, registry: Registry):
        self._registry = registry
        self._requests: SimpleQueue[None] = SimpleQueue()
        threading.Thread(target=self._run, name="reload", daemon=True).start()

    def request(self) -> None:
        """Request a reload. It can be called in a signal handler: it takes no lock."""
        self._requests.put(None)

    def _run(self) -> None:
        while True:
            self._requests.get()
            while not self._requests.empty():
                self._requests.get()
            try:
                self._registry.reload()  # it logs the result
            except LimelightError as error:
                log.error("nothing is reloaded: %s", error)
            except Exception:
                log.exception("nothing is reloaded")


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return address_of(host, port)


def _cannot_start(error: Exception) -> int:
    print(f"cannot start: {error}", file=sys.stderr)
    return CANNOT_START
