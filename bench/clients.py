"""What soak.py and faults.py share: the service in a process of its own, and many clients of it that count everything.

Loopback only. A client speaks HTTP/1.1 over asyncio's streams: it costs little beside the service on the same cores,
and it tells a connection that was refused (nobody is there) from one that was dropped (somebody was).
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
    """The service over a folder of bundles, ready. `settings` are LIMELIGHT_ variables without the prefix."""

    def __init__(self, models: Path = MODELS, stderr: str | None = None, **settings: str):
        self.port = free_port()
        defaults = {"HOST": HOST, "PORT": str(self.port), "MODELS": str(models), "LOG_LEVEL": "warning"}
        named = {f"LIMELIGHT_{name}": value for name, value in {**defaults, **settings}.items()}
        target = open(stderr, "w") if stderr else subprocess.DEVNULL
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service"],
            env={**os.environ, **named},
            stderr=target,
            cwd=MODELS.parent,
            start_new_session=True,  # a group of processes that can be told apart
        )
        since = time.monotonic()
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() - since > 60:
                self.process.kill()
                raise SystemExit("the service did not get ready")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Whether every model can answer, not only the defaults."""
        try:
            return all(model["ready"] for model in self.ask("GET", "/models")[1]["models"])
        except OSError:
            return False

    def ask(self, method: str, path: str, body: object = None, timeout_s: float = 60) -> tuple[int, Any]:
        """One request on a connection of its own: status and body."""
        connection = HTTPConnection(HOST, self.port, timeout=timeout_s)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(said) if "json" in (answer.getheader("content-type") or "") else said.decode()

    def rss_mb(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000

    def workers(self) -> list[int]:
        """The processes that serve, where there are several."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def figure(self, name: str) -> float:
        """A metric without labels."""
        lines = self.ask("GET", "/metrics")[1].splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])

    def terminate(self) -> tuple[int, float]:
        """SIGTERM: the exit code, and the seconds it took."""
        since = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60), time.monotonic() - since

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # its others, too, which may be stopped
        self.process.wait()


@dataclass
class Tally:
    """What came of many requests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """Status, or `dropped` (a connection ended within a request) or `refused` (none was made) -> how often."""
    seconds: list[float] = field(default_factory=list)
    """Of the requests that were answered."""

    def wrong(self) -> int:
        """What nobody asked for: every 5xx but 503, and every connection that was dropped."""
        return sum(n for o, n in self.outcomes.items() if o == "dropped" or (o.startswith("5") and o != "503"))

    def summary(self) -> dict[str, Any]:
        p50, p99 = np.percentile(self.seconds, [50, 99]).tolist() if self.seconds else (0.0, 0.0)
        return {"outcomes": dict(self.outcomes), "p50_s": round(p50, 3), "p99_s": round(p99, 3), "wrong": self.wrong()}


async def client(
    port: int, going_on: Callable[[], bool], tally: Tally, seed: int, requests: list[tuple[str, dict[str, Any]]] = MIX
) -> None:
    """Asks one request after the other on one connection, for as long as it may."""
    chosen = random.Random(seed)
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    while going_on():
        path, body = chosen.choice(requests)
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
            await asyncio.sleep(1)  # what Retry-After says
    if writer is not None:
        writer.close()


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: dict[str, Any]
) -> tuple[int, bool]:
    """The status of one request, and whether the connection ends with it."""
    content = json.dumps(body).encode()
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n".encode())
    writer.write(b"Content-Type: application/json\r\n\r\n" + content)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length: ")[1].split("\r\n")[0])
    await reader.readexactly(length)
    return int(head.split()[1]), "connection: close" in head


async def load(port: int, clients: int, going_on: Callable[[], bool]) -> Tally:
    tally = Tally()
    async with asyncio.TaskGroup() as group:
        for seed in range(clients):
            group.create_task(client(port, going_on, tally, seed))
    return tally


def for_seconds(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() < until


def probe(port: int, path: str, seconds: float) -> list[float]:
    """Milliseconds of GETs, 20 a second, each on a connection of its own."""
    found = []
    going_on = for_seconds(seconds)
    while going_on():
        since = time.perf_counter()
        connection = HTTPConnection(HOST, port, timeout=30)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        found.append(1000 * (time.perf_counter() - since) if status == 200 else float("inf"))
        time.sleep(0.05)
    return found


def probing(pool: ProcessPoolExecutor, port: int, path: str, seconds: float) -> "Future[list[float]]":
    """In a process of its own, so that the clients' own work is not measured."""
    return pool.submit(probe, port, path, seconds)


def machine() -> dict[str, Any]:
    return {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
