"""Start Limelight and the rival servers over the same bundle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench.clients import HOST, MODELS, Service, free_port
from bench.load import Load, closed, open_loop
from bench.rivals import BENTOML, BUNDLE, CANNED, SERVERS
from service.bundle.files import find_bundles

OURS, OURS_TWICE = "limelight", "limelight, 2 processes"


def latest_bundle(model: str) -> Path:
    """Return the folder of a model's highest version."""
    versions = find_bundles(MODELS)[model]
    return versions[max(versions)]


@dataclass(frozen=True)
class Server:
    """A running server, and the path of its requests."""

    port: int
    group: int
    """Process group of the server."""
    path: str = "/classify"

    def closed(self, bodies: Sequence[dict[str, Any]], clients: int, seconds: float) -> Load:
        """Measure a closed loop."""
        return closed(self.port, self.path, bodies, clients, seconds)

    def open_loop(self, bodies: Sequence[dict[str, Any]], per_s: float, seconds: float) -> Load:
        """Measure an open loop."""
        return open_loop(self.port, self.path, bodies, per_s, seconds)

    def post(self, body: dict[str, Any]) -> bytes:
        """Send one request. Returns the body of the answer; raises OSError if the status is not 200."""
        connection = HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request("POST", self.path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise OSError(f"status {answer.status}")
            return answer.read()
        finally:
            connection.close()

    def pause(self) -> None:
        """Stop the processes with SIGSTOP. Some servers use a whole core while idle."""
        os.killpg(self.group, signal.SIGSTOP)

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """Continue the processes for the duration of the block."""
        os.killpg(self.group, signal.SIGCONT)
        try:
            yield
        finally:
            self.pause()


@contextmanager
def serving(server: str, model: str, canned: int) -> Iterator[Server]:
    """Start a /classify server over the latest bundle of a model and wait until it answers.

    `canned` is the size in bytes of the bare endpoint's answer. Raises SystemExit if the server is not ready in 60 s.
    """
    if server in (OURS, OURS_TWICE):
        with Service(DEFAULT_CLASSIFIER=model, PROCESSES="2" if server == OURS_TWICE else "1") as service:
            yield Server(service.port, service.process.pid)
        return
    environment = {BUNDLE: str(latest_bundle(model)), CANNED: str(canned)}
    with rival(server, "/classify", {"text": ["Hello"]}, environment) as running:
        yield running


@contextmanager
def rival(name: str, path: str, probe: dict[str, Any], environment: dict[str, str]) -> Iterator[Server]:
    """Start a server of `bench.rivals` and wait until it answers the probe.

    Raises SystemExit if the server is not ready in 60 s.
    """
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.rivals", name, str(port)],
        env={**os.environ, **environment},
        cwd=MODELS.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # its child processes are stopped with it
    )
    server = Server(port, process.pid, path)
    try:
        since = time.monotonic()
        while not answers(server, probe):
            if process.poll() is not None or time.monotonic() - since > 60:
                raise SystemExit(f"{name} is not ready")
            time.sleep(0.2)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        os.killpg(process.pid, signal.SIGCONT)
        process.wait()


def answers(server: Server, probe: dict[str, Any]) -> bool:
    """Return True if the server answers the probe with 200."""
    try:
        return bool(server.post(probe))
    except OSError:
        return False


def body_of(server: str, texts: str | list[str]) -> dict[str, Any]:
    """Return the request body. BentoML accepts lists only."""
    return {"text": [texts] if server == "BentoML" and isinstance(texts, str) else texts}


def servers() -> list[str]:
    """Return the names of the installed /classify servers, Limelight first."""
    missing = [] if BENTOML.exists() else ["BentoML"]
    return [OURS, OURS_TWICE, *(server for server in SERVERS if server not in missing)]
