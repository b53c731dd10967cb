"""Time, places and clients that go: what a request may take of the service."""

import asyncio
import threading
import time
from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.api.middleware.limits import SLICE_S, Throttle
from service.text.tokenizer import TextTokenizer
from tests.fakes import before_networks, serving, until
from tests.service.api.checks import REQUESTS, check_problem

ROUTES = sorted(REQUESTS)
asked: list[int] = []


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Networks wait until it is opened; `asked` counts how often they were. Workers of earlier tests are left out."""
    gate = threading.Event()
    asked.clear()
    earlier = set(threading.enumerate()) - {threading.current_thread()}

    def waiting() -> None:
        if threading.current_thread() in earlier:
            return
        asked.append(1)
        gate.wait()

    before_networks(monkeypatch, waiting)
    yield gate
    gate.set()


def test_requests_are_spread_over_iterations_of_the_loop() -> None:
    async def busy() -> int:
        throttle, waiting, iterations = Throttle(), 20, 0

        async def one() -> None:
            nonlocal waiting
            await throttle.wait()
            time.sleep(SLICE_S / 2)
            waiting -= 1

        requests = [asyncio.create_task(one()) for _ in range(waiting)]
        while waiting:
            iterations += 1
            await asyncio.sleep(0)
        await asyncio.gather(*requests)
        return iterations

    assert 6 <= asyncio.run(busy()) <= 24  # two or three in each iteration


def test_waiting_requests_keep_their_order_and_may_be_cancelled() -> None:
    async def served() -> list[int]:
        throttle, order = Throttle(), list[int]()

        async def one(number: int) -> None:
            await throttle.wait()
            order.append(number)
            time.sleep(SLICE_S / 4)

        requests = [asyncio.create_task(one(number)) for number in range(30)]
        await asyncio.sleep(0)
        for number in range(10, 20):
            requests[number].cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(*requests, return_exceptions=True)
        return order

    assert asyncio.run(served()) == [*range(10), *range(20, 30)]


def running(client: TestClient) -> int:
    """Requests being worked on."""
    found = client.app
    while not hasattr(found, "running"):
        found = found.middleware_stack if getattr(found, "middleware_stack", None) else found.app  # type: ignore
    return len(found.running)


@pytest.mark.parametrize("route", ROUTES)
def test_the_number_of_concurrent_requests(models: Path, gate: threading.Event, route: str) -> None:
    gate.set()
    with serving(models, max_requests=3) as client, ThreadPoolExecutor() as pool:
        gate.clear()
        busy = [pool.submit(client.post, route, json=REQUESTS[route]) for _ in range(3)]
        until(lambda: running(client) == 3)
        refused = client.post(route, json=REQUESTS[route])
        check_problem(refused, 429, "too_many_requests")
        assert int(refused.headers["retry-after"]) > 0
        for path in ("/health", "/health/live", "/health/ready", "/metrics"):
            assert client.get(path).status_code == 200
        gate.set()
        assert [one.result().status_code for one in busy] == [200] * 3
        assert client.post(route, json=REQUESTS[route]).status_code == 200
        assert running(client) == 0


@pytest.mark.parametrize("route", ROUTES)
def test_the_deadline_covers_the_whole_request(models: Path, monkeypatch: pytest.MonkeyPatch, route: str) -> None:
    """The deadline includes tokenising, which is outside the scheduler."""
    go_on = threading.Event()
    with serving(models, timeout_s=0.1) as client, monkeypatch.context() as patch:
        patch.setattr(TextTokenizer, "encode", lambda *args: go_on.wait(30))
        long = {key: value * 9_999 if value == "wind" else value for key, value in REQUESTS[route].items()}
        problem = check_problem(client.post(route, json=long), 504, "inference_timeout")
        assert problem["detail"] == "no answer within 0.1 s; send less text or try again later"
        go_on.set()
        assert running(client) == 0


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_that_never_ends(models: Path, route: str) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if sent or receive.first:  # type: ignore[attr-defined]
            await asyncio.sleep(30)
        receive.first = True  # type: ignore[attr-defined]
        return {"type": "http.request", "body": b"{", "more_body": True}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    receive.first = False  # type: ignore[attr-defined]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": route, "query_string": b"", "headers": []}
    with serving(models, timeout_s=0.1) as client:
        asyncio.run(client.app({**scope, "app": client.app}, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 504


@pytest.mark.parametrize("route", ROUTES)
def test_a_disconnected_client_frees_its_slot(models: Path, gate: threading.Event, route: str) -> None:
    """Its work is dropped before it reaches the network, and nothing is sent."""
    gate.set()
    with serving(models) as client, ThreadPoolExecutor() as pool:
        asked.clear()
        assert client.post(route, json=REQUESTS[route]).status_code == 200
        once = len(asked)
        gate.clear()
        first = pool.submit(client.post, route, json=REQUESTS[route])
        until(lambda: len(asked) == once + 1)
        content = TestClient(client.app).build_request("POST", route, json=REQUESTS[route]).content
        messages = [{"type": "http.request", "body": content, "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await asyncio.sleep(0.3)  # it waits a while, and then hangs up
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": route, "query_string": b"", "headers": []}
        asyncio.run(client.app({**scope, "app": client.app}, receive, send))  # type: ignore[arg-type]
        assert running(client) == 1
        gate.set()
        assert first.result().status_code == 200
        assert client.post(route, json=REQUESTS[route]).status_code == 200
    assert not sent
    assert len(asked) == 3 * once  # three clients waited


@pytest.mark.parametrize(
    ("route", "small", "large"),
    [
        ("/classify", {"text": ["a b", "b a"]}, {"text": ["a b c d e f"] * 7}),
        ("/translate", {"q": ["a b", "b a"]}, {"q": ["a b c d e f"] * 7}),
        ("/generate", {"max_tokens": 50}, {"max_tokens": 70}),
    ],
)
def test_tokens_of_one_request(models: Path, route: str, small: dict[str, Any], large: dict[str, Any]) -> None:
    """Tokens are summed over texts, hypotheses and the tokens to generate."""
    with serving(models, max_request_tokens=61) as client:
        assert client.post(route, json={**REQUESTS[route], **small}).status_code == 200
        refused = client.post(route, json={**REQUESTS[route], **large})
        problem = check_problem(refused, 422, "too_many_tokens")
        assert problem["detail"].endswith("in one request, at most 61 are taken; send fewer or shorter texts")
