import asyncio
import threading
from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service import errors
from service.api.errors import STATUSES, snake_case, status_of
from service.errors import InvalidInput, LimelightError, ServiceError
from tests.fakes import before_networks, registry_of, serving, until
from tests.service.api.checks import MODELS, REQUESTS, check_problem

ROUTES = sorted(REQUESTS)
EXPECTED = {
    "InvalidInput": 422,
    "MissingParameter": 400,
    "EmptyText": 422,
    "TextTooLong": 422,
    "BatchTooLarge": 422,
    "TooManyTokens": 422,
    "UnsupportedOption": 422,
    "UnsupportedFormat": 400,
    "UnsupportedLanguagePair": 400,
    "PayloadTooLarge": 413,
    "AnswerTooLarge": 413,
    "Unauthorized": 401,
    "Forbidden": 403,
    "ModelNotFound": 404,
    "ModelNotReady": 503,
    "Overloaded": 429,
    "TooManyRequests": 429,
    "RateLimited": 429,
    "InferenceTimeout": 504,
    "InferenceFailed": 500,
    "NotAvailable": 501,
    "DocumentNotFound": 404,
    "GlossaryNotFound": 404,
    "MemoryNotFound": 404,
}


def classes() -> list[type[LimelightError]]:
    return [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, LimelightError)]


def test_every_service_error_has_a_status() -> None:
    found = {
        c.__name__: status_of(c("why")) for c in classes() if issubclass(c, ServiceError) and c is not ServiceError
    }
    assert found == EXPECTED


def test_bundle_errors_have_no_status() -> None:
    assert not [c for c in classes() if not issubclass(c, ServiceError) and c in STATUSES]


def test_the_tree_is_in_the_module_docstring() -> None:
    assert all(c.__name__ in (errors.__doc__ or "") for c in classes() if c is not LimelightError)
    assert all(c.__doc__ for c in classes())


@pytest.mark.parametrize(("name", "expected"), [("TextTooLong", "text_too_long"), ("Overloaded", "overloaded")])
def test_snake_case(name: str, expected: str) -> None:
    assert snake_case(name) == expected


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("error", [c for c in classes() if issubclass(c, ServiceError) and c is not ServiceError])
def test_every_error_has_one_form(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, route: str, error: type[ServiceError]
) -> None:
    def fail() -> None:
        raise error("what went wrong")

    with monkeypatch.context() as patch:
        before_networks(patch, fail)
        answer = client.post(route, json=REQUESTS[route])
    problem = check_problem(answer, EXPECTED[error.__name__], snake_case(error.__name__))
    assert problem["detail"] == "what went wrong"
    assert ("retry-after" in answer.headers) == issubclass(error, errors.Overloaded)
    assert ("www-authenticate" in answer.headers) == (error is errors.Unauthorized)
    assert client.post(route, json=REQUESTS[route]).status_code == 200


@pytest.mark.parametrize("route", ROUTES)
def test_a_network_that_fails(client: TestClient, monkeypatch: pytest.MonkeyPatch, route: str) -> None:
    def fail() -> None:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        before_networks(patch, fail)
        check_problem(client.post(route, json=REQUESTS[route]), 500, "inference_failed")
    assert client.post(route, json=REQUESTS[route]).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("POST", "/classify", "service.handlers.classify.check_texts"),
        ("POST", "/translate", "service.handlers.translate.check_texts"),
        ("GET", "/models/toy", "service.api.models.details"),
        ("GET", "/health/ready", "service.registry.registry.Registry.problems"),
        ("GET", "/languages", "service.registry.registry.Registry.pairs"),
    ],
)
def test_unexpected_errors(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, method: str, path: str, target: str
) -> None:
    """The answer is a 500 without internals."""

    def fail(*args: Any) -> None:
        raise ZeroDivisionError("a secret of the inside")

    with monkeypatch.context() as patch:
        patch.setattr(target, fail)
        answer = client.request(method, path, json=REQUESTS.get(path))
    check_problem(answer, 500, "internal_server_error")
    assert "secret" not in answer.text
    assert client.request(method, path, json=REQUESTS.get(path)).status_code == 200


@contextmanager
def busy(client: TestClient, monkeypatch: pytest.MonkeyPatch, route: str) -> Iterator[ThreadPoolExecutor]:
    """While a first request is running."""
    running, finish = threading.Event(), threading.Event()

    def slow() -> None:
        running.set()
        finish.wait()

    with ThreadPoolExecutor() as pool, monkeypatch.context() as patch:
        before_networks(patch, slow)
        first = pool.submit(client.post, route, json=REQUESTS[route])
        assert running.wait(30)
        try:
            yield pool
        finally:
            finish.set()
        first.result()


@pytest.mark.parametrize("route", ROUTES)
def test_overload(models: Path, monkeypatch: pytest.MonkeyPatch, route: str) -> None:
    with serving(models, queue_tokens=1) as client:
        with busy(client, monkeypatch, route) as pool:
            second = pool.submit(client.post, route, json=REQUESTS[route])
            predictor = registry_of(client).entry(MODELS[route]).predictor
            assert predictor is not None
            until(lambda: predictor.scheduler.waiting_tokens)
            answer = client.post(route, json=REQUESTS[route])
            check_problem(answer, 429, "overloaded")
            assert int(answer.headers["retry-after"]) > 0
        assert second.result().status_code == 200
        assert client.post(route, json=REQUESTS[route]).status_code == 200


@pytest.mark.parametrize("route", ROUTES)
def test_timeout(models: Path, monkeypatch: pytest.MonkeyPatch, route: str) -> None:
    with serving(models, timeout_s=0.25) as client:
        with busy(client, monkeypatch, route):
            check_problem(client.post(route, json=REQUESTS[route]), 504, "inference_timeout")


def test_invalid_input_is_the_base_of_caller_errors() -> None:
    assert {name for name, status in EXPECTED.items() if status in (400, 422)} == {
        c.__name__ for c in classes() if issubclass(c, InvalidInput)
    }


def test_a_disconnect_is_not_a_failure(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        assert message.get("status") != 500

    scope = {"type": "http", "method": "POST", "path": "/classify", "query_string": b"", "headers": []}
    asyncio.run(client.app(scope, gone, send))  # type: ignore[arg-type]
    assert not caplog.records
