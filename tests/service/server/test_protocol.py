"""Connections with incomplete or large headers, and connections that the server closes."""

import asyncio
import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from service.api.middleware.requests import MAX_HEADER_BYTES, MAX_HEADERS
from service.server import protocol
from service.server.protocol import Protocol
from service.server.sockets import bind
from service.server.uvicorn import Drain, Server
from tests.fakes import until

ANSWER = b"HTTP/1.1 200 OK"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
Serve = Callable[[], Server]


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        if scope["path"] == "/slow":
            await asyncio.sleep(0.3)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(protocol, "HEADERS_TIMEOUT_S", 0.3)
    monkeypatch.setattr(protocol, "LINGER_S", 0.5)
    [sock] = bind(1, "127.0.0.1", 0)
    config = uvicorn.Config(app, http=Protocol, lifespan="off", log_config=None)
    made = Server(config, Drain(lambda: None, 0, 30))
    thread = threading.Thread(target=made.run, args=[[sock]])
    thread.start()
    until(lambda: made.started)
    yield made
    made.should_exit = True
    thread.join()


def connect(server: Server) -> socket.socket:
    return socket.create_connection(server.servers[0].sockets[0].getsockname(), timeout=30)


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    content = b""
    while received := connection.recv(65_536):
        content += received
    return content


@pytest.mark.parametrize("sent", [b"", b"GET ", b"GET / HTTP/1.1\r\nHost: x\r\nX: "])
def test_an_incomplete_request(server: Server, sent: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(sent)
        assert connection.recv(99) == b""


def test_an_incomplete_second_request(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(GET + b"\r\n")
        assert connection.recv(999).startswith(ANSWER)
        connection.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert connection.recv(99) == b""


def test_idle_connections_stay_open(server: Server) -> None:
    """The timeout is per request. Between requests the keep-alive timeout applies."""
    with connect(server) as connection:
        for _ in range(4):
            threading.Event().wait(0.2)
            connection.sendall(GET + b"\r\n")
            assert connection.recv(999).startswith(ANSWER)


def headers(count: int) -> bytes:
    return b"".join(b"X%d: y\r\n" % number for number in range(count))


LARGE = {
    "one header too many": GET + headers(MAX_HEADERS) + b"\r\n",
    "many headers": GET + headers(300_000) + b"\r\n",
    "one byte too many": GET + b"A: " + b"b" * (MAX_HEADER_BYTES - len("/Hostxa") + 1) + b"\r\n\r\n",
    "a long name": GET + b"A" * 100_000 + b": b\r\n\r\n",
    "a long URL": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    "a header without an end": GET + b"A: " + b"b" * 10_000_000,
}


@pytest.mark.parametrize("sent", LARGE.values(), ids=LARGE)
def test_large_headers(server: Server, sent: bytes) -> None:
    """The answer arrives although the client sends its whole request before it reads."""
    with connect(server) as connection:
        connection.sendall(sent)
        head, content = read_all(connection).split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large")
    assert b"content-type: application/problem+json" in head
    assert json.loads(content)["error_type"] == "request_header_fields_too_large"
    assert json.loads(content)["detail"] == "at most 100 headers with 65536 bytes are accepted"


@pytest.mark.parametrize(
    "sent",
    [
        GET + headers(MAX_HEADERS - 1) + b"\r\n",
        GET + b"A: " + b"b" * (MAX_HEADER_BYTES - len("/Hostxa")) + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n",
    ],
    ids=["headers", "bytes", "body", "chunks"],
)
def test_the_limits_are_inclusive(server: Server, sent: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(sent)
        assert connection.recv(999).startswith(ANSWER)
        connection.sendall(GET + b"\r\n")
        assert connection.recv(999).startswith(ANSWER)


def test_headers_in_small_pieces(server: Server) -> None:
    with connect(server) as connection:
        for start in range(0, len(LARGE["one byte too many"]), 8192):
            connection.sendall(LARGE["one byte too many"][start : start + 8192])
        assert read_all(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("trailers", [headers(300_000) + b"\r\n", b"A: " + b"b" * 10_000_000], ids=["many", "endless"])
def test_large_trailers(server: Server, trailers: bytes) -> None:
    """The request is answered already, and the connection closes after it."""
    with connect(server) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"0\r\n" + trailers)
        content = read_all(connection)
    assert content.startswith(ANSWER) and content.count(b"HTTP/1.1") == 1


def test_large_headers_after_an_unanswered_request(server: Server) -> None:
    """The answer to the first request is complete, and the connection closes after it."""
    with connect(server) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" + LARGE["one header too many"])
        content = read_all(connection)
    assert content.startswith(ANSWER) and content.count(b"HTTP/1.1") == 1


def process_memory() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_large_headers_that_begin_behind_a_body(server: Server) -> None:
    half = b"X: " + b"a" * (MAX_HEADER_BYTES // 2 + 1_000)
    with connect(server) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
        time.sleep(0.05)
        connection.sendall(b"}" + GET + half)
        time.sleep(0.05)
        connection.sendall(b"\r\n" + half + b"\r\n\r\n")
        answers = read_all(connection)
    assert answers.startswith(ANSWER)
    assert answers.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 431 " in answers


def test_the_rest_of_a_refused_request_is_dropped(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(GET + b"A: " + b"b" * 100_000)
        assert connection.recv(9999).startswith(b"HTTP/1.1 431 ")
        [refused] = server.server_state.connections
        before = process_memory()
        for _ in range(100):
            connection.sendall(b"b" * 1_000_000)
        assert refused in server.server_state.connections
        assert process_memory() - before < 20_000_000


def test_a_new_connection_can_send_its_request_during_the_shutdown(server: Server) -> None:
    with connect(server) as idle, connect(server) as connection:
        idle.sendall(GET + b"\r\n")
        assert idle.recv(999).startswith(ANSWER)
        until(lambda: len(server.server_state.connections) == 2)
        server.should_exit = True
        assert idle.recv(99) == b""  # it has sent a request before
        connection.sendall(GET + b"\r\n")
        content = read_all(connection)
    assert content.startswith(ANSWER) and b"connection: close" in content.lower()


def test_a_new_connection_without_a_request_is_closed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "FIRST_REQUEST_S", 0.1)
    with connect(server) as connection:
        until(lambda: server.server_state.connections)
        server.should_exit = True
        assert connection.recv(99) == b""
