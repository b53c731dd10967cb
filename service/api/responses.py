"""Content negotiation: the Accept header -> the encoding of the answer."""

from typing import Any

from fastapi import HTTPException, Request
from starlette.responses import JSONResponse, Response

from service.handlers.encoding import AS_JSON, DTYPES, JSON, MSGPACK, Encoding, as_msgpack, dumps


class FastJSON(JSONResponse):
    """A JSON response written by orjson."""

    def render(self, content: Any) -> bytes:
        return dumps(content)


def accepted(request: Request) -> list[tuple[str, dict[str, str]]]:
    """Media types of the Accept header with their parameters, in the order of the header."""
    found: list[tuple[str, dict[str, str]]] = []
    header = request.headers.get("accept")
    for part in header.split(",") if header else ():
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        found.append((media_type, dict(p.split("=", 1) for p in parameters if "=" in p)))
    return found


def encoding_of(request: Request) -> Encoding:
    """The first supported encoding of the Accept header, else JSON. Raises HTTPException (406) for another dtype."""
    for media_type, parameters in accepted(request):
        if media_type == MSGPACK:
            dtype = parameters.get("dtype", "float16")
            if dtype not in DTYPES:
                raise HTTPException(406, f"{MSGPACK} supports the dtypes {' and '.join(DTYPES)}, not {dtype}")
            return as_msgpack(dtype)
        if media_type == JSON:
            break
    return AS_JSON


def encoded(content: dict[str, Any], encoding: Encoding) -> Response:
    return Response(encoding.dumps(content), media_type=encoding.media_type)


def documented(model: str) -> dict[str, Any]:
    """OpenAPI content of the encodings besides JSON."""
    described = f"`{model}` with each matrix as `{{dtype, shape, data}}`."
    return {MSGPACK: {"schema": {"type": "string", "format": "binary", "description": described}}}
