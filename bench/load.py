"""Load generators for throughput and latency that use little CPU.

Closed loop: each client sends its next request when it has an answer. Uses wrk if it is installed (`apt install wrk`),
else asyncio. Open loop: requests arrive at random times, independent of answers. Uses asyncio.
"""

import asyncio
import itertools
import json
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import uvloop

from bench.clients import HOST

# Each wrk thread reads the bodies (one per line) and cycles through them. The result is one line of JSON.
SCRIPT = """
local requests, last = {}, 0
init = function(args)
  local headers = {["Content-Type"] = "application/json"}
  for line in io.lines(args[2]) do requests[#requests + 1] = wrk.format("POST", args[1], headers, line) end
end
request = function()
  last = last % #requests + 1
  return requests[last]
end
done = function(summary, latency)
  local wrong = 0
  for _, count in pairs(summary.errors) do wrong = wrong + count end
  print(string.format('{"requests": %d, "us": %d, "wrong": %d, "p50": %f, "p99": %f}', summary.requests,
    summary.duration, wrong, latency:percentile(50), latency:percentile(99)))
end
"""

Bodies = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Load:
    """Throughput and latency of many requests."""

    per_s: float
    p50_ms: float
    p99_ms: float
    wrong: int = 0
    """Answers other than 200, and broken connections."""

    def cell(self) -> str:
        """Format for a table: requests per second (p50, p99 in milliseconds)."""
        wrong = f" {self.wrong} wrong" if self.wrong else ""
        return f"{self.per_s:,.0f} ({self.p50_ms:.2f}, {self.p99_ms:.1f}){wrong}"

    def summary(self) -> dict[str, float]:
        return {
            "per_s": round(self.per_s, 1),
            "p50_ms": round(self.p50_ms, 2),
            "p99_ms": round(self.p99_ms, 2),
            "wrong": self.wrong,
        }


def closed(port: int, path: str, bodies: Bodies, clients: int, seconds: float) -> Load:
    """Measure `clients` concurrent clients, each of which sends sequential requests."""
    if shutil.which("wrk") is None:
        return uvloop.run(_closed(port, path, bodies, clients, seconds))
    with tempfile.TemporaryDirectory() as folder:
        script, lines = Path(folder) / "script.lua", Path(folder) / "bodies"
        script.write_text(SCRIPT)
        lines.write_text("".join(f"{json.dumps(body)}\n" for body in bodies))
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout", "60s", "-s", str(script)]
        finished = subprocess.run(
            [*command, f"http://{HOST}:{port}", "--", path, str(lines)], check=True, capture_output=True, text=True
        )
    summary = json.loads(finished.stdout.splitlines()[-1])
    rate = 1e6 * summary["requests"] / summary["us"]
    return Load(rate, summary["p50"] / 1000, summary["p99"] / 1000, summary["wrong"])


def open_loop(port: int, path: str, bodies: Bodies, per_s: float, seconds: float) -> Load:
    """Measure requests with exponential inter-arrival times. Latency counts from the planned arrival."""
    return uvloop.run(_open_loop(port, path, bodies, per_s, seconds))


class Connection(asyncio.Protocol):
    """An HTTP/1.1 connection for sequential requests. Answers must have a Content-Length."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes) -> "asyncio.Future[int]":
        """Send a request. The future is its status, or 0 if the connection breaks."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if found and self._answer is not None:
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            if len(rest) >= length:
                self._received = b""
                self._answer.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(0)

    @property
    def closed(self) -> bool:
        """True if the server has closed the connection, for example after its idle timeout."""
        return self._transport is None or self._transport.is_closing()

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


async def _connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, HOST, port)
    return connection


def _encoded(path: str, bodies: Bodies) -> list[bytes]:
    contents = [json.dumps(body).encode() for body in bodies]
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: "
    return [f"{head}{len(content)}\r\n\r\n".encode() + content for content in contents]


def _summarised(taken: list[float], statuses: list[int], seconds: float) -> Load:
    p50, p99 = (1000 * np.percentile(taken, [50, 99])).tolist()
    return Load(len(taken) / seconds, p50, p99, sum(status != 200 for status in statuses))


async def _closed(port: int, path: str, bodies: Bodies, clients: int, seconds: float) -> Load:
    requests = _encoded(path, bodies)
    taken: list[float] = []
    statuses: list[int] = []
    until = time.perf_counter() + seconds

    async def client(number: int) -> None:
        connection = await _connect(port)
        while (since := time.perf_counter()) < until:
            statuses.append(await connection.send(requests[(number + clients * len(taken)) % len(requests)]))
            taken.append(time.perf_counter() - since)
        connection.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return _summarised(taken, statuses, seconds)


async def _open_loop(port: int, path: str, bodies: Bodies, per_s: float, seconds: float) -> Load:
    requests, generator = _encoded(path, bodies), random.Random(7)
    free: list[Connection] = []
    taken: list[float] = []
    statuses: list[int] = []

    async def one(due: float, request: bytes) -> None:
        while free and free[-1].closed:
            free.pop()
        connection = free.pop() if free else await _connect(port)
        statuses.append(await connection.send(request))
        taken.append(time.perf_counter() - due)
        if statuses[-1]:
            free.append(connection)

    start = due = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        # Cycle by arrival, not by answers: a slow server would otherwise receive the same request repeatedly.
        for request in itertools.cycle(requests):
            due += generator.expovariate(per_s)
            if due >= start + seconds:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due, request))
    for connection in free:
        connection.close()
    return _summarised(taken, statuses, time.perf_counter() - start)
