"""Connections without a complete request are closed after a timeout."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from service.server import uvicorn as server
from service.server.uvicorn import Protocol, Server
from tests.fakes import until

ANSWER = b"HTTP/1.1 200 OK"


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(server, "HEADERS_TIMEOUT_S", 0.3)
    config = uvicorn.Config(app, port=0, http=Protocol, lifespan="off", log_config=None)
    made = Server(config, drain=lambda: None, drain_delay_s=0)
    thread = threading.Thread(target=made.run)
    thread.start()
    until(lambda: made.started)
    yield made.servers[0].sockets[0].getsockname()
    made.should_exit = True
    thread.join()


def connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=30)


@pytest.mark.parametrize("sent", [b"", b"GET ", b"GET / HTTP/1.1\r\nHost: x\r\nX: "])
def test_an_incomplete_request(address: tuple[str, int], sent: bytes) -> None:
    with connect(address) as connection:
        connection.sendall(sent)
        assert connection.recv(99) == b""


def test_an_incomplete_second_request(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(999).startswith(ANSWER)
        connection.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert connection.recv(99) == b""


def test_idle_connections_stay_open(address: tuple[str, int]) -> None:
    """The timeout is per request. Between requests the keep-alive timeout applies."""
    with connect(address) as connection:
        for _ in range(4):
            threading.Event().wait(0.2)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(999).startswith(ANSWER)
