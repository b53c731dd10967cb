"""Whatever comes in, the answer is a problem document of a 4xx status, and the next good request is served."""

import asyncio
import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.fakes import MAX_TOKENS, serving
from tests.service.api.checks import check_problem

CLASSIFY: dict[str, Any] = {"text": "A cold wind."}
TRANSLATE: dict[str, Any] = {"q": "A cold wind.", "source": "en", "target": "xx"}
GOOD = {"/classify": CLASSIFY, "/translate": TRANSLATE}
TEXT = {"/classify": "text", "/translate": "q"}
ROUTES = sorted(GOOD)
MAX_BODY = 5003


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[TestClient]:
    with serving(models, max_body_bytes=MAX_BODY, max_texts=3, max_characters=1009) as client:
        yield client


@pytest.fixture(autouse=True)
def good_requests_are_still_served(client: TestClient) -> Iterator[None]:
    yield
    for route, body in GOOD.items():
        assert client.post(route, json=body).status_code == 200


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("value", "error_type"),
    [
        ("", "empty_text"),
        (" \t\n", "empty_text"),
        ("\u200b\u2028", "empty_text"),
        ("\x00", "empty_text"),
        (["wind", ""], "empty_text"),
        ([], "invalid_input"),
        (7, "invalid_input"),
        (True, "invalid_input"),
        ({"text": "wind"}, "invalid_input"),
        ([["wind"]], "invalid_input"),
        (["wind", 7], "invalid_input"),
        (["wind", None], "invalid_input"),
        (["wind"] * 4, "batch_too_large"),
        ("w" * 1010, "text_too_long"),
        (["wind", "\u0301" * 1010], "text_too_long"),
    ],
)
def test_texts(client: TestClient, route: str, value: object, error_type: str) -> None:
    check_problem(client.post(route, json={**GOOD[route], TEXT[route]: value}), 422, error_type)


def test_no_text(client: TestClient) -> None:
    assert "text" in check_problem(client.post("/classify", json={}), 422, "invalid_input")["detail"]
    assert "text" in check_problem(client.post("/classify", json={"text": None}), 422, "invalid_input")["detail"]


@pytest.mark.parametrize("field", ["q", "source", "target"])
@pytest.mark.parametrize("null", [False, True])
def test_what_libretranslate_calls_missing(client: TestClient, field: str, null: bool) -> None:
    body = {name: value for name, value in TRANSLATE.items() if name != field}
    if null:
        body[field] = None
    problem = check_problem(client.post("/translate", json=body), 400, "missing_parameter")
    assert problem["error"] == f"Invalid request: missing {field} parameter"


def test_a_model_does_not_replace_the_text(client: TestClient) -> None:
    check_problem(client.post("/translate", json={"model": "en-xx"}), 400, "missing_parameter")


