"""GET /: the playground, a web page that calls this service and shows attention weights. GET /docs: the API page."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

HEADERS = {
    # Texts and model descriptions cannot load or run anything but the files of the page.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Revalidated each time (ETag): after an upgrade old and new modules are never mixed.
    "Cache-Control": "no-cache",
}


class Pages(StaticFiles):
    """The files of the page with the security headers."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(HEADERS)
        return response


DOCS_POLICY = HEADERS["Content-Security-Policy"].replace(
    "style-src 'self'; img-src 'self'", "style-src 'self' 'unsafe-inline'; img-src 'self' data:"
)
"""Swagger UI has inline styles and images."""

FILES = Pages(directory=Path(__file__).parents[1] / "playground")
router = APIRouter(include_in_schema=False)


@router.get("/")
async def playground(request: Request) -> Response:
    return await FILES.get_response("index.html", request.scope)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Swagger UI, whose files `fastapi_offline` serves. All addresses in the page are relative."""
    response = await FILES.get_response("docs.html", request.scope)
    response.headers["Content-Security-Policy"] = DOCS_POLICY
    return response


def install(app: FastAPI) -> None:
    app.include_router(router)
    app.mount("/playground", FILES)
