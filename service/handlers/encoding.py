"""Answers -> bytes, straight from numpy buffers: a matrix never becomes a list of Python floats.

`application/json` writes weights with 4 significant digits. `application/msgpack` is the same answer with each matrix
as bytes: `{"dtype": "float16", "shape": [Q, K], "data": b"..."}`, row by row, little-endian; with the dtype float32
these are the network's own numbers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import orjson
import ormsgpack
from numpy.typing import NDArray

from service.attention import AttentionMatrix, Floats, significant
from service.batching import budget
from service.text.tokenizer import Token

JSON = "application/json"
MSGPACK = "application/msgpack"
Content = dict[str, Any] | Callable[[], dict[str, Any]]
"""The content of an event, or a function that makes it when the event is sent."""

Emit = Callable[[str, Content], None]
"""Takes the name and the content of an event of a request that is still running."""

DTYPES = {"float16": "<f2", "float32": "<f4"}
"""The dtypes of matrices in msgpack."""


def dumps(content: Any) -> bytes:
    """JSON with numpy arrays as lists."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


@dataclass(frozen=True)
class Encoding:
    """A media type, the form of a matrix in it, and the function that writes it."""

    media_type: str
    weights: Callable[[Floats], Any]
    dumps: Callable[[Any], bytes]

    def attention(self, matrix: AttentionMatrix) -> dict[str, Any]:
        """A matrix in the form of `schemas.Attention`."""
        weights = self.weights(matrix.weights)
        return {"kind": matrix.kind, "layer": matrix.layer, "head": matrix.head, "weights": weights}


VALUES_AT_ONCE = 20_000
"""Maximum values in one call of orjson, which holds the GIL."""


def json_weights(weights: Floats) -> Any:
    """A matrix with 4 significant digits."""
    return json_array(significant(weights))


def json_array(array: NDArray[Any]) -> Any:
    """An array for `dumps`. A large one is written here, in parts that take about a millisecond."""
    if array.size <= VALUES_AT_ONCE:
        return array
    step = max(1, VALUES_AT_ONCE * len(array) // array.size)
    parts = []
    for start in range(0, len(array), step):
        budget.check()
        parts.append(dumps(array[start : start + step])[1:-1])
    return orjson.Fragment(b"[" + b",".join(parts) + b"]")


AS_JSON = Encoding(JSON, json_weights, dumps)


def as_msgpack(dtype: str) -> Encoding:
    """msgpack with matrices of a dtype, one of `DTYPES`."""

    def weights(matrix: Floats) -> dict[str, Any]:
        return {"dtype": dtype, "shape": list(matrix.shape), "data": np.asarray(matrix, DTYPES[dtype]).tobytes()}

    return Encoding(MSGPACK, weights, ormsgpack.packb)


class Answer(Protocol):
    """The answer of a handler."""

    @property
    def model(self) -> str:
        """Label of the model in metrics."""

    @property
    def size(self) -> int:
        """Tokens and weights, which determine the time of encoding."""

    def encode(self, encoding: Encoding) -> dict[str, Any]:
        """The answer as JSON-like values."""


def tokens_of(values: Iterable[Token]) -> list[dict[str, Any]]:
    """Tokens in the form of `schemas.Token`. One comprehension, because a call of `token` for each takes twice as
    long."""
    return [
        {"text": one.text, "start": one.start, "end": one.end} if one.special is None else token(one) for one in values
    ]


def token(value: Token) -> dict[str, Any]:
    """A token in the form of `schemas.Token`."""
    encoded: dict[str, Any] = {"text": value.text, "start": value.start, "end": value.end}
    if value.special is not None:
        encoded["special"] = value.special
    return encoded


def weights_in(matrices: Iterable[AttentionMatrix]) -> int:
    """The number of weights of some matrices."""
    return sum(matrix.weights.size for matrix in matrices)


def rounded(score: float) -> float:
    """Six decimals: scores agree to 1e-3 between precisions, and more digits are noise."""
    return round(score, 6)
