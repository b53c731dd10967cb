"""Content negotiation: the same answer in every encoding."""

import gzip
from typing import Any

import numpy as np
import ormsgpack
import pytest
import zstandard
from starlette.testclient import TestClient

from tests.service.api.checks import REQUESTS, check_problem

ROUTES = sorted(REQUESTS)
MSGPACK = "application/msgpack"
LONG: dict[str, dict[str, Any]] = {
    "/classify": {"text": ["wind and rain"] * 40},
    "/translate": {"q": ["wind and rain"] * 40},
    "/generate": {"max_tokens": 290, "temperature": 0},
}


def weights(matrix: dict[str, Any]) -> np.ndarray:
    packed = matrix["weights"]
    dtype = {"float16": "<f2", "float32": "<f4"}[packed["dtype"]]
    return np.frombuffer(packed["data"], dtype).reshape(packed["shape"])


def matrices(answer: Any) -> list[dict[str, Any]]:
    """Every matrix of an answer, wherever it stands."""
    if isinstance(answer, dict):
        found = [matrix for key, value in answer.items() if key != "attention" for matrix in matrices(value)]
        return found + answer.get("attention", [])
    return [matrix for value in answer for matrix in matrices(value)] if isinstance(answer, list) else []


def without_weights(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {key: without_weights(value) for key, value in answer.items() if key != "weights"}
    return [without_weights(value) for value in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("detail", ["none", "summary", "full"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 5e-4), ("float32", 5e-5)])
def test_msgpack(client: TestClient, route: str, detail: str, dtype: str, tolerance: float) -> None:
    body = {**REQUESTS[route], "attention": detail}
    expected = client.post(route, json=body).json()
    answer = client.post(route, json=body, headers={"Accept": f"{MSGPACK};dtype={dtype}"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, MSGPACK)
    found = ormsgpack.unpackb(answer.content)
    assert without_weights(found) == without_weights(expected)
    pairs = list(zip(matrices(found), matrices(expected), strict=True))
    assert bool(pairs) == (detail != "none")
    for packed, plain in pairs:
        assert weights(packed).dtype == dtype
        assert weights(packed) == pytest.approx(np.array(plain["weights"]), abs=tolerance)
        assert weights(packed).astype(np.float64).sum(axis=1) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html, */*", "application/json"),
        (f"application/json, {MSGPACK}", "application/json"),
        (f"{MSGPACK}, application/json", MSGPACK),
        (f"text/html; q=1, {MSGPACK} ; dtype=float32; q=0.5", MSGPACK),
    ],
)
def test_the_accept_header(client: TestClient, accept: str, expected: str) -> None:
    answer = client.post("/classify", json={"text": "wind"}, headers={"Accept": accept})
    assert answer.headers["content-type"] == expected


def test_an_unknown_dtype(client: TestClient) -> None:
    headers = {"Accept": f"{MSGPACK};dtype=float64"}
    problem = check_problem(client.post("/classify", json={"text": "wind"}, headers=headers), 406)
    assert "float16 and float32" in problem["detail"]


def test_errors_are_json_in_any_case(client: TestClient) -> None:
    check_problem(client.post("/classify", json={"text": ""}, headers={"Accept": MSGPACK}), 422)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("accept", ["application/json", MSGPACK])
@pytest.mark.parametrize("encoding", ["gzip", "zstd", "identity", "br", "gzip;q=0"])
def test_compression_where_it_is_asked_for(client: TestClient, route: str, accept: str, encoding: str) -> None:
    body = {**REQUESTS[route], **LONG[route]}
    plain = client.post(route, json=body, headers={"Accept": accept, "Accept-Encoding": "identity"})
    with client.stream("POST", route, json=body, headers={"Accept": accept, "Accept-Encoding": encoding}) as answer:
        raw = b"".join(answer.iter_raw())
    unpack = {"gzip": gzip.decompress, "zstd": lambda raw: zstandard.ZstdDecompressor().decompressobj().decompress(raw)}
    if encoding in unpack:
        assert answer.headers["content-encoding"] == encoding
        assert answer.headers["vary"] == "Accept-Encoding"
        assert len(raw) < len(plain.content) / 2
        raw = unpack[encoding](raw)
    else:
        assert "content-encoding" not in answer.headers
    assert raw == plain.content


def test_a_short_answer_is_not_compressed(client: TestClient) -> None:
    answer = client.post("/classify", json={"text": "wind"}, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


def test_the_document_lists_every_encoding(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert paths["/classify"]["post"]["responses"]["200"]["content"].keys() == {"application/json", MSGPACK}
    forms = paths["/translate"]["post"]["responses"]["200"]["content"].keys()
    assert forms == {"application/json", MSGPACK, "text/event-stream", "text/x-pharaoh"}
