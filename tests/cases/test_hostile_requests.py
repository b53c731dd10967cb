"""Hostile requests: bounded time and memory, short answers, no text in logs, and an event loop that keeps running."""

import asyncio
import gzip
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from service.access import new_key
from service.observability import JsonFormatter
from tests.fakes import serving
from tests.service.api.checks import REQUESTS, check_problem

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PAIR = {"source": "en", "target": "xx"}
STREAM = {"Accept": "text/event-stream"}
MAX_PAUSE_S = 0.1
"""Maximum CPU time of the event loop's thread between two turns of a task that waits for a millisecond."""
MAX_WAIT_S = 0.5
"""The same in wall time, which includes other processes of the machine."""


@contextmanager
def watched_loop(client: TestClient) -> Iterator[None]:
    """Assert that the event loop of the service is never busy for long."""
    pauses: list[tuple[float, float]] = []
    done = threading.Event()

    async def watch() -> None:
        while not done.is_set():
            wall, cpu = time.monotonic(), time.thread_time()
            await asyncio.sleep(0.001)
            pauses.append((time.thread_time() - cpu, time.monotonic() - wall))

    assert client.portal is not None
    watching = client.portal.start_task_soon(watch)
    try:
        yield
    finally:
        done.set()
        watching.result(30)
    cpu_s, wall_s = (max(values) for values in zip(*pauses, strict=True))
    assert cpu_s < MAX_PAUSE_S and wall_s < MAX_WAIT_S, (cpu_s, wall_s)


NUMBERS = b"[" + b"1," * 899_999 + b"1]"
LARGE_BODIES: list[tuple[str, bytes]] = [
    ("/classify", b'{"text": ' + NUMBERS + b"}"),
    ("/translate", b'{"q": ' + NUMBERS + b', "source": "en", "target": "xx"}'),
    ("/huggingface/toy", b'{"inputs": ' + NUMBERS + b"}"),
    ("/huggingface/toy", b'{"inputs": "a", "parameters": {"stop": ' + NUMBERS + b"}}"),
    ("/v2/models/toy/infer", b'{"inputs": [{"name": "text", "shape": ' + NUMBERS + b', "datatype": "BYTES"}]}'),
    ("/generate", b'{"prompt": "a", "stop": ' + NUMBERS + b"}"),
    ("/detect", b'{"q": [' + b"{}," * 600_000 + b"{}]}"),
    ("/classify", b"{" + b",".join(b'"%d": 1' % n for n in range(150_000)) + b"}"),
    ("/classify", b'{"text": ' + b"[" * 900_000 + b"]" * 900_000 + b"}"),
    ("/classify", b'{"text": [' + b'"",' * 600_000 + b'""]}'),
    ("/classify", b'{"text": [' + b'"a, [",' * 200_000 + b'"a"]}'),
]


@pytest.mark.parametrize(("path", "body"), LARGE_BODIES, ids=[f"{path}-{body[:30]!r}" for path, body in LARGE_BODIES])
def test_bodies_with_too_many_values(client: TestClient, path: str, body: bytes) -> None:
    with watched_loop(client):
        answer = client.post(path, content=body, headers=JSON)
    check_problem(answer, 422, "invalid_input")
    assert len(answer.content) < 2_000


def test_the_key_is_checked_before_the_rest(models: Path) -> None:
    key, line = new_key("alice")
    with serving(models, api_keys=line) as client:
        for path, body in LARGE_BODIES[:6]:
            with watched_loop(client):
                check_problem(client.post(path, content=body, headers=JSON), 401, "unauthorized")
        for path in ("/classify", "/generate", "/huggingface/toy", "/v2/models/toy/infer"):
            assert read_bytes(client, path) == 0
        assert read_bytes(client, "/translate", b"api_key=wrong") == 0
        assert client.post("/translate?api_key=" + key, json=REQUESTS["/translate"]).status_code == 200


def read_bytes(client: TestClient, path: str, query: bytes = b"") -> int:
    """Bytes of the body that a refused request has read."""
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b" ", "more_body": False}

    async def send(message: Any) -> None:
        assert message.get("status", 401) in (401, 403)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": path, "query_string": query, "headers": []}
    asyncio.run(client.app({**scope, "app": client.app}, receive, send))  # type: ignore[arg-type]
    return read


