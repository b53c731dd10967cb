"""The documentation pages work without the internet, and say what the service does."""

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.api.errors import STATUSES
from tests.service.api.checks import MEMBERS


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
    links = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)""", page.text)
    assert len(links) >= 4
    for link in links:
        assert link.startswith("/") and not link.startswith("//")
        assert client.get(link).status_code == 200
    assert not re.search(r"""["'(](https?:)?//""", page.text)


def test_the_openapi_document_needs_no_other_host(client: TestClient) -> None:
    assert not re.search(r"https?://|\"//", client.get("/openapi.json").text)


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_every_reference_leads_somewhere(openapi: dict[str, Any]) -> None:
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
                assert set(answer["content"]["application/problem+json"]["schema"]["required"]) == MEMBERS


@pytest.mark.parametrize("path", ["/classify", "/translate"])
def test_every_status_of_a_route_is_documented(openapi: dict[str, Any], path: str) -> None:
    documented = {int(status) for status in openapi["paths"][path]["post"]["responses"]}
    expected = {200, 415, *STATUSES.values()}
    assert documented == expected - ({400} if path == "/classify" else set())


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
