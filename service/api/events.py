"""Server-sent events: progress of a request while it runs, then the whole answer.

    event: done        the answer that the same request gets without events
    event: error       a problem document, if the request fails after its first event
    : keep-alive       a comment every 15 s, which keeps proxies from closing the connection

The handler emits the events in between. Clients ignore events that they do not know. The work stops when the client
disconnects.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
from fastapi import Request
from starlette.responses import Response, StreamingResponse

from service.api.errors import body as problem_body
from service.api.errors import snake_case, status_of
from service.api.middleware.limits import deadline_error
from service.api.responses import accepted, chunks, encode_answer
from service.errors import ServiceError
from service.handlers.encoding import AS_JSON, Answer, Content, Emit, dumps

EVENTS_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Keep proxies, nginx in particular, from storing events or holding them back."""
KEEP_ALIVE_S = 15.0
KEEP_ALIVE = b": keep-alive\n\n"

Work = Callable[[Emit], Awaitable[Answer]]
"""Calls its argument for each event, and returns the whole answer."""


def documented(description: str) -> dict[str, Any]:
    """OpenAPI content of an answer as events."""
    return {EVENTS_TYPE: {"schema": {"type": "string", "description": description}}}


def wants_events(request: Request) -> bool:
    return any(media_type == EVENTS_TYPE for media_type, _ in accepted(request))


Frame = Callable[[str, Any], bytes]
"""The bytes of an event with a name and a content."""


def event(name: str, content: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + dumps(content) + b"\n\n"


async def stream(request: Request, work: Work, frame: Frame = event) -> Response:
    """Run the work and send its events. Errors before the first event are raised, and get their own status."""
    events = _events(request, work, frame)
    first = await anext(events, b"")

    async def whole() -> AsyncIterator[bytes]:
        try:
            async for one in chunks(first):
                yield one
            async for one in events:
                async for chunk in chunks(one):
                    yield chunk
        finally:
            await events.aclose()

    return StreamingResponse(whole(), media_type=EVENTS_TYPE, headers=HEADERS)


async def _events(request: Request, work: Work, frame: Frame) -> AsyncGenerator[bytes]:
    """Framed events. Raises errors before the first event; later errors are events."""
    queue: asyncio.Queue[tuple[str, Content] | None] = asyncio.Queue()
    running = asyncio.ensure_future(work(lambda name, content: queue.put_nowait((name, content))))
    running.add_done_callback(lambda _: queue.put_nowait(None))
    disconnected = asyncio.ensure_future(request.receive())  # the body is read: the next message is the disconnect
    begun = False
    try:
        while True:
            following = asyncio.ensure_future(queue.get())
            time_left = request.state.deadline - asyncio.get_running_loop().time()
            timeout = min(time_left, KEEP_ALIVE_S)
            await asyncio.wait({following, disconnected}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if disconnected.done() or not following.done():
                following.cancel()
                if disconnected.done():
                    return
                if time_left > KEEP_ALIVE_S:
                    begun = True
                    yield KEEP_ALIVE
                    continue
                raise deadline_error(request.app.state.settings)
            if (found := following.result()) is None:
                break
            begun = True
            await request.app.state.throttle.wait()
            name, content = found
            yield frame(name, content() if callable(content) else content)
        yield frame("done", orjson.Fragment(await encode_answer(running.result(), AS_JSON)))
    except ServiceError as error:
        if not begun:
            raise
        path, error_type = request.url.path, snake_case(type(error).__name__)
        yield frame("error", problem_body(path, status_of(error), error_type, str(error)))
    finally:
        for task in (disconnected, running):
            task.cancel()
        await asyncio.gather(running, return_exceptions=True)
