"""Request bodies: read within a limit, parsed from JSON or a form, and validated against a schema."""

import logging
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qs

from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from service.api.access import admit, admit_by_header
from service.api.errors import describe
from service.errors import InvalidInput, PayloadTooLarge
from service.registry.registry import Registry
from service.settings import Settings

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


# Coroutines, because FastAPI runs plain functions in a thread.
async def get_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def get_registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry


SettingsOf = Annotated[Settings, Depends(get_settings)]
RegistryOf = Annotated[Registry, Depends(get_registry)]


async def read_body(request: Request, limit: int) -> bytes:
    """Read the whole body. Raises PayloadTooLarge as soon as it exceeds the limit in bytes."""
    too_large = PayloadTooLarge(f"the body is larger than {limit} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    body = bytearray()
    while True:  # request.stream() without its generator
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large
        if not message.get("more_body"):
            return bytes(body)


async def parse_body(request: Request, schema: type[M], limit: int, form: bool = False) -> M:
    """Admit the caller, and parse the body into the schema. A body without a media type is read as JSON.

    Raises Unauthorized, Forbidden, RateLimited, PayloadTooLarge, InvalidInput, or HTTPException (415) for another
    media type.
    """
    admitted = admit_by_header(request)
    media_type = request.headers.get("content-type", JSON).split(";")[0].strip().lower()
    if media_type not in ((JSON, FORM) if form else (JSON,)):
        raise HTTPException(415, f"send {JSON}" + (f" or {FORM}" if form else "") + f", not {media_type}")
    body = await read_body(request, limit)
    try:
        if media_type == FORM:
            parsed = schema.model_validate(parse_form(body))
        else:
            parsed = schema.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise InvalidInput(describe(error.errors(include_url=False, include_context=False))) from None
    if not admitted:
        admit(request, getattr(parsed, "api_key", None))
    if request.app.state.settings.log_texts:
        log.info("%s", parsed.model_dump_json(exclude={"api_key"}, exclude_unset=True))
    return parsed


def parse_form(body: bytes) -> dict[str, Any]:
    """Fields of a form; a repeated field is a list. Raises InvalidInput if it is not UTF-8."""
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise InvalidInput(f"the form is not valid: {error}") from None
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def request_body(schema: type[BaseModel], *media_types: str) -> dict[str, Any]:
    """`openapi_extra` of a route that parses its body itself."""
    return {"requestBody": {"required": True, "content": {m: {"schema": documented(schema, m)} for m in media_types}}}


def documented(schema: type[BaseModel], media_type: str) -> dict[str, Any]:
    """JSON schema of a body; without null for a form, which has no null."""
    found = schema.model_json_schema()
    if media_type == FORM:
        for field in found["properties"].values():
            if "anyOf" in field:
                field["anyOf"] = [option for option in field["anyOf"] if option.get("type") != "null"]
    return found
