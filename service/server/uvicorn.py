"""uvicorn with a graceful drain, and with a time limit for the headers of a request."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from signal import SIGINT, SIGTERM
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_TIMEOUT_S = 10.0
"""Maximum time from a connection, or the first byte of a request, to the end of the request's headers."""


class Protocol(HttpToolsProtocol):
    """Closes connections whose request does not start or whose headers do not end in time."""

    _in_headers = False
    """The first byte of a request has arrived, and its headers are incomplete."""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_headers:  # headers usually arrive in one piece, and need no timer
            self._start_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers = True

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEADERS_TIMEOUT_S, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Server(uvicorn.Server):
    """On SIGTERM calls `drain`, serves for `drain_delay_s` more, and closes its socket. SIGINT skips the delay."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], None], drain_delay_s: float):
        super().__init__(config)
        self._drain = drain
        self._drain_delay_s = drain_delay_s
        self._open_until = 0.0
        self._interrupted = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == SIGTERM and not self.should_exit:
            self._drain()
            self._open_until = time.monotonic() + self._drain_delay_s
        super().handle_exit(sig, frame)
        if sig == SIGINT and not self._interrupted:
            # uvicorn cuts off requests at any SIGINT after another signal. Only a second SIGINT may do so: the parent
            # of several processes may send SIGTERM before a terminal's Ctrl-C arrives.
            self._interrupted, self.force_exit = True, False
            self._open_until = 0.0

    async def on_tick(self, counter: int) -> bool:
        ending = await super().on_tick(counter)
        return ending and (self.force_exit or time.monotonic() >= self._open_until)


def serve(
    app: Any,
    host: str,
    port: int,
    drain: Callable[[], None],
    drain_delay_s: float,
    drain_timeout_s: float,
    sock: socket.socket | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, on a bound socket or, by default, on a new one.

    Requests that are in flight `drain_timeout_s` after the socket is closed are cut off.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(drain_timeout_s)),
    )
    with contextlib.suppress(KeyboardInterrupt):
        Server(config, drain, drain_delay_s).run(None if sock is None else [sock])
