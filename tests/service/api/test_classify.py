from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.fakes import LABELS, MAX_TOKENS, TEXTS
from tests.service.api.checks import check_matrix, check_tokens, kinds

POOLING = [("pooling", None, None)]
EXPECTED_KINDS = {"none": [], "summary": POOLING, "full": [*POOLING, ("self", 0, 0), ("self", 0, 1)]}


def classify(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/classify", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    return found


def check_prediction(prediction: dict[str, Any], text: str) -> None:
    assert prediction.keys() == {"label", "score", "scores", "truncated", "tokens", "attention"}
    assert sum(prediction["scores"].values()) == pytest.approx(1, abs=1e-5)
    assert prediction["score"] == max(prediction["scores"].values()) == prediction["scores"][prediction["label"]]
    check_tokens(prediction["tokens"], text)
    tokens = len(prediction["tokens"])
    for matrix in prediction["attention"]:
        check_matrix(matrix, 1 if matrix["kind"] == "pooling" else tokens, tokens)


def test_one_text(client: TestClient) -> None:
    body = classify(client, text=TEXTS[0])
    assert body.keys() == {"model", "version", "predictions"}
    assert (body["model"], body["version"]) == ("toy", "1")
    [prediction] = body["predictions"]
    assert list(prediction["scores"]) == LABELS
    assert prediction["truncated"] is False
    assert kinds(prediction["attention"]) == POOLING  # summary is the default
    check_prediction(prediction, TEXTS[0])


@pytest.mark.parametrize("detail", ["none", "summary", "full"])
def test_several_texts_in_their_order(client: TestClient, detail: str) -> None:
    predictions = classify(client, text=TEXTS, attention=detail)["predictions"]
    for text, prediction in zip(TEXTS, predictions, strict=True):
        check_prediction(prediction, text)
        assert kinds(prediction["attention"]) == EXPECTED_KINDS[detail]
        assert [prediction] == classify(client, text=text, attention=detail)["predictions"]


def test_a_list_of_one(client: TestClient) -> None:
    assert classify(client, text=TEXTS[:1]) == classify(client, text=TEXTS[0])


@pytest.mark.parametrize(
    "text", ["👩‍👩‍👧 e\u0301  日本\twind", "\ufeffwind", " \u00a0wind\u2028rain ", "wind\x00", "<pad></s>", "𐍈"]
)
def test_odd_texts(client: TestClient, text: str) -> None:
    [prediction] = classify(client, text=text, attention="full")["predictions"]
    check_prediction(prediction, text)


def test_offsets_are_code_points(client: TestClient) -> None:
    [prediction] = classify(client, text="👧 wind")["predictions"]
    assert [t for t in prediction["tokens"] if t["text"] == "wind"] == [{"text": "wind", "start": 2, "end": 6}]


def test_truncation_is_reported(client: TestClient) -> None:
    long = "wind " * (MAX_TOKENS + 1)
    first, second = classify(client, text=[long, "wind"], truncate=True)["predictions"]
    assert (first["truncated"], second["truncated"]) == (True, False)
    assert len(first["tokens"]) == MAX_TOKENS
    check_prediction(first, long)
    assert classify(client, text="wind " * MAX_TOKENS)["predictions"][0]["truncated"] is False


def test_a_model_and_a_version_can_be_named(client: TestClient) -> None:
    default = classify(client, text="wind")
    assert classify(client, text="wind", model="toy") == default
    assert classify(client, text="wind", model="toy", version=1) == default
    assert classify(client, text="wind", model=None, version=None) == default


def test_the_committed_classifier(real_client: TestClient) -> None:
    texts = ["FREE entry! Text WIN to 80086 now", "See you at home, mum 😘"]
    spam, ham = classify(real_client, text=texts, model="sms-spam", attention="full")["predictions"]
    assert (spam["label"], ham["label"]) == ("spam", "ham")
    for prediction, text in zip((spam, ham), texts, strict=True):
        check_prediction(prediction, text)
        assert kinds(prediction["attention"]) == POOLING


@pytest.mark.parametrize("length", [1, 2, 97, 499])
def test_rows_sum_to_one_at_any_length(real_client: TestClient, length: int) -> None:
    text = "win " * length
    [prediction] = classify(real_client, text=text, model="sms-spam")["predictions"]
    assert len(prediction["tokens"]) >= length
    check_prediction(prediction, text)


@pytest.mark.parametrize("detail", ["none", "summary", "full"])
def test_words_instead_of_tokens(client: TestClient, detail: str) -> None:
    text = "The wind isn't cold, no."
    by_token = classify(client, text=text, attention=detail)["predictions"][0]
    [prediction] = classify(client, text=text, attention=detail, attention_unit="word")["predictions"]
    assert [token["text"] for token in prediction["tokens"]] == ["The", "wind", "isn't", "cold", ",", "no", "."]
    check_prediction(prediction, text)
    assert kinds(prediction["attention"]) == kinds(by_token["attention"])
    assert prediction["scores"] == by_token["scores"]
