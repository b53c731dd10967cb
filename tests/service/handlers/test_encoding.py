import json

import numpy as np
import ormsgpack
import pytest

from service.attention import AttentionMatrix
from service.handlers.encoding import AS_JSON, DTYPES, as_msgpack, dumps, rounded, token
from service.text.tokenizer import Token

MATRIX = AttentionMatrix("cross", 1, None, np.array([[0.123456, 0.876544], [1.0, 0.0]], dtype=np.float32))


def test_json_has_four_significant_digits() -> None:
    encoded = json.loads(AS_JSON.dumps(AS_JSON.attention(MATRIX)))
    assert encoded == {"kind": "cross", "layer": 1, "head": None, "weights": [[0.1235, 0.8765], [1.0, 0.0]]}


@pytest.mark.parametrize("dtype", DTYPES)
def test_msgpack_has_the_bytes_of_the_matrix(dtype: str) -> None:
    encoding = as_msgpack(dtype)
    packed = ormsgpack.unpackb(encoding.dumps(encoding.attention(MATRIX)))["weights"]
    assert (packed["dtype"], packed["shape"]) == (dtype, [2, 2])
    assert np.frombuffer(packed["data"], DTYPES[dtype]).reshape(2, 2) == pytest.approx(MATRIX.weights, abs=1e-3)


def test_tokens_and_scores() -> None:
    assert token(Token("a", 0, 1)) == {"text": "a", "start": 0, "end": 1}
    assert token(Token("", 1, 1, "</s>")) == {"text": "", "start": 1, "end": 1, "special": "</s>"}
    assert rounded(0.12345678) == 0.123457
    assert dumps({"a": np.array([1.5])}) == b'{"a":[1.5]}'
