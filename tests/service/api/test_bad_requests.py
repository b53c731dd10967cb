"""Invalid requests get a problem document with a 4xx status, and the next valid request is served."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.fakes import MAX_TOKENS, doubled, serving
from tests.service.api.checks import REQUESTS, check_problem

TRANSLATE = REQUESTS["/translate"]
TEXT = {"/classify": "text", "/translate": "q"}
ROUTES = sorted(TEXT)


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[TestClient]:
    with serving(models, max_texts=3, max_characters=1009) as client:
        yield client


@pytest.fixture(autouse=True)
def good_requests_are_still_served(client: TestClient) -> Iterator[None]:
    yield
    for route, body in REQUESTS.items():
        assert client.post(route, json=body).status_code == 200


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("value", "error_type"),
    [
        ("", "empty_text"),
        (" \t\n", "empty_text"),
        ("\u200b\u2028", "empty_text"),
        ("\x00", "empty_text"),
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
    check_problem(client.post(route, json={**REQUESTS[route], TEXT[route]: value}), 422, error_type)


def test_an_empty_text_of_a_list(client: TestClient) -> None:
    """A classifier refuses it by its number; its translation is empty."""
    problem = check_problem(client.post("/classify", json={"text": ["wind", ""]}), 422, "empty_text")
    assert problem["detail"] == "text 1 has no visible character"
    answer = client.post("/translate", json={**TRANSLATE, "q": ["wind", ""]}).json()
    assert answer["translatedText"] == [doubled("wind"), ""]
    assert answer["translations"][1] == {"text": "", "sentences": []}


def test_no_text(client: TestClient) -> None:
    assert "text" in check_problem(client.post("/classify", json={}), 422, "invalid_input")["detail"]
    assert "text" in check_problem(client.post("/classify", json={"text": None}), 422, "invalid_input")["detail"]


@pytest.mark.parametrize("field", ["q", "source", "target"])
@pytest.mark.parametrize("null", [False, True])
def test_missing_parameters(client: TestClient, field: str, null: bool) -> None:
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
        ("/translate", {"source": "auto", "target": "de"}, 400, "unsupported_language_pair"),
        ("/translate", {"source": "auto", "model": "nobody"}, 404, "model_not_found"),
        ("/translate", {"source": ""}, 400, "unsupported_language_pair"),
        ("/translate", {"source": "de", "model": "en-xx"}, 400, "unsupported_language_pair"),
        ("/translate", {"source": 7}, 422, "invalid_input"),
        ("/translate", {"format": "xml"}, 400, "unsupported_format"),
        ("/translate", {"beam_size": 0}, 422, "invalid_input"),
        ("/translate", {"beam_size": 8}, 422, "unsupported_option"),
        ("/translate", {"beam_size": 10**30}, 422, "unsupported_option"),
        ("/translate", {"beam_size": "4"}, 422, "invalid_input"),
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
    body = json.dumps({**REQUESTS[route], **changes})  # httpx refuses to send nan
    answer = client.post(route, content=body, headers={"content-type": "application/json"})
    problem = check_problem(answer, status, error_type)
    if status == 422 and error_type == "invalid_input":
        assert problem["detail"].startswith(next(iter(changes)))