def test_at_most_ten_validation_errors(client: TestClient) -> None:
    answer = client.post("/classify", json={"text": "a", **{f"field{n}": 1 for n in range(50)}})
    detail = check_problem(answer, 422, "invalid_input")["detail"]
    assert detail.count("Extra inputs are not permitted") == 10 and detail.endswith("; and 40 more")


LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/classify", {"text": "a", "model": LONG}),
        ("/classify", {"text": "a", LONG: 1}),
        ("/classify", {"text": "a", "attention": LONG}),
        ("/translate", {**PAIR, "q": "a", "model": LONG}),
        ("/translate", {**PAIR, "q": "a", "source": LONG}),
        ("/translate", {**PAIR, "q": "a", "target": LONG, "model": "en-xx"}),
        ("/translate", {**PAIR, "q": "a", "source": "auto", "target": LONG}),
        ("/translate", {**PAIR, "q": "a", "format": LONG}),
        ("/translate", {**PAIR, "q": "a", "beam_size": LONG}),
        ("/generate", {"prompt": "a", "model": LONG}),
        ("/huggingface/toy", {"inputs": "a", "parameters": {LONG: 1}}),
        ("/huggingface/en-xx", {"inputs": "a", "parameters": {"src_lang": LONG}}),
        ("/v2/models/toy/infer", {"inputs": [{"name": "text", "shape": [1], "datatype": LONG, "data": ["a"]}]}),
        ("/v2/models/toy/infer", {"inputs": [{"name": LONG, "shape": [1], "datatype": "BYTES", "data": ["a"]}]}),
        (
            "/v2/models/toy/infer",
            {
                "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}],
                "outputs": [{"name": LONG}],
            },
        ),
        (
            "/v2/models/en-xx/infer",
            {
                "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}],
                "parameters": {LONG: 1},
            },
        ),
        ("/nowhere/" + "y" * 30_000, {}),
        ("/huggingface/" + "y" * 30_000, {"inputs": "a"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_echoed_input_is_cut(client: TestClient, path: str, body: dict[str, Any]) -> None:
    answer = client.post(path, json=body)
    assert 400 <= answer.status_code < 500
    assert len(answer.content) < 4_000
    assert "x" * 101 not in answer.json()["detail"]


@pytest.mark.parametrize("header", ["Content-Type", "Content-Encoding", "Accept", "Inference-Header-Content-Length"])
def test_echoed_headers_are_cut(client: TestClient, header: str) -> None:
    value = f"application/msgpack;dtype={'x' * 30_000}" if header == "Accept" else "x" * 30_000
    headers = {**JSON, header: value}
    path = "/v2/models/toy/infer" if header.startswith("Inference") else "/classify"
    answer = client.post(path, content=b'{"text": "a", "inputs": []}', headers=headers)
    assert 400 <= answer.status_code < 500 and len(answer.content) < 2_000


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("X-A", "a" * 65_000)], 200),
        ([("X-A", "a" * 66_000)], 431),
        ([(f"X-{n}", "a" * 7_000) for n in range(10)], 431),
        ([(f"X-{n}", "a") for n in range(90)], 200),
        ([(f"X-{n}", "a") for n in range(101)], 431),
        ([("Cookie", "a=b")] * 300, 431),
    ],
    ids=str,
)
def test_large_headers(client: TestClient, headers: list[tuple[str, str]], status: int) -> None:
    answer = client.get("/models", headers=headers)
    if status == 200:
        assert answer.status_code == 200
    else:
        check_problem(answer, 431, "request_header_fields_too_large")
        assert answer.headers["connection"] == "close"


