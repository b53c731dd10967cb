"""uvicorn, with what it lacks: a drain that load balancers can follow, and an end to requests that never begin."""

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

HEADERS_S = 10.0
"""Longest time from a connection, or a request's first byte, to the end of the request's headers."""


class Protocol(HttpToolsProtocol):
    """Closes connections that send no request, or one that does not end."""

    _begun = False
    """A request's first byte is there, and its headers are not complete."""
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._begun:  # nearly always headers come in one piece, and need no timer
            self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = True

    def on_headers_complete(self) -> None:
        self._begun = False
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(HEADERS_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class Server(uvicorn.Server):
    """On SIGTERM says so through `drain`, goes on for `drain_delay_s`, and only then closes its door. SIGINT does not
    wait."""

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
            # Only a second one cuts off what is in flight. Of several processes, the first may say SIGTERM to the
            # others before a terminal's Ctrl-C has come to them.
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
    door: socket.socket | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, on a socket that is bound already (`door`) or one of its own. What is in flight
    `drain_timeout_s` after the door is closed is cut off."""
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
        Server(config, drain, drain_delay_s).run(None if door is None else [door])
