from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.fakes import doubled
from tests.service.api.checks import check_matrix, check_tokens, kinds

Body = dict[str, Any]

PAIR = {"source": "en", "target": "xx"}
CROSS = [("cross", 0, 0), ("cross", 0, 1), ("cross", 1, None)]
ENCODER_DECODER = [(kind, 0, head) for kind in ("encoder_self", "decoder_self") for head in (0, 1)]
EXPECTED_KINDS = {"none": [], "summary": [("cross", 0, None)], "full": CROSS + ENCODER_DECODER}
TEXT = " Wind and rain!  No,\n\n\tno way. A 👧 and e\u0301. "


def translate(client: TestClient, **body: Any) -> Body:
    answer = client.post("/translate", json={**PAIR, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    found: Body = answer.json()
    return found


def check_translation(translation: Body, q: str) -> None:
    """Spans, tokens, white space and matrices of one text fit together."""
    text, position, joined = translation["text"], 0, ""
    for sentence in translation["sentences"]:
        start, end = sentence["source"]["start"], sentence["source"]["end"]
        space = q[position:start]
        assert space.strip() == ""
        joined += space + sentence["text"]
        position = end
        sources, targets = sentence["source_tokens"], sentence["target_tokens"]
        check_tokens(sources, q)
        check_tokens(targets, text)
        assert all(start <= token["start"] <= token["end"] <= end for token in sources)
        assert all(len(joined) - len(sentence["text"]) <= token["start"] for token in targets)
        assert sentence["score"] <= 0
        sizes = {
            "cross": (len(targets), len(sources)),
            "encoder_self": (len(sources), len(sources)),
            "decoder_self": (len(targets), len(targets)),
        }
        for matrix in sentence["attention"]:
            check_matrix(matrix, *sizes[matrix["kind"]])
    assert q[position:].strip() == ""
    assert joined + q[position:] == text


def test_a_string(client: TestClient) -> None:
    q = "Wind and rain!  No,\n\tno way."
    body = translate(client, q=q)
    assert body.keys() == {"translatedText", "model", "version", "translations"}
    assert (body["model"], body["version"]) == ("en-xx", "1")
    assert body["translatedText"] == doubled(q)
    [translation] = body["translations"]
    assert translation.keys() == {"text", "sentences"}
    assert translation["text"] == body["translatedText"]
    assert [q[s["source"]["start"] : s["source"]["end"]] for s in translation["sentences"]] == [
        "Wind and rain!",
        "No,",
        "no way.",
    ]
    check_translation(translation, q)


def test_a_list(client: TestClient) -> None:
    texts = ["Wind.", "Rain and wind. And no rain?"]
    body = translate(client, q=texts)
    assert body["translatedText"] == [doubled(text) for text in texts]
    for text, translation in zip(texts, body["translations"], strict=True):
        check_translation(translation, text)
    assert translate(client, q=["Wind."])["translatedText"] == [doubled("Wind.")]


@pytest.mark.parametrize("beam_size", [1, 2, 7])
@pytest.mark.parametrize("detail", ["none", "summary", "full"])
def test_attention(client: TestClient, detail: str, beam_size: int) -> None:
    [translation] = translate(client, q=TEXT, attention=detail, beam_size=beam_size)["translations"]
    check_translation(translation, TEXT)
    assert len(translation["sentences"]) >= 3
    for sentence in translation["sentences"]:
        assert kinds(sentence["attention"]) == EXPECTED_KINDS[detail]
        assert sentence["source_tokens"][-1]["special"] == "</s>"
        assert "alternatives" not in sentence


def test_summary_is_the_mean_of_its_heads(client: TestClient) -> None:
    [[summary], full] = (
        translate(client, q="wind", attention=detail)["translations"][0]["sentences"][0]["attention"]
        for detail in ("summary", "full")
    )
    for row, first, second in zip(summary["weights"], full[0]["weights"], full[1]["weights"], strict=True):
        assert row == pytest.approx([(a + b) / 2 for a, b in zip(first, second, strict=True)], abs=1e-3)


@pytest.mark.parametrize("q", ["Wind. No!", ["Wind. No!", "Rain"]])
def test_alternatives(client: TestClient, q: str | list[str]) -> None:
    body = translate(client, q=q, alternatives=2, beam_size=1)
    lists = [body["alternatives"]] if isinstance(q, str) else body["alternatives"]
    for translation, alternatives in zip(body["translations"], lists, strict=True):
        assert len(alternatives) == 2
        assert all(isinstance(text, str) and text != translation["text"] for text in alternatives)
        for sentence in translation["sentences"]:
            scores = [sentence["score"], *(a["score"] for a in sentence["alternatives"])]
            assert scores == sorted(scores, reverse=True)
            assert [a.keys() for a in sentence["alternatives"]] == [{"text", "score"}] * 2
        check_translation(translation, q if isinstance(q, str) else q[len(translation["sentences"]) == 1])


def test_no_alternatives_by_default(client: TestClient) -> None:
    assert "alternatives" not in translate(client, q="Wind", alternatives=0)


def test_a_long_sentence_is_split_and_covered(client: TestClient) -> None:
    q = "wind and rain, " * 30 + "wind"
    [translation] = translate(client, q=q, beam_size=1)["translations"]
    check_translation(translation, q)
    assert len(translation["sentences"]) > 3
    covered = {i for s in translation["sentences"] for t in s["source_tokens"] for i in range(t["start"], t["end"])}
    assert covered == {i for i, character in enumerate(q) if not character.isspace()}
    assert translation["text"] == doubled(q)


def test_options(client: TestClient) -> None:
    assert translate(client, q="wind and rain", max_length=2)["translatedText"] == doubled("wind and")
    scores = [
        translate(client, q="wind", length_penalty=alpha)["translations"][0]["sentences"][0]["score"]
        for alpha in (0, 1)
    ]
    assert scores[0] == pytest.approx(2 * scores[1], abs=1e-5)


@pytest.mark.parametrize("named", [{"model": "en-xx"}, {"model": "en-xx", "version": 1}, {**PAIR, "model": None}])
def test_a_model_replaces_the_languages(client: TestClient, named: Body) -> None:
    answer = client.post("/translate", json={"q": "Wind", **named})
    assert answer.json()["translatedText"] == doubled("Wind")


def test_fields_of_libretranslate_clients_are_accepted(client: TestClient) -> None:
    body = {"q": "Wind", **PAIR, "format": "text", "alternatives": 1, "api_key": "", "secret": "x"}
    assert client.post("/translate", json=body).json()["translatedText"] == doubled("Wind")


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"q": "Wind; rain?\n 7!"}, "WWiinndd;; rraaiinn??\n 7!"),
        ({"q": ["Wind", "Rain"]}, ["WWiinndd", "RRaaiinn"]),
        ({"q": "Wind", "beam_size": "1", "length_penalty": "0.5", "alternatives": "0", "api_key": ""}, "WWiinndd"),
        ({"q": "é", "format": "text"}, "éé"),
    ],
)
def test_forms(client: TestClient, form: Body, expected: str | list[str]) -> None:
    answer = client.post("/translate", data={**PAIR, **form})
    assert answer.status_code == 200, answer.text
    assert answer.request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert answer.json()["translatedText"] == expected


