"""Errors -> HTTP: the status of every class of `service/errors.py`, and one body for every error.

The body is `application/problem+json` (RFC 9457) with two extension members for clients of other servers: `error`
(LibreTranslate, Open Inference Protocol, TEI) and `error_type` (TEI).
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match

from service import observability
from service.errors import (
    DocumentNotFound,
    Forbidden,
    InferenceFailed,
    InferenceTimeout,
    InvalidInput,
    MissingParameter,
    ModelNotFound,
    ModelNotReady,
    NotAvailable,
    Overloaded,
    PayloadTooLarge,
    ServiceError,
    Unauthorized,
    UnsupportedFormat,
    UnsupportedLanguagePair,
    excerpt,
)

log = logging.getLogger(__name__)

STATUSES: dict[type[ServiceError], int] = {
    MissingParameter: 400,  # LibreTranslate answers these three cases with 400
    UnsupportedFormat: 400,
    UnsupportedLanguagePair: 400,
    InvalidInput: 422,
    PayloadTooLarge: 413,
    Unauthorized: 401,
    Forbidden: 403,
    ModelNotFound: 404,
    DocumentNotFound: 404,
    ModelNotReady: 503,
    Overloaded: 429,
    InferenceTimeout: 504,
    InferenceFailed: 500,
    NotAvailable: 501,
}
"""A subclass without an entry has the status of its base class."""

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """An error in the form of RFC 9457."""

    type: str = Field(description="URN of the kind of error.")
    title: str = Field(description="Kind of error, for people.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="Cause of the error, and what to do.")
    instance: str = Field(description="Path of the request.")
    error: str = Field(description="Same as `detail`, for clients of LibreTranslate and of inference servers.")
    error_type: str = Field(description="Kind of error, for programs: the name of the class in snake_case.")


def status_of(error: ServiceError) -> int:
    return next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)


def body(path: str, status: int, error_type: str, detail: str) -> dict[str, Any]:
    return Problem(
        type=f"urn:limelight:error:{error_type}",
        title=error_type.replace("_", " ").capitalize(),
        status=status,
        detail=(shown := detail[:MAX_DETAIL]),
        instance=path[:MAX_INSTANCE],
        error=shown,
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
        log.error("%s", observability.stacks(error))
    headers = None
    if isinstance(error, Overloaded):
        headers = {"Retry-After": str(error.retry_after_s)}
    elif status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    return problem(request, status, snake_case(type(error).__name__), str(error), headers)


async def on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    error_type = HTTPStatus(error.status_code).name.lower()
    headers = error.headers
    if error.status_code == 405:
        headers = {**(headers or {}), "Allow": ", ".join(allowed_methods(request))}
    return problem(request, error.status_code, error_type, str(error.detail), headers)


def allowed_methods(request: Request) -> list[str]:
    """The methods of all routes with the path of a request. Starlette names those of the first route only."""
    matching = [route for route in all_routes(request.app) if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in matching for method in getattr(route, "methods", None) or ()})


def all_routes(router: Any) -> Iterator[BaseRoute]:
    """The routes of an app or a router, and those of the routers that it includes."""
    for route in router.routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from all_routes(included)


async def on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem(request, 422, "invalid_input", describe(error))


async def on_unexpected(request: Request, error: Exception) -> Response:
    # RequestMiddleware logs the error. The answer has no internals.
    return problem(request, 500, "internal_server_error", "an unexpected error; the service has logged it")


async def on_disconnect(request: Request, error: Exception) -> Response:
    # The client disconnected, so it does not read this answer.
    return Response(status_code=400)


MAX_ERRORS = 10
"""Maximum validation errors in a message."""
MAX_DETAIL = 4_000
MAX_INSTANCE = 1_000
"""Maximum characters of a message and of a path in a problem document."""


def describe(error: ValidationError | RequestValidationError) -> str:
    """The first validation errors in one line, each with its field."""
    found = error.errors() if isinstance(error, RequestValidationError) else error.errors(**SHORT)
    shown = [_in_words(one) for one in found[:MAX_ERRORS]]
    return "; ".join(shown) + (f"; and {len(found) - MAX_ERRORS} more" if len(found) > MAX_ERRORS else "")


SHORT: Any = {"include_url": False, "include_context": False, "include_input": False}


def _in_words(error: Any) -> str:
    message = excerpt(error["msg"])
    return f"{'.'.join(excerpt(part) for part in error['loc'])}: {message}" if error["loc"] else message


HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    ServiceError: on_service_error,
    HTTPException: on_http_exception,
    RequestValidationError: on_validation_error,
    ClientDisconnect: on_disconnect,
}


async def answer_to(request: Request, error: Exception) -> Response:
    """The answer to an error. Raises an unexpected error again: Starlette calls `on_unexpected`."""
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
        """Add the schema of errors: FastAPI only adds schemas of answers in application/json."""
        found = document()
        found["components"]["schemas"].setdefault("Problem", Problem.model_json_schema())
        return found

    app.openapi = openapi  # type: ignore[method-assign]


DESCRIPTIONS = {
    400: "A parameter is missing, or the language or format is not supported",
    401: "An API key or token is missing",
    403: "The API key or token does not allow this",
    404: "The model, document, glossary or memory does not exist",
    413: "The body or the answer is too large",
    415: "The media type of the body is not supported",
    422: "The request is not valid",
    429: "The service is overloaded; try again after `Retry-After` seconds",
    500: "The service failed",
    501: "An optional part of the service is not installed",
    503: "The model is not ready",
    504: "The answer took too long",
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
    "glossary_not_found": (404, "there is no glossary 'nope'; GET /glossaries lists them"),
    "memory_not_found": (404, "there is no memory 'nope'; GET /memories lists them"),
    "document_not_found": (404, "there is no such document, or it is no longer kept"),
    "payload_too_large": (413, "the body is larger than 2000000 bytes"),
    "answer_too_large": (
        413,
        "the answer would have about 5000000 attention weights; the limit is 4000000 (LIMELIGHT_MAX_ANSWER_WEIGHTS); "
        "send fewer or shorter texts, or ask for less attention",
    ),
    "unsupported_media_type": (415, "send application/json, not text/plain"),
    "invalid_input": (422, "attention: Input should be 'none', 'summary' or 'full'"),
    "empty_text": (422, "text 0 has no visible character"),
    "text_too_long": (422, "text 0 has 100001 characters; the limit is 100000"),
    "batch_too_large": (422, "257 texts in one request; the limit is 256"),
    "too_many_tokens": (422, "100001 tokens in one request, at most 100000 are taken; send fewer or shorter texts"),
    "unsupported_option": (422, "Invalid request: beam_size parameter must be <= 16 for en-fr"),
    "overloaded": (429, "200000 tokens are waiting already; try again shortly"),
    "too_many_requests": (429, "256 requests are running; try again shortly"),
    "rate_limited": (429, "Slowdown: at most 60 per 1 minute requests"),
    "inference_failed": (500, "the network failed: not enough memory"),
    "not_available": (501, "docx files need the extra `documents`: pip install 'limelight[documents]'"),
    "model_not_ready": (503, "sms-spam/1 is not ready: still loading"),
    "inference_timeout": (504, "no answer within 30 s; send less text or try again later"),
}
"""error_type -> status and an example of its detail."""

MODEL_ERRORS = ("model_not_found", "overloaded", "inference_failed", "model_not_ready", "inference_timeout")
CALLER_ERRORS = ("unauthorized", "forbidden", "too_many_requests", "rate_limited")
BODY_ERRORS = (*CALLER_ERRORS, "payload_too_large", "unsupported_media_type", "invalid_input")
TEXT_ERRORS = ("empty_text", "text_too_long", "batch_too_large", "too_many_tokens", "answer_too_large")


def responses(path: str, *kinds: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of a route for some error types."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in sorted(kinds, key=lambda kind: EXAMPLES[kind][0]):
        status, detail = EXAMPLES[kind]
        schema = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        answer = found.setdefault(status, {"description": DESCRIPTIONS[status], "content": {MEDIA_TYPE: schema}})
        answer["content"][MEDIA_TYPE]["examples"][kind] = {"value": body(path, status, kind, detail)}
    return found
