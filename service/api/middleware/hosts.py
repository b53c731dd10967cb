"""Allowed Host headers, against DNS rebinding and poisoned links."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors import problem
from service.api.middleware.paths import route_path

OPEN = ("/health", "/metrics")
"""Routes for any Host header: load balancers and Prometheus use addresses."""


class HostsMiddleware:
    """Refuses requests with a Host header that is not allowed. `*.example.org` allows all its subdomains."""

    def __init__(self, app: ASGIApp, allowed: Sequence[str]):
        self.app = app
        self.exact = {host.lower() for host in allowed if not host.startswith("*.")}
        self.suffixes = tuple(host[1:].lower() for host in allowed if host.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or route_path(scope).startswith(OPEN) or self.allows(scope):
            await self.app(scope, receive, send)
            return
        answer = problem(Request(scope), 400, "host_not_allowed", "the Host header is not in LIMELIGHT_ALLOWED_HOSTS")
        await answer(scope, receive, send)

    def allows(self, scope: Scope) -> bool:
        header = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        host = header.rpartition(":")[0] if header.rpartition(":")[2].isdecimal() else header
        host = host.lower().rstrip(".")
        return host in self.exact or host.endswith(self.suffixes) or "*" in self.exact
