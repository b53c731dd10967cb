"""`make bench`: latency of single calls, memory of the process, and the service beside others (service.py), on the
bundles in models/.

A table for people, then one JSON document on the last line. The client shares the machine's cores with the
service, so the figures are those of a small machine doing both.
"""

import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from bench import service
from training.corpora import CorpusError

CALLS = 200
WARM_UP = 20

SMS = "Are we still meeting for lunch tomorrow? I'll bring the book you asked for"
TEN_WORDS = "A man in a red jacket is riding a bicycle."
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


@contextmanager
def serving() -> Iterator[tuple[httpx.Client, int, float]]:
    """The service in a process of its own: a client, its pid, and the seconds until it was ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    since = time.perf_counter()
    environment = {**os.environ, "LIMELIGHT_PORT": str(port), "LIMELIGHT_LOG_LEVEL": "warning"}
    process = subprocess.Popen([sys.executable, "-m", "service"], env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            while True:
                try:
                    if client.get("/health/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                if process.poll() is not None or time.perf_counter() - since > 60:
                    raise SystemExit("the service did not get ready")
                time.sleep(0.02)
            yield client, process.pid, time.perf_counter() - since
    finally:
        process.terminate()
        process.wait()


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    line = next(n for n in Path(f"/proc/{pid}/status").read_text().splitlines() if n.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


def latencies_ms(client: httpx.Client, path: str, body: dict[str, Any]) -> np.ndarray:
    """One call after the other: milliseconds of each."""
    found = []
    for call in range(WARM_UP + CALLS):
        since = time.perf_counter()
        client.post(path, json=body).raise_for_status()
        if call >= WARM_UP:
            found.append(1000 * (time.perf_counter() - since))
    return np.array(found)


def main() -> None:
    results: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    with serving() as (client, pid, ready_s):
        results |= {"ready_s": round(ready_s, 2), "rss_mb_ready": round(memory_mb(pid))}
        print(f"ready after {ready_s:.1f} s, {memory_mb(pid):.0f} MB\n")
        print(f"{'one client, ' + str(CALLS) + ' calls':<46}{'p50 ms':>9}{'p99 ms':>9}")
        results["latency_ms"] = {}
        for name, (path, body) in CASES.items():
            p50, p99 = np.percentile(latencies_ms(client, path, body), [50, 99]).tolist()
            print(f"{name:<46}{p50:>9.2f}{p99:>9.2f}")
            results["latency_ms"][name] = {"p50": round(p50, 2), "p99": round(p99, 2)}
        results["rss_mb_after"] = round(memory_mb(pid))
        print(f"\nmemory after: {memory_mb(pid):.0f} MB")
    try:
        results |= service.measure([])
    except CorpusError as error:
        print(f"\nnot measured beside others: {error}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
