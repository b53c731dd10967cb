"""Errors -> HTTP, once: every class of `service/errors.py` gets its status here, and every error one body.

`application/problem+json` (RFC 9457) with two members more, so that clients of other servers read it too:
`error` (LibreTranslate, Open Inference Protocol, TEI) and `error_type` (TEI).
"""

import logging
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from service.errors import (
    Forbidden,
    InferenceFailed,
    InferenceTimeout,
    InvalidInput,
    MissingParameter,
    ModelNotFound,
    ModelNotReady,
    Overloaded,
    PayloadTooLarge,
    ServiceError,
    Unauthorized,
    UnsupportedFormat,
    UnsupportedLanguagePair,
)

log = logging.getLogger(__name__)

STATUSES: dict[type[ServiceError], int] = {
    MissingParameter: 400,  # these three are LibreTranslate's own cases, with its own status
    UnsupportedFormat: 400,
    UnsupportedLanguagePair: 400,
    InvalidInput: 422,
    PayloadTooLarge: 413,
    Unauthorized: 401,
    Forbidden: 403,
    ModelNotFound: 404,
    ModelNotReady: 503,
    Overloaded: 429,
    InferenceTimeout: 504,
    InferenceFailed: 500,
}
"""Each class and, where it has no line of its own, its subclasses."""

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong, in the form of RFC 9457."""

    type: str = Field(description="A URN that names the kind of error.")
    title: str = Field(description="The kind of error, for people.")
    status: int = Field(description="The HTTP status, again.")
    detail: str = Field(description="What is wrong with this request, and what to do.")
    instance: str = Field(description="The path that was asked for.")
    error: str = Field(description="`detail` again, where LibreTranslate and inference clients look for it.")
    error_type: str = Field(description="The kind of error, for programs: the class's name in snake_case.")


def status_of(error: ServiceError) -> int:
    return next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)


def body(path: str, status: int, error_type: str, detail: str) -> dict[str, Any]:
    return Problem(
        type=f"urn:limelight:error:{error_type}",
        title=error_type.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        instance=path,
        error=detail,
        error_type=error_type,
    ).model_dump()


def problem(request: Request, status: int, error_type: str, detail: str, headers: Any = None) -> Response:
    return JSONResponse(body(request.url.path, status, error_type, detail), status, headers, MEDIA_TYPE)


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


async def on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    status = status_of(error)
    if status == 500:
        log.error("%s: %s", type(error).__name__, error, exc_info=error.__cause__)
    headers = None
    if isinstance(error, Overloaded):
        headers = {"Retry-After": str(error.retry_after_s)}
    elif status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    return problem(request, status, snake_case(type(error).__name__), str(error), headers)


async def on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    error_type = HTTPStatus(error.status_code).name.lower()
    return problem(request, error.status_code, error_type, str(error.detail), error.headers)


async def on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem(request, 422, "invalid_input", describe(error.errors()))


async def on_unexpected(request: Request, error: Exception) -> Response:
    # Starlette logs the traceback; the caller is told nothing of the inside.
    return problem(request, 500, "internal_server_error", "an unexpected error; it has been logged")


async def on_disconnect(request: Request, error: Exception) -> Response:
    # Nobody is there to read it: who types on asks anew and hangs up on what was asked before. No failure of ours.
    return Response(status_code=400)


def describe(errors: Any) -> str:
    """pydantic's errors in one line, each with the field it is about."""
    return "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" if e["loc"] else str(e["msg"]) for e in errors)


HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    ServiceError: on_service_error,
    HTTPException: on_http_exception,
    RequestValidationError: on_validation_error,
    ClientDisconnect: on_disconnect,
}


async def answer_to(request: Request, error: Exception) -> Response:
    """What the caller is told. Raises the error where it is none of ours: Starlette logs it and has `on_unexpected`."""
    handler = next((HANDLERS[cls] for cls in type(error).__mro__ if cls in HANDLERS), None)
    if handler is None:
        raise error
    return await handler(request, error)


def install(app: FastAPI) -> None:
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, on_unexpected)
    document = app.openapi

    def openapi() -> dict[str, Any]:
        """FastAPI lists the schemas of answers in JSON only, and an error is in a media type of its own."""
        found = document()
        found["components"]["schemas"].setdefault("Problem", Problem.model_json_schema())
        return found

    app.openapi = openapi  # type: ignore[method-assign]


DESCRIPTIONS = {
    400: "A parameter is missing, or the language or format is not supported",
    401: "The caller has to say who it is",
    403: "The caller may not do this",
    404: "There is no such model",
    413: "The body is larger than the service reads",
    415: "The body is in a form that this route does not read",
    422: "The request is not valid",
    429: "Too much is waiting already; try again after `Retry-After` seconds",
    500: "The service failed; its fault",
    503: "The model is not ready",
    504: "The answer was not ready in time",
}


EXAMPLES: dict[str, tuple[int, str]] = {
    "missing_parameter": (400, "Invalid request: missing q parameter"),
    "unsupported_language_pair": (400, "zz is not supported"),
    "unsupported_format": (400, "xml format is not supported"),
    "unauthorized": (
        401,
        "an API key is needed: send it as `Authorization: Bearer`, or as `api_key` in the body",
    ),
    "forbidden": (403, "Invalid API key"),
    "model_not_found": (404, "there is no model 'nope'; GET /models lists them"),
    "payload_too_large": (413, "the body is larger than 2000000 bytes"),
    "unsupported_media_type": (415, "send application/json, not text/plain"),
    "invalid_input": (422, "attention: Input should be 'none', 'summary' or 'full'"),
    "empty_text": (422, "text 0 has no visible character"),
    "text_too_long": (422, "text 0 has 100001 characters, at most 100000 are taken at once"),
    "batch_too_large": (422, "text: 257 texts in one request, at most 256 are taken"),
    "too_many_tokens": (422, "100001 tokens in one request, at most 100000 are taken; send fewer or shorter texts"),
    "unsupported_option": (422, "Invalid request: beam_size parameter must be <= 16 for en-fr"),
    "overloaded": (429, "200000 tokens are waiting already; try again shortly"),
    "too_many_requests": (429, "256 requests are being worked on already; try again shortly"),
    "rate_limited": (429, "Slowdown: at most 60 per 1 minute requests"),
    "inference_failed": (500, "the network failed: not enough memory"),
    "model_not_ready": (503, "sms-spam/1 is not ready: still loading"),
    "inference_timeout": (504, "no answer within 30 s; send less text or try again later"),
}
"""error_type -> status and what it says, as a caller gets it."""

OF_A_MODEL = ("model_not_found", "overloaded", "inference_failed", "model_not_ready", "inference_timeout")
OF_A_CALLER = ("unauthorized", "forbidden", "too_many_requests", "rate_limited")
OF_A_BODY = (*OF_A_CALLER, "payload_too_large", "unsupported_media_type", "invalid_input")
OF_TEXTS = ("empty_text", "text_too_long", "batch_too_large", "too_many_tokens")


def responses(path: str, *kinds: str) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route, by their error_type, for its documentation."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in sorted(kinds, key=lambda kind: EXAMPLES[kind][0]):
        status, detail = EXAMPLES[kind]
        schema = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        answer = found.setdefault(status, {"description": DESCRIPTIONS[status], "content": {MEDIA_TYPE: schema}})
        answer["content"][MEDIA_TYPE]["examples"][kind] = {"value": body(path, status, kind, detail)}
    return found
