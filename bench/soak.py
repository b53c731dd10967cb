"""`python -m bench.soak`: 200 connections for a minute, then 10,000 shapes of input.

Checks latency, outcomes and memory growth. Prints a table, then one JSON document on the last line. Exits with 1 if a
guarantee of docs/operations.md does not hold. Takes about five minutes. Clients and service share the cores.
"""

import asyncio
import json
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from bench.clients import CLASSIFY, MIX, SMS, TEN_WORDS, Service, for_seconds, load, machine, probing

CONNECTIONS = 200
BURST_S = 60.0
SHAPES = 10_000
REST_S = 12.0
"""Seconds between the burst and the memory measurement. The service returns freed memory every 10 s."""


def burst(service: Service) -> dict[str, Any]:
    """Run 200 closed-loop clients while a separate process polls the health routes."""
    for path, body in MIX * 10:
        service.ask("POST", path, body)
    before_mb = service.rss_mb()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        probes = {path: probing(pool, service.port, path, BURST_S - 2) for path in ("/health/live", "/health/ready")}
        tally = asyncio.run(load(service.port, CONNECTIONS, for_seconds(BURST_S)))
        health = {path: future.result() for path, future in probes.items()}
    since = time.perf_counter()
    status, _ = service.ask("POST", "/classify", CLASSIFY)
    first_s = time.perf_counter() - since
    time.sleep(REST_S)
    after_mb = service.rss_mb()
    p99s = {path: round(float(np.percentile(found, 99)), 1) for path, found in health.items()}
    return {
        **tally.summary(),
        "requests_per_s": round(len(tally.seconds) / BURST_S, 1),
        "health_p99_ms": p99s,
        "first_after_s": round(first_s, 3),
        "rss_mb": {"before": round(before_mb), "after": round(after_mb)},
        "holds": {
            "only 200, 429 and 503": tally.wrong() == 0 and not tally.outcomes["refused"],
            "health within 100 ms at p99": max(p99s.values()) < 100,
            "first request after the burst within 1 s": status == 200 and first_s < 1,
            "memory within 10 % of before": after_mb < 1.1 * before_mb,
        },
    }


def shapes(service: Service) -> dict[str, Any]:
    """Send requests of random text length, text count and attention. Record memory after each tenth."""
    generator = random.Random(7)
    words = f"{SMS} {TEN_WORDS}".split()
    rss_mb: list[float] = []
    statuses: Counter[int] = Counter()
    for place in range(SHAPES):
        texts = [
            " ".join(generator.choices(words, k=generator.randint(1, 40))) for _ in range(generator.randint(1, 12))
        ]
        attention = generator.choice(["none", "summary", "full"])
        if place % 20:
            body: dict[str, Any] = {"text": texts, "model": "sms-spam", "attention": attention}
            status, _ = service.ask("POST", "/classify", body)
        else:
            body = {"q": texts[0], "source": "en", "target": "fr", "attention": attention, "max_length": 30}
            status, _ = service.ask("POST", "/translate", {**body, "beam_size": generator.randint(1, 4)})
        statuses[status] += 1
        if place % (SHAPES // 10) == SHAPES // 10 - 1:
            rss_mb.append(round(service.rss_mb()))
    return {
        "statuses": dict(statuses),
        "rss_mb": rss_mb,
        "holds": {
            "all answered": set(statuses) == {200},
            "flat: from the 2,000th request to the last it grows by less than 5 %": rss_mb[-1] < 1.05 * rss_mb[1],
        },
    }


def run_part(part: Callable[[Service], dict[str, Any]]) -> dict[str, Any]:
    """Run one part against a new service and print its results."""
    with Service() as service:
        results = part(service)
    print(part.__name__)
    for key, value in results.items():
        print(f"  {key:<16} {value}")
    return results


def measure() -> dict[str, Any]:
    """Measure memory only (for `make bench`)."""
    return run_part(shapes)


def main() -> int:
    results = {"burst": run_part(burst), "shapes": run_part(shapes)}
    print(json.dumps({**machine(), **results}))
    return 0 if all(all(result["holds"].values()) for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
