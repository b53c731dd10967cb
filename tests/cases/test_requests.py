"""Requests as clients of LibreTranslate and of other services send them."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.fakes import doubled, serving, write_classifier, write_translator
from tests.service.api.checks import check_matrix, check_problem, check_tokens

PAIR = {"source": "en", "target": "xx"}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
STREAM = {"Accept": "text/event-stream"}


def infer(*texts: str, **fields: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}], **fields}


# Empty texts of a list


@pytest.mark.parametrize("empty", ["", " \n", "\u200b"])
def test_empty_texts_of_a_list(client: TestClient, empty: str) -> None:
    answer = client.post("/translate", json={**PAIR, "q": [empty, "A dog."], "alternatives": 1}).json()
    assert answer["translatedText"] == [empty, doubled("A dog.")]
    assert answer["translations"][0] == {"text": empty, "sentences": []}
    assert answer["alternatives"][0] == [empty]
    assert client.post("/translate", json={**PAIR, "q": [empty]}).json()["translatedText"] == [empty]
    done = client.post("/translate", json={**PAIR, "q": [empty, "A dog."]}, headers=STREAM).text.split("\n\n")[-2]
    assert json.loads(done.partition("data: ")[2])["translatedText"] == [empty, doubled("A dog.")]


def test_empty_texts_of_other_protocols(client: TestClient) -> None:
    [output, *_] = client.post("/v2/models/en-xx/infer", json=infer("", "wind")).json()["outputs"]
    assert output["data"] == ["", doubled("wind")]
    answer = client.post("/huggingface/en-xx", json={"inputs": [" ", "wind"]}).json()
    assert answer == [{"translation_text": " "}, {"translation_text": doubled("wind")}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/classify", {"text": ["wind", ""]}),
        ("/huggingface/toy", {"inputs": ["wind", ""]}),
        ("/v2/models/toy/infer", infer("wind", "")),
    ],
)
def test_a_classifier_refuses_an_empty_text_unless_a_setting_allows_it(
    client: TestClient, models: Path, path: str, body: dict[str, Any]
) -> None:
    problem = check_problem(client.post(path, json=body), 422, "empty_text")
    assert problem["detail"] == "text 1 has no visible character"
    with serving(models, allow_empty_texts=True) as allowing:
        answer = allowing.post(path, json=body)
        assert answer.status_code == 200, answer.text
    if path == "/classify":
        first, second = answer.json()["predictions"]
        assert first["label"] and first["tokens"]
        assert (second["label"], second["score"], second["scores"], second["tokens"]) == ("", 0.0, {}, [])


# Forms, query strings, null and empty options


def multipart(fields: dict[str, str]) -> dict[str, Any]:
    return {"files": {name: (None, value) for name, value in fields.items()}}


SENT: list[dict[str, Any]] = [
    {"data": {**PAIR, "q": "Wind; é"}},
    multipart({**PAIR, "q": "Wind; é", "alternatives": "", "format": ""}),
    {"params": {**PAIR, "q": "Wind; é"}},
    {"params": PAIR, "data": {"q": "Wind; é"}},
    {"params": {"q": "Wind; é"}, **multipart(PAIR)},
    {"data": {**PAIR, "q": "Wind; é", "alternatives": "", "api_key": "", "format": "", "model": ""}},
    {"json": {**PAIR, "q": "Wind; é", "format": None, "alternatives": None, "beam_size": None, "api_key": None}},
    {"json": {**PAIR, "q": "Wind; é", "format": "", "attention": None, "max_length": None, "length_penalty": None}},
    {"content": b"\xef\xbb\xbf" + json.dumps({**PAIR, "q": "Wind; é"}).encode(), "headers": JSON},
    {"content": gzip.compress(json.dumps({**PAIR, "q": "Wind; é"}).encode()), "headers": {"Content-Encoding": "gzip"}},
    {
        "content": gzip.compress(b"q=Wind%3B+%C3%A9&source=en&target=xx"),
        "headers": {**FORM, "Content-Encoding": "x-gzip"},
    },
]


@pytest.mark.parametrize("sent", SENT)
def test_forms_of_a_request(client: TestClient, sent: dict[str, Any]) -> None:
    answer = client.post("/translate", **sent)
    assert answer.status_code == 200, answer.text
    assert answer.json()["translatedText"] == doubled("Wind; é")


def test_a_repeated_field_of_a_multipart_form_is_a_list(client: TestClient) -> None:
    fields = [("q", (None, "Wind")), ("q", (None, "Rain\r\nno")), ("source", (None, "en")), ("target", (None, "xx"))]
    answer = client.post("/translate", files=[*fields, ("file", ("a.txt", b"ignored"))])
    assert answer.json()["translatedText"] == [doubled("Wind"), doubled("Rain\r\nno")]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\nWind\r\n'),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nWind\r\n--x--"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\n\xff\r\n--x--'),
        ("application/x-www-form-urlencoded", b"q=a&" * 10_001),
    ],
)
def test_invalid_forms(client: TestClient, content_type: str, body: bytes) -> None:
    answer = client.post("/translate", content=body, headers={"Content-Type": content_type})
    check_problem(answer, 422, "invalid_input")


def test_detect_takes_the_same_forms(client: TestClient) -> None:
    for sent in ({"params": {"q": "Where is the dog?"}}, multipart({"q": "Where is the dog?"})):
        assert client.post("/detect", **sent).json()[0]["language"] == "en"


# Encodings of the body


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "compress", "gzip, gzip"])
def test_other_encodings(client: TestClient, encoding: str) -> None:
    answer = client.post("/classify", content=b"{}", headers={**JSON, "Content-Encoding": encoding})
    check_problem(answer, 415, "unsupported_media_type")
    assert answer.headers["accept-encoding"] == "gzip, identity"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (gzip.compress(b" " * 2_000_001), 413),
        (gzip.compress(b" " * 100_000_000), 413),
        (gzip.compress(b" " * 1_999_980 + b'{"text": "wind"}'), 200),
        (gzip.compress(b'{"text": ') + gzip.compress(b'"wind"}'), 200),
        (gzip.compress(b'{"text": "wind"}')[:-9], 422),
        (gzip.compress(b"") * 101, 422),
        (b'{"text": "wind"}', 422),
        (b"", 422),
    ],
    ids=range(8),  # the compressed bytes contain the time
)
def test_gzip_is_bounded_after_decoding(client: TestClient, content: bytes, status: int) -> None:
    answer = client.post("/classify", content=content, headers={**JSON, "Content-Encoding": "gzip"})
    assert answer.status_code == status, answer.text
    if status != 200:
        check_problem(answer, status)


# HEAD


@pytest.mark.parametrize("path", ["/", "/health", "/health/ready", "/languages", "/models", "/docs", "/models/toy"])
def test_head(client: TestClient, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert client.head("/classify").status_code == 405
    assert client.head("/nowhere").status_code == 404


# Languages


@pytest.fixture(scope="module")
def pivot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Translators between English and two languages, which write every letter twice."""
    models = tmp_path_factory.mktemp("pivot")
    write_classifier(models)
    for source, target in (("fr", "en"), ("en", "de"), ("de", "en"), ("en", "fr")):
        write_translator(models, f"{source}-{target}", source=source, target=target)
    with serving(models) as client:
        yield client


