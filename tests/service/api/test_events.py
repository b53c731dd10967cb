"""Translations as events: the same sentences and the same answer as in JSON."""

import asyncio
import json
import threading
from collections.abc import Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from service.errors import InferenceFailed
from service.runtime import Session
from service.translation.translator import Translator
from tests.fakes import doubled, registry_of, serving, until
from tests.service.api.checks import REQUESTS, check_problem

PAIR = {"source": "en", "target": "xx"}
TEXT = "Wind and rain!  No,\n\n\tno way. {{x}} and <b>rain</b>."
STREAM = {"Accept": "text/event-stream"}


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.split("\n\n"):
        if block:
            name, data = block.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def stream(client: TestClient, **body: Any) -> list[tuple[str, Any]]:
    answer = client.post("/translate", json={**PAIR, **body}, headers=STREAM)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    return events(answer.text)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beam_size": 1, "attention": "full"},
        {"alternatives": 2, "attention": "none"},
        {"attention_unit": "word"},
        {"format": "html"},
    ],
)
@pytest.mark.parametrize("q", [TEXT, [TEXT, "Wind.", "No! 7"]])
def test_the_last_event_is_the_whole_answer(client: TestClient, q: str | list[str], options: dict[str, Any]) -> None:
    *sentences, (name, done) = [found for found in stream(client, q=q, **options) if found[0] != "token"]
    assert name == "done"
    expected = client.post("/translate", json={**PAIR, "q": q, **options}).json()
    assert without_numbers(done) == without_numbers(expected)
    assert {name for name, _ in sentences} == {"sentence"}
    whole = [(n, s) for n, translation in enumerate(done["translations"]) for s in translation["sentences"]]
    told = sorted(
        ((e["translation"], e["sentence"]) for _, e in sentences), key=lambda e: (e[0], e[1]["source"]["start"])
    )
    assert [(n, s["text"], s["source"]) for n, s in told] == [(n, s["text"], s["source"]) for n, s in whole]
    for _, sentence in told:
        for token in sentence["target_tokens"]:
            assert sentence["text"][token["start"] : token["end"]] == token["text"]


@pytest.mark.parametrize("detail", ["none", "summary", "full"])
def test_token_events(client: TestClient, detail: str) -> None:
    """One event per row of the summary, before the event of the sentence."""
    found = stream(client, q="Wind and rain!  No way.", beam_size=1, attention=detail)
    sentences = {e["number"]: e["sentence"] for name, e in found if name == "sentence"}
    assert len(sentences) == 2
    for number, sentence in sentences.items():
        told = [(name, e) for name, e in found if e.get("number") == number]
        assert [name for name, _ in told] == ["token"] * len(sentence["target_tokens"]) + ["sentence"]
        tokens = [e for _, e in told[:-1]]
        assert "".join(token["text"] for token in tokens).strip() == sentence["text"]
        assert [token["text"].strip() for token in tokens] == [token["text"] for token in sentence["target_tokens"]]
        if detail == "none":
            assert {token["weights"] for token in tokens} == {None}
        elif detail == "summary":
            rows = np.array([token["weights"] for token in tokens])
            assert rows == pytest.approx(np.array(sentence["attention"][0]["weights"]), abs=1e-4)


@pytest.mark.parametrize("body", [{"q": "Wind", "beam_size": 2}, {"q": "Wind {{x}}", "beam_size": 1}, {"q": "Wind"}])
def test_no_token_events_in_beam_search_or_with_kept_pieces(client: TestClient, body: dict[str, Any]) -> None:
    assert [name for name, _ in stream(client, **body)] == ["sentence", "done"]


def without_numbers(answer: Any) -> Any:
    """Alone and in a batch they agree to 1e-3 only; that is what the tests of the predictors are for."""
    if isinstance(answer, dict):
        return {key: without_numbers(value) for key, value in answer.items() if key not in ("weights", "score")}
    return [without_numbers(value) for value in answer] if isinstance(answer, list) else answer


def test_a_text_with_nothing_to_translate(client: TestClient) -> None:
    [(name, done)] = stream(client, q="https://example.org")
    assert (name, done["translatedText"]) == ("done", "https://example.org")


def test_language_detection(client: TestClient) -> None:
    *_, (_, done) = stream(client, q="Where is the wind?", source="auto")
    assert done["detectedLanguage"]["language"] == "en"


