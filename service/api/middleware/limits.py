"""Limits on requests that do not depend on the model: time, concurrency, and the client's connection."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from heapq import heappop, heappush
from itertools import count

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import on_service_error
from service.api.middleware.paths import route_path
from service.batching import budget
from service.errors import InferenceTimeout, ServiceError, TooManyRequests
from service.settings import Settings

SLICE_S = 0.02
"""Seconds of request work per iteration of the event loop."""
UNWATCHED_S = 0.05
"""Seconds before a request's connection is watched for a disconnect. Most requests end sooner, and watching costs more
than they do."""
LAST_EVENT_S = 1.0
"""Seconds after the deadline in which a streamed answer can send its last event."""

UNLIMITED = ("/admin/", "/health", "/metrics")
"""Routes of operators: a reload may take long, and health is asked under full load."""


def deadline_error(settings: Settings) -> InferenceTimeout:
    return InferenceTimeout(f"no answer within {settings.timeout_s:g} s; send less text or try again later")


class Throttle:
    """Spreads the work of many requests over several iterations of the event loop.

    A batch ends for a hundred requests in the same iteration, and encoding all their answers in it would block the loop
    for a tenth of a second. Health checks do not wait.
    """

    def __init__(self) -> None:
        self._ends: float | None = None
        self._started = 0
        """Requests that have started work in this iteration."""
        self._tickets = count()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        """A heap of waiting requests, in the order of their tickets."""

    async def wait(self) -> None:
        """Wait for an iteration with time left."""
        ticket = None
        while self._ends is not None and time.perf_counter() >= self._ends:
            ticket = next(self._tickets) if ticket is None else ticket
            wake = asyncio.get_running_loop().create_future()
            heappush(self._waiting, (ticket, wake))
            await wake
        if self._ends is None:  # the first in this iteration
            self._begin_slice()
        self._started += 1

    def _reset(self) -> None:
        """Wake one request more than had time since the last call. To wake all would cost more than their work."""
        wakes, self._ends, self._started = self._started + 1, None, 0
        while wakes and self._waiting:
            _, wake = heappop(self._waiting)
            if not wake.done():  # else cancelled
                wake.set_result(None)
                wakes -= 1
        if self._waiting:
            self._begin_slice()

    def _begin_slice(self) -> None:
        self._ends = time.perf_counter() + SLICE_S
        asyncio.get_running_loop().call_soon(self._reset)


class LimitsMiddleware:
    """Enforces the deadline and the number of concurrent requests, and cancels requests of disconnected clients."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        throttle: Throttle,
        reading: Callable[[], AbstractContextManager[None]],
        running: set[object],
    ):
        """reading: marks the time in which a request uses models of the registry
        running: one object per concurrent request; calls over gRPC add theirs
        """
        self.app = app
        self.throttle = throttle
        self.settings = settings
        self.reading = reading
        self.running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or route_path(scope).startswith(UNLIMITED):
            await self.app(scope, receive, send)
            return
        if len(self.running) >= self.settings.max_requests:
            full = TooManyRequests(f"{len(self.running)} requests are running; try again shortly")
            await _refuse(full, scope, receive, send)
            return
        slot = object()
        self.running.add(slot)
        try:
            await self.throttle.wait()
            with self.reading():
                await self._run(scope, receive, send, slot)
        finally:
            self.running.discard(slot)

    async def _run(self, scope: Scope, receive: Receive, send: Send, slot: object) -> None:
        """Answer the request unless the deadline passes or the client disconnects first."""
        loop, timeout_s = asyncio.get_running_loop(), self.settings.timeout_s
        # The clock of budgets is the clock of event loops.
        deadline = scope.setdefault("state", {})["deadline"] = budget.start(timeout_s).deadline
        # The slot is free with the last byte: the client may send its next request before this one has returned.
        request = _Watched(receive, send, deadline, lambda: self.running.discard(slot))
        timer = loop.call_later(min(UNWATCHED_S, timeout_s), request.watch)
        try:
            await self.app(scope, request.receive, request.send)
        except asyncio.CancelledError:
            if not request.cancelled:
                raise
        finally:
            timer.cancel()
            request.stop_watching()
        if request.late and not request.started:
            await _refuse(deadline_error(self.settings), scope, receive, send)


class _Watched:
    """A request in the current task, which is cancelled at the deadline or when the client disconnects."""

    def __init__(self, receive: Receive, send: Send, deadline: float, on_last_byte: Callable[[], None]):
        task = asyncio.current_task()
        assert task is not None
        self._task, self._receive, self._send = task, receive, send
        self._deadline = deadline
        self._on_last_byte = on_last_byte
        self._body_read = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.started = False
        """The answer has begun."""
        self.late = False
        self.cancelled = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            self._body_read.set()
        return message

    async def send(self, message: Message) -> None:
        self.started = True
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._on_last_byte()
        await self._send(message)

    def watch(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._body_read.wait()  # until then the route itself reads, and sees the disconnect
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            self.late = True
            if self.started:  # an event stream ends itself with an error event
                await asyncio.sleep(LAST_EVENT_S)
        self.cancelled = True
        # Cancelling also removes the request's work from the queues of models.
        self._task.cancel()

    def stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self.cancelled:
            self._task.uncancel()


async def _refuse(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    answer = await on_service_error(Request(scope), error)
    await answer(scope, receive, send)
