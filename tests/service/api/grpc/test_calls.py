"""Ids, limits, keys, deadlines, errors and metrics of gRPC calls."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import State
from starlette.testclient import TestClient

pytest.importorskip("grpc")

import grpc
from grpc import StatusCode

from service import errors
from service.access import Access
from service.api.errors import STATUSES
from service.api.grpc import messages
from service.api.grpc.calls import address_of
from service.api.grpc.messages import SERVICE
from service.api.grpc.status import CODES, code_of
from tests.fakes import before_networks, serving, until
from tests.service.api.test_metrics import value

INFER = f"/{SERVICE}/ModelInfer"
TENSOR = {"name": "text", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b"wind"]}}
WIND: bytes = messages.ModelInferRequest(model_name="toy", inputs=[TENSOR]).SerializeToString()
MAX_BYTES = 20_000


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[TestClient]:
    with serving(models, grpc_port=0, max_body_bytes=MAX_BYTES) as client:
        yield client


@pytest.fixture
def state(client: TestClient) -> State:
    found: State = client.app.state  # type: ignore[attr-defined]
    return found


@pytest.fixture(scope="module")
def channel(client: TestClient) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{client.app.state.grpc.port}") as channel:  # type: ignore[attr-defined]
        yield channel


@pytest.fixture
def infer(channel: Any) -> Callable[..., Any]:
    return channel.unary_unary(INFER)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Networks wait until `open` is set; `waiting` is set when one does."""
    gate = SimpleNamespace(open=threading.Event(), waiting=threading.Event())

    def wait() -> None:
        gate.waiting.set()
        gate.open.wait()

    before_networks(monkeypatch, wait)
    yield gate
    gate.open.set()


