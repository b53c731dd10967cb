"""The service in a separate process, and concurrent clients that count every outcome. Loopback only.

A client speaks HTTP/1.1 over asyncio streams, which costs little CPU. It distinguishes a refused connection (no server)
from a dropped one (closed by the server during a request).
"""

import asyncio
import json
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

HOST = "127.0.0.1"
MODELS = Path(__file__).parents[1] / "models"

SMS = "Are we still meeting for lunch tomorrow? I'll bring the book you asked for"
TEN_WORDS = "A man in a red jacket is riding a bicycle."
CLASSIFY = {"text": SMS, "model": "sms-spam"}
CLASSIFY_16 = {"text": [SMS] * 16, "model": "sms-spam", "attention": "none"}
TRANSLATE = {"q": TEN_WORDS, "source": "en", "target": "fr"}
MIX: list[tuple[str, dict[str, Any]]] = [
    ("/classify", CLASSIFY),
    ("/classify", CLASSIFY),
    ("/classify", CLASSIFY_16),
    ("/translate", TRANSLATE),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """A running service over a folder of bundles, with all models loaded.

    `settings` are LIMELIGHT_ variables without the prefix; with `wait=False` nothing is loaded yet. Raises SystemExit
    if the service is not ready within 60 s.
    """

    def __init__(self, models: Path = MODELS, stderr: str | None = None, wait: bool = True, **settings: str):
        self.port = free_port()
        defaults = {"HOST": HOST, "PORT": str(self.port), "MODELS": str(models), "LOG_LEVEL": "warning"}
        named = {f"LIMELIGHT_{name}": value for name, value in {**defaults, **settings}.items()}
        target = open(stderr, "w") if stderr else subprocess.DEVNULL
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service"],
            env={**os.environ, **named},
            stderr=target,
            cwd=MODELS.parent,
            start_new_session=True,  # its process group is killed in __exit__
        )
        since = time.monotonic()
        while wait and not self.is_ready():
            if self.process.poll() is not None or time.monotonic() - since > 60:
                self.process.kill()
                raise SystemExit("the service did not get ready")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Return True when every model is ready, including models that are not a default."""
        try:
            return all(model["ready"] for model in self.ask("GET", "/models")[1]["models"])
        except OSError:
            return False

    def ask(self, method: str, path: str, body: object = None, timeout_s: float = 60) -> tuple[int, Any]:
        """Send one request on a new connection. Returns its status and decoded body."""
        connection = HTTPConnection(HOST, self.port, timeout=timeout_s)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        is_json = "json" in (answer.getheader("content-type") or "")
        return answer.status, json.loads(content) if is_json else content.decode()

    def rss_mb(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000

    def workers(self) -> list[int]:
        """Process ids of the serving processes, with LIMELIGHT_PROCESSES > 1."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def metric(self, name: str) -> float:
        """Read a metric without labels from /metrics."""
        lines = self.ask("GET", "/metrics")[1].splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])

    def terminate(self) -> tuple[int, float]:
        """Send SIGTERM. Returns the exit code and the seconds until exit."""
        since = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60), time.monotonic() - since

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # including children that are stopped by a signal
        self.process.wait()


@dataclass
class Tally:
    """Outcomes and latencies of many requests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """Count of each status, of `dropped` (closed during a request) and of `refused` (not connected)."""
    seconds: list[float] = field(default_factory=list)
    """Latencies of the answered requests."""

    def wrong(self) -> int:
        """Count server failures: 5xx answers other than 503, and dropped connections."""
        return sum(n for o, n in self.outcomes.items() if o == "dropped" or (o.startswith("5") and o != "503"))

    def summary(self) -> dict[str, Any]:
        p50, p99 = np.percentile(self.seconds, [50, 99]).tolist() if self.seconds else (0.0, 0.0)
        return {"outcomes": dict(self.outcomes), "p50_s": round(p50, 3), "p99_s": round(p99, 3), "wrong": self.wrong()}


async def client(
    port: int, running: Callable[[], bool], tally: Tally, seed: int, requests: list[tuple[str, dict[str, Any]]] = MIX
) -> None:
    """Send random requests of a list on one connection while `running()` is true."""
    generator = random.Random(seed)
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    while running():
        path, body = generator.choice(requests)
        since = time.perf_counter()
        try:
            if writer is None or reader is None:
                reader, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            tally.outcomes["refused"] += 1
            await asyncio.sleep(0.1)
            continue
        try:
            status, closes = await ask(reader, writer, path, body)
        except (OSError, asyncio.IncompleteReadError):
            tally.outcomes["dropped"] += 1
            writer.close()
            writer = None
            continue
        tally.outcomes[str(status)] += 1
        tally.seconds.append(time.perf_counter() - since)
        if closes:
            writer.close()
            writer = None
        if status == 429:
            await asyncio.sleep(1)  # the value of Retry-After
    if writer is not None:
        writer.close()


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: dict[str, Any]
) -> tuple[int, bool]:
    """Send one request. Returns its status and True if the server closes the connection."""
    content = json.dumps(body).encode()
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n".encode())
    writer.write(b"Content-Type: application/json\r\n\r\n" + content)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length: ")[1].split("\r\n")[0])
    await reader.readexactly(length)
    return int(head.split()[1]), "connection: close" in head


async def load(port: int, clients: int, running: Callable[[], bool]) -> Tally:
    tally = Tally()
    async with asyncio.TaskGroup() as group:
        for seed in range(clients):
            group.create_task(client(port, running, tally, seed))
    return tally


def for_seconds(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() < until


def probe(port: int, path: str, seconds: float) -> list[float]:
    """Milliseconds of GET requests, 20 per second, each on a new connection."""
    latencies = []
    running = for_seconds(seconds)
    while running():
        since = time.perf_counter()
        connection = HTTPConnection(HOST, port, timeout=30)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        latencies.append(1000 * (time.perf_counter() - since) if status == 200 else float("inf"))
        time.sleep(0.05)
    return latencies


def probing(pool: ProcessPoolExecutor, port: int, path: str, seconds: float) -> "Future[list[float]]":
    """Run `probe` in a separate process, so that the load of the clients does not delay it."""
    return pool.submit(probe, port, path, seconds)


def machine() -> dict[str, Any]:
    return {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
