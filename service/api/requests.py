"""What every request gets, whichever route it is for: ids, a line in the log, figures, and safe headers."""

import logging
import time

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import observability
from service.registry import Registry

log = logging.getLogger(__name__)

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"
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
        self.headers = {name: value for name, value in HEADERS.items() if not (shared and name.startswith("Cross"))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        trace = observability.new_trace(asked.get("x-request-id"), asked.get("traceparent"))
        observability.current.set(trace)  # for this request's own task, which ends with it
        since = time.perf_counter()
        status = GONE

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = trace.request_id
                headers["Server-Timing"] = observability.server_timing(trace, time.perf_counter() - since)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                if "json" in headers.get("content-type", ""):
                    headers.setdefault("Content-Security-Policy", NO_PAGE)
                    headers.setdefault("Cache-Control", "no-store")
                if self.registry.draining:  # who asks again should ask another machine
                    headers["Connection"] = "close"
            await send(message)

        try:
            with observability.IN_FLIGHT.track_inprogress():
                await self.app(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - since
            # The route's own pattern: what was really asked for may hold anything.
            route = getattr(scope.get("route"), "path", None) or "other"
            method = scope["method"] if scope["method"] in METHODS else "other"
            observability.observe_request(method, route, status, seconds)
            level = logging.DEBUG if route.startswith(QUIET) else logging.INFO
            phases = {f"{name}_s": round(spent, 6) for name, spent in trace.phases.items()}
            fields = {"method": method, "route": route, "status": status, "seconds": round(seconds, 6)}
            log.log(level, "%s %s %s", method, route, status, extra={"fields": {**fields, **phases}})


def install(app: FastAPI, registry: Registry, shared: bool) -> None:
    """Around everything else, the answer to what nobody thought of included."""
    inner = app.build_middleware_stack
    app.build_middleware_stack = lambda: Observed(inner(), registry, shared)  # type: ignore[method-assign]
