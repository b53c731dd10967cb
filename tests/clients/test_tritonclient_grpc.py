"""Triton's own client over gRPC, sync and async."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

pytest.importorskip("grpc")

from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.grpc import aio as grpc_aio
from tritonclient.utils import InferenceServerException

from service.server.sockets import reserve
from tests.clients.test_tritonclient import TEXTS, native
from tests.fakes import LABELS, doubled
from tests.listening import listening


@pytest.fixture(scope="module")
def addresses(models: Path) -> Iterator[tuple[str, str]]:
    """The addresses for HTTP and for gRPC."""
    with reserve("127.0.0.1", 0, "") as sock:
        port = sock.getsockname()[1]
        with listening(models, grpc_port=port) as address:
            yield address, f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def address(addresses: tuple[str, str]) -> str:
    return addresses[0]


@pytest.fixture(scope="module")
def client(addresses: tuple[str, str]) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(addresses[1]) as client:
        yield client


def texts(values: list[str] = TEXTS) -> list[InferInput]:
    given = InferInput("text", [len(values)], "BYTES")
    given.set_data_from_numpy(np.array(values, dtype=object))
    return [given]


def strings(result: InferResult, name: str) -> list[Any]:
    return np.vectorize(bytes.decode, otypes=[object])(result.as_numpy(name)).tolist()


def test_the_server(client: InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("toy") and client.is_model_ready("en-xx", "1")
    found = client.get_server_metadata(as_json=True)
    assert found["name"] == "limelight" and "binary_tensor_data" in found["extensions"]


@pytest.mark.parametrize("model", ["toy", "en-xx", "writer"])
def test_metadata_equals_that_over_http(client: InferenceServerClient, address: str, model: str) -> None:
    found = client.get_model_metadata(model, "1", as_json=True)
    for tensor in [*found["inputs"], *found["outputs"]]:
        tensor["shape"] = [int(size) for size in tensor["shape"]]
    assert found == native_get(address, f"/v2/models/{model}")
    assert client.get_model_metadata(model) == client.get_model_metadata(model, "1")


def native_get(address: str, path: str) -> Any:
    return httpx.get(address + path).json()


@pytest.mark.parametrize("listed", [True, False])
def test_classify(client: InferenceServerClient, address: str, listed: bool) -> None:
    outputs = [InferRequestedOutput(name) for name in ("label", "score", "scores")] if listed else None
    result = client.infer("toy", texts(), outputs=outputs, request_id="7")
    expected = native(address, "/classify", text=TEXTS, model="toy")["predictions"]
    response = result.get_response()
    assert (response.model_name, response.model_version, response.id) == ("toy", "1", "7")
    names = [output.name for output in response.outputs]
    assert names == ["label", "score", "scores"] + ([] if listed else ["attention", "tokens", "token_spans"])
    assert strings(result, "label") == [prediction["label"] for prediction in expected]
    scores = [[prediction["scores"][label] for label in LABELS] for prediction in expected]
    assert result.as_numpy("scores") == pytest.approx(np.array(scores), abs=1e-5)
    if not listed:
        first = expected[0]["tokens"]
        assert strings(result, "tokens")[0][: len(first)] == [token["text"] for token in first]
        attention = result.as_numpy("attention")[0, :, : len(first)]
        assert attention == pytest.approx(np.array(expected[0]["attention"][0]["weights"]), abs=1e-4)


def test_translate(client: InferenceServerClient) -> None:
    given = ["Wind! No way, rain.", "{{x}} and <b>rain</b>"]
    result = client.infer("en-xx", texts(given), parameters={"beam_size": 2, "alternatives": 1, "length_penalty": 0.5})
    assert strings(result, "translation") == [doubled(given[0]), f"{{{{x}}}} {doubled('and')} <b>{doubled('rain')}</b>"]
    assert result.as_numpy("alternatives").shape == (2, 1)


def test_generate(client: InferenceServerClient, address: str) -> None:
    options: dict[str, Any] = {"max_tokens": 9, "seed": 5, "temperature": 0.8}
    found = client.infer("writer", texts(TEXTS[:1]), parameters=options)
    answer = native(address, "/generate", prompt=TEXTS[0], **options)
    assert strings(found, "text") == [answer["text"]]
    logprobs = [token["logprob"] for token in answer["tokens"]]
    assert found.as_numpy("logprobs")[0] == pytest.approx(logprobs, abs=1e-5)


def test_compression(client: InferenceServerClient) -> None:
    plain = client.infer("toy", texts())
    for algorithm in ("gzip", "deflate"):
        assert strings(client.infer("toy", texts(), compression_algorithm=algorithm), "label") == strings(
            plain, "label"
        )


def test_async(addresses: tuple[str, str], address: str) -> None:
    async def ask() -> list[InferResult]:
        async with grpc_aio.InferenceServerClient(addresses[1]) as client:
            assert await client.is_server_ready()
            return list(await asyncio.gather(*(client.infer("toy", texts([text])) for text in TEXTS)))

    results = asyncio.run(ask())
    together = [p["label"] for p in native(address, "/classify", text=TEXTS, model="toy")["predictions"]]
    assert [strings(result, "label")[0] for result in results] == together


@pytest.mark.parametrize(
    ("model", "options", "code", "message"),
    [
        ("nobody", {}, "NOT_FOUND", "there is no model 'nobody'"),
        ("toy", {"model_version": "7"}, "NOT_FOUND", "no version 7"),
        ("toy", {"model_version": "one"}, "INVALID_ARGUMENT", "one is not a whole number"),
        ("toy", {"outputs": [InferRequestedOutput("logits")]}, "INVALID_ARGUMENT", "there is no logits"),
        ("toy", {"parameters": {"truncated": True}}, "INVALID_ARGUMENT", "truncated"),
        ("en-xx", {"parameters": {"beams": 7}}, "INVALID_ARGUMENT", "there is no beams"),
        ("en-xx", {"parameters": {"beam_size": 99}}, "INVALID_ARGUMENT", "beam_size parameter must be <= 7"),
        ("en-xx", {"parameters": {"format": "xml"}}, "INVALID_ARGUMENT", "xml format is not supported"),
    ],
)
def test_the_client_reads_errors(
    client: InferenceServerClient, model: str, options: dict[str, Any], code: str, message: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, texts(), **options)
    assert caught.value.status() == f"StatusCode.{code}"
    assert message in caught.value.message()


def test_a_missing_model_is_an_error_and_not_unready(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="there is no model"):
        client.is_model_ready("nobody")


def test_statistics_count_calls_of_both_transports(client: InferenceServerClient, address: str) -> None:
    def counted() -> int:
        [found] = native_get(address, "/v2/models/toy/stats")["model_stats"]
        return int(found["execution_count"])

    before = counted()
    client.infer("toy", texts())
    assert counted() == before + 1
