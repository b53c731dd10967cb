"""What every request gets, whichever route it is for: ids, a line in the log, figures, and safe headers."""

import logging
import time

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import observability
from service.registry.registry import Registry

log = logging.getLogger(__name__)

# Where an answer has one of these already, its own is right.
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
OF_JSON = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
QUIET = ("/health", "/metrics")
"""Asked so often by machines that a line for each would hide the others."""
GONE = 499
"""What nginx calls a client that hung up before its answer; only in logs and figures, nobody is answered it."""


class Observed:
    """Sees every request come and every answer go.

    `shared`: pages of other origins may ask.
    """

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
        asked = dict(scope["headers"])
        trace = observability.new_trace(
            *(asked.get(n, b"").decode("latin-1") for n in (b"x-request-id", b"traceparent"))
        )
        observability.current.set(trace)  # for this request's own task, which ends with it
        since = time.perf_counter()
        status = GONE

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                said = dict(headers)
                headers.append((b"x-request-id", trace.request_id.encode()))
                timing = observability.server_timing(trace, time.perf_counter() - since)
                headers.append((b"server-timing", timing.encode()))
                added = self.headers + (OF_JSON if b"json" in said.get(b"content-type", b"") else [])
                headers.extend(header for header in added if header[0] not in said)
                if self.registry.draining:  # who asks again should ask another machine
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
            # The route's own pattern: what was really asked for may hold anything.
            route = getattr(scope.get("route"), "path", None) or "other"
            method = scope["method"] if scope["method"] in METHODS else "other"
            observability.observe_request(method, route, status, seconds)
            level = logging.DEBUG if route.startswith(QUIET) else logging.INFO
            if log.isEnabledFor(level):
                phases = {f"{name}_s": round(spent, 6) for name, spent in trace.phases.items()}
                fields = {"method": method, "route": route, "status": status, "seconds": round(seconds, 6)}
                log.log(level, "%s %s %s", method, route, status, extra={"fields": {**fields, **phases}})


def install(app: FastAPI, registry: Registry, shared: bool) -> None:
    """Around everything else, the answer to what nobody thought of included."""
    inner = app.build_middleware_stack
    app.build_middleware_stack = lambda: Observed(inner(), registry, shared)  # type: ignore[method-assign]