def words(count: int) -> str:
    return "wind and rain " * (count // 3)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/translate", {**PAIR, "q": [words(18)] * 256, "attention": "full", "beam_size": 1}),
        ("/translate", {**PAIR, "q": words(5_000), "attention": "full", "beam_size": 1}),
        ("/classify", {"text": [words(18)] * 256, "attention": "full"}),
        (
            "/v2/models/writer/infer",
            {
                "inputs": [{"name": "text", "shape": [90], "datatype": "BYTES", "data": [words(18)] * 90}],
                "parameters": {"max_tokens": 250},
            },
        ),
    ],
    ids=["translate", "translate one text", "classify", "generate"],
)
def test_the_size_of_an_answer_is_bounded(models: Path, path: str, body: dict[str, Any]) -> None:
    """The request is refused before the network runs; fewer texts or less attention are answered."""
    with serving(models, max_answer_weights=50_000) as client:
        with watched_loop(client):
            problem = check_problem(client.post(path, json=body), 413, "answer_too_large")
        assert "50000 (LIMELIGHT_MAX_ANSWER_WEIGHTS)" in problem["detail"]
        if path == "/translate":
            assert client.post(path, json={**body, "q": words(18)}).status_code == 200
        if path == "/classify":
            assert client.post(path, json={**body, "attention": "none"}).status_code == 200


def test_padding_of_tensors_is_bounded(models: Path) -> None:
    """One long text would pad the matrices of all texts."""
    data = [words(240)] + ["wind"] * 200
    body = {"inputs": [{"name": "text", "shape": [201], "datatype": "BYTES", "data": data}]}
    with serving(models, max_answer_weights=100_000) as client:
        problem = check_problem(client.post("/v2/models/en-xx/infer", json=body), 413, "answer_too_large")
        assert "name the outputs" in problem["detail"]
        named = {**body, "outputs": [{"name": "translation"}]}
        assert client.post("/v2/models/en-xx/infer", json=named).status_code == 200


