"""KServe's protocol, version 1: the answers of the other routes in lists."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from service.handlers.explain_schemas import ExplainOutputResponse, ExplainResponse
from tests.fakes import doubled
from tests.service.api.checks import check_problem

TEXTS = ["No rain", "a warm wind"]


def test_models(client: TestClient) -> None:
    assert client.get("/v1/models").json() == {"models": ["en-xx", "toy", "writer"]}
    assert client.get("/v1/models/toy").json() == {"name": "toy", "ready": True}
    check_problem(client.get("/v1/models/nope"), 404, "model_not_found")


def predictions(client: TestClient, model: str, **parameters: Any) -> Any:
    answer = client.post(f"/v1/models/{model}:predict", json={"instances": TEXTS, "parameters": parameters})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def test_predictions_of_a_classifier_are_those_of_classify(client: TestClient) -> None:
    for attention in ("none", "summary"):
        expected = client.post("/classify", json={"text": TEXTS, "attention": attention}).json()["predictions"]
        assert predictions(client, "toy", attention=attention) == expected
    assert predictions(client, "toy")[0]["attention"] == []


def test_predictions_of_a_translator_and_a_language_model(client: TestClient) -> None:
    assert [one["text"] for one in predictions(client, "en-xx", beam_size=1)] == [doubled(text) for text in TEXTS]
    found = predictions(client, "writer", max_tokens=3, temperature=0.0)
    for text, one in zip(TEXTS, found, strict=True):
        body = {"prompt": text, "max_tokens": 3, "temperature": 0, "attention": "none"}
        assert client.post("/generate", json=body).json()["text"] == one["text"]


def test_explanations_are_those_of_explain(client: TestClient) -> None:
    for model, schema in (("toy", ExplainResponse), ("en-xx", ExplainOutputResponse)):
        body = {"instances": TEXTS, "parameters": {"methods": ["occlusion"]}}
        found = client.post(f"/v1/models/{model}:explain", json=body).json()["explanations"]
        for text, one in zip(TEXTS, found, strict=True):
            schema.model_validate(one)
            assert one == client.post("/explain", json={"text": text, "model": model, "methods": ["occlusion"]}).json()


@pytest.mark.parametrize("verb", ["predict", "explain"])
def test_errors(client: TestClient, verb: str) -> None:
    path = f"/v1/models/toy:{verb}"
    check_problem(client.post(path, json={"instances": []}), 422, "invalid_input")
    check_problem(client.post(path, json={"instances": [{"text": "wind"}]}), 422, "invalid_input")
    check_problem(client.post(path, json={"instances": [" "]}), 422, "empty_text")
    check_problem(client.post(path, json={"instances": ["wind"], "parameters": {"text": "x"}}), 422, "invalid_input")
    check_problem(client.post(path, json={"instances": ["wind"], "parameters": {"beam": 1}}), 422, "invalid_input")
    body = {"instances": ["wind"]}
    check_problem(client.post(f"/v1/models/nope:{verb}", json=body), 404, "model_not_found")
    check_problem(client.get(path), 405, "method_not_allowed")
