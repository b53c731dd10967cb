"""gRPC calls: ids, one log line, metrics, limits, keys and errors, as the middleware does for HTTP.

Methods get bytes and return bytes. All are registered as methods with a stream of requests, which is the same on the
wire: the service then reads the message itself, within the time limit, and after it has checked the key.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from grpc import RpcMethodHandler, StatusCode, stream_unary_rpc_method_handler
from starlette.datastructures import State

from service import observability
from service.api.access import token_of
from service.api.errors import snake_case, status_of
from service.api.grpc.messages import SERVICE
from service.api.grpc.status import code_of
from service.api.middleware.requests import CLIENT_CLOSED_REQUEST, log_request
from service.batching import budget
from service.errors import Overloaded, PayloadTooLarge, ServiceError, TooManyRequests

log = logging.getLogger(__name__)

Method = Callable[[bytes], Awaitable[bytes]]
Metadata = dict[str, str | bytes]

MAX_DETAIL = 500
"""Maximum characters of a message. gRPC encodes it in a header, with up to 12 bytes for a character."""
UNEXPECTED = "an unexpected error; the service has logged it"


class Calls:
    """Calls of one service. `state` is that of the app: settings, registry, access, throttle and running requests."""

    def __init__(self, state: State):
        self._state = state

    def handler(self, name: str, method: Method, limited: bool = False) -> RpcMethodHandler:
        """The handler of a method. `limited`: it needs a key, and counts in the rate and as a running request."""
        route = f"/{SERVICE}/{name}"

        async def handle(messages: AsyncIterator[bytes], context: Any) -> bytes:
            async with self._observed(route, context, not limited) as metadata:
                if not limited:
                    return await self._run(messages, context, method)
                async with self._admitted(metadata, context):
                    return await self._run(messages, context, method)

        return stream_unary_rpc_method_handler(handle)

    @asynccontextmanager
    async def _observed(self, route: str, context: Any, quiet: bool) -> AsyncIterator[Metadata]:
        """Trace, count and log a call, and answer errors. Yields the metadata of the call."""
        metadata: Metadata = dict(context.invocation_metadata() or ())
        trace = observability.new_trace(*(str(metadata.get(name, "")) for name in ("x-request-id", "traceparent")))
        observability.current.set(trace)
        since, status = time.perf_counter(), CLIENT_CLOSED_REQUEST
        observability.observe_in_flight(1)
        try:
            try:
                yield metadata
            except ServiceError as error:
                status = status_of(error)
                if status == 500:
                    log.error("%s", observability.stacks(error))
                await context.abort(code_of(error), str(error)[:MAX_DETAIL], _trailing(trace, since, error))
            except Exception as error:
                status = 500
                log.error("unexpected error: %s", observability.stacks(error))
                await context.abort(StatusCode.INTERNAL, UNEXPECTED, _trailing(trace, since))
            context.set_trailing_metadata(_trailing(trace, since))
            status = 200
        except asyncio.CancelledError:
            left = context.time_remaining()
            status = 504 if left is not None and left <= 0 else CLIENT_CLOSED_REQUEST
            raise
        finally:
            observability.observe_in_flight(-1)
            log_request("gRPC", route, status, time.perf_counter() - since, trace, quiet)

    @asynccontextmanager
    async def _admitted(self, metadata: Metadata, context: Any) -> AsyncIterator[None]:
        """Count a call as a running request, and check its key and rate.

        Raises TooManyRequests, Unauthorized, Forbidden or RateLimited.
        """
        state, slot = self._state, object()
        running: set[object] = state.running
        if len(running) >= state.settings.max_requests:
            raise TooManyRequests(f"{len(running)} requests are running; try again shortly")
        running.add(slot)
        try:
            await state.throttle.wait()
            with state.registry.reading():
                state.access.admit(token_of(str(metadata.get("authorization", ""))), address_of(context.peer()))
                yield
        finally:
            running.discard(slot)

    async def _run(self, messages: AsyncIterator[bytes], context: Any, method: Method) -> bytes:
        """Read the message and call the method, until the deadline of the call or of the service.

        Raises PayloadTooLarge, InferenceTimeout, and the errors of the method.
        """
        settings, left = self._state.settings, context.time_remaining()
        limit_s = settings.timeout_s if left is None else min(left, settings.timeout_s)
        own = budget.start(limit_s)
        try:
            async with asyncio.timeout_at(own.deadline):
                async for message in messages:
                    return await method(message)
        except TimeoutError:
            raise own.exceeded() from None
        raise PayloadTooLarge(f"there is no message, or it is larger than {settings.max_body_bytes} bytes")


def _trailing(
    trace: observability.Trace, since: float, error: ServiceError | None = None
) -> tuple[tuple[str, str], ...]:
    """The metadata after an answer, which HTTP has in headers and in the body of an error."""
    timing = observability.server_timing(trace, time.perf_counter() - since)
    found = [("x-request-id", trace.request_id), ("server-timing", timing)]
    if error is not None:
        found.append(("error-type", snake_case(type(error).__name__)))
    if isinstance(error, Overloaded):
        found.append(("retry-after", str(error.retry_after_s)))
    return tuple(found)


def address_of(peer: str) -> str:
    """The address of a peer, without the port.

    >>> address_of("ipv4:127.0.0.1:4321"), address_of("ipv6:%5B::1%5D:4321")
    ('127.0.0.1', '::1')
    """
    return unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]")