@pytest.mark.parametrize(
    ("source", "target"), [("en-US", "fr"), ("EN", "fr-CA"), ("en_GB", "FR"), ("en-Latn-US", "fr_FR")]
)
def test_codes_with_a_region(pivot: TestClient, source: str, target: str) -> None:
    before = pivot.get("/languages").json()
    for body in ({"source": source, "target": target}, {"source": source, "target": target, "model": "en-fr"}):
        answer = pivot.post("/translate", json={"q": "Wind", **body}).json()
        assert (answer["translatedText"], answer["model"]) == (doubled("Wind"), "en-fr")
    assert (
        pivot.post("/translate", json={"q": "The wind is cold.", "source": "auto", "target": target}).json()["model"]
        == "en-fr"
    )
    assert pivot.get("/languages").json() == before


@pytest.mark.parametrize("code", ["pt-BR", "zh_Hans", "e", "en/US", "EN " * 1000])
def test_codes_without_a_model(pivot: TestClient, code: str) -> None:
    problem = check_problem(pivot.post("/translate", json={"q": "Wind", "source": code, "target": "fr"}), 400)
    assert problem["error_type"] == "unsupported_language_pair"
    assert problem["error"].startswith(code[:100]) and len(problem["error"]) < 130


@pytest.mark.parametrize("detail", ["none", "summary", "full"])
@pytest.mark.parametrize("q", ["Wind and rain.", "Wind and rain!  No,\n\tno way.", ["Wind.", "", "No way, rain"]])
def test_a_pair_through_english(pivot: TestClient, q: str | list[str], detail: str) -> None:
    body = {"q": q, "source": "fr", "target": "de", "attention": detail}
    answer = pivot.post("/translate", json=body).json()
    texts = [q] if isinstance(q, str) else q
    expected = [doubled(doubled(text)) for text in texts]
    assert answer["translatedText"] == (expected[0] if isinstance(q, str) else expected)
    assert (answer["model"], answer["version"]) == ("fr-en+en-de", "1+1")
    for text, translation in zip(texts, answer["translations"], strict=True):
        assert [(step["model"], step["source"], step["target"]) for step in translation["steps"]] == [
            ("fr-en", "fr", "en"),
            ("en-de", "en", "de"),
        ]
        assert [step["text"] for step in translation["steps"]] == [doubled(text), doubled(doubled(text))]
        for sentence in translation["sentences"]:
            start, end = sentence["source"]["start"], sentence["source"]["end"]
            assert sentence["text"] == doubled(doubled(text[start:end]))
            check_tokens(sentence["source_tokens"], text)
            check_tokens(sentence["target_tokens"], translation["text"])
            assert len(sentence["attention"]) == (detail != "none")
            for matrix in sentence["attention"]:
                assert (matrix["kind"], matrix["layer"], matrix["head"]) == ("cross", None, None)
                check_matrix(matrix, len(sentence["target_tokens"]), len(sentence["source_tokens"]))


