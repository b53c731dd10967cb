"""Request ids, one log line, metrics and security headers for every request."""

import logging
import time

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import observability
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


class RequestMiddleware:
    """Traces, logs and counts every request. `shared`: pages of other origins can read the answers."""

    def __init__(self, app: ASGIApp, registry: Registry, shared: bool):
        self.app = app
        self.registry = registry
        self.in_flight = 0
        self.headers = [
            (name, value) for name, value in HEADERS if not (shared and name == b"cross-origin-resource-policy")
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_headers = dict(scope["headers"])
        trace = observability.new_trace(
            *(request_headers.get(n, b"").decode("latin-1") for n in (b"x-request-id", b"traceparent"))
        )
        observability.current.set(trace)
        since = time.perf_counter()
        status = CLIENT_CLOSED_REQUEST

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                present = dict(headers)
                headers.append((b"x-request-id", trace.request_id.encode()))
                timing = observability.server_timing(trace, time.perf_counter() - since)
                headers.append((b"server-timing", timing.encode()))
                added = self.headers + (JSON_HEADERS if b"json" in present.get(b"content-type", b"") else [])
                headers.extend(header for header in added if header[0] not in present)
                if self.registry.draining:  # the next request goes to another machine
                    headers.append((b"connection", b"close"))
            await send(message)

        self.in_flight += 1
        observability.observe_in_flight(self.in_flight)
        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            self.in_flight -= 1
            observability.observe_in_flight(self.in_flight)
            seconds = time.perf_counter() - since
            # The pattern of the route: the path itself can contain anything.
            route = getattr(scope.get("route"), "path", None) or "other"
            method = scope["method"] if scope["method"] in METHODS else "other"
            observability.observe_request(method, route, status, seconds)
            level = logging.DEBUG if route.startswith(QUIET) else logging.INFO
            if log.isEnabledFor(level):
                phases = {f"{name}_s": round(spent, 6) for name, spent in trace.phases.items()}
                fields = {"method": method, "route": route, "status": status, "seconds": round(seconds, 6)}
                log.log(level, "%s %s %s", method, route, status, extra={"fields": {**fields, **phases}})


def install(app: FastAPI, registry: Registry, shared: bool) -> None:
    """Wrap all other middleware, the answer to unexpected errors included."""
    inner = app.build_middleware_stack
    app.build_middleware_stack = lambda: RequestMiddleware(inner(), registry, shared)  # type: ignore[method-assign]