@pytest.mark.parametrize(
    ("body", "status", "error_type"),
    [
        ({"q": " "}, 422, "empty_text"),
        ({}, 400, "missing_parameter"),
        ({"q": "Wind", "target": "zz"}, 400, "unsupported_language_pair"),
        ({"q": "Wind", "beam_size": 99}, 422, "unsupported_option"),
    ],
)
def test_early_errors_have_their_status(client: TestClient, body: dict[str, Any], status: int, error_type: str) -> None:
    check_problem(client.post("/translate", json={**PAIR, **body}, headers=STREAM), status, error_type)


def test_a_late_error_is_an_event(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    translate = Translator.translate

    async def fail_later(self: Translator, texts: Sequence[str], *options: Any, **named: Any) -> Any:
        await translate(self, ["Wind!"], *options, **named)
        raise InferenceFailed("the network failed: out of luck")

    monkeypatch.setattr(Translator, "translate", fail_later)
    *sentences, (name, problem) = stream(client, q="Wind! Rain. No!")
    assert [name for name, _ in sentences] == ["sentence"]
    assert (name, problem["status"], problem["error_type"]) == ("error", 500, "inference_failed")


def test_a_timeout_is_an_event(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translate = Translator.translate

    async def slow(self: Translator, texts: Sequence[str], *options: Any, **named: Any) -> Any:
        await translate(self, ["Wind!"], *options, **named)
        await asyncio.sleep(30)

    with serving(models, timeout_s=0.3) as client:
        monkeypatch.setattr(Translator, "translate", slow)
        *sentences, (name, problem) = stream(client, q="Wind! Rain. No!")
    assert [name for name, _ in sentences] == ["sentence"]
    assert (name, problem["status"], problem["error_type"]) == ("error", 504, "inference_timeout")


def test_a_disconnect_cancels_the_work(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client disconnects while its sentences wait; they never run."""
    running, finish, encoded = threading.Event(), threading.Event(), []
    run = Session.run

    def slow(self: Session, inputs: Any, fetched: Any) -> Any:
        running.set()
        finish.wait()
        if "source_ids" in inputs:
            encoded.append(len(inputs["source_ids"]))
        return run(self, inputs, fetched)

    with serving(models) as client, ThreadPoolExecutor() as pool:
        monkeypatch.setattr(Session, "run", slow)
        try:
            other = pool.submit(client.post, "/translate", json=REQUESTS["/translate"])
            assert running.wait(30)
            predictor = registry_of(client).translator("en", "xx")
            assert asyncio.run(leave(client, lambda: predictor.scheduler.waiting_tokens > 0)) == b""
        finally:
            finish.set()
        assert other.result().json()["translatedText"] == doubled("wind")
        assert client.post("/translate", json=REQUESTS["/translate"]).status_code == 200
    assert encoded == [1, 1]


async def leave(client: TestClient, when: Callable[[], object]) -> bytes:
    """Ask for five sentences and hang up at some time: what was answered until then."""
    body = json.dumps({**PAIR, "q": "Wind. Rain. No way. And wind. And rain."}).encode()
    messages: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body}]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        if messages:
            return messages.pop(0)
        await asyncio.to_thread(until, when)
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"accept", b"text/event-stream"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/translate", "query_string": b"", "headers": headers}
    await asyncio.wait_for(client.app(scope, receive, send), 30)
    return b"".join(message.get("body", b"") for message in sent)


def test_a_stream_is_one_request_for_the_limit_on_tokens(models: Path) -> None:
    """96 tokens in sentences of at most 12 are refused, as they are without events."""
    q = " ".join(["a b c d e f g h i j k."] * 8)
    with serving(models, max_request_tokens=60) as client:
        for headers in ({}, STREAM):
            body = {**PAIR, "q": q, "beam_size": 1}
            check_problem(client.post("/translate", json=body, headers=headers), 422, "too_many_tokens")


def test_comments_keep_the_connection_alive(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    translate = Translator.translate

    async def slow(self: Translator, texts: Sequence[str], *options: Any, **named: Any) -> Any:
        await asyncio.sleep(0.25)
        return await translate(self, texts, *options, **named)

    monkeypatch.setattr(Translator, "translate", slow)
    monkeypatch.setattr("service.api.events.KEEP_ALIVE_S", 0.1)
    answer = client.post("/translate", json={**PAIR, "q": "Wind"}, headers=STREAM)
    blocks = answer.text.split("\n\n")
    assert blocks[:2] == [": keep-alive"] * 2
    assert [block.split("\n")[0] for block in blocks[2:-1]] == ["event: sentence", "event: done"]
