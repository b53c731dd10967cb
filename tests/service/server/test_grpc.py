"""The port for gRPC: one for all processes, drained with that for HTTP, and checked at the start."""

import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("grpc")

import grpc

from service.api.grpc import messages
from service.api.grpc.messages import SERVICE
from service.app import create_app
from service.errors import NotAvailable
from service.server import processes
from service.settings import Settings
from tests.service.server.running import Running

INFER = f"/{SERVICE}/ModelInfer"
TENSOR = {"name": "text", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b"wind"]}}
WIND: bytes = messages.ModelInferRequest(model_name="toy", inputs=[TENSOR]).SerializeToString()
ALONE = [("grpc.use_local_subchannel_pool", 1)]
"""Options of a channel that shares no connection."""


def test_processes_share_a_port_and_drain(models: Path, running: Callable[..., Running]) -> None:
    service = running(models, PROCESSES="2", GRPC_PORT="0", DRAIN_DELAY_S="0")
    addresses = {line["message"].split()[-1] for line in service.lines if line["message"].startswith("gRPC on")}
    [address] = addresses
    assert service.count_lines("gRPC on") == 2
    for _ in range(4):
        with grpc.insecure_channel(address, ALONE) as channel:
            assert channel.unary_unary(INFER)(WIND, timeout=30)
    begun, signalled = threading.Event(), threading.Event()

    def late() -> Iterator[bytes]:
        """The message of a call that has begun before the signal."""
        begun.set()
        assert signalled.wait(30)
        yield WIND

    with grpc.insecure_channel(address, ALONE) as channel:
        channel.unary_unary(f"/{SERVICE}/ServerLive")(b"", timeout=30)
        call = channel.stream_unary(INFER).future(late(), timeout=30)
        assert begun.wait(30)
        channel.unary_unary(f"/{SERVICE}/ServerLive")(b"", timeout=30)  # sent after the call
        service.process.send_signal(signal.SIGTERM)
        for _ in range(2):
            service.wait_for("Shutting down")
        signalled.set()
        assert call.result()
    service.end()
    with grpc.insecure_channel(address, ALONE) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(INFER)(WIND, timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_port_in_use(models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(processes, "configure_logging", lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert processes.run(Settings(models=models, port=0, grpc_port=port)) == 1
    message = f"cannot start: LIMELIGHT_GRPC_PORT={port}: 127.0.0.1:{port}: Address already in use\n"
    assert capsys.readouterr().err == message


def test_without_the_extra(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("service.api.grpc")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(NotAvailable, match=r"LIMELIGHT_GRPC_PORT needs the extra `grpc` \(grpc\)"):
        create_app(Settings(models=models, device="cpu", grpc_port=0))
