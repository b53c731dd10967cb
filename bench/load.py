"""Clients that cost little, so that the service beside them has the cores: requests a second and how long they took.

Closed loop (each client asks again when it is answered): wrk where it is installed (`apt install wrk`), a few
microseconds a request. Open loop (requests come when they come, answered or not) and where there is no wrk: asyncio.
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

# wrk's threads each read the bodies, a line each, and go round; what came of it is one line of JSON.
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
    """What came of many requests."""

    per_s: float
    p50_ms: float
    p99_ms: float
    wrong: int = 0
    """Answers that were no 200, and connections that broke."""

    def summary(self) -> dict[str, float]:
        return {
            "per_s": round(self.per_s, 1),
            "p50_ms": round(self.p50_ms, 2),
            "p99_ms": round(self.p99_ms, 2),
            "wrong": self.wrong,
        }


def closed(port: int, path: str, bodies: Bodies, clients: int, seconds: float) -> Load:
    """So many clients, each of which asks one request after the other."""
    if shutil.which("wrk") is None:
        return uvloop.run(_closed(port, path, bodies, clients, seconds))
    with tempfile.TemporaryDirectory() as folder:
        script, lines = Path(folder) / "script.lua", Path(folder) / "bodies"
        script.write_text(SCRIPT)
        lines.write_text("".join(f"{json.dumps(body)}\n" for body in bodies))
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout", "60s", "-s", str(script)]
        found = subprocess.run(
            [*command, f"http://{HOST}:{port}", "--", path, str(lines)], check=True, capture_output=True, text=True
        )
    told = json.loads(found.stdout.splitlines()[-1])
    rate = 1e6 * told["requests"] / told["us"]
    return Load(rate, told["p50"] / 1000, told["p99"] / 1000, told["wrong"])


def open_loop(port: int, path: str, bodies: Bodies, per_s: float, seconds: float) -> Load:
    """Requests that come by chance, `per_s` on average; each is late from the moment at which it should have come."""
    return uvloop.run(_open_loop(port, path, bodies, per_s, seconds))


class Connection(asyncio.Protocol):
    """One request after the other; an answer ends where its Content-Length says."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> "asyncio.Future[int]":
        """The status."""
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
        """A server closes connections that say nothing for a while."""
        return self._transport is None or self._transport.is_closing()

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


async def _connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, HOST, port)
    return connection


def _written(path: str, bodies: Bodies) -> list[bytes]:
    contents = [json.dumps(body).encode() for body in bodies]
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: "
    return [f"{head}{len(content)}\r\n\r\n".encode() + content for content in contents]


def _loaded(taken: list[float], statuses: list[int], seconds: float) -> Load:
    p50, p99 = (1000 * np.percentile(taken, [50, 99])).tolist()
    return Load(len(taken) / seconds, p50, p99, sum(status != 200 for status in statuses))


async def _closed(port: int, path: str, bodies: Bodies, clients: int, seconds: float) -> Load:
    requests = _written(path, bodies)
    taken: list[float] = []
    statuses: list[int] = []
    until = time.perf_counter() + seconds

    async def client(number: int) -> None:
        connection = await _connect(port)
        while (since := time.perf_counter()) < until:
            statuses.append(await connection.ask(requests[(number + clients * len(taken)) % len(requests)]))
            taken.append(time.perf_counter() - since)
        connection.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return _loaded(taken, statuses, seconds)


async def _open_loop(port: int, path: str, bodies: Bodies, per_s: float, seconds: float) -> Load:
    requests, chance = _written(path, bodies), random.Random(7)
    free: list[Connection] = []
    taken: list[float] = []
    statuses: list[int] = []

    async def one(due: float, request: bytes) -> None:
        while free and free[-1].closed:
            free.pop()
        connection = free.pop() if free else await _connect(port)
        statuses.append(await connection.ask(request))
        taken.append(time.perf_counter() - due)
        if statuses[-1]:
            free.append(connection)

    begun = due = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        # The next one each time: by how many are answered, a slow server would be asked the same again and again.
        for request in itertools.cycle(requests):
            due += chance.expovariate(per_s)
            if due >= begun + seconds:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due, request))
    for connection in free:
        connection.close()
    return _loaded(taken, statuses, time.perf_counter() - begun)
