"""Direct routes: a path and a method -> an endpoint, without FastAPI's routing.

FastAPI tries its routers in order and prepares dependencies, forms and files that these routes do not use. This takes
longer than the rest of the work for a short text. FastAPI still documents these routes and answers other methods and
paths.
"""

from collections.abc import Iterable

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors import answer_to
from service.api.middleware.paths import route_path


class DirectRoutesMiddleware:
    """Calls the endpoints of fixed paths that take only the request and return a Response."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]):
        self.app = app
        self.routes: dict[tuple[str, str], APIRoute] = {}
        for route in routes:
            assert isinstance(route, APIRoute)
            for method in route.methods or ():
                self.routes[method, route.path] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self.routes.get((scope.get("method", ""), route_path(scope))) if scope["type"] == "http" else None
        if route is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive, send)
        try:
            response = await route.endpoint(request)
        except Exception as error:
            response = await answer_to(request, error)
        await response(scope, receive, send)