def test_events_of_a_pair_through_english(pivot: TestClient) -> None:
    body = {"q": ["Wind. No way.", "Rain"], "source": "fr", "target": "de"}
    blocks = [block for block in pivot.post("/translate", json=body, headers=STREAM).text.split("\n\n") if block]
    found = [(block.split("\n")[0], json.loads(block.split("data: ")[1])) for block in blocks]
    assert [name for name, _ in found] == ["event: sentence"] * 3 + ["event: done"]
    texts = {(event["translation"], event["number"]): event["sentence"] for _, event in found[:-1]}
    assert {place: sentence["text"] for place, sentence in texts.items()} == {
        (0, 0): doubled(doubled("Wind.")),
        (0, 1): doubled(doubled("No way.")),
        (1, 0): doubled(doubled("Rain")),
    }
    for sentence in texts.values():
        check_tokens(sentence["target_tokens"], sentence["text"])


@pytest.mark.parametrize("source", ["fr", "FR", "auto"])
def test_the_source_is_the_target(pivot: TestClient, source: str) -> None:
    q = "Bonjour tout le monde, comment allez-vous ?"
    answer = pivot.post("/translate", json={"q": q, "source": source, "target": "fr", "alternatives": 1}).json()
    assert (answer["translatedText"], answer["alternatives"], answer["model"]) == (q, [q], None)
    check_problem(pivot.post("/translate", json={"q": q, "source": "zz", "target": "zz"}), 400)


# Open Inference Protocol


@pytest.mark.parametrize(
    "fields",
    [
        {"parameters": None},
        {"outputs": None},
        {"parameters": {"content_type": "str"}},
        {"id": None, "parameters": None, "outputs": None},
        {"inputs": [{**infer("wind")["inputs"][0], "parameters": {"content_type": "str"}}]},
        {"inputs": [{**infer("wind")["inputs"][0], "parameters": None}]},
        {"outputs": [{"name": "label", "parameters": None}, {"name": "score"}]},
    ],
)
def test_nulls_of_the_open_inference_protocol(client: TestClient, fields: dict[str, Any]) -> None:
    answer = client.post("/v2/models/toy/infer", json={**infer("wind"), **fields})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("model", ["toy", "en-xx", "writer"])