@pytest.mark.parametrize(
    ("route", "changes", "status", "error_type"),
    [
        ("/classify", {"model": "nobody"}, 404, "model_not_found"),
        ("/classify", {"model": ""}, 404, "model_not_found"),
        ("/classify", {"model": "../toy"}, 404, "model_not_found"),
        ("/classify", {"model": "en-xx"}, 404, "model_not_found"),
        ("/classify", {"version": 7}, 404, "model_not_found"),
        ("/classify", {"version": 10**4000}, 404, "model_not_found"),
        ("/classify", {"model": 7}, 422, "invalid_input"),
        ("/classify", {"version": 0}, 422, "invalid_input"),
        ("/classify", {"version": "1"}, 422, "invalid_input"),
        ("/classify", {"version": 1.5}, 422, "invalid_input"),
        ("/classify", {"attention": "everything"}, 422, "invalid_input"),
        ("/classify", {"attention": None}, 422, "invalid_input"),
        ("/classify", {"attention": True}, 422, "invalid_input"),
        ("/classify", {"truncate": "yes"}, 422, "invalid_input"),
        ("/classify", {"truncate": 1}, 422, "invalid_input"),
        ("/classify", {"texts": ["wind"]}, 422, "invalid_input"),
        ("/classify", {"text": "wind " * (MAX_TOKENS + 1)}, 422, "text_too_long"),
        ("/translate", {"model": "nobody"}, 404, "model_not_found"),
        ("/translate", {"model": "toy"}, 404, "model_not_found"),
        ("/translate", {"model": "en-xx", "version": 7}, 404, "model_not_found"),
        ("/translate", {"source": "de"}, 400, "unsupported_language_pair"),
        ("/translate", {"target": "de"}, 400, "unsupported_language_pair"),
        ("/translate", {"source": "xx", "target": "en"}, 400, "unsupported_language_pair"),
        ("/translate", {"source": "auto"}, 400, "unsupported_language_pair"),
        ("/translate", {"source": ""}, 400, "unsupported_language_pair"),
        ("/translate", {"source": "de", "model": "en-xx"}, 400, "unsupported_language_pair"),
        ("/translate", {"source": 7}, 422, "invalid_input"),
        ("/translate", {"format": "html"}, 400, "unsupported_format"),
        ("/translate", {"format": None}, 422, "invalid_input"),
        ("/translate", {"beam_size": 0}, 422, "invalid_input"),
        ("/translate", {"beam_size": 8}, 422, "unsupported_option"),
        ("/translate", {"beam_size": 10**30}, 422, "unsupported_option"),
        ("/translate", {"beam_size": "4"}, 422, "invalid_input"),
        ("/translate", {"beam_size": None}, 422, "invalid_input"),
        ("/translate", {"alternatives": -1}, 422, "invalid_input"),
        ("/translate", {"alternatives": 7}, 422, "unsupported_option"),
        ("/translate", {"max_length": 0}, 422, "invalid_input"),
        ("/translate", {"max_length": 32}, 422, "unsupported_option"),
        ("/translate", {"length_penalty": -0.1}, 422, "invalid_input"),
        ("/translate", {"length_penalty": 4.1}, 422, "invalid_input"),
        ("/translate", {"length_penalty": float("nan")}, 422, "invalid_input"),
        ("/translate", {"length_penalty": float("inf")}, 422, "invalid_input"),
        ("/translate", {"attention": "all"}, 422, "invalid_input"),
    ],
)
def test_fields(client: TestClient, route: str, changes: dict[str, Any], status: int, error_type: str) -> None:
    body = json.dumps({**GOOD[route], **changes})  # httpx refuses to send nan
    answer = client.post(route, content=body, headers={"content-type": "application/json"})
    problem = check_problem(answer, status, error_type)
    if status == 422 and error_type == "invalid_input":
        assert problem["detail"].startswith(next(iter(changes)))


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
        (b"q=wind&source=en&target=xx&format=html", 400),
        (b"q=wind&source=de&target=xx", 400),
        (b"q=a&q=b&q=c&q=d&source=en&target=xx", 422),
    ],
)
def test_bad_forms(client: TestClient, body: bytes, status: int) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    check_problem(client.post("/translate", content=body, headers=headers), status)


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_that_says_it_is_too_large(client: TestClient, route: str) -> None:
    problem = check_problem(client.post(route, content=b" " * (MAX_BODY + 1)), 413, "payload_too_large")
    assert str(MAX_BODY) in problem["detail"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_that_comes_in_too_many_pieces(client: TestClient, route: str) -> None:
    check_problem(client.post(route, content=(b" " * 101 for _ in range(97))), 413, "payload_too_large")


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"7")]])
def test_no_more_is_read_than_the_limit(client: TestClient, headers: list[tuple[bytes, bytes]]) -> None:
    """The client above sends everything whatever happens: this one counts what it was asked for."""
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
        "headers": headers,
    }

    async def ask() -> None:
        await client.app({**scope, "app": client.app}, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 413
    assert read <= MAX_BODY + 101


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_of_just_the_limit(client: TestClient, route: str) -> None:
    body = json.dumps(GOOD[route]).encode()
    assert client.post(route, content=body + b" " * (MAX_BODY - len(body))).status_code == 200


@pytest.mark.parametrize(
    ("route", "media_type"),
    [
        ("/classify", "text/plain"),
        ("/classify", "application/x-www-form-urlencoded"),
        ("/classify", "multipart/form-data; boundary=x"),
        ("/translate", "multipart/form-data; boundary=x"),
        ("/translate", "text/html"),
        ("/translate", "nonsense"),
    ],
)
def test_media_types(client: TestClient, route: str, media_type: str) -> None:
    problem = check_problem(
        client.post(route, content=json.dumps(GOOD[route]), headers={"content-type": media_type}),
        415,
        "unsupported_media_type",
    )
    assert "send application/json" in problem["detail"]
    assert ("x-www-form-urlencoded" in problem["detail"].split("not")[0]) == (route == "/translate")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", None])
def test_media_types_that_are_json(client: TestClient, media_type: str | None) -> None:
    headers = {} if media_type is None else {"content-type": media_type}
    assert client.post("/classify", content=json.dumps(CLASSIFY), headers=headers).status_code == 200


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


@pytest.mark.parametrize(("name", "status"), [("nobody", 404), ("..", 404), ("%00", 404), ("%F0%9F%91%A7", 404)])
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
