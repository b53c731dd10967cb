"""Content negotiation: the Accept header -> the encoding of the answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import HTTPException, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from service.api.headers import header
from service.batching.offload import run_in_thread
from service.errors import excerpt
from service.handlers.encoding import AS_JSON, DTYPES, JSON, MSGPACK, Answer, Encoding, as_msgpack, dumps
from service.observability import timed

ANY = "*/*"
"""The Accept header of most clients."""


class FastJSON(JSONResponse):
    """A JSON response written by orjson."""

    def render(self, content: Any) -> bytes:
        return dumps(content)


def accepted(request: Request) -> list[tuple[str, dict[str, str]]]:
    """Media types of the Accept header with their parameters, in the order of the header."""
    found: list[tuple[str, dict[str, str]]] = []
    accept = header(request, b"accept")
    for part in accept.split(",") if accept else ():
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        found.append((media_type, dict(p.split("=", 1) for p in parameters if "=" in p)))
    return found


def encoding_of(request: Request) -> Encoding:
    """The first supported encoding of the Accept header, else JSON. Raises HTTPException (406) for another dtype."""
    if header(request, b"accept") in (None, ANY, JSON):
        return AS_JSON
    for media_type, parameters in accepted(request):
        if media_type == MSGPACK:
            dtype = parameters.get("dtype", "float16")
            if dtype not in DTYPES:
                raise HTTPException(406, f"{MSGPACK} supports the dtypes {' and '.join(DTYPES)}, not {excerpt(dtype)}")
            return as_msgpack(dtype)
        if media_type == JSON:
            break
    return AS_JSON


LARGE = 10_000
"""Tokens and weights of an answer that is encoded in a thread: about 2 ms."""
CHUNK_BYTES = 131_072
"""Bytes that are compressed and sent in one piece."""


async def encode_answer(answer: Answer, encoding: Encoding) -> bytes:
    """Encode an answer, in a thread if it is large."""
    if answer.size <= LARGE:
        return _encode(answer, encoding)
    return await run_in_thread(lambda: _encode(answer, encoding))


def _encode(answer: Answer, encoding: Encoding) -> bytes:
    with timed(answer.model, "encode"):
        return encoding.dumps(answer.encode(encoding))


async def respond(request: Request, answer: Answer, encoding: Encoding) -> Response:
    await request.app.state.throttle.wait()
    return content_response(await encode_answer(answer, encoding), encoding.media_type)


def content_response(content: bytes, media_type: str | None = None, headers: dict[str, str] | None = None) -> Response:
    """A response that compression does not hold up the event loop for: large content is sent in chunks."""
    if len(content) <= CHUNK_BYTES:
        return Response(content, media_type=media_type, headers=headers)

    length = {"Content-Length": str(len(content))}
    return StreamingResponse(chunks(content), media_type=media_type, headers={**(headers or {}), **length})


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    """Parts of CHUNK_BYTES, between which other requests can run."""
    for start in range(0, len(content), CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]
        if start + CHUNK_BYTES < len(content):
            await asyncio.sleep(0)


def documented(model: str) -> dict[str, Any]:
    """OpenAPI content of the encodings besides JSON."""
    described = f"`{model}` with each matrix as `{{dtype, shape, data}}`."
    return {MSGPACK: {"schema": {"type": "string", "format": "binary", "description": described}}}
