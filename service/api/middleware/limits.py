"""The limits on one request that do not depend on the model: its texts, its time, and how many others there are."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import on_service_error
from service.errors import BatchTooLarge, InferenceTimeout, InvalidInput, ServiceError, TextTooLong, TooManyRequests
from service.settings import Settings


def check_texts(field: str, value: str | list[str], settings: Settings) -> list[str]:
    """The texts of a request as a list. Raises InvalidInput, BatchTooLarge or TextTooLong."""
    texts = [value] if isinstance(value, str) else value
    if not texts:
        raise InvalidInput(f"{field}: the list is empty")
    if len(texts) > settings.max_texts:
        raise BatchTooLarge(f"{field}: {len(texts)} texts in one request, at most {settings.max_texts} are taken")
    for index, text in enumerate(texts):
        if len(text) > settings.max_characters:
            raise TextTooLong(
                f"text {index} has {len(text)} characters, at most {settings.max_characters} are taken at once"
            )
    return texts


TURN_S = 0.005
"""Seconds of each turn of the event loop in which requests may pass."""
UNWATCHED_S = 0.05
"""Seconds after which a request's client is looked after: most are answered by then, for less than looking costs."""


LAST_WORD_S = 1.0
"""Seconds that an answer which has begun has beyond its time."""


def too_late(settings: Settings) -> InferenceTimeout:
    return InferenceTimeout(f"no answer within {settings.timeout_s:g} s; send less text or try again later")


class Turnstile:
    """Lets requests pass for a few milliseconds in each turn of the event loop; the others pass in the next.

    A batch ends for a hundred requests at once, and a hundred answers encoded in one turn would be a tenth of a second
    in which nobody else is heard. Health checks do not stand in line.
    """

    def __init__(self) -> None:
        self._turn_ends: float | None = None

    async def __call__(self) -> None:
        loop = asyncio.get_running_loop()
        while self._turn_ends is not None and time.perf_counter() >= self._turn_ends:
            await asyncio.sleep(0)
        if self._turn_ends is None:  # the first in this turn
            self._turn_ends = time.perf_counter() + TURN_S
            loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._turn_ends = None


class Limited:
    """Every request in its time, as many at once as there may be, and none for a client that has hung up.

    The operator's routes are let through: a reload takes as long as it takes, and health is asked when all is full.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        turn: Turnstile,
        reading: Callable[[], AbstractContextManager[None]],
    ):
        self.app = app
        self.turn = turn
        self.settings = settings
        self.reading = reading
        self.running: set[object] = set()
        """A place for each request that is worked on."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(("/admin/", "/health", "/metrics")):
            await self.app(scope, receive, send)
            return
        if len(self.running) >= self.settings.max_requests:
            full = TooManyRequests(f"{len(self.running)} requests are being worked on already; try again shortly")
            await _refuse(full, scope, receive, send)
            return
        place = object()
        self.running.add(place)
        try:
            await self.turn()
            with self.reading():
                await self._run(scope, receive, send, place)
        finally:
            self.running.discard(place)

    async def _run(self, scope: Scope, receive: Receive, send: Send, place: object) -> None:
        """Answer, unless the time runs out or the client goes before that."""
        loop = asyncio.get_running_loop()
        answering = asyncio.current_task()
        assert answering is not None
        timeout_s = self.settings.timeout_s
        until = scope.setdefault("state", {})["until"] = loop.time() + timeout_s
        body_read = asyncio.Event()
        started = late = ended = False
        watching: asyncio.Task[None] | None = None

        async def receive_body() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                body_read.set()
            return message

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            # With the answer's last byte: the client may ask again before this request has wound up.
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self.running.discard(place)
            await send(message)

        async def disconnect() -> None:
            await body_read.wait()  # until then the route itself reads, and sees it
            while (await receive())["type"] != "http.disconnect":
                pass

        async def watch() -> None:
            nonlocal late, ended
            try:
                async with asyncio.timeout_at(until):
                    await disconnect()
            except TimeoutError:
                late = True
                if started:  # a stream ends by itself, and says why
                    await asyncio.sleep(LAST_WORD_S)
            ended = True
            # Frees its place in the queue, too: what waits is cancelled with the one who waits for it.
            answering.cancel()

        def begin_to_watch() -> None:
            nonlocal watching
            watching = loop.create_task(watch())

        timer = loop.call_later(min(UNWATCHED_S, timeout_s), begin_to_watch)
        try:
            await self.app(scope, receive_body, send_noting)
        except asyncio.CancelledError:
            if not ended:
                raise
        finally:
            timer.cancel()
            if watching is not None:
                watching.cancel()
            if ended:
                answering.uncancel()
        if late and not started:
            await _refuse(too_late(self.settings), scope, receive, send)


async def _refuse(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    answer = await on_service_error(Request(scope), error)
    await answer(scope, receive, send)
