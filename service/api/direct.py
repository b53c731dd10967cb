"""Routes that take a request and give an answer, found by their path at once.

FastAPI tries its routers one after the other and prepares for dependencies, forms and files that these routes do not
have, which takes longer than all that is done for a short text. It still documents them, and answers what is not found
here: other methods, other paths.
"""

from collections.abc import Awaitable, Callable, Iterable

from fastapi.routing import APIRoute
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors import HANDLERS


def answering(endpoint: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    """Starlette's own also looks after exceptions, once more."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return answer


class Direct:
    """`routes`: of fixed paths, whose functions ask for the request alone and return a Response."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]):
        self.app = app
        self.routes: dict[tuple[str, str], tuple[BaseRoute, ASGIApp]] = {}
        for route in routes:
            assert isinstance(route, APIRoute)
            answer = ExceptionMiddleware(answering(route.endpoint), HANDLERS)
            for method in route.methods or ():
                self.routes[method, route.path] = route, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route, answer = self.routes.get((scope.get("method", ""), scope.get("path", "")), (None, self.app))
        if route is not None:
            scope["route"] = route
        await answer(scope, receive, send)
