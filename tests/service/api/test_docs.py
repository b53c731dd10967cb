"""The documentation pages work without the internet and describe the service."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.api.errors import EXAMPLES, STATUSES, snake_case, status_of
from service.errors import ServiceError
from tests.fakes import registry_of, until
from tests.service.api.checks import MEMBERS
from tests.service.api.test_errors import classes


def operations(openapi: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for methods in openapi["paths"].values() for operation in methods.values()]


@pytest.fixture(scope="module")
def openapi(client: TestClient) -> dict[str, Any]:
    answer = client.get("/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def test_the_docs_page_needs_no_other_host(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    links = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"'#]+)""", page.text)
    assert len(links) >= 4
    for link in links:  # relative: they also work behind a path prefix
        assert not link.startswith("/")
        assert client.get(f"/{link.removeprefix('./')}").status_code == 200
    assert "script-src 'self'; " in page.headers["content-security-policy"]
    assert not re.search(r"""["'(](https?:)?//""", page.text)


def test_the_openapi_document_needs_no_other_host(client: TestClient) -> None:
    assert not re.search(r"https?://|\"//", client.get("/openapi.json").text)


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_every_reference_resolves(openapi: dict[str, Any]) -> None:
    found = references(openapi)
    assert found
    for reference in found:
        place: Any = openapi
        for key in reference.removeprefix("#/").split("/"):
            assert key in place, reference
            place = place[key]


def test_errors_are_documented_in_their_form(openapi: dict[str, Any]) -> None:
    for operation in operations(openapi):
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert answer["content"].keys() == {"application/problem+json"}
                content = answer["content"]["application/problem+json"]
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
                for kind, example in content["examples"].items():
                    assert example["value"].keys() == MEMBERS
                    assert (example["value"]["error_type"], example["value"]["status"]) == (kind, int(status))
    assert set(openapi["components"]["schemas"]["Problem"]["required"]) == MEMBERS


def test_every_documented_error_has_its_status() -> None:
    callers = [c for c in classes() if issubclass(c, ServiceError) and c is not ServiceError]
    statuses = {snake_case(c.__name__): status_of(c("why")) for c in callers}
    for kind, (status, _) in EXAMPLES.items():
        assert status == (415 if kind == "unsupported_media_type" else statuses[kind])
    assert set(statuses) == set(EXAMPLES) - {"unsupported_media_type"}


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("missing_parameter", {"url": "/translate", "json": {"source": "en", "target": "fr"}}),
    ("unsupported_language_pair", {"url": "/translate", "json": {"q": "a", "source": "en", "target": "zz"}}),
    ("unsupported_format", {"url": "/translate", "json": {"q": "a", "source": "en", "target": "fr", "format": "xml"}}),
    ("model_not_found", {"url": "/classify", "json": {"text": "a", "model": "nope"}}),
    ("payload_too_large", {"url": "/classify", "content": b" " * 2_000_001}),
    ("unsupported_media_type", {"url": "/classify", "content": b"a", "headers": {"Content-Type": "text/plain"}}),
    ("invalid_input", {"url": "/classify", "json": {"text": "a", "attention": "some"}}),
    ("empty_text", {"url": "/classify", "json": {"text": " "}}),
    ("text_too_long", {"url": "/classify", "json": {"text": "a" * 100_001}}),
    ("batch_too_large", {"url": "/classify", "json": {"text": ["a"] * 257}}),
    ("unsupported_option", {"url": "/translate", "json": {"q": "a", "source": "en", "target": "fr", "beam_size": 17}}),
]


@pytest.mark.parametrize(("kind", "request_"), WRONG, ids=[kind for kind, _ in WRONG])
def test_errors_are_as_in_the_documentation(real_client: TestClient, kind: str, request_: dict[str, Any]) -> None:
    until(lambda: all(entry.problem != "still loading" for entry in registry_of(real_client).entries()))
    problem = real_client.post(**request_).json()
    assert (problem["error_type"], problem["detail"]) == (kind, EXAMPLES[kind][1])


def test_the_openapi_document_is_committed(openapi: dict[str, Any]) -> None:
    """docs/openapi.json equals /openapi.json, so that a diff shows a change of the interface."""
    path = Path(__file__).parents[3] / "docs" / "openapi.json"
    text = json.dumps(openapi, indent=1, ensure_ascii=False) + "\n"
    same = path.is_file() and path.read_text(encoding="utf-8") == text
    path.write_text(text, encoding="utf-8")
    assert same, "the interface has changed: docs/openapi.json is written anew; look at the difference and commit it"


@pytest.mark.parametrize("path", ["/classify", "/translate"])
def test_every_status_of_a_route_is_documented(openapi: dict[str, Any], path: str) -> None:
    documented = {int(status) for status in openapi["paths"][path]["post"]["responses"]}
    expected = {200, 415, *STATUSES.values()}
    assert documented == expected - ({400, 501} if path == "/classify" else set())


def test_every_operation_is_described(openapi: dict[str, Any]) -> None:
    found = operations(openapi)
    assert len({operation["operationId"] for operation in found}) == len(found) >= 8
    for operation in found:
        assert operation["summary"] and operation["tags"]
        assert set(operation["tags"]) <= {tag["name"] for tag in openapi["tags"]}


@pytest.mark.parametrize(("path", "key"), [("/classify", "text"), ("/translate", "q")])
def test_the_examples_are_answered(real_client: TestClient, openapi: dict[str, Any], path: str, key: str) -> None:
    body = openapi["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    for example in body["examples"]:
        assert example.get(key), "the documentation shows no example"
        assert real_client.post(path, json=example).status_code == 200
