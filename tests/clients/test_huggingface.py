"""Hugging Face's own client, given an address instead of a model."""

import json
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from starlette.testclient import TestClient

from tests.fakes import LABELS, doubled
from tests.service.api.checks import check_problem


def test_text_classification(address: str) -> None:
    client = InferenceClient(f"{address}/huggingface/toy", token="none")
    found = client.text_classification("Wind and rain")
    assert {element.label for element in found} == set(LABELS)
    scores = [element.score for element in found]
    assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1, abs=1e-5)
    assert client.text_classification("Wind and rain", top_k=1) == found[:1]


def test_translation(address: str) -> None:
    client = InferenceClient(f"{address}/huggingface/en-xx", token="none")
    assert client.translation("Wind and {{x}}!").translation_text == f"{doubled('Wind and')} {{{{x}}}}{doubled('!')}"
    assert client.translation("Wind", src_lang="en", tgt_lang="xx").translation_text == doubled("Wind")


def test_text_generation(address: str, client: TestClient) -> None:
    hub = InferenceClient(f"{address}/huggingface/writer", token="none")
    likeliest = client.post("/generate", json={"prompt": "Wind", "max_tokens": 7, "temperature": 0}).json()["text"]
    assert hub.text_generation("Wind", max_new_tokens=7) == likeliest
    drawn = client.post("/generate", json={"prompt": "Wind", "max_tokens": 7, "seed": 3, "top_k": 9}).json()["text"]
    asked: dict[str, Any] = {"max_new_tokens": 7, "seed": 3, "top_k": 9, "do_sample": True}
    assert hub.text_generation("Wind", **asked) == drawn
    assert hub.text_generation("Wind", return_full_text=True, **asked) == "Wind" + drawn


def test_the_client_reads_errors(address: str) -> None:
    with pytest.raises(HfHubHTTPError, match="there is no model"):
        InferenceClient(f"{address}/huggingface/nobody", token="none").text_classification("Wind")


def test_lists(client: TestClient) -> None:
    labels = client.post("/huggingface/toy", json={"inputs": ["wind", "rain"]}).json()
    assert [len(one) for one in labels] == [3, 3]
    texts = client.post(
        "/huggingface/en-xx", json={"inputs": ["wind", "rain"], "parameters": {"src_lang": None}}
    ).json()
    assert texts == [{"translation_text": doubled("wind")}, {"translation_text": doubled("rain")}]


@pytest.mark.parametrize(
    ("name", "parameters", "status"),
    [
        ("toy", {"top_k": 0}, 422),
        ("toy", {"top_k": "3"}, 422),
        ("toy", {"function_to_apply": "sigmoid"}, 422),
        ("en-xx", {"top_k": 3}, 422),
        ("writer", {"top_k": 0}, 422),
        ("writer", {"details": True}, 422),
        ("writer", {"best_of": 3}, 422),
        ("writer", {"max_new_tokens": 999}, 422),
        ("en-xx", {"src_lang": 7}, 422),
        ("en-xx", {"tgt_lang": "zz"}, 400),
    ],
)
def test_unknown_parameters_are_refused(
    client: TestClient, name: str, parameters: dict[str, object], status: int
) -> None:
    check_problem(client.post(f"/huggingface/{name}", json={"inputs": "wind", "parameters": parameters}), status)


def test_a_stream_of_tokens(address: str, client: TestClient) -> None:
    hub = InferenceClient(f"{address}/huggingface/writer", token="none")
    whole = client.post("/generate", json={"prompt": "Wind", "max_tokens": 7, "temperature": 0}).json()
    tokens = list(hub.text_generation("Wind", max_new_tokens=7, stream=True))
    assert tokens == [token["text"] for token in whole["tokens"]]
    body = {"inputs": "Wind", "parameters": {"max_new_tokens": 7}, "stream": True}
    answer = client.post("/huggingface/writer", json=body)
    events = [json.loads(line.removeprefix("data:")) for line in answer.text.split("\n\n") if line]
    assert [event["generated_text"] for event in events] == [None] * 6 + [whole["text"]]
    assert [event["token"]["id"] for event in events] == list(range(7))
    check_problem(client.post("/huggingface/writer", json={**body, "inputs": ["a", "b"]}), 422, "invalid_input")
    check_problem(client.post("/huggingface/writer", json={**body, "parameters": {"top_k": 0}}), 422, "invalid_input")
