"""Routes that take a request and give an answer, found by their path at once.

FastAPI tries its routers one after the other and prepares for dependencies, forms and files that these routes do not
have, which takes longer than all that is done for a short text. It still documents them, and answers what is not found
here: other methods, other paths.
"""

from collections.abc import Iterable

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors import answer_to


class Direct:
    """`routes`: of fixed paths, whose functions ask for the request alone and return a Response."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]):
        self.app = app
        self.routes: dict[tuple[str, str], APIRoute] = {}
        for route in routes:
            assert isinstance(route, APIRoute)
            for method in route.methods or ():
                self.routes[method, route.path] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self.routes.get((scope.get("method", ""), scope.get("path", "")))
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
