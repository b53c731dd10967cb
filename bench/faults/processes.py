"""Faults of processes: SIGTERM under load, a killed process, a full disk behind standard error."""

import asyncio
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.clients import Service, Tally, client, for_seconds, load
from bench.faults.results import CLIENTS, Result, answers


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


def stopped_process(models: Path) -> Result:
    """Stop one of two processes, wait until it is replaced, then stop another one and send SIGTERM."""
    with Service(models, PROCESSES="2", TIMEOUT_S="5", DRAIN_TIMEOUT_S="5") as service, ThreadPoolExecutor() as pool:
        first = set(service.workers())
        running = True
        loading = pool.submit(lambda: asyncio.run(load(service.port, CLIENTS, lambda: running)))
        time.sleep(1)
        since = time.monotonic()
        os.kill(min(first), signal.SIGSTOP)
        while not (min(first) not in service.workers() and len(service.workers()) == 2):
            time.sleep(0.1)
        replaced_s = time.monotonic() - since
        time.sleep(3)
        running = False
        tally = loading.result()
        os.kill(service.workers()[0], signal.SIGSTOP)
        code, seconds = service.terminate()
    return {
        **tally.summary(),
        "replaced_s": round(replaced_s, 1),
        "exit": code,
        "exit_s": round(seconds, 2),
        "holds": {
            "replaced within 15 s": replaced_s < 15,
            "nothing refused or 5xx": set(tally.outcomes) <= {"200", "429", "dropped"},
            "only requests of the stopped process dropped": tally.outcomes["dropped"] <= CLIENTS,
            "exit 0 within 12 s": code == 0 and seconds < 12,
        },
    }


def hangups(models: Path) -> Result:
    """Send SIGHUP from the first moment on, then 200 times in sequence."""
    service = Service(models, wait=False)
    since = time.monotonic()
    with service:
        while not has_handler(service.process.pid):
            assert time.monotonic() - since < 10
        while not service.is_ready():
            service.process.send_signal(signal.SIGHUP)
            time.sleep(0.01)
        tasks = Path(f"/proc/{service.process.pid}/task")
        before = len(list(tasks.iterdir()))
        most = before
        for _ in range(200):
            service.process.send_signal(signal.SIGHUP)
            time.sleep(0.002)
            most = max(most, len(list(tasks.iterdir())))
        answered = answers(service)
        code, seconds = service.terminate()
    return {
        "threads before": before,
        "most threads": most,
        "exit": code,
        "exit_s": round(seconds, 2),
        "holds": {
            "it starts and answers": answered,
            "at most 8 more threads": most <= before + 8,
            "exit 0 within 2 s": code == 0 and seconds < 2,
        },
    }


def has_handler(pid: int) -> bool:
    """Return True if a process handles SIGHUP."""
    status = Path(f"/proc/{pid}/status").read_text()
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) & 1 << (signal.SIGHUP - 1))


def full_log_disk(models: Path) -> Result:
    """Write standard error to a full disk."""
    with Service(models, stderr="/dev/full", LOG_LEVEL="debug") as service:
        tally = Tally()
        asyncio.run(client(service.port, for_seconds(2), tally, 7))
        code, _ = service.terminate()
    return {**tally.summary(), "exit": code, "holds": {"all requests answered": set(tally.outcomes) == {"200"}}}
