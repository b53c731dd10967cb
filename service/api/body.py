"""Request bodies: read within a limit, parsed from JSON or a form, and validated against a schema."""

import logging
import zlib
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from service.api.access import admit, admit_by_header
from service.api.errors import describe
from service.api.forms import Fields, as_fields, parse_multipart, parse_urlencoded
from service.api.headers import header
from service.batching.offload import run_in_thread
from service.errors import InvalidInput, PayloadTooLarge, excerpt
from service.registry.registry import Registry
from service.settings import Settings

log = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
FORMS = (FORM, MULTIPART)

SMALL = 16_384
"""Bytes of a body whose values are not counted, and that is decoded on the event loop."""
MAX_VALUES = 10_000
"""Maximum values of a JSON body, besides its texts."""
MAX_GZIP_MEMBERS = 100
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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
    """Read the whole body, and decode gzip.

    Raises PayloadTooLarge as soon as it exceeds the limit in bytes, encoded or decoded, InvalidInput if the gzip stream
    is damaged, and HTTPException (415) for another encoding.
    """
    encoding = header(request, b"content-encoding")
    encoding = "identity" if encoding is None else encoding.strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        supported = {"Accept-Encoding": "gzip, identity"}
        raise HTTPException(415, f"send the body as it is or with gzip, not with {excerpt(encoding)}", supported)
    body = await _read(request, limit)
    if encoding == "identity":
        return body
    if len(body) <= SMALL:
        return gunzip(body, limit)
    return await run_in_thread(lambda: gunzip(body, limit))


async def _read(request: Request, limit: int) -> bytes:
    too_large = PayloadTooLarge(f"the body is larger than {limit} bytes")
    declared = header(request, b"content-length") or ""
    if declared.isdecimal() and (len(declared) > 20 or int(declared) > limit):
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


def gunzip(body: bytes, limit: int) -> bytes:
    """Decode gzip of at most `limit` bytes. Raises PayloadTooLarge or InvalidInput."""
    decoded = bytearray()
    for _ in range(MAX_GZIP_MEMBERS):
        member = zlib.decompressobj(wbits=31)
        try:
            decoded += member.decompress(body, limit + 1 - len(decoded))
        except zlib.error as error:
            raise InvalidInput(f"the gzip body is not valid: {error}") from None
        if len(decoded) > limit:
            raise PayloadTooLarge(f"the decoded body is larger than {limit} bytes")
        if not member.eof:
            raise InvalidInput("the gzip body is not valid: it ends too early")
        body = member.unused_data
        if not body:
            return bytes(decoded)
    raise InvalidInput(f"the gzip body has more than {MAX_GZIP_MEMBERS} members")


async def parse_body(request: Request, schema: type[M], limit: int, form: bool = False) -> M:
    """Admit the caller, and parse the body into the schema. A body without a media type is read as JSON.

    With `form`, forms and fields in the query string are accepted too.

    Raises Unauthorized, Forbidden, RateLimited, PayloadTooLarge, InvalidInput, or HTTPException (415) for another
    media type.
    """
    settings: Settings = request.app.state.settings
    admitted = admit_by_header(request, "api_key" in schema.model_fields)
    media_type = _media_type(request, form)
    body = await read_body(request, limit)
    if media_type == JSON:
        body = body.removeprefix(BYTE_ORDER_MARK)
        if not admitted:
            # A body with too many values takes long to parse. Its caller is refused without its key.
            admit(request, None if await count_excess(body, settings) else _key_in_json(body))
        await check_size(body, settings)
        parsed = _validated(schema.model_validate_json, body, strict=True)
    else:
        fields = await _fields(request, media_type, body)
        if not admitted:
            key = fields.get("api_key")
            admit(request, key if isinstance(key, str) else None)
        parsed = _validated(schema.model_validate, fields)
    if settings.log_texts:
        log.info("%s", parsed.model_dump_json(exclude={"api_key"}, exclude_unset=True))
    return parsed


def _media_type(request: Request, form: bool) -> str:
    """The media type of the body. Raises HTTPException (415)."""
    content_type = header(request, b"content-type")
    if content_type == JSON:
        return JSON
    if content_type is None:
        # `curl -X POST /translate?q=...` sends neither a body nor a media type.
        empty = request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
        return FORM if form and empty and request.scope["query_string"] else JSON
    media_type = content_type.split(";")[0].strip().lower()
    if media_type == JSON or (form and media_type in FORMS):
        return media_type
    supported = f"{JSON}, {FORM} or {MULTIPART}" if form else JSON
    raise HTTPException(415, f"send {supported}, not {excerpt(media_type)}")


async def _fields(request: Request, media_type: str, body: bytes) -> Fields:
    """Fields of a form and of the query string, which has precedence. Raises InvalidInput."""
    content_type = request.headers.get("content-type", "")

    def parse() -> list[tuple[str, str]]:
        return parse_multipart(body, content_type) if media_type == MULTIPART else parse_urlencoded(body)

    pairs = parse() if len(body) <= SMALL else await run_in_thread(parse)
    query = request.query_params.multi_items() if request.scope["query_string"] else []
    return {**as_fields(pairs, TEXT_FIELDS), **as_fields(query, TEXT_FIELDS)}


TEXT_FIELDS = frozenset({"q"})
"""Fields of a form that can be empty."""


class _Key(BaseModel):
    api_key: str | None = None


def _key_in_json(body: bytes) -> str | None:
    """The API key in a JSON body, without validating the rest."""
    try:
        return _Key.model_validate_json(body).api_key
    except ValidationError:
        return None


async def count_excess(body: bytes, settings: Settings) -> int:
    """The number of values of a JSON body if it is over the limit, else 0."""
    if len(body) <= SMALL:
        return 0
    count = await run_in_thread(lambda: count_values(body))
    return count if count > MAX_VALUES + settings.max_texts else 0


async def check_size(body: bytes, settings: Settings) -> None:
    """Bound the time of validation. Raises InvalidInput if a JSON body has too many values."""
    limit = MAX_VALUES + settings.max_texts
    if count := await count_excess(body, settings):
        raise InvalidInput(f"the body has {count} values; the limit is {limit}")


def count_values(body: bytes) -> int:
    """The number of commas and of opening brackets outside strings in valid JSON, and one.

    >>> count_values(b'{"a,": [1, 2], "b": "c\\\\\\", d"}')
    5
    """
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    characters = np.frombuffer(plain, np.uint8)
    outside = np.cumsum(characters == ord(b'"'), dtype=np.int32) % 2 == 0
    separators = (characters == ord(b",")) | (characters == ord(b"[")) | (characters == ord(b"{"))
    return 1 + int(np.count_nonzero(separators & outside))


def _validated(validate: Callable[..., M], content: bytes | Fields, **options: bool) -> M:
    """Raises InvalidInput with the first errors."""
    try:
        return validate(content, **options)
    except ValidationError as error:
        raise InvalidInput(describe(error)) from None


def request_body(schema: type[BaseModel], *media_types: str) -> dict[str, Any]:
    """`openapi_extra` of a route that parses its body itself."""
    return {"requestBody": {"required": True, "content": {m: {"schema": documented(schema, m)} for m in media_types}}}


def documented(schema: type[BaseModel], media_type: str) -> dict[str, Any]:
    """JSON schema of a body; without null for a form, which has no null."""
    found = schema.model_json_schema()
    if media_type in FORMS:
        for field in found["properties"].values():
            if "anyOf" in field:
                field["anyOf"] = [option for option in field["anyOf"] if option.get("type") != "null"]
    return found
