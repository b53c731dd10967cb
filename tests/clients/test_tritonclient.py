"""Triton's own client over HTTP, in binary and in JSON, sync and async."""

import asyncio
import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.http import aio as http_aio
from tritonclient.utils import InferenceServerException

from tests.fakes import LABELS, doubled
from tests.service.api.checks import MEMBERS

TEXTS = ["Wind and rain", "no way", "é 7"]


@pytest.fixture
def client(address: str) -> Iterator[InferenceServerClient]:
    client = InferenceServerClient(address.removeprefix("http://"))
    yield client
    client.close()


def texts(binary: bool, values: list[str] = TEXTS) -> list[InferInput]:
    given = InferInput("text", [len(values)], "BYTES")
    given.set_data_from_numpy(np.array(values, dtype=object), binary_data=binary)
    return [given]


def wanted(binary: bool, *names: str) -> list[InferRequestedOutput]:
    return [InferRequestedOutput(name, binary_data=binary) for name in names]


def strings(result: InferResult, name: str) -> list[Any]:
    """BYTES come as bytes in binary, as str in JSON."""
    found = result.as_numpy(name)
    return np.vectorize(lambda value: value.decode() if isinstance(value, bytes) else value, otypes=[object])(
        found
    ).tolist()


def native(address: str, path: str, **body: Any) -> Any:
    return httpx.post(address + path, json=body).json()


