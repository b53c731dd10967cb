"""Threads and file descriptors after load are those before it."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from service.batching.offload import TEXT_POOL
from tests.fakes import serving, until

LONG = "A warm day, and no rain? " * 100
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/classify", {"text": [LONG[:20]] * 60}),
    ("/classify", {"text": LONG}),  # too long: refused after tokenising
    ("/translate", {"q": LONG, "source": "auto", "target": "xx", "beam_size": 2}),
    ("/translate", {"q": f"<p>{LONG}</p>", "source": "en", "target": "xx", "format": "html"}),
    ("/generate", {"text": LONG[:10], "max_tokens": 300}),
]


def counts() -> tuple[int, int]:
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not list descriptors")
def test_threads_and_descriptors_return_to_their_number(models: Path) -> None:
    with serving(models, timeout_s=0.3) as client:

        def send(number: int) -> int:
            path, body = REQUESTS[number % len(REQUESTS)]
            return client.post(path, json=body).status_code

        for number in range(len(REQUESTS)):
            send(number)
        until(lambda: TEXT_POOL.threads == 0)
        before = counts()
        with ThreadPoolExecutor(8) as pool:
            statuses = set(pool.map(send, range(60)))
        assert statuses <= {200, 422, 504} and len(statuses) > 1
        until(lambda: TEXT_POOL.threads == 0)
        until(lambda: all(now <= then for now, then in zip(counts(), before, strict=True)))
