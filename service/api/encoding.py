"""Answers -> JSON bytes, straight from numpy buffers: a matrix is never a list of Python floats."""

from typing import Any

import orjson
from starlette.responses import JSONResponse

from service.attention import AttentionMatrix, significant
from service.text import Token


class FastJSON(JSONResponse):
    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def token(value: Token) -> dict[str, Any]:
    encoded: dict[str, Any] = {"text": value.text, "start": value.start, "end": value.end}
    if value.special is not None:
        encoded["special"] = value.special
    return encoded


def attention(matrix: AttentionMatrix) -> dict[str, Any]:
    weights = significant(matrix.weights)
    return {"kind": matrix.kind, "layer": matrix.layer, "head": matrix.head, "weights": weights}


def rounded(score: float) -> float:
    """Scores are good to 1e-3 between precisions; more than six decimals is noise."""
    return round(score, 6)
