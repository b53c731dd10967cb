"""Server-sent events: work that tells what is new while it goes on, and at its end the whole answer.

    event: done        the answer that there would have been without a stream
    event: error       a problem document, where something fails after the first event

What comes before, the work says itself. A reader lets events be that it does not know. Who hangs up stops the work.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from service.api.errors import body as problem_body
from service.api.errors import snake_case, status_of
from service.api.middleware.limits import too_late
from service.errors import ServiceError
from service.handlers.encoding import accepted, dumps

EVENTS_TYPE = "text/event-stream"


def documented(description: str) -> dict[str, Any]:
    """What a route's answer may be besides JSON, for its documentation."""
    return {EVENTS_TYPE: {"schema": {"type": "string", "description": description}}}


def wants_events(request: Request) -> bool:
    return any(media_type == EVENTS_TYPE for media_type, _ in accepted(request))


def event(name: str, content: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + dumps(content) + b"\n\n"


class Events:
    """What pieces of work tell, in the order in which they tell it. `answer` is asked when all of them are done."""

    def __init__(self, answer: Callable[[], Any]):
        self._answer = answer
        self._queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        """Events, what went wrong, and None for each piece that is done."""
        self._tasks: list[asyncio.Task[None]] = []

    def tell(self, name: str, content: Any) -> None:
        self._queue.put_nowait(event(name, content))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin with a piece of work."""

        async def to_the_end() -> None:
            try:
                await work
                self._queue.put_nowait(None)
            except Exception as error:
                self._queue.put_nowait(error)

        self._tasks.append(asyncio.create_task(to_the_end()))

    async def response(self, request: Request) -> Response:
        """Raises, as an answer at once would, what goes wrong before the first event."""
        events = self._events(request)
        first = await anext(events, b"")

        async def whole() -> AsyncIterator[bytes]:
            try:
                yield first
                async for one in events:
                    yield one
            finally:
                await events.aclose()

        return StreamingResponse(whole(), media_type=EVENTS_TYPE, headers={"Cache-Control": "no-store"})

    async def _events(self, request: Request) -> AsyncGenerator[bytes]:
        """Raises what goes wrong before the first event; from then on errors are events."""
        gone = asyncio.ensure_future(request.receive())  # the body has been read: what comes is the end
        begun, left = False, len(self._tasks)
        try:
            while left:
                following = asyncio.ensure_future(self._queue.get())
                time_left = request.state.until - asyncio.get_running_loop().time()
                await asyncio.wait({following, gone}, timeout=time_left, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    following.cancel()
                    return
                if not following.done():
                    following.cancel()
                    raise too_late(request.app.state.settings)
                found = following.result()
                if found is None:
                    left -= 1
                elif isinstance(found, Exception):
                    raise found
                else:
                    begun = True
                    yield found
            yield event("done", self._answer())
        except ServiceError as error:
            if not begun:
                raise
            content = problem_body(request.url.path, status_of(error), snake_case(type(error).__name__), str(error))
            yield event("error", content)
        finally:
            for task in (gone, *self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
