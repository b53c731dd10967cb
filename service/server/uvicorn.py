"""uvicorn with bounded headers, a graceful drain and a bounded end."""

import asyncio
import contextlib
import faulthandler
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from signal import SIGINT, SIGTERM
from types import FrameType
from typing import Any

import uvicorn

from service.server.protocol import Protocol
from service.server.sockets import refuse_new_connections

log = logging.getLogger(__name__)

ACCEPT_S = 0.1
"""Time in which established connections are accepted before the sockets are closed."""
CLOSE_S = 2.0
"""Time to free the models after the drain timeout. Then the process ends, even if a thread never returns."""
BEAT_INTERVAL_S = 1.0


@dataclass(frozen=True)
class Drain:
    """The end of a server after SIGTERM."""

    begin: Callable[[], None]
    """Reports that the service is not ready. Called when the signal arrives."""
    delay_s: float
    """Time in which new connections are still accepted."""
    timeout_s: float
    """Time after the delay in which requests may finish."""
    close: Callable[[], Coroutine[Any, Any, None]] | None = None
    """Stops another server on the event loop. Called when the sockets are closed."""

    @property
    def limit_s(self) -> float:
        """Maximum time from the signal to the end of the process."""
        return self.delay_s + self.timeout_s + CLOSE_S


class Server(uvicorn.Server):
    """On SIGTERM begins the drain, serves for its delay, and closes its sockets. SIGINT skips the delay.

    `on_start` is called when the sockets listen, and `beat` every second while the event loop runs.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Drain,
        on_start: Callable[[], None] = lambda: None,
        beat: Callable[[], None] | None = None,
    ):
        super().__init__(config)
        self._drain = drain
        self._on_start = on_start
        self._beat = beat
        self._beating: asyncio.Task[None] | None = None
        self._is_ending = False
        """A signal has arrived."""
        self._open_until = 0.0
        self._interrupted = False
        self._exit_timer = ExitTimer()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._beating = asyncio.create_task(self._keep_beating())
        await super().startup(sockets)
        self._on_start()

    async def _keep_beating(self) -> None:
        while self._beat is not None:
            self._beat()
            await asyncio.sleep(BEAT_INTERVAL_S)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self._is_ending:
            self._is_ending = True
            self._exit_timer.start(self._drain.limit_s)
            self._drain.begin()
            if sig == SIGTERM:
                self._open_until = time.monotonic() + self._drain.delay_s
        super().handle_exit(sig, frame)
        if sig == SIGINT and not self._interrupted:
            # uvicorn cuts off requests at any SIGINT after another signal. Only a second SIGINT may do so: the parent
            # of several processes may send SIGTERM before a terminal's Ctrl-C arrives.
            self._interrupted, self.force_exit = True, False
            self._open_until = 0.0

    async def on_tick(self, counter: int) -> bool:
        ending = await super().on_tick(counter)
        return ending and (self.force_exit or time.monotonic() >= self._open_until)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for sock in sockets or []:
            refuse_new_connections(sock)
        await asyncio.sleep(ACCEPT_S)
        # The end of the app waits for the other server.
        closing = None if self._drain.close is None else asyncio.create_task(self._drain.close())
        await super().shutdown(sockets)
        if closing is not None:
            closing.cancel()
        if self._is_ending:
            self._exit_timer.start(CLOSE_S)


class ExitTimer:
    """Ends the process after a time, even if threads or the event loop never return.

    `start` can be called in a signal handler: it takes no lock.
    """

    def __init__(self) -> None:
        self._ends: SimpleQueue[float] = SimpleQueue()
        threading.Thread(target=self._run, name="exit-timer", daemon=True).start()

    def start(self, seconds: float) -> None:
        """End the process after this time. The earliest end of all calls counts."""
        self._ends.put(time.monotonic() + seconds)
        # Code that never releases the interpreter lock blocks all threads. This second timer runs no Python code.
        faulthandler.dump_traceback_later(seconds + CLOSE_S, exit=True, file=os.open(os.devnull, os.O_WRONLY))

    def _run(self) -> None:
        end = self._ends.get()
        while (left := end - time.monotonic()) > 0:
            with contextlib.suppress(Empty):
                end = min(end, self._ends.get(timeout=left))
        # A full pipe blocks the log, so it is written in another thread.
        threading.Thread(target=log.error, args=["exit without the threads that do not end"], daemon=True).start()
        time.sleep(0.1)
        os._exit(0)


def serve(
    app: Any, sock: socket.socket, drain: Drain, on_start: Callable[[], None], beat: Callable[[], None] | None = None
) -> None:
    """Serve on a bound socket until SIGTERM or SIGINT. Raises OSError.

    `on_start` is called when the socket listens. Requests in flight after the drain's timeout are cut off.
    """
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(drain.timeout_s)),
    )
    with contextlib.suppress(KeyboardInterrupt):
        Server(config, drain, on_start, beat).run([sock])
