"""Sockets are bound with clear errors, and closed without resetting connections."""

import socket
import threading

import pytest

from service.server.sockets import CannotBind, address_of, bind, refuse_new_connections, reserve


def close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def test_several_sockets_share_a_port() -> None:
    sockets = bind(3, "127.0.0.1", 0)
    addresses = {sock.getsockname() for sock in sockets}
    assert len(addresses) == 1
    for sock in sockets:
        sock.listen()
    close(sockets)


@pytest.mark.parametrize("count", [1, 2])
def test_a_port_in_use(count: int) -> None:
    [other] = bind(1, "127.0.0.1", 0)
    other.listen()
    port = other.getsockname()[1]
    message = rf"^LIMELIGHT_PORT={port}: 127\.0\.0\.1:{port}: Address already in use$"
    with pytest.raises(CannotBind, match=message):
        bind(count, "127.0.0.1", port)
    close([other])


def test_a_reserved_port() -> None:
    """Sockets with SO_REUSEPORT listen on it, and no connection waits at the reserved socket."""
    with reserve("127.0.0.1", 0, "LIMELIGHT_GRPC_PORT") as reserved, socket.socket() as listening:
        port = reserved.getsockname()[1]
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        for _ in range(8):
            socket.create_connection(("127.0.0.1", port), timeout=30).close()
            listening.accept()[0].close()
        with pytest.raises(CannotBind, match=f"^LIMELIGHT_GRPC_PORT={port}: "):
            reserve("127.0.0.1", port, "LIMELIGHT_GRPC_PORT")


@pytest.mark.parametrize("host", ["192.0.2.1", "host.invalid", "300.1.1.1", "2001:db8::1", "", "a" * 99])
def test_an_unusable_host(host: str) -> None:
    with pytest.raises(CannotBind, match=f"^LIMELIGHT_HOST={host}: "):
        bind(1, host, 0)


def test_localhost_is_ipv4() -> None:
    sockets = bind(1, "localhost", 0)
    assert sockets[0].family == socket.AF_INET
    close(sockets)


def test_address() -> None:
    assert address_of("127.0.0.1", 80) == "127.0.0.1:80"
    assert address_of("::1", 80) == "[::1]:80"


def test_refused_connections() -> None:
    """An established connection waits in the queue and is accepted; a new one is refused after the close."""
    [sock] = bind(1, "127.0.0.1", 0)
    sock.listen()
    address = sock.getsockname()
    waiting = socket.create_connection(address, timeout=30)
    assert refuse_new_connections(sock)
    with pytest.raises(TimeoutError):
        socket.create_connection(address, timeout=0.2)
    accepted, _ = sock.accept()
    accepted.sendall(b"answer")
    assert waiting.recv(9) == b"answer"
    threading.Timer(0.2, sock.close).start()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=30)
    close([accepted, waiting])


def test_a_system_without_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def setsockopt(self, *_: object) -> None:
            raise OSError("not supported")

    assert not refuse_new_connections(Refusing())  # type: ignore[arg-type]
