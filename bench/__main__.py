"""`make bench`: measure speed and memory of the bundles in models/ on this machine.

Runs single calls (this file), decoding compared with CTranslate2 (decoding.py), the service compared with other servers
(service.py), and memory under inputs of 10,000 shapes (soak.py). Prints tables, then one JSON document on the last
line. Each part also runs alone, for example `python -m bench.decoding`. Clients and service share the cores.
"""

import json
import time
from http.client import HTTPConnection
from typing import Any

import numpy as np

from bench import decoding, service, soak
from bench.clients import HOST, SMS, TEN_WORDS, Service, machine
from training.corpora import CorpusError

CALLS = 200
WARM_UP = 20

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "classify, attention none": ("/classify", {"text": SMS, "attention": "none"}),
    "classify, attention summary": ("/classify", {"text": SMS}),
    "classify, 32 texts": ("/classify", {"text": [SMS] * 32}),
    "translate, 10 words, beam 1": ("/translate", {"q": TEN_WORDS, "source": "en", "target": "fr", "beam_size": 1}),
    "translate, 10 words, beam 4": ("/translate", {"q": TEN_WORDS, "source": "en", "target": "fr"}),
    "translate, 10 words, beam 4, attention full": (
        "/translate",
        {"q": TEN_WORDS, "source": "en", "target": "fr", "attention": "full"},
    ),
    "generate, 100 characters": ("/generate", {"prompt": "Morality is ", "max_tokens": 100, "model": "nietzsche"}),
}


def latencies_ms(port: int, path: str, body: dict[str, Any]) -> np.ndarray:
    """Milliseconds of sequential calls on one connection, after a warm-up."""
    connection, content = HTTPConnection(HOST, port), json.dumps(body)
    latencies = []
    for call in range(WARM_UP + CALLS):
        since = time.perf_counter()
        connection.request("POST", path, content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, path
        if call >= WARM_UP:
            latencies.append(1000 * (time.perf_counter() - since))
    return np.array(latencies)


def calls() -> dict[str, Any]:
    since = time.perf_counter()
    with Service() as running:
        results: dict[str, Any] = {"ready_s": round(time.perf_counter() - since, 2), "rss_mb": round(running.rss_mb())}
        print(f"ready after {results['ready_s']:.1f} s, {results['rss_mb']} MB\n")
        print(f"{'one client, ' + str(CALLS) + ' calls':<46}{'p50 ms':>9}{'p99 ms':>9}")
        for name, (path, body) in CASES.items():
            p50, p99 = np.percentile(latencies_ms(running.port, path, body), [50, 99]).tolist()
            print(f"{name:<46}{p50:>9.2f}{p99:>9.2f}")
            results[name] = {"p50": round(p50, 2), "p99": round(p99, 2)}
        results["rss_mb_after"] = round(running.rss_mb())
        print(f"\nmemory after: {results['rss_mb_after']} MB\n")
    return results


def main() -> None:
    results: dict[str, Any] = {**machine(), "calls": calls()}
    for name, measure in (("decoding", decoding.measure), ("service", service.measure), ("memory", soak.measure)):
        try:
            results[name] = measure()
        except CorpusError as error:
            print(f"\n{name}: skipped, {error}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