def test_a_form_is_equivalent_to_json(client: TestClient) -> None:
    form = client.post("/translate", data={**PAIR, "q": ["Wind.", "No way!"], "attention": "full", "alternatives": "1"})
    assert form.json() == translate(client, q=["Wind.", "No way!"], attention="full", alternatives=1)


@pytest.mark.parametrize("beam_size", [1, 4])
def test_the_committed_translator(real_client: TestClient, beam_size: int) -> None:
    q = "A man is riding a bicycle.  Two dogs are playing in the snow!\nWhere is the station?"
    body = {"q": q, "source": "en", "target": "fr", "attention": "full", "beam_size": beam_size}
    [translation] = real_client.post("/translate", json=body).json()["translations"]
    check_translation(translation, q)
    assert len(translation["sentences"]) == 3
    for sentence in translation["sentences"]:
        layers, heads = range(3), range(4)
        assert kinds(sentence["attention"]) == [
            (kind, layer, head)
            for kind in ("cross", "encoder_self", "decoder_self")
            for layer in layers
            for head in heads
        ]


@pytest.mark.parametrize("detail", ["none", "summary", "full"])
def test_words_instead_of_tokens(client: TestClient, detail: str) -> None:
    q = "Wind isn't rain.  No,\n\tno way."
    [by_token] = translate(client, q=q, attention=detail)["translations"]
    [translation] = translate(client, q=q, attention=detail, attention_unit="word")["translations"]
    assert translation["text"] == by_token["text"]
    words = [[t["text"] for t in s["source_tokens"] if t["text"]] for s in translation["sentences"]]
    assert words == [["Wind", "isn't", "rain", "."], ["No", ","], ["no", "way", "."]]
    for sentence, in_tokens in zip(translation["sentences"], by_token["sentences"], strict=True):
        assert kinds(sentence["attention"]) == kinds(in_tokens["attention"])
        targets, sources = len(sentence["target_tokens"]), len(sentence["source_tokens"])
        columns = {"cross": sources, "encoder_self": sources, "decoder_self": targets + 1}
        for matrix in sentence["attention"]:
            weights = np.array(matrix["weights"])
            assert weights.shape == (sources if matrix["kind"] == "encoder_self" else targets, columns[matrix["kind"]])
            assert abs(weights.sum(axis=1) - 1).max() <= 1e-3