def test_the_server(client: InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("toy") and client.is_model_ready("en-xx", "1")
    found = client.get_server_metadata()
    assert found["name"] == "limelight" and "binary_tensor_data" in found["extensions"]
    assert {(m["name"], m["version"], m["state"]) for m in client.get_model_repository_index()} == {
        ("en-xx", "1", "READY"),
        ("toy", "1", "READY"),
        ("writer", "1", "READY"),
    }


@pytest.mark.parametrize(("model", "first"), [("toy", "label"), ("en-xx", "translation")])
def test_metadata(client: InferenceServerClient, model: str, first: str) -> None:
    found = client.get_model_metadata(model, "1")
    assert found == client.get_model_metadata(model)
    assert (found["name"], found["versions"]) == (model, ["1"])
    assert found["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert found["outputs"][0] == {"name": first, "datatype": "BYTES", "shape": [-1]}


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("listed", [True, False])
def test_classify(client: InferenceServerClient, address: str, binary: bool, listed: bool) -> None:
    outputs = wanted(binary, "label", "score", "scores") if listed else None
    result = client.infer("toy", texts(binary), outputs=outputs, request_id="7")
    expected = native(address, "/classify", text=TEXTS, model="toy")["predictions"]
    response = result.get_response()
    assert (response["model_name"], response["model_version"], response["id"]) == ("toy", "1", "7")
    names = [output["name"] for output in response["outputs"]]
    assert names == ["label", "score", "scores"] + ([] if listed else ["attention", "tokens", "token_spans"])
    assert strings(result, "label") == [prediction["label"] for prediction in expected]
    assert result.as_numpy("score") == pytest.approx([prediction["score"] for prediction in expected], abs=1e-5)
    scores = [[prediction["scores"][label] for label in LABELS] for prediction in expected]
    assert result.as_numpy("scores") == pytest.approx(np.array(scores), abs=1e-5)
    assert result.as_numpy("scores").dtype == np.float32


@pytest.mark.parametrize("binary", [True, False])
def test_the_attention_of_a_classifier(client: InferenceServerClient, address: str, binary: bool) -> None:
    result = client.infer("toy", texts(binary), outputs=wanted(binary, "attention", "tokens", "token_spans"))
    expected = native(address, "/classify", text=TEXTS, model="toy")["predictions"]
    attention, spans = result.as_numpy("attention"), result.as_numpy("token_spans")
    for row, prediction in enumerate(expected):
        tokens = prediction["tokens"]
        assert strings(result, "tokens")[row][: len(tokens)] == [token["text"] for token in tokens]
        assert spans[row][: len(tokens)].tolist() == [[token["start"], token["end"]] for token in tokens]
        assert (spans[row][len(tokens) :] == -1).all()
        assert attention[row, :, : len(tokens)] == pytest.approx(
            np.array(prediction["attention"][0]["weights"]), abs=1e-4
        )
        assert (attention[row, :, len(tokens) :] == 0).all()


@pytest.mark.parametrize("binary", [True, False])
def test_translate(client: InferenceServerClient, binary: bool) -> None:
    given = ["Wind! No way, rain.", "{{x}} and <b>rain</b>"]
    result = client.infer("en-xx", texts(binary, given), parameters={"beam_size": 2, "alternatives": 1})
    assert strings(result, "translation") == [doubled(given[0]), f"{{{{x}}}} {doubled('and')} <b>{doubled('rain')}</b>"]
    assert result.as_numpy("alternatives").shape == (2, 1)
    assert (result.as_numpy("score") < 0).all()


@pytest.mark.parametrize("binary", [True, False])
def test_the_attention_of_a_translation_is_that_of_its_sentences(
    client: InferenceServerClient, address: str, binary: bool
) -> None:
    given = ["Wind! No way, rain.", "wind"]
    names = ["translation", "attention", "source_tokens", "source_spans", "target_tokens", "target_spans"]
    result = client.infer("en-xx", texts(binary, given), outputs=wanted(binary, *names))
    attention = result.as_numpy("attention")
    for n, translation in enumerate(native(address, "/translate", q=given, source="en", target="xx")["translations"]):
        row = column = 0
        for sentence in translation["sentences"]:
            weights = np.array(sentence["attention"][0]["weights"])
            rows, columns = weights.shape
            assert attention[n, row : row + rows, column : column + columns] == pytest.approx(weights, abs=1e-4)
            targets = [token["text"] for token in sentence["target_tokens"]]
            assert strings(result, "target_tokens")[n][row : row + rows] == targets
            row, column = row + rows, column + columns
        assert attention[n].sum() == pytest.approx(row, abs=1e-3)  # nothing looks outside of its sentence


@pytest.mark.parametrize("binary", [True, False])
def test_gzip(client: InferenceServerClient, binary: bool) -> None:
    result = client.infer("toy", texts(binary), outputs=wanted(binary, "label"), request_compression_algorithm="gzip")
    plain = client.infer("toy", texts(binary), outputs=wanted(binary, "label"), response_compression_algorithm="gzip")
    assert strings(result, "label") == strings(plain, "label")
    with pytest.raises(InferenceServerException, match="not with deflate"):
        client.infer("toy", texts(binary), request_compression_algorithm="deflate")


@pytest.mark.parametrize("binary", [True, False])
def test_async(address: str, binary: bool) -> None:
    async def ask() -> list[InferResult]:
        async with http_aio.InferenceServerClient(address.removeprefix("http://")) as client:
            assert await client.is_server_ready()
            return list(await asyncio.gather(*(client.infer("toy", texts(binary, [text])) for text in TEXTS)))

    results = asyncio.run(ask())
    together = [p["label"] for p in native(address, "/classify", text=TEXTS, model="toy")["predictions"]]
    assert [strings(result, "label")[0] for result in results] == together


def test_statistics(client: InferenceServerClient) -> None:
    def counted() -> dict[str, Any]:
        [found] = client.get_inference_statistics("toy", "1")["model_stats"]
        return dict(found)

    before = counted()
    client.infer("toy", texts(True))
    with pytest.raises(InferenceServerException):
        client.infer("toy", texts(True, [" "]))
    after = counted()
    assert after["inference_count"] - before["inference_count"] == len(TEXTS)
    assert after["execution_count"] - before["execution_count"] == 1
    assert after["inference_stats"]["fail"]["count"] - before["inference_stats"]["fail"]["count"] == 1
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]
    assert {model["name"] for model in client.get_inference_statistics()["model_stats"]} == {"toy", "en-xx", "writer"}


@pytest.mark.parametrize(
    ("model", "options", "status", "message"),
    [
        ("nobody", {}, "404", "there is no model 'nobody'"),
        ("toy", {"model_version": "7"}, "404", "no version 7"),
        ("toy", {"outputs": wanted(True, "logits")}, "422", "there is no logits"),
        ("toy", {"parameters": {"truncated": True}}, "422", "truncated"),
        ("en-xx", {"parameters": {"beams": 7}}, "422", "there is no beams"),
        ("en-xx", {"parameters": {"beam_size": 99}}, "422", "beam_size parameter must be <= 7"),
        ("en-xx", {"parameters": {"format": "xml"}}, "400", "xml format is not supported"),
    ],
)
def test_the_client_reads_errors(
    client: InferenceServerClient, model: str, options: dict[str, Any], status: str, message: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, texts(True), **options)
    assert caught.value.status() == status
    assert message in caught.value.message()


BINARY = struct.pack("<I", 4) + b"wind"
HEADER = {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(BINARY)}}


