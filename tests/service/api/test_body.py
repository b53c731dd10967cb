"""Bodies too large, in no form that is read, or in a wrong one, and what is asked for at the wrong place."""

import asyncio
import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from service.api.body import count_values
from tests.fakes import serving
from tests.service.api.checks import REQUESTS, check_problem

ROUTES = sorted(REQUESTS)
MAX_BODY = 5003


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[TestClient]:
    with serving(models, max_body_bytes=MAX_BODY, max_texts=3) as client:
        yield client


@pytest.fixture(autouse=True)
def good_requests_are_still_served(client: TestClient) -> Iterator[None]:
    yield
    for route, body in REQUESTS.items():
        assert client.post(route, json=body).status_code == 200


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"wind"',
        b"text=wind",
        b'{"text": "\xff", "q": "\xff", "source": "en", "target": "xx"}',
        b'{"text": "\\ud800", "q": "\\udfff", "source": "en", "target": "xx"}',
        b'{"text": "wind", "q": "wind", "source": "en", "target": "xx"} and more',
        '{"text": "wind", "q": "wind", "source": "en", "target": "xx"}'.encode("utf-16"),
        b"[" * 4000,
        b'{"text": "wind", "q": "wind", "source": "en", "target": "xx", "version": 1' + b"0" * 4500 + b"}",
        b"\x00\x01\x02",
    ],
)
def test_bodies_that_are_not_json(client: TestClient, route: str, body: bytes) -> None:
    answer = client.post(route, content=body, headers={"content-type": "application/json"})
    check_problem(answer, 422, "invalid_input")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"q", 400),
        (b"source=en&target=xx", 400),
        (b"q=&source=en&target=xx", 422),
        (b"q=%ff&source=en&target=xx", 422),
        (b"q=\xff&source=en&target=xx", 422),
        (b"q=%ED%A0%80&source=en&target=xx", 422),
        (b"q=wind&source=en&source=fr&target=xx", 422),
        (b"q=wind&source=en&target=xx&beam_size=many", 422),
        (b"q=wind&source=en&target=xx&beam_size=0", 422),
        (b"q=wind&source=en&target=xx&length_penalty=nan", 422),
        (b"q=wind&source=en&target=xx&format=xml", 400),
        (b"q=wind&source=de&target=xx", 400),
        (b"q=a&q=b&q=c&q=d&source=en&target=xx", 422),
    ],
)
def test_bad_forms(client: TestClient, body: bytes, status: int) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    check_problem(client.post("/translate", content=body, headers=headers), status)


@pytest.mark.parametrize("route", ROUTES)
def test_a_declared_length_over_the_limit(client: TestClient, route: str) -> None:
    problem = check_problem(client.post(route, content=b" " * (MAX_BODY + 1)), 413, "payload_too_large")
    assert str(MAX_BODY) in problem["detail"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_chunked_body_over_the_limit(client: TestClient, route: str) -> None:
    check_problem(client.post(route, content=(b" " * 101 for _ in range(97))), 413, "payload_too_large")


@pytest.mark.parametrize(
    ("declared", "most"), [(None, MAX_BODY + 101), (b"7", MAX_BODY + 101), (b"x", MAX_BODY + 101), (b"99999", 0)]
)
def test_no_more_is_read_than_the_limit(client: TestClient, declared: bytes | None, most: int) -> None:
    """The test client sends the whole body in any case; this client counts the bytes that are read."""
    read, sent = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 101
        return {"type": "http.request", "body": b" " * 101, "more_body": True}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/classify",
        "query_string": b"",
        "headers": [] if declared is None else [(b"content-length", declared)],
    }

    async def ask() -> None:
        await client.app({**scope, "app": client.app}, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 413
    assert read <= most


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_of_just_the_limit(client: TestClient, route: str) -> None:
    body = json.dumps(REQUESTS[route]).encode()
    assert client.post(route, content=body + b" " * (MAX_BODY - len(body))).status_code == 200


@pytest.mark.parametrize(
    ("route", "media_type"),
    [
        ("/classify", "text/plain"),
        ("/classify", "application/x-www-form-urlencoded"),
        ("/classify", "multipart/form-data; boundary=x"),
        ("/translate", "text/html"),
        ("/translate", "nonsense"),
    ],
)
def test_media_types(client: TestClient, route: str, media_type: str) -> None:
    problem = check_problem(
        client.post(route, content=json.dumps(REQUESTS[route]), headers={"content-type": media_type}),
        415,
        "unsupported_media_type",
    )
    assert "send application/json" in problem["detail"]
    assert ("x-www-form-urlencoded" in problem["detail"].split("not")[0]) == (route == "/translate")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", None])
def test_media_types_that_are_json(client: TestClient, media_type: str | None) -> None:
    headers = {} if media_type is None else {"content-type": media_type}
    assert client.post("/classify", content=json.dumps(REQUESTS["/classify"]), headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/classify", "POST"),
        ("PUT", "/translate", "POST"),
        ("DELETE", "/models", "GET"),
        ("POST", "/models/toy", "GET"),
        ("POST", "/languages", "GET"),
        ("POST", "/health/ready", "GET"),
        ("PATCH", "/health", "GET"),
    ],
)
def test_methods(client: TestClient, method: str, path: str, allowed: str) -> None:
    answer = client.request(method, path)
    check_problem(answer, 405, "method_not_allowed")
    assert allowed in answer.headers["allow"]


@pytest.mark.parametrize(
    "path", ["/nowhere", "/classify/more", "/models/toy/1", "/health/dead", "/static-offline-docs/no"]
)
def test_paths(client: TestClient, path: str) -> None:
    check_problem(client.get(path), 404, "not_found")


@pytest.mark.parametrize(("name", "status"), [("nobody", 404), ("%2E%2E", 404), ("%00", 404), ("%F0%9F%91%A7", 404)])
def test_model_names(client: TestClient, name: str, status: int) -> None:
    check_problem(client.get(f"/models/{name}"), status)


@pytest.mark.parametrize(
    ("version", "status", "error_type"),
    [
        ("7", 404, "model_not_found"),
        ("0", 422, "invalid_input"),
        ("x", 422, "invalid_input"),
        ("", 422, "invalid_input"),
    ],
)
def test_model_versions(client: TestClient, version: str, status: int, error_type: str) -> None:
    check_problem(client.get("/models/toy", params={"version": version}), status, error_type)


@given(
    st.recursive(
        st.one_of(st.none(), st.integers(), st.text(st.sampled_from('a,[]{}"\\'), max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.text(st.sampled_from('b,"\\'), max_size=3), inner, max_size=4),
        ),
        max_leaves=20,
    )
)
def test_values_are_counted_outside_strings(value: object) -> None:
    def separators(value: object) -> int:
        if isinstance(value, dict):
            return 1 + max(len(value) - 1, 0) + sum(map(separators, value.values()))
        return 1 + max(len(value) - 1, 0) + sum(map(separators, value)) if isinstance(value, list) else 0

    assert count_values(json.dumps(value).encode()) == 1 + separators(value)
