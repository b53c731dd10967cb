"""`python -m bench.faults`: what goes wrong in production, done on purpose, one thing after the other.

A table for people, then one JSON document on the last line; exits with 1 where something promised in
docs/operations.md did not hold. About three minutes. Loopback only; every service is a process of its own over copies
of two bundles in a temporary folder.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.clients import CLASSIFY, HOST, MIX, MODELS, TRANSLATE, Service, Tally, client, for_seconds, load, machine
from service.bundle.manifest import MANIFEST, digest, find_bundles

CLIENTS = 50
MUTATIONS_OF_A_FILE = 40
Result = dict[str, Any]


def copies(folder: Path) -> Path:
    for name in ("sms-spam", "en-fr"):
        shutil.copytree(MODELS / name, folder / name)
    return folder


def new_version(models: Path, version: int) -> None:
    """sms-spam again, under another number."""
    staged = models / f".staged-{version}"
    shutil.copytree(models / "sms-spam" / "1", staged)
    change(staged, version=version)
    staged.rename(models / "sms-spam" / str(version))


def change(bundle: Path, **fields: object) -> None:
    content = {**json.loads((bundle / MANIFEST).read_bytes()), **fields}
    content["sha256"] = digest(content)
    (bundle / MANIFEST).write_text(json.dumps(content), encoding="utf-8")


def answers(service: Service) -> bool:
    """A first normal request within a second."""
    since = time.perf_counter()
    return service.ask("POST", "/classify", CLASSIFY)[0] == 200 and time.perf_counter() - since < 1


def terminate_under_load(models: Path) -> Result:
    """SIGTERM while 50 clients ask, behind something that looks at /health/ready all the time and then turns away."""
    with Service(models, DRAIN_DELAY_S="1", DRAIN_TIMEOUT_S="20") as service, ThreadPoolExecutor() as pool:
        ready = True

        def look() -> None:
            nonlocal ready
            while service.ask("GET", "/health/ready")[0] == 200:
                time.sleep(0.05)
            ready = False

        looking = pool.submit(look)
        loading = pool.submit(lambda: asyncio.run(load(service.port, CLIENTS, lambda: ready)))
        time.sleep(3)
        code, seconds = service.terminate()
        tally = loading.result()
        looking.result()
    return {
        **tally.summary(),
        "exit": code,
        "seconds": round(seconds, 2),
        "holds": {
            "nothing dropped, refused or 5xx": not tally.wrong() and set(tally.outcomes) <= {"200", "429"},
            "exit 0 within 21 s": code == 0 and seconds < 21,
        },
    }


def a_process_dies(models: Path) -> Result:
    """One of two, three times, while 50 clients ask; each has at most one request there."""
    with Service(models, PROCESSES="2") as service, ThreadPoolExecutor() as pool:
        dying = True
        loading = pool.submit(lambda: asyncio.run(load(service.port, CLIENTS, lambda: dying)))
        for _ in range(3):
            time.sleep(2)
            os.kill(service.workers()[0], signal.SIGKILL)
        time.sleep(4)
        dying = False
        tally = loading.result()
        left = len(service.workers())
    allowed = {"200", "429", "dropped"}
    return {
        **tally.summary(),
        "holds": {
            "nothing refused or 5xx": set(tally.outcomes) <= allowed,
            "dropped is what was there": tally.outcomes["dropped"] <= 3 * CLIENTS,
            "two again": left == 2,
        },
    }


def swap_under_load(models: Path) -> Result:
    """Five new versions, one after the other, while 50 clients ask; the old ones are taken away."""
    with Service(models) as service, ThreadPoolExecutor() as pool:
        for path, body in MIX * 10:
            service.ask("POST", path, body)
        swapping = True
        loading = pool.submit(lambda: asyncio.run(load(service.port, CLIENTS, lambda: swapping)))
        reports, rss_mb, seen = [], [], []
        for version in range(2, 7):
            new_version(models, version)
            if version > 2:
                shutil.rmtree(models / "sms-spam" / str(version - 1))
            since = time.perf_counter()
            reports.append(service.ask("POST", "/admin/reload"))
            seen.append(
                (round(time.perf_counter() - since, 2), service.ask("POST", "/classify", CLASSIFY)[1]["version"])
            )
            rss_mb.append(round(service.rss_mb()))
        swapping = False
        tally = loading.result()
    loaded = [report[1]["loaded"] for report in reports]
    return {
        **tally.summary(),
        "seconds_and_version": seen,
        "rss_mb": rss_mb,
        "holds": {
            "nothing dropped, refused or 5xx": not tally.wrong() and set(tally.outcomes) <= {"200", "429"},
            "each one served at once": loaded == [[f"sms-spam/{v}"] for v in range(2, 7)]
            and [version for _, version in seen] == [str(v) for v in range(2, 7)],
        },
    }


def memory_given_back(models: Path) -> Result:
    """Thirty reloads of both models, each written anew."""
    with Service(models) as service:
        rss_mb = []
        for turn in range(30):
            for bundle in (models / "sms-spam" / "1", models / "en-fr" / "2"):
                change(bundle, description=f"Turn {turn}.")
            status, report = service.ask("POST", "/admin/reload")
            assert (status, len(report["loaded"])) == (200, 2), report
            service.ask("POST", "/translate", TRANSLATE)
            rss_mb.append(round(service.rss_mb()))
    return {"rss_mb": rss_mb[::5], "holds": {"the last 20 add less than 10 %": rss_mb[-1] < 1.1 * rss_mb[9]}}


def bundles_broken_at_reload(models: Path) -> Result:
    """A second version in every state that a full disk or a careless hand leaves; the first one goes on."""
    good = {path.name: path.read_bytes() for path in (models / "sms-spam" / "1").iterdir() if path.suffix != ".png"}
    states: dict[str, Callable[[Path], object]] = {
        "disk full at the weights": lambda f: (f / "weights.safetensors").write_bytes(
            good["weights.safetensors"][:4096]
        ),
        "disk full at the manifest": lambda f: (f / MANIFEST).write_bytes(good[MANIFEST][:100]),
        "an empty file": lambda f: (f / "classify.onnx").write_bytes(b""),
        "a file that is gone": lambda f: (f / "tokenizer.json").unlink(),
        "a link to nowhere": lambda f: ((f / "tokenizer.json").unlink(), (f / "tokenizer.json").symlink_to("nowhere")),
        "a link to /dev/zero": lambda f: ((f / "golden.json").unlink(), (f / "golden.json").symlink_to("/dev/zero")),
        "a folder for a file": lambda f: ((f / "golden.json").unlink(), (f / "golden.json").mkdir()),
        "the manifest a folder": lambda f: ((f / MANIFEST).unlink(), (f / MANIFEST).mkdir()),
        "another model's files": lambda f: shutil.copy(MODELS / "nsmc" / "1" / "classify.onnx", f / "classify.onnx"),
        "a name that is not its folder's": lambda f: change(f, name="other"),
    }
    refused: dict[str, str] = {}
    held = True
    with Service(models) as service:
        for state, damage in states.items():
            new_version(models, 2)
            damage(models / "sms-spam" / "2")
            status, report = service.ask("POST", "/admin/reload")
            refused[state] = report["refused"].get("sms-spam/2", "")[-60:] if status == 200 else str(report)
            answer = service.ask("POST", "/classify", CLASSIFY)
            held &= status == 200 and answer[0] == 200 and answer[1]["version"] == "1"
            held &= service.ask("GET", "/health/ready")[0] == 200
            shutil.rmtree(models / "sms-spam" / "2")
    return {"refused": refused, "holds": {"refused with a reason": all(refused.values()), "the old one goes on": held}}


def mutations(models: Path) -> Result:
    """Bytes flipped, lost, doubled and cut off at places spread over every file, each met by a reload.

    What is not refused has to leave the answer as it was.
    """
    chosen = random.Random(7)
    bundle = models / "sms-spam" / "2"
    new_version(models, 2)
    outcomes: Counter[str] = Counter()
    with Service(models) as service:
        expected = service.ask("POST", "/classify", CLASSIFY)[1]
        assert expected["version"] == "2"
        shutil.copytree(bundle, models / ".good")
        for path in sorted(p for p in (models / ".good").iterdir() if p.suffix != ".png"):
            content = path.read_bytes()
            for turn in range(MUTATIONS_OF_A_FILE):
                at = (turn * len(content)) // MUTATIONS_OF_A_FILE
                shutil.rmtree(bundle)
                shutil.copytree(models / ".good", bundle)
                (bundle / path.name).write_bytes(mutated(content, at, turn % 4, chosen))
                _, report = service.ask("POST", "/admin/reload")
                answer = service.ask("POST", "/classify", CLASSIFY)
                same = answer == (200, expected)
                kind = "refused" if report.get("refused") else "accepted"
                outcomes[f"{path.name}: {kind}, {'the answer is the same' if same else 'ANOTHER ANSWER'}"] += 1
    accepted_files = {outcome.split(":")[0] for outcome in outcomes if ": accepted" in outcome}
    return {
        "outcomes": dict(outcomes),
        "holds": {
            "200 or more": sum(outcomes.values()) >= 200,
            "the answer is always the same": not any("ANOTHER" in outcome for outcome in outcomes),
            "accepted: the card, and white space of the manifest": accepted_files <= {"README.md", MANIFEST},
        },
    }


def mutated(content: bytes, at: int, how: int, chosen: random.Random) -> bytes:
    if how == 0:
        return content[:at] + bytes([content[at] ^ (1 << chosen.randrange(8))]) + content[at + 1 :]
    if how == 1:
        return content[:at] + content[at + 1 :]
    if how == 2:
        return content[:at]
    return content[:at] + content[at : at + 1] + content[at:]


def post(path: str, body: Result) -> bytes:
    content = json.dumps(body)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return (head + content).encode()


def connections(service: Service, count: int, sent: bytes) -> list[socket.socket]:
    made = [socket.create_connection((HOST, service.port)) for _ in range(count)]
    for connection in made:
        connection.sendall(sent)
    return made


def closed_within(made: list[socket.socket], seconds: float) -> int:
    """How many the service has closed by then."""
    until = time.monotonic() + seconds
    closed = 0
    for connection in made:
        connection.settimeout(max(0.01, until - time.monotonic()))
        try:
            while connection.recv(65536):
                pass
            closed += 1
        except TimeoutError:
            pass
        except OSError:
            closed += 1
        connection.close()
    return closed


def slow_and_half_open(models: Path) -> Result:
    """200 connections that say nothing, 200 that stop in the headers, 200 that stop in the body."""
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n"
    closed = {}
    with Service(models, TIMEOUT_S="5") as service:
        meanwhile = True
        for what, sent in {"nothing": b"", "half a head": head[:40], "half a body": head + b"\r\n{"}.items():
            made = connections(service, 200, sent)
            meanwhile &= answers(service)
            closed[what] = closed_within(made, 15)
        after = answers(service)
    return {
        "closed of 200": closed,
        "holds": {"others are answered within 1 s": meanwhile and after, "all closed": set(closed.values()) == {200}},
    }


def slow_readers(models: Path) -> Result:
    """50 clients that ask for a long answer and do not read it."""
    asked = post("/classify", {"text": ["a b c d e f g h i j k l m n"] * 250, "model": "sms-spam", "attention": "full"})
    with Service(models, TIMEOUT_S="5") as service:
        made = connections(service, 50, asked)
        time.sleep(2)
        meanwhile = answers(service)
        time.sleep(8)
        left = service.figure("limelight_requests_in_flight") - 1  # but the one that asks
        for connection in made:
            connection.close()
    return {
        "in flight after 10 s": left,
        "holds": {"others are answered within 1 s": meanwhile, "none holds a place": left == 0},
    }


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang_ups(models: Path) -> Result:
    """300 clients that ask for long translations and reset the connection, 50 that do so in the middle of an answer."""
    text = "A man in a red jacket is riding a bicycle. " * 40
    translating = post("/translate", {"q": text, "source": "en", "target": "fr", "attention": "full"})
    classifying = post("/classify", {"text": ["a b c d e f g h i j"] * 250, "model": "sms-spam", "attention": "full"})
    with Service(models, MAX_REQUESTS="1000", QUEUE_TOKENS="100000000") as service:
        for turn in range(300):
            [connection] = connections(service, 1, translating)
            if turn % 3 == 0:
                time.sleep(0.01)
            reset(connection)
        since = time.perf_counter()
        status, _ = service.ask("POST", "/translate", TRANSLATE)
        first_s = time.perf_counter() - since
        for connection in connections(service, 50, classifying):
            begun = connection.recv(500)
            assert begun.startswith(b"HTTP/1.1 200"), begun
            reset(connection)
        time.sleep(0.5)
        afterwards = answers(service)
        left = service.figure("limelight_requests_in_flight") - 1
    return {
        "first_after_s": round(first_s, 2),
        "in flight": left,
        "holds": {
            "the next one is answered within 1 s": status == 200 and first_s < 1 and afterwards,
            "none holds a place": left == 0,
        },
    }


def a_log_that_is_full(models: Path) -> Result:
    """Standard error leads to a full disk."""
    with Service(models, stderr="/dev/full", LOG_LEVEL="debug") as service:
        tally = Tally()
        asyncio.run(client(service.port, for_seconds(2), tally, 7))
        code, _ = service.terminate()
    return {**tally.summary(), "exit": code, "holds": {"answered as ever": set(tally.outcomes) == {"200"}}}


FAULTS: list[Callable[[Path], Result]] = [
    terminate_under_load,
    a_process_dies,
    swap_under_load,
    memory_given_back,
    bundles_broken_at_reload,
    mutations,
    slow_and_half_open,
    slow_readers,
    hang_ups,
    a_log_that_is_full,
]


def main() -> int:
    results: dict[str, Any] = machine()
    chosen = sys.argv[1:]
    for fault in FAULTS:
        if chosen and fault.__name__ not in chosen:
            continue
        with tempfile.TemporaryDirectory() as folder:
            models = copies(Path(folder))
            assert len(find_bundles(models)) == 2
            results[fault.__name__] = found = fault(models)
        print(fault.__name__.replace("_", " "))
        for key, value in found.items():
            print(f"  {key:<20} {value}", flush=True)
    print(json.dumps(results))
    return 0 if all(all(r["holds"].values()) for r in results.values() if isinstance(r, dict)) else 1


if __name__ == "__main__":
    sys.exit(main())
