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
from bench.load import Load, closed
from bench.rivals import BENTOML, BUNDLE, CANNED, SERVERS
from service.bundle.files import find_bundles

OURS, OURS_TWICE = "limelight", "limelight, 2 processes"


def latest_bundle(model: str) -> Path:
    """Return the folder of a model's highest version."""
    versions = find_bundles(MODELS)[model]
    return versions[max(versions)]


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    group: int
    """Process group of the server."""

    def closed(self, bodies: Sequence[dict[str, Any]], clients: int, seconds: float) -> Load:
        """Measure /classify in a closed loop."""
        return closed(self.port, "/classify", bodies, clients, seconds)

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
    """Start a server over the latest bundle of a model and wait until it answers.

    `canned` is the size in bytes of the bare endpoint's answer. Raises SystemExit if the server is not ready in 60 s.
    """
    if server in (OURS, OURS_TWICE):
        with Service(DEFAULT_CLASSIFIER=model, PROCESSES="2" if server == OURS_TWICE else "1") as service:
            yield Server(service.port, service.process.pid)
        return
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.rivals", server, str(port)],
        env={**os.environ, BUNDLE: str(latest_bundle(model)), CANNED: str(canned)},
        cwd=MODELS.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # its child processes are stopped with it
    )
    try:
        since = time.monotonic()
        while not answers(port):
            if process.poll() is not None or time.monotonic() - since > 60:
                raise SystemExit(f"{server} is not ready")
            time.sleep(0.2)
        yield Server(port, process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        os.killpg(process.pid, signal.SIGCONT)
        process.wait()


def answers(port: int) -> bool:
    """Return True if the server answers a classification."""
    connection = HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("POST", "/classify", json.dumps({"text": ["Hello"]}), {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def body_of(server: str, texts: str | list[str]) -> dict[str, Any]:
    """Return the request body. BentoML accepts lists only."""
    return {"text": [texts] if server == "BentoML" and isinstance(texts, str) else texts}


def servers() -> list[str]:
    """Return the names of the installed servers, Limelight first."""
    missing = [] if BENTOML.exists() else ["BentoML"]
    return [OURS, OURS_TWICE, *(server for server in SERVERS if server not in missing)]
