"""Faults of processes: SIGTERM under load, a killed process, a full disk behind standard error."""

import asyncio
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.clients import Service, Tally, client, for_seconds, load
from bench.faults.results import CLIENTS, Result


def terminate_under_load(models: Path) -> Result:
    """Send SIGTERM while 50 clients send requests. They stop when /health/ready is no longer 200."""
    with Service(models, DRAIN_DELAY_S="1", DRAIN_TIMEOUT_S="20") as service, ThreadPoolExecutor() as pool:
        ready = True

        def poll() -> None:
            nonlocal ready
            while service.ask("GET", "/health/ready")[0] == 200:
                time.sleep(0.05)
            ready = False

        polling = pool.submit(poll)
        loading = pool.submit(lambda: asyncio.run(load(service.port, CLIENTS, lambda: ready)))
        time.sleep(3)
        code, seconds = service.terminate()
        tally = loading.result()
        polling.result()
    return {
        **tally.summary(),
        "exit": code,
        "seconds": round(seconds, 2),
        "holds": {
            "nothing dropped, refused or 5xx": not tally.wrong() and set(tally.outcomes) <= {"200", "429"},
            "exit 0 within 21 s": code == 0 and seconds < 21,
        },
    }


def killed_process(models: Path) -> Result:
    """Kill one of two processes three times under load. Each client has at most one request in it."""
    with Service(models, PROCESSES="2") as service, ThreadPoolExecutor() as pool:
        running = True
        loading = pool.submit(lambda: asyncio.run(load(service.port, CLIENTS, lambda: running)))
        for _ in range(3):
            time.sleep(2)
            os.kill(service.workers()[0], signal.SIGKILL)
        time.sleep(4)
        running = False
        tally = loading.result()
        processes = len(service.workers())
    allowed = {"200", "429", "dropped"}
    return {
        **tally.summary(),
        "holds": {
            "nothing refused or 5xx": set(tally.outcomes) <= allowed,
            "only requests of killed processes dropped": tally.outcomes["dropped"] <= 3 * CLIENTS,
            "two processes again": processes == 2,
        },
    }


def full_log_disk(models: Path) -> Result:
    """Write standard error to a full disk."""
    with Service(models, stderr="/dev/full", LOG_LEVEL="debug") as service:
        tally = Tally()
        asyncio.run(client(service.port, for_seconds(2), tally, 7))
        code, _ = service.terminate()
    return {**tally.summary(), "exit": code, "holds": {"all requests answered": set(tally.outcomes) == {"200"}}}
