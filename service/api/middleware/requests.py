"""Request ids, one log line, metrics and security headers for every request, and limits on its headers."""

import logging
import time
from collections.abc import Awaitable, Iterable
from itertools import chain

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import observability
from service.api.errors import problem
from service.registry.registry import Registry

log = logging.getLogger(__name__)

# A header that the answer already has is kept.
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
JSON_HEADERS = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
QUIET = ("/health", "/metrics")
"""Machines poll these routes; their log lines have the level debug."""
CLIENT_CLOSED_REQUEST = 499
"""The status in logs and metrics if the client disconnected before its answer, as in nginx."""
MAX_HEADERS = 100
MAX_HEADER_BYTES = 65_536
"""Maximum number and total size of the headers of a request."""


class RequestMiddleware:
    """Traces, logs and counts every request.

    `shared`: pages of other origins can read the answers. `root_path`: path prefix of a reverse proxy.
    """

    def __init__(self, app: ASGIApp, registry: Registry, shared: bool, root_path: str = ""):
        self.app = app
        self.root_path = root_path
        self.registry = registry
        self.headers = [
            (name, value) for name, value in HEADERS if not (shared and name == b"cross-origin-resource-policy")
        ]
        self.json_headers = self.headers + JSON_HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.root_path:
            add_prefix(scope, self.root_path)
        request_headers = dict(scope["headers"])
        request_id, traceparent = request_headers.get(b"x-request-id", b""), request_headers.get(b"traceparent", b"")
        trace = observability.new_trace(request_id.decode("latin-1"), traceparent.decode("latin-1"))
        observability.current.set(trace)
        since = time.perf_counter()
        status = CLIENT_CLOSED_REQUEST

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(message, trace, time.perf_counter() - since)
            await send(message)

        observability.observe_in_flight(1)
        try:
            await self._answer(scope, receive, send_with_headers)
        except Exception as error:
            log.error(
                "unexpected error: %s", observability.stacks(error)
            )  # ServerErrorMiddleware has answered it with `on_unexpected`
        finally:
            observability.observe_in_flight(-1)
            # The pattern of the route: the path itself can contain anything.
            route = getattr(scope.get("route"), "path", None) or "other"
            method = scope["method"] if scope["method"] in METHODS else "other"
            log_request(method, route, status, time.perf_counter() - since, trace, route.startswith(QUIET))

    def _answer(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer HEAD as GET without a body, and refuse large headers."""
        if too_large(scope):
            detail = f"at most {MAX_HEADERS} headers with {MAX_HEADER_BYTES} bytes are accepted"
            answer = problem(Request(scope), 431, "request_header_fields_too_large", detail, {"Connection": "close"})
            return answer(scope, receive, send)
        if scope["method"] == "HEAD":
            return self._answer_head(scope, receive, send)
        return self.app(scope, receive, send)

    async def _answer_head(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = {**scope, "method": "GET"}
        try:
            await self.app(inner, receive, without_body(send))
        finally:
            scope["route"] = inner.get("route")

    def _add_headers(self, message: Message, trace: observability.Trace, seconds: float) -> None:
        headers = message.setdefault("headers", [])
        present = dict(headers)
        headers.append((b"x-request-id", trace.request_id.encode()))
        headers.append((b"server-timing", observability.server_timing(trace, seconds).encode()))
        added = self.json_headers if b"json" in present.get(b"content-type", b"") else self.headers
        headers.extend([header for header in added if header[0] not in present])
        if self.registry.draining and b"connection" not in present:  # the next request goes to another machine
            headers.append((b"connection", b"close"))


def log_request(method: str, route: str, status: int, seconds: float, trace: observability.Trace, quiet: bool) -> None:
    """Count and log a finished request; with the level debug if it is `quiet`."""
    observability.observe_request(method, route, status, seconds)
    level = logging.DEBUG if quiet else logging.INFO
    if log.isEnabledFor(level):
        phases = {f"{name}_s": round(spent, 6) for name, spent in trace.phases.items()}
        fields = {"method": method, "route": route, "status": status, "seconds": round(seconds, 6)}
        log.log(level, "%s %s %s", method, route, status, extra={"fields": {**fields, **phases}})


def add_prefix(scope: Scope, prefix: str) -> None:
    """Set the prefix of a reverse proxy, which may have removed it from the path; Starlette expects it there."""
    scope["root_path"] = prefix
    if not f"{scope['path']}/".startswith(f"{prefix}/"):
        scope["path"] = prefix + scope["path"]


def too_large(scope: Scope) -> bool:
    headers = scope["headers"]
    return len(headers) > MAX_HEADERS or header_bytes(headers) > MAX_HEADER_BYTES


def header_bytes(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Total size of names and values."""
    return len(b"".join(chain.from_iterable(headers)))


def without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


def install(app: FastAPI, registry: Registry, shared: bool, root_path: str) -> None:
    """Wrap all other middleware, the answer to unexpected errors included."""
    inner = app.build_middleware_stack

    def build() -> ASGIApp:
        return RequestMiddleware(inner(), registry, shared, root_path)

    app.build_middleware_stack = build  # type: ignore[method-assign]
