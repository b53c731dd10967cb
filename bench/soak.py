"""`python -m bench.soak`: 200 connections for a minute, then 10,000 shapes of input; is it well, and is memory flat?

A table for people, then one JSON document on the last line; exits with 1 where something promised in
docs/operations.md did not hold. About five minutes. Clients and service share the machine's cores.
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
"""After a burst, before memory is looked at: it is given back every 10 s."""


def burst(service: Service) -> dict[str, Any]:
    """Every connection asks one request after the other; meanwhile health is asked from a process of its own."""
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
            "nothing but 200, 429 and 503": tally.wrong() == 0 and not tally.outcomes["refused"],
            "health within 100 ms at p99": max(p99s.values()) < 100,
            "the first request after it within 1 s": status == 200 and first_s < 1,
            "memory within 10 % of before": after_mb < 1.1 * before_mb,
        },
    }


def shapes(service: Service) -> dict[str, Any]:
    """Texts of any length, any number of them, any attention; memory after each tenth."""
    chosen = random.Random(7)
    words = f"{SMS} {TEN_WORDS}".split()
    rss_mb: list[float] = []
    statuses: Counter[int] = Counter()
    for place in range(SHAPES):
        texts = [" ".join(chosen.choices(words, k=chosen.randint(1, 40))) for _ in range(chosen.randint(1, 12))]
        attention = chosen.choice(["none", "summary", "full"])
        if place % 20:
            body: dict[str, Any] = {"text": texts, "model": "sms-spam", "attention": attention}
            status, _ = service.ask("POST", "/classify", body)
        else:
            body = {"q": texts[0], "source": "en", "target": "fr", "attention": attention, "max_length": 30}
            status, _ = service.ask("POST", "/translate", {**body, "beam_size": chosen.randint(1, 4)})
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


def played(part: Callable[[Service], dict[str, Any]]) -> dict[str, Any]:
    """One of them, with a service of its own."""
    with Service() as service:
        results = part(service)
    print(part.__name__)
    for key, value in results.items():
        print(f"  {key:<16} {value}")
    return results


def measure() -> dict[str, Any]:
    """Memory alone."""
    return played(shapes)


def main() -> int:
    results = {"burst": played(burst), "shapes": played(shapes)}
    print(json.dumps({**machine(), **results}))
    return 0 if all(all(result["holds"].values()) for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