def refused(call: Callable[[], Any]) -> tuple[StatusCode, str, dict[str, str]]:
    """Code, details and trailing metadata of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details(), dict(caught.value.trailing_metadata() or ())


def count(client: TestClient, status: str) -> float:
    """Finished calls with this status."""
    return value(client, "limelight_requests_total", method="gRPC", route=INFER, status=status)


def service_errors(cls: type[errors.ServiceError]) -> set[type[errors.ServiceError]]:
    return {cls}.union(*(service_errors(sub) for sub in cls.__subclasses__()))


def test_every_error_has_a_code() -> None:
    classes = service_errors(errors.ServiceError) - {errors.ServiceError}
    assert STATUSES.keys() <= classes and len(classes) > 20
    for cls in classes:
        assert any(base in CODES for base in cls.__mro__), cls
    assert code_of(errors.Forbidden("")) is StatusCode.UNAUTHENTICATED
    assert code_of(errors.AnswerTooLarge("")) is StatusCode.RESOURCE_EXHAUSTED
    assert code_of(errors.UnsupportedLanguagePair("")) is StatusCode.INVALID_ARGUMENT


def test_an_answer_has_the_ids_of_its_request(infer: Any, client: TestClient) -> None:
    before = count(client, "200")
    _, call = infer.with_call(WIND, metadata=[("x-request-id", "abc-7")], timeout=30)
    trailing = dict(call.trailing_metadata())
    assert trailing["x-request-id"] == "abc-7"
    assert {part.split(";")[0] for part in trailing["server-timing"].split(", ")} >= {"queue", "tokenise", "total"}
    _, call = infer.with_call(WIND, metadata=[("traceparent", f"00-{'a' * 32}-{'b' * 16}-01")], timeout=30)
    assert dict(call.trailing_metadata())["x-request-id"] == "a" * 32
    until(lambda: count(client, "200") == before + 2)  # a call is counted after its answer
    assert value(client, "limelight_requests_in_flight") == 1  # the request for this metric


def test_keys_and_rates(infer: Any, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(state._state, "access", Access({hashlib.sha256(b"secret").hexdigest(): "alice"}, "2/minute"))
    code, details, trailing = refused(lambda: infer(WIND, timeout=30))
    assert (code, trailing["error-type"]) == (StatusCode.UNAUTHENTICATED, "unauthorized")
    assert "an API key is needed" in details
    code, _, trailing = refused(lambda: infer(WIND, metadata=[("authorization", "Bearer no")], timeout=30))
    assert (code, trailing["error-type"]) == (StatusCode.UNAUTHENTICATED, "forbidden")
    known = [("authorization", "Bearer secret")]
    for _ in range(2):
        infer(WIND, metadata=known, timeout=30)
    code, _, trailing = refused(lambda: infer(WIND, metadata=known, timeout=30))
    assert (code, trailing["error-type"]) == (StatusCode.RESOURCE_EXHAUSTED, "rate_limited")
    assert 1 <= int(trailing["retry-after"]) <= 60


def test_the_rate_of_an_address(infer: Any, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access({}, "1/minute")
    monkeypatch.setitem(state._state, "access", access)
    infer(WIND, timeout=30)
    with pytest.raises(errors.RateLimited):
        access.admit(None, "127.0.0.1")


def test_addresses() -> None:
    assert address_of("ipv4:127.0.0.1:4321") == "127.0.0.1"
    assert address_of("ipv6:%5B2001:db8::1%5D:4321") == "2001:db8::1"


def test_concurrent_requests_of_both_transports_are_limited(
    channel: Any, infer: Any, client: TestClient, state: State, gate: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state.settings, "max_requests", 1)
    first = infer.future(WIND, timeout=30)
    assert gate.waiting.wait(30)
    code, _, trailing = refused(lambda: infer(WIND, timeout=30))
    assert (code, trailing["error-type"]) == (StatusCode.RESOURCE_EXHAUSTED, "too_many_requests")
    assert client.post("/classify", json={"text": "wind"}).status_code == 429
    channel.unary_unary(f"/{SERVICE}/ServerLive")(b"", timeout=30)
    gate.open.set()
    first.result()
    assert not state.running


def test_the_deadline_of_a_client_ends_the_work(
    infer: Any, client: TestClient, state: State, gate: SimpleNamespace
) -> None:
    before = count(client, "504")
    for deadline_s in (0.2, 1, 5, 25):  # a busy machine needs longer to begin
        assert refused(lambda: infer(WIND, timeout=deadline_s))[0] is StatusCode.DEADLINE_EXCEEDED  # noqa: B023
        if gate.waiting.is_set():
            break
    until(lambda: not state.running)
    assert gate.waiting.is_set() and not gate.open.is_set()
    until(lambda: count(client, "504") > before)


def test_a_cancelled_call_ends_the_work(infer: Any, client: TestClient, state: State, gate: SimpleNamespace) -> None:
    before = count(client, "499")
    call = infer.future(WIND, timeout=30)
    assert gate.waiting.wait(30)
    call.cancel()
    until(lambda: not state.running)
    assert not gate.open.is_set()
    until(lambda: count(client, "499") == before + 1)


def test_the_time_limit_of_the_service(
    channel: Any, infer: Any, state: State, gate: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state.settings, "timeout_s", 0.2)
    code, details, trailing = refused(lambda: infer(WIND))
    assert (code, trailing["error-type"]) == (StatusCode.DEADLINE_EXCEEDED, "inference_timeout")
    assert details.startswith("no answer within 0.2 s")
    ended = threading.Event()

    def never() -> Iterator[bytes]:
        ended.wait(30)
        yield WIND

    code, _, _ = refused(lambda: channel.stream_unary(INFER)(never()))
    ended.set()
    assert code is StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_over_the_limit(infer: Any, compression: Any) -> None:
    since = time.monotonic()
    code, details, _ = refused(lambda: infer(bytes(50 * MAX_BYTES), compression=compression, timeout=30))
    assert code is StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details
    assert time.monotonic() - since < 20
    infer(WIND, timeout=30)


def test_a_call_without_a_message(channel: Any) -> None:
    code, details, _ = refused(lambda: channel.stream_unary(INFER)(iter(()), timeout=30))
    assert (code, details) == (
        StatusCode.RESOURCE_EXHAUSTED,
        f"there is no message, or it is larger than {MAX_BYTES} bytes",
    )


def test_an_unexpected_error_tells_nothing(
    infer: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret text")

    monkeypatch.setattr("service.api.grpc.open_inference.read_message", fail)
    code, details, trailing = refused(lambda: infer(WIND, timeout=30))
    assert (code, details) == (StatusCode.INTERNAL, "an unexpected error; the service has logged it")
    assert trailing["x-request-id"]
    assert "RuntimeError at" in caplog.text and "a secret text" not in caplog.text


def test_details_fit_into_a_header(infer: Any) -> None:
    name = "한" * 5_000
    message = messages.ModelInferRequest(model_name="toy", outputs=[{"name": name}], inputs=[TENSOR])
    code, details, _ = refused(lambda: infer(message.SerializeToString(), timeout=30))
    assert code is StatusCode.INVALID_ARGUMENT and "한" in details


def test_an_unknown_method(channel: Any) -> None:
    assert refused(lambda: channel.unary_unary(f"/{SERVICE}/Nothing")(b"", timeout=30))[0] is StatusCode.UNIMPLEMENTED