@pytest.mark.parametrize(
    ("inputs", "tail", "length"),
    [
        ([HEADER], BINARY[:-1], None),
        ([HEADER], BINARY + b"x", None),
        ([HEADER], BINARY, 10_000),
        ([HEADER], BINARY, -1),
        ([{**HEADER, "parameters": {"binary_data_size": 3}}], b"abc", None),
        ([{**HEADER, "parameters": {"binary_data_size": 5}}], struct.pack("<I", 1) + b"\xff", None),
        ([{**HEADER, "shape": [2]}], BINARY, None),
        ([{**HEADER, "datatype": "FP32"}], BINARY, None),
        ([{**HEADER, "name": "other"}], BINARY, None),
        ([HEADER, HEADER], BINARY, None),
        ([], b"", None),
        ([{"name": "text", "shape": [1], "datatype": "BYTES", "data": [7]}], b"", None),
        ([{"name": "text", "shape": [1], "datatype": "BYTES"}], b"", None),
    ],
)
def test_invalid_tensors(address: str, inputs: list[Any], tail: bytes, length: int | None) -> None:
    written = json.dumps({"inputs": inputs}).encode()
    headers = {"Inference-Header-Content-Length": str(len(written) if length is None else length)}
    answer = httpx.post(f"{address}/v2/models/toy/infer", content=written + tail, headers=headers)
    assert answer.status_code == 422
    assert answer.json().keys() == MEMBERS and answer.json()["error"]


def test_texts_in_rows_of_one(address: str) -> None:
    inputs = [{"name": "text", "shape": [2, 1], "datatype": "BYTES", "data": [["wind"], ["rain"]]}]
    answer = httpx.post(f"{address}/v2/models/toy/infer", json={"inputs": inputs}).json()
    assert answer["outputs"][0]["shape"] == [2]


@pytest.mark.parametrize("binary", [True, False])
def test_prompts_are_continued(client: InferenceServerClient, address: str, binary: bool) -> None:
    options = {"max_tokens": 9, "seed": 5, "temperature": 0.8}
    names = ["text", "finish_reason", "seed", "attention", "prompt_tokens", "tokens", "token_spans", "logprobs"]
    outputs = wanted(binary, *names)
    found = client.infer("writer", texts(binary, TEXTS[:2]), outputs=outputs, parameters=options)
    expected = [native(address, "/generate", prompt=text, **options) for text in TEXTS[:2]]
    assert strings(found, "text") == [answer["text"] for answer in expected]
    assert strings(found, "finish_reason") == [answer["finish_reason"] for answer in expected]
    assert found.as_numpy("seed").tolist() == [5, 5]
    for row, answer in enumerate(expected):
        count = len(answer["tokens"])
        logprobs = found.as_numpy("logprobs")[row, :count]
        assert logprobs == pytest.approx([token["logprob"] for token in answer["tokens"]], abs=1e-5)
        assert strings(found, "tokens")[row][:count] == [token["text"] for token in answer["tokens"]]
        weights = np.array(answer["attention"][0]["weights"])
        own = found.as_numpy("attention")[row, : weights.shape[0], : weights.shape[1]]
        assert own == pytest.approx(weights, abs=1e-3)
    with pytest.raises(InferenceServerException, match="temprature"):
        client.infer("writer", texts(binary), parameters={"temprature": 1.0})