def test_all_outputs_are_the_default(client: TestClient, model: str) -> None:
    listed = client.get(f"/v2/models/{model}").json()["outputs"]
    answer = client.post(f"/v2/models/{model}/infer", json=infer("wind and rain", "wind")).json()
    assert [output["name"] for output in answer["outputs"]] == [output["name"] for output in listed]
    for output, described in zip(answer["outputs"], listed, strict=True):
        assert len(output["shape"]) == len(described["shape"])
        assert int(np.prod(output["shape"])) == len(output["data"])


# Hugging Face


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("toy", None),
        ("toy", {"function_to_apply": "softmax"}),
        ("toy", {"truncation": True, "function_to_apply": None}),
        ("en-xx", {"truncation": "longest_first", "clean_up_tokenization_spaces": True}),
        ("en-xx", None),
        ("writer", None),
    ],
)
def test_parameters_of_hugging_face(client: TestClient, model: str, parameters: Any) -> None:
    answer = client.post(f"/huggingface/{model}", json={"inputs": "wind", "parameters": parameters, "stream": None})
    assert answer.status_code == 200, answer.text


def test_truncation_of_hugging_face(client: TestClient) -> None:
    long = "wind " * 100
    check_problem(client.post("/huggingface/toy", json={"inputs": long}), 422, "text_too_long")
    answer = client.post("/huggingface/toy", json={"inputs": long, "parameters": {"truncation": True}})
    assert answer.status_code == 200


# Behind a proxy


@pytest.mark.parametrize("kept", ["", "/nlp"])
def test_a_path_prefix(models: Path, kept: str) -> None:
    """The proxy removes the prefix or keeps it."""
    with serving(models, root_path="/nlp") as client:
        docs = client.get(f"{kept}/docs")
        assert docs.status_code == 200
        for link in re.findall(r'(?:src|href)="([\w/.-]+)"', docs.text):  # relative to the page
            assert client.get(f"{kept}/{link.removeprefix('./')}").status_code == 200
        assert client.get(f"{kept}/openapi.json").json()["servers"] == [{"url": "/nlp"}]
        assert client.get(f"{kept}/").status_code == 200
        assert client.get(f"{kept}/playground/app.js").status_code == 200
        assert client.get(f"{kept}/health/ready").status_code == 200
        assert client.post(f"{kept}/classify", json={"text": "wind"}).status_code == 200
        assert client.post(f"{kept}/translate", json={**PAIR, "q": "wind"}).json()["translatedText"] == "wwiinndd"
        picture = client.get(f"{kept}/models/toy").json()["pictures"][0]["path"]
        assert client.get(f"{kept}{picture}").status_code == 200
        redirect = client.get(f"{kept}/models/", follow_redirects=False)
        assert redirect.status_code == 307 and redirect.headers["location"].endswith("/nlp/models")


def test_allowed_hosts(models: Path) -> None:
    with serving(models, allowed_hosts="api.example.org *.example.net localhost") as client:
        for host in ("api.example.org", "API.example.org:8000", "a.b.example.net", "localhost:1", "api.example.org."):
            assert client.get("/models", headers={"Host": host}).status_code == 200
        for host in ("example.net", "evil.example", "api.example.org.evil.example", "", "10.0.0.1:8000"):
            check_problem(client.get("/models", headers={"Host": host}), 400, "host_not_allowed")
            assert client.get("/health/ready", headers={"Host": host}).status_code == 200


# Detection


def test_detection_of_short_texts(pivot: TestClient) -> None:
    check_problem(pivot.post("/detect", json={"q": ""}), 400, "missing_parameter")
    for text, language in (
        ("hello handsome", "en"),
        ("bonjour", "fr"),
        ("Speichern", "de"),
        ("Привет, как дела?", "ru"),
    ):
        guesses = pivot.post("/detect", json={"q": text}).json()
        assert guesses[0]["language"] == language
        confidences = [guess["confidence"] for guess in guesses]
        assert confidences == sorted(confidences, reverse=True)
    assert pivot.post("/detect", json={"q": ["", "bonjour"]}).json()[0] == [{"confidence": 0.0, "language": "en"}]
