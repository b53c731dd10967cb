"""`python -m bench.service [PART ...]`: the service over HTTP, compared with other servers and with the same work in
process.

Measures short texts (SMS) and long texts (film reviews) of the corpora (LIMELIGHT_DATA) in a closed loop with 1 to 64
clients and in an open loop at 70 % of the throughput of 32 clients; requests with 32 texts; /translate
(`bench/translation.py`); and cost by text length and text count. Prints tables, then one JSON document on the last
line. Clients and servers share the cores.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from typing import Any

import numpy as np

from bench import translation
from bench.clients import HOST, Service, machine
from bench.in_process import classifier_rate, in_subprocess, onnxruntime_rate, torch_rate
from bench.load import Load, closed
from bench.rivals.network import ROWS
from bench.servers import OURS, OURS_TWICE, body_of, servers, serving
from service.runtime import available_cores
from training.corpora import labelled_texts
from training.recipe import ClassificationData

SECONDS = 2.0
"""Minimum duration of a measurement."""
CLIENTS = (1, 8, 32, 64)
OPEN_LOOP_LOAD = 0.7
"""Arrival rate of the open loop, relative to the throughput of 32 closed-loop clients."""

Results = dict[str, Any]


def texts_of(model: str, count: int) -> list[str]:
    """Return texts of the test split of the model's corpus, which has the model's name, within its length limit."""
    rows = labelled_texts(ClassificationData(corpora=[model]), "test")
    return [row.text for row in rows if len(row.text) < 3_000][:count]


def single_texts(model: str, count: int, seconds: float, rounds: int) -> Results:
    """Measure all servers with one text per request. Returns the best of several rounds.

    The servers run in turns, so that other load on the machine affects all of them.
    """
    texts = texts_of(model, count)
    with ExitStack() as stack:
        running = {OURS: stack.enter_context(serving(OURS, model, 0))}
        canned = typical_bytes(running[OURS].port, texts)
        running |= {name: stack.enter_context(serving(name, model, canned)) for name in servers() if name != OURS}
        for server in running.values():
            server.pause()
        bodies = {name: [body_of(name, text) for text in texts] for name in running}
        best: dict[str, list[Load]] = {}
        for _ in range(rounds):
            for name, server in running.items():
                with server.resumed():
                    server.closed(bodies[name], 8, 1)  # warm-up
                    loads = [server.closed(bodies[name], clients, seconds) for clients in CLIENTS]
                    per_s = max(1.0, OPEN_LOOP_LOAD * loads[CLIENTS.index(32)].per_s)
                    loads.append(server.open_loop(bodies[name], per_s, seconds))
                pairs = zip(loads, best.get(name, loads), strict=True)
                best[name] = [min(pair, key=lambda load: load.p50_ms) for pair in pairs]
    columns = [f"{clients} clients" for clients in CLIENTS] + [f"open, {OPEN_LOOP_LOAD:.0%}"]
    print(f"\n{f'{model}: requests/s (p50, p99 ms)':<28}" + "".join(f"{column:>24}" for column in columns))
    for name, loads in best.items():
        print(f"{name:<28}" + "".join(f"{load.cell():>24}" for load in loads), flush=True)
    return {name: dict(zip(columns, (load.summary() for load in loads), strict=True)) for name, loads in best.items()}


def typical_bytes(port: int, texts: list[str]) -> int:
    """Return the mean size of an answer to one text."""
    connection = HTTPConnection(HOST, port)
    sizes = []
    for text in texts[:64]:
        connection.request("POST", "/classify", json.dumps({"text": text}), {"Content-Type": "application/json"})
        sizes.append(len(connection.getresponse().read()))
    return round(np.mean(sizes))


def short() -> Results:
    found = single_texts("sms-spam", 512, SECONDS, 3)
    rates = {server: loads["32 clients"]["per_s"] for server, loads in found.items()}
    bare_ms = found["bare endpoint"]["1 clients"]["p50_ms"]
    for ours in (OURS, OURS_TWICE):
        compared = {
            f"{ours}: ratio of requests/s, 32 clients": {
                name: round(rates[ours] / rate, 2) for name, rate in rates.items()
            },
            f"{ours}: p50 ms over the bare endpoint, 1 client": round(found[ours]["1 clients"]["p50_ms"] - bare_ms, 2),
        }
        for name, value in compared.items():
            print(f"{name}: {value}")
        found |= compared
    return found


def long() -> Results:
    found = single_texts("imdb", 64, 2 * SECONDS, 1)
    return {**found, **in_process("imdb", 64, 1, found[OURS]["32 clients"]["per_s"])}


def batches() -> Results:
    """Measure requests with 32 texts, 8 clients."""
    model, results = "sms-spam", {}
    texts = texts_of(model, 512)
    print(f"\n{model}, {ROWS} texts per request, 8 clients: texts/s")
    for server in servers():
        if server == "bare endpoint":
            continue
        bodies = [body_of(server, texts[start : start + ROWS]) for start in range(0, len(texts), ROWS)]
        with serving(server, model, 0) as one:
            one.closed(bodies, 8, 1)
            load = one.closed(bodies, 8, 3 * SECONDS)
        results[server] = round(ROWS * load.per_s)
        print(f"{server:<28}{ROWS * load.per_s:>12,.0f}{f' {load.wrong} wrong' if load.wrong else ''}", flush=True)
    return {**results, **in_process(model, 512, 8, results[OURS])}


def in_process(model: str, count: int, rounds: int, per_s: float) -> Results:
    """Measure the same texts without HTTP, and print `per_s` relative to each result."""
    texts = texts_of(model, count)
    found = {}
    for name, rates in (
        ("torch in process", [in_subprocess(torch_rate, model, texts, rounds)]),
        (
            "onnxruntime in process",
            [in_subprocess(onnxruntime_rate, model, texts, rounds, n) for n in sorted({1, available_cores()})],
        ),
        ("limelight in process", [in_subprocess(classifier_rate, model, texts, rounds)]),
    ):
        found[name] = round(max(rates), 1)
        print(f"{name:<28}{found[name]:>12,.0f} texts/s; over HTTP {per_s / found[name]:.0%}", flush=True)
    return found


def growth() -> Results:
    """Measure start-up, and median milliseconds of /classify by words per text and by texts per request."""
    words = " ".join(texts_of("imdb", 16)).split()
    since = time.perf_counter()
    with Service() as service:
        found: Results = {"start_s": round(time.perf_counter() - since, 2), "rss_mb": round(service.rss_mb())}
        one = partial(closed, service.port, "/classify", clients=1, seconds=1)
        found["ms by words"] = {
            count: round(one([{"text": " ".join(words[:count]), "model": "imdb"}]).p50_ms, 2)
            for count in (8, 32, 128, 512)
        }
        sms = texts_of("sms-spam", 256)
        found["ms by texts"] = {
            count: round(one([{"text": sms[:count], "model": "sms-spam"}]).p50_ms, 2) for count in (1, 4, 16, 64, 256)
        }
    print("\nstart and growth")
    for name, value in found.items():
        print(f"  {name:<28}{value}")
    return found


PARTS: dict[str, Callable[[], Results]] = {
    "short": short,
    "long": long,
    "batches": batches,
    "translate": translation.measure,
    "growth": growth,
}


def measure(parts: Sequence[str] = ()) -> Results:
    return {name: PARTS[name]() for name in parts or PARTS}


def main() -> None:
    results: Results = machine()
    print(json.dumps({**results, **measure(sys.argv[1:])}))


if __name__ == "__main__":
    main()