@pytest.mark.parametrize("accept", ["application/json", "application/msgpack", "text/event-stream"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_large_answer_does_not_hold_up_the_loop(client: TestClient, accept: str, encoding: str) -> None:
    body = json.dumps({**PAIR, "q": [words(18)] * 200, "attention": "full", "beam_size": 1}).encode()
    headers = {**JSON, "Accept": accept, "Accept-Encoding": encoding}
    with watched_loop(client):
        answer = client.post("/translate", content=body, headers=headers)
    assert answer.status_code == 200
    assert len(answer.content) > 1_000_000


HOSTILE_TEXTS: list[tuple[str, dict[str, Any]]] = [
    ("braces", {"q": "{}" * 500 + " a"}),
    ("numbered tags", {"q": "<0>" * 400 + "a", "format": "html"}),
    ("many numbered tags", {"q": "<0>" * 33_000, "format": "html"}),
    ("an open tag", {"q": "Hi. <" + "a" * 99_000, "format": "html"}),
    ("a declaration", {"q": "<![>Hello.", "format": "html"}),
    ("a numeric reference", {"q": "&#" + "1" * 4301 + ";", "format": "html"}),
    ("backticks", {"q": "`" * 99_000}),
    ("open declarations", {"q": "<!" * 49_000, "format": "html"}),
    ("ligatures", {"q": ["\ufdfa" * 99_000] * 3}),
    ("combining marks", {"q": "e" + "\u0301" * 99_000}),
    ("zero-width spaces", {"q": ["\u200b" * 99_000] * 6}),
    ("dots", {"q": "." * 99_000}),
    ("addresses", {"q": "a@" * 49_000}),
    ("percent signs", {"q": "%" * 99_000}),
    ("quotation marks", {"q": "\u201e" * 99_000}),
    ("line breaks", {"q": "a\n" * 49_000}),
]


@pytest.fixture(scope="module")
def impatient(models: Path) -> Iterator[TestClient]:
    """The service with little time for a request."""
    with serving(models, timeout_s=5) as client:
        yield client


@pytest.mark.parametrize("route", ["/translate", "/detect", "/classify"])
@pytest.mark.parametrize("body", [body for _, body in HOSTILE_TEXTS], ids=[name for name, _ in HOSTILE_TEXTS])
def test_hostile_texts(impatient: TestClient, route: str, body: dict[str, Any]) -> None:
    sent = {"/translate": {**PAIR, **body}, "/detect": {"q": body["q"]}, "/classify": {"text": body["q"]}}[route]
    content = json.dumps(sent, ensure_ascii=False).encode()
    since = time.monotonic()
    with watched_loop(impatient):
        answer = impatient.post(route, content=content, headers=JSON)
    assert time.monotonic() - since < 8
    assert answer.status_code in (200, 422, 504), answer.text[:300]
    assert impatient.post(route, json=REQUESTS.get(route, {"q": "wind"})).status_code == 200


@pytest.mark.parametrize(
    "form", [b"q=" + b"%41" * 600_000, b"q=" + b"+" * 1_900_000, b"&" * 1_900_000, b"q=a&" * 400_000]
)
def test_hostile_forms(client: TestClient, form: bytes) -> None:
    with watched_loop(client):
        answer = client.post("/translate", content=form + b"&source=en&target=xx", headers=FORM)
    check_problem(answer, 422)


def test_a_hostile_gzip_body(client: TestClient) -> None:
    for content in (gzip.compress(b"\0" * 200_000_000), gzip.compress(b"") * 90_000, gzip.compress(b" ") * 90_000):
        with watched_loop(client):
            answer = client.post("/classify", content=content, headers={**JSON, "Content-Encoding": "gzip"})
        assert answer.status_code in (413, 422)


MARKUP = st.lists(
    st.sampled_from(
        [
            "<",
            ">",
            "&",
            ";",
            "#",
            "x",
            "!",
            "[",
            "]",
            "-",
            "/",
            "=",
            '"',
            "'",
            "{",
            "}",
            "%",
            "$",
            "`",
            "@",
            "\\",
            "|",
            "0",
        ]
        + [
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "<!DOCTYPE",
            "<?",
            "&#",
            "&#x",
            "&amp",
            "&lt;",
            "</",
            "<b",
            "<a href=",
            "{{",
        ]
        + ["1" * 4301, "9" * 50, "\x00", "\ud7ff", "\ufffe", "\U0010ffff", "\u202e", "\u0301", "\n", " ", "Wind", ". "]
    ),
    max_size=30,
).map("".join)


@given(text=MARKUP, format=st.sampled_from(["text", "html"]))
@settings(max_examples=150, deadline=None)
def test_markup_is_answered_or_refused(client: TestClient, text: str, format: str) -> None:
    answer = client.post("/translate", json={**PAIR, "q": text, "format": format, "beam_size": 1})
    assert answer.status_code in (200, 422), answer.text[:300]


SECRET = "Zanzibarquux"
LOGGED: list[Callable[[TestClient], Any]] = [
    lambda client: client.post("/translate", json={**PAIR, "q": f"{SECRET} <![>", "format": "html"}),
    lambda client: client.post("/translate", json={**PAIR, "q": SECRET}, headers=STREAM),
    lambda client: client.post("/translate", data={**PAIR, "q": SECRET}),
    lambda client: client.post("/classify", json={"text": [SECRET, 7]}),
    lambda client: client.post("/classify", json={"text": "a", "model": SECRET}),
    lambda client: client.post("/classify", json={"text": "a", SECRET: "a"}),
    lambda client: client.post("/detect", json={"q": SECRET}),
    lambda client: client.post(f"/huggingface/{SECRET}", json={"inputs": SECRET}),
    lambda client: client.get(f"/models/{SECRET}"),
    lambda client: client.get(f"/{SECRET}?q={SECRET}", headers={"X-Request-ID": f"{SECRET} "}),
    lambda client: client.post("/classify", content=SECRET.encode()),
]


@pytest.mark.parametrize("number", range(len(LOGGED)))
@pytest.mark.parametrize("failing", ["nothing", "handler", "network"])
def test_no_text_in_any_log(
    client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, number: int, failing: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ValueError(f"cannot read {args!r} {kwargs!r} {SECRET}")

    if failing == "handler":
        for name in ("classify", "translate", "languages"):
            monkeypatch.setattr(f"service.handlers.{name}.check_texts", fail)
    elif failing == "network":
        monkeypatch.setattr("service.runtime.Session.run", fail)
        monkeypatch.setattr("service.runtime.Session.run_keeping", fail)
    with caplog.at_level(logging.DEBUG):
        LOGGED[number](client)
    ours = [record for record in caplog.records if not re.match("httpx|asyncio", record.name)]
    text = "\n".join(JsonFormatter().format(record) for record in ours)
    assert SECRET not in text
    assert ours or failing == "nothing"
