"""Hostile inputs, one kind after another, against one service while another process polls `/health/live`."""

import gzip
import json
import multiprocessing
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from bench.clients import HOST, MIX, MODELS, Service
from bench.faults.results import Result
from service.access import new_key

TIMEOUT_S = 10
"""LIMELIGHT_TIMEOUT_S of the service."""
KIND_S = 2.0
"""Minimum time of one kind of input, which is repeated."""
REST_S = 14.0
"""Time before memory, threads and descriptors are counted. The service returns freed memory every 10 s."""
POLL_INTERVAL_S = 0.05

KEY, KEY_LINE = new_key("bench")
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
PAIR = {"source": "en", "target": "fr"}
NUMBERS = b"[" + b"1," * 899_999 + b"1]"
LONG = "x" * 1_000_000
FORM = "application/x-www-form-urlencoded"
SENTENCES = ("A man in a red jacket is riding a bicycle. " * 12)[:512]

Send = Callable[[Service], int]
"""Sends one request to a service and returns the status of its answer, or 0 if the connection was closed."""


@dataclass(frozen=True)
class Kind:
    """A kind of hostile input: its requests, and the statuses that are right."""

    name: str
    requests: list[Send]
    statuses: set[int]


def post(path: str, content: bytes, **headers: str) -> Send:
    """A POST request with the key of the service, unless `headers` replaces it."""

    def send(service: Service) -> int:
        connection = HTTPConnection(HOST, service.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", path, content, {"Content-Type": "application/json", **AUTHORIZED, **named})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    return send


def post_json(path: str, **body: Any) -> Send:
    return post(path, json.dumps(body, ensure_ascii=False).encode())


def translate(q: str | list[str], **fields: Any) -> Send:
    return post_json("/translate", q=q, **PAIR, **fields)


def send_headers(pieces: Callable[[], Iterator[bytes]]) -> Send:
    """A GET request whose headers are the pieces."""

    def send(service: Service) -> int:
        with socket.create_connection((HOST, service.port), timeout=60) as connection:
            try:
                connection.sendall(b"GET /models HTTP/1.1\r\nHost: x\r\n")
                for piece in pieces():
                    connection.sendall(piece)
                connection.sendall(b"\r\n")
            except OSError:
                pass  # the service has stopped reading; its answer may have arrived
            try:
                head = connection.recv(1_000)
            except OSError:
                return 0
        return int(head.split()[1]) if head else 0

    return send


def kinds() -> list[Kind]:
    """Inputs that are large, malformed, or expensive to read."""
    in_all_routes = [
        lambda text: translate(text),
        lambda text: post_json("/classify", text=text, model="sms-spam"),
        lambda text: post_json("/detect", q=text if isinstance(text, str) else text[0]),
    ]
    expensive = {200, 422, 504}
    return [
        Kind("nothing", [], set()),
        Kind("`{}` 500 times", [translate("{}" * 500 + " a")], expensive),
        Kind("`<0>` 400 times, HTML", [translate("<0>" * 400 + "a", format="html")], expensive),
        Kind("`<0>` 33,000 times, HTML", [translate("<0>" * 33_000, format="html")], expensive),
        Kind("`<` and 99,000 letters, HTML", [translate("Hi. <" + "a" * 99_000, format="html")], expensive),
        Kind(
            "`<![>`, `&#` and 4,301 digits, HTML",
            [translate(t, format="html") for t in ("<![>Hello.", "&#" + "1" * 4301 + ";")],
            {200},
        ),
        Kind(
            "900,000 numbers for texts",
            [post("/classify", b'{"text": ' + NUMBERS + b"}"), post("/translate", b'{"q": ' + NUMBERS + b"}")],
            {422},
        ),
        Kind("the same without a key", [post("/classify", b'{"text": ' + NUMBERS + b"}", Authorization="none")], {401}),
        Kind(
            "300,000 brackets, 150,000 fields",
            [
                post("/classify", b'{"text": ' + b"[" * 150_000 + b"]" * 150_000 + b"}"),
                post("/classify", b"{" + b",".join(b'"%d": 1' % n for n in range(150_000)) + b"}"),
            ],
            {422},
        ),
        Kind("a model name of 1 MB", [post_json("/classify", text="a", model=LONG)], {404, 422}),
        Kind("a field name of 1 MB", [post_json("/classify", text="a", **{LONG: 1})], {422}),
        Kind("256 texts of 512 characters, full attention", [translate([SENTENCES] * 256, attention="full")], {413}),
        Kind(
            "headers of 400 MB",
            [send_headers(lambda: (b"x: " + b"a" * 1_000_000 + b"\r\n" for _ in range(400)))],
            {431, 0},
        ),
        Kind("300,000 headers", [send_headers(lambda: (b"x: a\r\n" * 1_000 for _ in range(300)))], {431, 0}),
        Kind("99,000 backticks", [send("`" * 99_000) for send in in_all_routes], expensive),
        Kind("`<!` 49,000 times, HTML", [translate("<!" * 49_000, format="html")], expensive),
        Kind("U+FDFA 99,000 times, three texts", [send(["\ufdfa" * 99_000] * 3) for send in in_all_routes], expensive),
        Kind("99,000 combining marks", [send("e" + "\u0301" * 99_000) for send in in_all_routes], expensive),
        Kind(
            "U+200B 99,000 times, six texts", [send(["a" + "\u200b" * 99_000] * 6) for send in in_all_routes], expensive
        ),
        Kind(
            "99,000 stops, `a@`, `%`, quotation marks",
            [translate(t) for t in ("." * 99_000, "a@" * 49_000, "%" * 99_000, "\u201e" * 99_000)],
            expensive,
        ),
        Kind("49,000 lines", [translate("a\n" * 49_000)], expensive),
        Kind(
            "a form of 1.9 MB",
            [post("/translate", b"source=en&target=fr&q=" + b"%41" * 600_000, Content_Type=FORM)],
            {422},
        ),
        Kind(
            "gzip bodies of 200 MB and of 90,000 members",
            [
                post("/classify", content, Content_Encoding="gzip")
                for content in (gzip.compress(b"\0" * 200_000_000), gzip.compress(b"") * 90_000)
            ],
            {413, 422},
        ),
    ]


def hostile_inputs(_models: Path) -> Result:
    """Send each kind of input for two seconds, then once more, to a service with all committed bundles.

    Meanwhile `/health/live` must be answered. The first round may leave fragments of memory, the second none.
    """
    with Service(MODELS, TIMEOUT_S=str(TIMEOUT_S), API_KEYS=KEY_LINE) as service:
        for path, body in MIX * 10:
            post_json(path, **body)(service)
        before = resources(service)
        measured, all_ms, wrong = {}, [], {}
        for kind in kinds():
            with polling(service) as latencies_ms:
                statuses, slowest_s = repeat(kind, service)
            measured[kind.name] = {
                "answers": dict(statuses),
                "slowest_s": round(slowest_s, 2),
                "live_p99_ms": round(float(np.percentile(latencies_ms, 99)), 1),
                "live_max_ms": round(max(latencies_ms), 1),
                "rss_mb": round(service.rss_mb()),
            }
            all_ms += latencies_ms
            if not set(statuses) <= kind.statuses:
                wrong[kind.name] = dict(statuses)
        after = resources(service)
        for kind in kinds():
            for send in kind.requests:
                send(service)
        after_again = resources(service)
    slowest = max(row["slowest_s"] for row in measured.values())
    return {
        **measured,
        "live_p99_ms": round(float(np.percentile(all_ms, 99)), 1),
        "before": before,
        "after": after,
        "after a second round": after_again,
        "holds": {
            f"answered or refused as documented, {wrong}": not wrong,
            "within the time of a request and 2 s": slowest < TIMEOUT_S + 2,
            "/health/live within 100 ms at p99": all(row["live_p99_ms"] < 100 for row in measured.values()),
            "memory within 10 % of before": after["rss_mb"] < 1.1 * before["rss_mb"],
            "no growth in a second round": after_again["rss_mb"] < 1.03 * after["rss_mb"],
            "threads as before": after_again["threads"] <= before["threads"],
            "descriptors as before": after_again["descriptors"] <= before["descriptors"],
        },
    }


def repeat(kind: Kind, service: Service) -> tuple[Counter[int], float]:
    """Send the requests in turn, each at least once. Returns the statuses and the longest time."""
    statuses: Counter[int] = Counter()
    slowest, until = 0.0, time.monotonic() + KIND_S
    if not kind.requests:
        time.sleep(KIND_S)
    while sum(statuses.values()) < len(kind.requests) or (kind.requests and time.monotonic() < until):
        since = time.monotonic()
        statuses[kind.requests[sum(statuses.values()) % len(kind.requests)](service)] += 1
        slowest = max(slowest, time.monotonic() - since)
    return statuses, slowest


def resources(service: Service) -> dict[str, int]:
    """Memory, threads and descriptors of the service after a rest."""
    time.sleep(REST_S)
    process = Path(f"/proc/{service.process.pid}")
    return {
        "rss_mb": round(service.rss_mb()),
        "threads": len(list((process / "task").iterdir())),
        "descriptors": len(list((process / "fd").iterdir())),
    }


@contextmanager
def polling(service: Service) -> Iterator[list[float]]:
    """Poll `/health/live` in another process. Yields a list that has the milliseconds afterwards."""
    context = multiprocessing.get_context("spawn")
    connection, other = context.Pipe()
    process = context.Process(target=poll, args=(service.port, other))
    process.start()
    connection.recv()
    found: list[float] = []
    yield found
    connection.send(None)
    found += connection.recv()
    process.join()


def poll(port: int, connection: Connection) -> None:
    """Ask on a new connection every 50 ms until a message arrives, and send the milliseconds."""
    latencies = []
    connection.send(None)
    while not connection.poll(POLL_INTERVAL_S):
        since = time.perf_counter()
        http = HTTPConnection(HOST, port, timeout=60)
        http.request("GET", "/health/live")
        status = http.getresponse().status
        http.close()
        latencies.append(1000 * (time.perf_counter() - since) if status == 200 else float("inf"))
    connection.send(latencies)
