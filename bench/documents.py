"""A po file compared with the engine of its translator, and compared with its own second, cached run.

The strings are program strings of open-en-fr. The engine gets the token ids of all of them in one submission. In each
round the engine and the document run in turns; the cache is empty before the first run of the document.

    python -m bench.documents [strings] [rounds] [beam size]
"""

import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.clients import MODELS, machine
from service.batching.scheduler import Limits
from service.documents.gettext import quote
from service.handlers.documents import DocumentRequest, Upload, translate_document
from service.registry.registry import Registry
from service.runtime import Runtime
from service.settings import Settings
from service.translation.engine import Options, TranslationRequest
from service.translation.translator import Translator
from training.corpora import CORPORA
from training.corpora.download import read_table

CACHE_BYTES = 200_000_000
SOURCE, TARGET = "en", "fr"
HEADER = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'


@dataclass(frozen=True)
class Cost:
    """Wall-clock and CPU seconds."""

    wall: float
    cpu: float


def strings(count: int) -> list[str]:
    """Different program strings, in a fixed random order. Raises CorpusError."""
    rows = (read_table(CORPORA["open-en-fr"], "train") or [])[1:]
    found = sorted({source for source, _, domain, _ in rows if domain == "ui"})
    random.Random(7).shuffle(found)
    return found[:count]


def po_file(texts: list[str]) -> bytes:
    entries = (f'#: src/main.c:{line}\nmsgid {quote(text)}\nmsgstr ""\n' for line, text in enumerate(texts, 1))
    return (HEADER + "\n".join(entries)).encode()


def opened(cache_bytes: int) -> Registry:
    registry = Registry(MODELS, Runtime("cpu"), Limits(queue_tokens=10**9, cache_bytes=cache_bytes))
    registry.load("en-fr")
    return registry


def requests_of(translator: Translator, texts: list[str], beam_size: int) -> list[TranslationRequest]:
    """A request per text, without attention."""
    encoded = (translator.source_tokenizer.encode(text) for text in texts)
    options = Options(beam_size=beam_size, attention="none")
    return [TranslationRequest(one.ids, translator.source_tokenizer.unknown(one.ids), options) for one in encoded]


def cost_of(work: Coroutine[Any, Any, Any]) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(work)
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def measure(count: int, rounds: int, beam_size: int) -> dict[str, Any]:
    texts, settings = strings(count), Settings(queue_tokens=10**9)
    upload = Upload("app.po", po_file(texts))
    request = DocumentRequest(source=SOURCE, target=TARGET, beam_size=beam_size)
    costs: dict[str, list[Cost]] = {"engine": [], "document": [], "cached": []}
    for number in range(rounds):
        engine, service = opened(0), opened(CACHE_BYTES)
        translator = engine.translator(SOURCE, TARGET)
        requests = requests_of(translator, texts, beam_size)
        for registry in (engine, service):  # warm-up
            cost_of(registry.translator(SOURCE, TARGET).scheduler.submit(requests[:50]))
        kinds = ["engine", "document", "cached"] if number % 2 == 0 else ["document", "cached", "engine"]
        document = partial(translate_document, upload, request, service, settings)
        steps = {
            "engine": partial(translator.scheduler.submit, requests),
            "document": document,
            "cached": document,
        }
        for kind in kinds:
            costs[kind].append(cost_of(steps[kind]()))
        engine.close()
        service.close()
    results = report(costs, count)
    return {**machine(), "strings": count, "beam_size": beam_size, "rounds": rounds, **results}


def report(costs: dict[str, list[Cost]], count: int) -> dict[str, Any]:
    """Print and return the medians of all rounds."""
    results: dict[str, Any] = {}
    print(f"{count} strings\n{'':<10}{'strings/s':>12}{'CPU ms':>10}")
    for name, each in costs.items():
        rate = statistics.median(count / cost.wall for cost in each)
        cpu = statistics.median(1000 * cost.cpu / count for cost in each)
        results[name] = {"strings_per_s": round(rate, 1), "cpu_ms": round(cpu, 3)}
        print(f"{name:<10}{rate:>12.1f}{cpu:>10.3f}")
    for name, (first, second) in (
        ("document / engine", ("engine", "document")),
        ("cached / document", ("document", "cached")),
    ):
        pairs = list(zip(costs[first], costs[second], strict=True))
        wall = statistics.median(before.wall / after.wall for before, after in pairs)
        cpu = statistics.median(before.cpu / after.cpu for before, after in pairs)
        results[name] = {"wall": round(wall, 3), "cpu": round(cpu, 3)}
        print(f"{name}: {wall:.2f} times as fast, {cpu:.2f} by CPU time")
    return results


if __name__ == "__main__":
    defaults = 5_000, 3, 4
    given = [int(argument) for argument in sys.argv[1:]]
    print(json.dumps(measure(*given, *defaults[len(given) :])))
