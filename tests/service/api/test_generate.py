"""POST /generate over the fake language model; what it writes is tested in `tests/service/test_generator.py`."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.fakes import before_networks, registry_of, serving, until, write_classifier
from tests.service.api.checks import check_problem

BODY = {"prompt": "The wind", "max_tokens": 12, "seed": 3}
EVENTS = {"Accept": "text/event-stream"}


def ask(client: TestClient, **changes: Any) -> Any:
    answer = client.post("/generate", json={**BODY, **changes})
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(client: TestClient, **changes: Any) -> list[tuple[str, Any]]:
    answer = client.post("/generate", json={**BODY, **changes}, headers=EVENTS)
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
    found = []
    for block in answer.text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_an_answer(client: TestClient) -> None:
    answer = ask(client)
    assert (answer["model"], answer["version"], answer["seed"], answer["finish_reason"]) == ("writer", "1", 3, "length")
    assert len(answer["tokens"]) == 12 and answer["text"] == "".join(token["text"] for token in answer["tokens"])
    assert answer["prompt_tokens"][0]["logprob"] is None
    assert all(token["logprob"] < 0 for token in [*answer["prompt_tokens"][1:], *answer["tokens"]])
    [matrix] = answer["attention"]
    columns = len(answer["prompt_tokens"]) + 11
    assert matrix["kind"] == "decoder_self" and [len(row) for row in matrix["weights"]] == [columns] * 12
    for place, row in enumerate(matrix["weights"]):
        assert sum(row) == pytest.approx(1, abs=1e-3)
        assert not any(row[len(answer["prompt_tokens"]) + place :])
    assert len(ask(client, attention="full")["attention"]) == 2
    assert ask(client, attention="none")["attention"] == []


@pytest.mark.parametrize("detail", ["none", "summary", "full"])
def test_events_end_in_the_answer(client: TestClient, detail: str) -> None:
    *tokens, (last, answer) = events(client, attention=detail)
    assert last == "done" and answer == ask(client, attention=detail)
    assert {name for name, _ in tokens} == {"token"}
    told = [{key: value for key, value in token.items() if key != "weights"} for _, token in tokens]
    assert told == answer["tokens"]
    for place, (_, token) in enumerate(tokens):
        if detail == "summary":
            assert token["weights"] == answer["attention"][0]["weights"][place][: len(token["weights"])]
        else:
            assert token["weights"] is None


@pytest.mark.parametrize(
    ("changes", "status", "error_type"),
    [
        ({"prompt": ""}, 422, "empty_text"),
        ({"prompt": "wind " * 99}, 422, "text_too_long"),
        ({"prompt": ["wind"]}, 422, "invalid_input"),
        ({"prompt": None}, 422, "invalid_input"),
        ({"max_tokens": 302}, 422, "unsupported_option"),
        ({"max_tokens": -1}, 422, "invalid_input"),
        ({"max_tokens": 2.5}, 422, "invalid_input"),
        ({"temperature": -0.1}, 422, "invalid_input"),
        ({"top_k": 0}, 422, "invalid_input"),
        ({"top_p": 0}, 422, "invalid_input"),
        ({"top_p": 1.1}, 422, "invalid_input"),
        ({"repetition_penalty": 0.5}, 422, "invalid_input"),
        ({"seed": -1}, 422, "invalid_input"),
        ({"seed": 2**53}, 422, "invalid_input"),
        ({"stop": ""}, 422, "invalid_input"),
        ({"stop": ["x"] * 17}, 422, "invalid_input"),
        ({"attention": "all"}, 422, "invalid_input"),
        ({"temprature": 1}, 422, "invalid_input"),
        ({"model": "nobody"}, 404, "model_not_found"),
        ({"model": "toy"}, 404, "model_not_found"),
        ({"model": "writer", "version": 2}, 404, "model_not_found"),
    ],
)
@pytest.mark.parametrize("headers", [{}, EVENTS])
def test_bad_requests(
    client: TestClient, changes: dict[str, Any], status: int, error_type: str, headers: dict[str, str]
) -> None:
    """Errors before the first token have their own status, also with events."""
    check_problem(client.post("/generate", json={**BODY, **changes}, headers=headers), status, error_type)
    assert ask(client)["text"]


@pytest.mark.parametrize("prompt", ["日本語 と wind", "\x00", "\n", " ", "e\u0301e\u0301", "👩‍👩‍👧", "\u200b"])
def test_any_text_can_be_a_prompt(client: TestClient, prompt: str) -> None:
    answer = client.post("/generate", json={**BODY, "prompt": prompt})
    if answer.status_code == 200:  # a symbol that the tokenizer does not know is read as unknown, and never written
        assert all(prompt[t["start"] : t["end"]] == t["text"] for t in answer.json()["prompt_tokens"])
    else:
        check_problem(answer, 422, "empty_text")


def test_temperature_zero_is_the_likeliest_text(client: TestClient) -> None:
    assert ask(client, temperature=0, seed=1)["text"] == ask(client, temperature=0.0, seed=2)["text"]
    assert ask(client, temperature=0)["text"] == ask(client, top_k=1)["text"]


def test_without_a_language_model(tmp_path: Path) -> None:
    write_classifier(tmp_path)
    with serving(tmp_path) as client:
        problem = check_problem(client.post("/generate", json=BODY), 404, "model_not_found")
        assert "no model for generation" in problem["detail"]


def test_a_disconnect_stops_the_generation(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disconnected client stops its generation."""
    runs: list[int] = []
    with serving(models) as client:
        before_networks(monkeypatch, lambda: runs.append(1))
        body = {**BODY, "max_tokens": 300, "attention": "none"}

        async def asked() -> None:
            messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
            told = threading.Event()

            async def receive() -> Any:
                if messages:
                    return messages.pop()

                while not told.is_set():
                    await asyncio.sleep(0)
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                if message.get("body"):
                    told.set()

            scope = {
                "type": "http",
                "method": "POST",
                "path": "/generate",
                "query_string": b"",
                "headers": [(b"accept", b"text/event-stream")],
                "app": client.app,
            }
            await client.app(scope, receive, send)

        assert client.portal is not None
        client.portal.call(asked)
        predictor = registry_of(client).generator()
        until(lambda: not predictor.scheduler.running)
        assert len(runs) < 300


def test_requests_share_a_batch(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    with serving(models) as client, ThreadPoolExecutor(8) as pool:
        alone = [ask(client, seed=seed, max_tokens=100)["text"] for seed in range(8)]
        before_networks(monkeypatch, lambda: runs.append(1))
        together = list(pool.map(lambda seed: ask(client, seed=seed, max_tokens=100)["text"], range(8)))
    assert together == alone
    assert len(runs) < 8 * 100


def test_a_form_is_not_read(models: Path) -> None:
    client = TestClient(create_app(Settings(models=models, device="cpu", threads=1)))
    check_problem(client.post("/generate", data={"prompt": "wind"}), 415, "unsupported_media_type")
