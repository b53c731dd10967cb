"""Messages over a real port: the two forms of contents, and messages that no client of the protocol sends."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

pytest.importorskip("grpc")

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from tritonclient.grpc import service_pb2

from service.api.grpc import messages
from service.api.grpc.messages import SERVICE
from service.api.grpc.open_inference import MAX_ITEMS
from service.api.protocols.tensors import MAX_TEXTS
from tests.fakes import serving

FOLDER = Path(messages.__file__).parent
TEXTS = ["Wind and rain", "no way", "é 7"]
Ask = Callable[[Any], Any]


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[TestClient]:
    with serving(models, grpc_port=0) as client:
        yield client


@pytest.fixture(scope="module")
def infer(client: TestClient) -> Iterator[Ask]:
    """Send a ModelInferRequest, or bytes."""
    with grpc.insecure_channel(f"127.0.0.1:{client.app.state.grpc.port}") as channel:  # type: ignore[attr-defined]
        send = channel.unary_unary(f"/{SERVICE}/ModelInfer")

        def ask(message: Any) -> Any:
            raw = message if isinstance(message, bytes) else message.SerializeToString()
            return messages.ModelInferResponse.FromString(send(raw, timeout=30))

        yield ask


def request(**changes: Any) -> Any:
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b"wind"]}}
    return messages.ModelInferRequest(**{"model_name": "toy", "inputs": [tensor], **changes})


def test_the_descriptor_is_the_compiled_file(tmp_path: Path) -> None:
    written = tmp_path / "open_inference.binpb"
    options = [f"-I{FOLDER}", f"--descriptor_set_out={written}", "open_inference.proto"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options], check=True)
    assert written.read_bytes() == (FOLDER / "open_inference.binpb").read_bytes()


def test_fields_are_those_of_the_protocol() -> None:
    """Numbers and types equal those in Triton's client."""
    own = FileDescriptorProto()
    messages.POOL.FindFileByName("open_inference.proto").CopyToProto(own)

    def fields(pool: Any, name: str) -> dict[str, Any]:
        descriptor = pool.FindMessageTypeByName(name)
        return {
            f.name: (f.number, f.type, f.is_repeated, f.message_type and f.message_type.full_name)
            for f in descriptor.fields
        }

    checked = 0
    for message in own.message_type:
        for name in (message.name, *(f"{message.name}.{inner.name}" for inner in message.nested_type)):
            full = f"inference.{name}"
            found = fields(messages.POOL, full)
            assert found.items() <= fields(service_pb2.DESCRIPTOR.pool, full).items()
            checked += len(found)
    assert checked > 50


@pytest.mark.parametrize("model", ["toy", "en-xx", "writer"])
def test_contents_by_their_type_are_the_raw_ones(infer: Ask, model: str) -> None:
    tensor: dict[str, Any] = {"name": "text", "datatype": "BYTES", "shape": [3]}
    encoded = [text.encode() for text in TEXTS]
    options = {"seed": messages.InferParameter(int64_param=5)} if model == "writer" else {}
    typed = infer(
        request(model_name=model, inputs=[{**tensor, "contents": {"bytes_contents": encoded}}], parameters=options)
    )
    joined = b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
    raw = infer(request(model_name=model, inputs=[tensor], raw_input_contents=[joined], parameters=options))
    assert not typed.raw_output_contents and len(raw.raw_output_contents) == len(raw.outputs)
    assert len(typed.outputs) == len(raw.outputs)
    for one, other, content in zip(typed.outputs, raw.outputs, raw.raw_output_contents, strict=True):
        assert (one.name, one.datatype, one.shape) == (other.name, other.datatype, other.shape)
        assert not other.HasField("contents")
        if one.datatype == "BYTES":
            values = one.contents.bytes_contents
            assert b"".join(len(text).to_bytes(4, "little") + text for text in values) == content
        else:
            values = one.contents.fp32_contents or one.contents.int64_contents
            size = 4 if one.datatype == "FP32" else 8
            assert len(values) == len(content) // size


TENSOR = {"name": "text", "datatype": "BYTES", "shape": [1]}
MANY = {f"p{n}": messages.InferParameter(bool_param=True) for n in range(MAX_ITEMS + 1)}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"\xff", "the message is not a ModelInferRequest"),
        (request(inputs=[]), "the only input is 'text'"),
        (request(inputs=[TENSOR, TENSOR]), "the only input is 'text'"),
        (request(inputs=[{**TENSOR, "datatype": "FP32"}]), "has the datatype BYTES, not FP32"),
        (request(inputs=[{**TENSOR, "shape": [2]}]), "the shape [2] does not fit 0 texts"),
        (request(inputs=[{**TENSOR, "contents": {"bytes_contents": [b"\xff"]}}]), "the bytes are not valid"),
        (request(inputs=[TENSOR], raw_input_contents=[b"\x09\0\0\0wind"]), "a text is longer than the bytes"),
        (request(raw_input_contents=[b"", b""]), "raw_input_contents: 2 for 1 inputs"),
        (request(parameters={"truncate": messages.InferParameter()}), "truncate"),
        (request(parameters=MANY), f"parameters: {MAX_ITEMS + 1} items; the limit is {MAX_ITEMS}"),
        (request(outputs=[{}] * (MAX_ITEMS + 1)), f"outputs: {MAX_ITEMS + 1} items"),
        (request(inputs=[{**TENSOR, "shape": [1] * (MAX_ITEMS + 1)}]), f"shape of text: {MAX_ITEMS + 1} items"),
        (
            request(inputs=[{**TENSOR, "contents": {"bytes_contents": [b""] * (MAX_TEXTS + 1)}}]),
            f"at most {MAX_TEXTS} texts are read",
        ),
        (request(model_version="-1"), "version: -1 is not a whole number"),
    ],
    ids=range(14),
)
def test_invalid_messages(infer: Ask, message: Any, expected: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        infer(message)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert expected in caught.value.details()


def test_a_model_that_is_not_ready(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = client.app.state.registry  # type: ignore[attr-defined]
    monkeypatch.setattr(registry, "problems", lambda: {"toy/1": "still loading"})
    monkeypatch.setattr(type(registry.entry("toy")), "ready", False)
    with grpc.insecure_channel(f"127.0.0.1:{client.app.state.grpc.port}") as channel:  # type: ignore[attr-defined]
        server = channel.unary_unary(f"/{SERVICE}/ServerReady")(b"", timeout=30)
        named = messages.ModelReadyRequest(name="toy").SerializeToString()
        model = channel.unary_unary(f"/{SERVICE}/ModelReady")(named, timeout=30)
    assert not messages.ServerReadyResponse.FromString(server).ready
    assert not messages.ModelReadyResponse.FromString(model).ready
