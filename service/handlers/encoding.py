"""Answers -> bytes in the form that the caller accepts, straight from numpy buffers: a matrix is never a list of
Python floats.

`application/json` (by default) has weights of 4 significant digits. `application/msgpack` is the same answer with each
matrix as its bytes: `{"dtype": "float16", "shape": [Q, K], "data": b"..."}`, row by row, little-endian;
`application/msgpack; dtype=float32` has the network's own numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import ormsgpack
from fastapi import HTTPException, Request
from starlette.responses import JSONResponse, Response

from service.attention import AttentionMatrix, Floats, significant
from service.text.tokenizer import Token

JSON = "application/json"
MSGPACK = "application/msgpack"
DTYPES = {"float16": "<f2", "float32": "<f4"}


class FastJSON(JSONResponse):
    def render(self, content: Any) -> bytes:
        return dumps(content)


def dumps(content: Any) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


@dataclass(frozen=True)
class Encoding:
    media_type: str
    weights: Callable[[Floats], Any]
    dumps: Callable[[Any], bytes]

    def attention(self, matrix: AttentionMatrix) -> dict[str, Any]:
        weights = self.weights(matrix.weights)
        return {"kind": matrix.kind, "layer": matrix.layer, "head": matrix.head, "weights": weights}

    def response(self, content: dict[str, Any]) -> Response:
        return Response(self.dumps(content), media_type=self.media_type)


AS_JSON = Encoding(JSON, significant, dumps)


def as_msgpack(dtype: str) -> Encoding:
    """Raises HTTPException (406) for another dtype."""
    if dtype not in DTYPES:
        raise HTTPException(406, f"{MSGPACK} has the dtypes {' and '.join(DTYPES)}, not {dtype}")

    def weights(matrix: Floats) -> dict[str, Any]:
        return {"dtype": dtype, "shape": list(matrix.shape), "data": np.asarray(matrix, DTYPES[dtype]).tobytes()}

    return Encoding(MSGPACK, weights, ormsgpack.packb)


def accepted(request: Request) -> list[tuple[str, dict[str, str]]]:
    """The media types of the Accept header with their parameters, in its order."""
    found: list[tuple[str, dict[str, str]]] = []
    header = request.headers.get("accept")
    for part in header.split(",") if header else ():
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        found.append((media_type, dict(p.split("=", 1) for p in parameters if "=" in p)))
    return found


def encoding_of(request: Request) -> Encoding:
    """The form to answer in: the first of the Accept header that there is, else JSON."""
    for media_type, parameters in accepted(request):
        if media_type == MSGPACK:
            return as_msgpack(parameters.get("dtype", "float16"))
        if media_type == JSON:
            break
    return AS_JSON


def documented(model: str) -> dict[str, Any]:
    """What a route's answer may be besides JSON, for its documentation."""
    described = f"`{model}` with each matrix as `{{dtype, shape, data}}`."
    return {MSGPACK: {"schema": {"type": "string", "format": "binary", "description": described}}}


def token(value: Token) -> dict[str, Any]:
    encoded: dict[str, Any] = {"text": value.text, "start": value.start, "end": value.end}
    if value.special is not None:
        encoded["special"] = value.special
    return encoded


def rounded(score: float) -> float:
    """Scores are good to 1e-3 between precisions; more than six decimals is noise."""
    return round(score, 6)
