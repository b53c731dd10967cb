"""Faults of connections: idle and half-sent requests, slow readers, connections that the client resets."""

import json
import socket
import struct
import time
from pathlib import Path

from bench.clients import HOST, TRANSLATE, Service
from bench.faults.results import Result, answers


def post(path: str, body: Result) -> bytes:
    """Return a POST request as bytes."""
    content = json.dumps(body)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return (head + content).encode()


def connections(service: Service, count: int, sent: bytes) -> list[socket.socket]:
    """Open connections and send the same bytes on each."""
    made = [socket.create_connection((HOST, service.port)) for _ in range(count)]
    for connection in made:
        connection.sendall(sent)
    return made


def closed_within(made: list[socket.socket], seconds: float) -> int:
    """Count the connections that the service closes within a time."""
    until = time.monotonic() + seconds
    closed = 0
    for connection in made:
        connection.settimeout(max(0.01, until - time.monotonic()))
        try:
            while connection.recv(65536):
                pass
            closed += 1
        except TimeoutError:
            pass
        except OSError:
            closed += 1
        connection.close()
    return closed


def half_open_connections(models: Path) -> Result:
    """Open 200 connections that send nothing, 200 that stop in the headers, 200 that stop in the body."""
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n"
    closed = {}
    with Service(models, TIMEOUT_S="5") as service:
        during = True
        for state, sent in {"nothing": b"", "half a head": head[:40], "half a body": head + b"\r\n{"}.items():
            made = connections(service, 200, sent)
            during &= answers(service)
            closed[state] = closed_within(made, 15)
        after = answers(service)
    return {
        "closed of 200": closed,
        "holds": {"others are answered within 1 s": during and after, "all closed": set(closed.values()) == {200}},
    }


def slow_readers(models: Path) -> Result:
    """50 clients request a long answer and do not read it."""
    request = post(
        "/classify", {"text": ["a b c d e f g h i j k l m n"] * 250, "model": "sms-spam", "attention": "full"}
    )
    with Service(models, TIMEOUT_S="5") as service:
        made = connections(service, 50, request)
        time.sleep(2)
        during = answers(service)
        time.sleep(8)
        in_flight = service.metric("limelight_requests_in_flight") - 1  # without the /metrics request
        for connection in made:
            connection.close()
    return {
        "in flight after 10 s": in_flight,
        "holds": {"others are answered within 1 s": during, "no request is left in flight": in_flight == 0},
    }


def reset(connection: socket.socket) -> None:
    """Close a connection with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def reset_connections(models: Path) -> Result:
    """Reset 300 connections during a long translation, and 50 while the answer is sent."""
    text = "A man in a red jacket is riding a bicycle. " * 40
    translating = post("/translate", {"q": text, "source": "en", "target": "fr", "attention": "full"})
    classifying = post("/classify", {"text": ["a b c d e f g h i j"] * 250, "model": "sms-spam", "attention": "full"})
    with Service(models, MAX_REQUESTS="1000", QUEUE_TOKENS="100000000") as service:
        for number in range(300):
            [connection] = connections(service, 1, translating)
            if number % 3 == 0:
                time.sleep(0.01)
            reset(connection)
        since = time.perf_counter()
        status, _ = service.ask("POST", "/translate", TRANSLATE)
        first_s = time.perf_counter() - since
        for connection in connections(service, 50, classifying):
            answer = connection.recv(500)
            assert answer.startswith(b"HTTP/1.1 200"), answer
            reset(connection)
        time.sleep(0.5)
        answers_after = answers(service)
        in_flight = service.metric("limelight_requests_in_flight") - 1
    return {
        "first_after_s": round(first_s, 2),
        "in flight": in_flight,
        "holds": {
            "the next request is answered within 1 s": status == 200 and first_s < 1 and answers_after,
            "no request is left in flight": in_flight == 0,
        },
    }
