"""Faults of reloads: new versions under load, memory growth, broken and mutated bundles."""

import asyncio
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.clients import CLASSIFY, MIX, MODELS, TRANSLATE, Service, load
from bench.faults.bundles import change, new_version
from bench.faults.results import CLIENTS, Result
from service.bundle.manifest import MANIFEST

MUTATIONS_PER_FILE = 40


def swap_under_load(models: Path) -> Result:
    """Add five new versions in sequence under load, and remove the old ones."""
    with Service(models) as service, ThreadPoolExecutor() as pool:
        for path, body in MIX * 10:
            service.ask("POST", path, body)
        running = True
        loading = pool.submit(lambda: asyncio.run(load(service.port, CLIENTS, lambda: running)))
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
        running = False
        tally = loading.result()
    loaded = [report[1]["loaded"] for report in reports]
    return {
        **tally.summary(),
        "seconds_and_version": seen,
        "rss_mb": rss_mb,
        "holds": {
            "nothing dropped, refused or 5xx": not tally.wrong() and set(tally.outcomes) <= {"200", "429"},
            "each version is served after its reload": loaded == [[f"sms-spam/{v}"] for v in range(2, 7)]
            and [version for _, version in seen] == [str(v) for v in range(2, 7)],
        },
    }


def memory_after_reloads(models: Path) -> Result:
    """Reload both models 30 times, each time with a changed manifest."""
    with Service(models) as service:
        rss_mb = []
        for number in range(30):
            for bundle in (models / "sms-spam" / "1", models / "en-fr" / "2"):
                change(bundle, description=f"Reload {number}.")
            status, report = service.ask("POST", "/admin/reload")
            assert (status, len(report["loaded"])) == (200, 2), report
            service.ask("POST", "/translate", TRANSLATE)
            rss_mb.append(round(service.rss_mb()))
    return {"rss_mb": rss_mb[::5], "holds": {"the last 20 add less than 10 %": rss_mb[-1] < 1.1 * rss_mb[9]}}


def broken_bundles(models: Path) -> Result:
    """Add a broken second version in each state that a full disk or a mistake leaves. The first one must answer."""
    good = {path.name: path.read_bytes() for path in (models / "sms-spam" / "1").iterdir() if path.suffix != ".png"}
    states: dict[str, Callable[[Path], object]] = {
        "disk full at the weights": lambda f: (f / "weights.safetensors").write_bytes(
            good["weights.safetensors"][:4096]
        ),
        "disk full at the manifest": lambda f: (f / MANIFEST).write_bytes(good[MANIFEST][:100]),
        "an empty file": lambda f: (f / "classify.onnx").write_bytes(b""),
        "a missing file": lambda f: (f / "tokenizer.json").unlink(),
        "a dangling link": lambda f: ((f / "tokenizer.json").unlink(), (f / "tokenizer.json").symlink_to("nowhere")),
        "a link to /dev/zero": lambda f: ((f / "golden.json").unlink(), (f / "golden.json").symlink_to("/dev/zero")),
        "a folder for a file": lambda f: ((f / "golden.json").unlink(), (f / "golden.json").mkdir()),
        "a folder as manifest": lambda f: ((f / MANIFEST).unlink(), (f / MANIFEST).mkdir()),
        "another model's files": lambda f: shutil.copy(MODELS / "nsmc" / "1" / "classify.onnx", f / "classify.onnx"),
        "a name other than the folder's": lambda f: change(f, name="other"),
        "a FIFO as card": lambda f: ((f / "README.md").unlink(), os.mkfifo(f / "README.md")),
        "a link to /dev/zero as card": lambda f: (
            (f / "README.md").unlink(),
            (f / "README.md").symlink_to("/dev/zero"),
        ),
        "a folder named with other digits": lambda f: f.rename(f.with_name("\u0662")),
    }
    refused: dict[str, str] = {}
    held = True
    with Service(models) as service:
        for state, damage in states.items():
            new_version(models, 2)
            damage(models / "sms-spam" / "2")
            status, report = service.ask("POST", "/admin/reload")
            refused[state] = " ".join(report["refused"].values())[-60:] if status == 200 else str(report)
            answer = service.ask("POST", "/classify", CLASSIFY)
            held &= status == 200 and answer[0] == 200 and answer[1]["version"] == "1"
            held &= service.ask("GET", "/health/ready")[0] == 200
            shutil.rmtree(next(folder for folder in (models / "sms-spam").iterdir() if folder.name != "1"))
    return {
        "refused": refused,
        "holds": {"refused with a reason": all(refused.values()), "the old version answers": held},
    }


def mutations(models: Path) -> Result:
    """Flip, delete, duplicate or truncate at 40 positions of each file, with a reload after each mutation.

    A mutation that is not refused must not change the answer.
    """
    generator = random.Random(7)
    bundle = models / "sms-spam" / "2"
    new_version(models, 2)
    outcomes: Counter[str] = Counter()
    with Service(models) as service:
        expected = service.ask("POST", "/classify", CLASSIFY)[1]
        assert expected["version"] == "2"
        shutil.copytree(bundle, models / ".good")
        for path in sorted(p for p in (models / ".good").iterdir() if p.suffix != ".png"):
            content = path.read_bytes()
            for number in range(MUTATIONS_PER_FILE):
                at = (number * len(content)) // MUTATIONS_PER_FILE
                shutil.rmtree(bundle)
                shutil.copytree(models / ".good", bundle)
                (bundle / path.name).write_bytes(mutated(content, at, number % 4, generator))
                _, report = service.ask("POST", "/admin/reload")
                answer = service.ask("POST", "/classify", CLASSIFY)
                same = answer == (200, expected)
                kind = "refused" if report.get("refused") else "accepted"
                outcomes[f"{path.name}: {kind}, {'same answer' if same else 'DIFFERENT ANSWER'}"] += 1
    accepted_files = {outcome.split(":")[0] for outcome in outcomes if ": accepted" in outcome}
    return {
        "outcomes": dict(outcomes),
        "holds": {
            "200 or more": sum(outcomes.values()) >= 200,
            "the answer never changes": not any("DIFFERENT" in outcome for outcome in outcomes),
            "accepted only: the card, white space of the manifest": accepted_files <= {"README.md", MANIFEST},
        },
    }


def mutated(content: bytes, at: int, how: int, generator: random.Random) -> bytes:
    """Return a copy with, by `how`: 0 a flipped bit, 1 a deleted byte, 2 the rest removed, 3 a duplicated byte."""
    if how == 0:
        return content[:at] + bytes([content[at] ^ (1 << generator.randrange(8))]) + content[at + 1 :]
    if how == 1:
        return content[:at] + content[at + 1 :]
    if how == 2:
        return content[:at]
    return content[:at] + content[at : at + 1] + content[at:]
