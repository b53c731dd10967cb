"""`python -m bench.service [PART ...]`: the service over HTTP, beside other servers of the same ONNX file and the
same work in process.

Closed loop with 1 to 64 clients, open loop at 70 % of what 32 clients got, short texts (SMS) and long ones (film
reviews) of the corpora (LIMELIGHT_DATA), and 32 texts at once; /translate under 32 clients; how the cost grows with
length and with the number of texts. A table for people, then one JSON document on the last line. Clients and servers
share the machine's cores.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from tokenizers import Tokenizer

from bench.clients import HOST, MODELS, Service, free_port, machine
from bench.load import Load, closed, open_loop
from bench.rivals import BENTOML, BUNDLE, CANNED, SERVERS
from bench.rivals.network import ROWS, Network
from service.api.classify import encode
from service.batching.scheduler import Limits
from service.bundle.manifest import find_bundles, read_manifest
from service.handlers.encoding import dumps
from service.registry.registry import Registry
from service.runtime import Runtime, available_cores
from service.translation.engine import Options
from training.batching import pad
from training.corpora import labelled_texts, sentence_pairs
from training.recipe import ClassificationData, ClassificationRecipe, TranslationData, load_recipe
from training.start import start_from
from training.tasks import build_classifier
from training.tokenization import PAD, special_id

SECONDS = 2.0
"""Of each measurement, at least."""
CLIENTS = (1, 8, 32, 64)
BUSY = 0.7
"""Of what 32 clients got in the closed loop: what comes in the open loop."""
OURS, OURS_TWICE = "limelight", "limelight, 2 processes"

Results = dict[str, Any]


def texts_of(model: str, most: int) -> list[str]:
    """Of the test split of the corpus that a bundle was trained on, which has its name; none that is over its limit."""
    rows = labelled_texts(ClassificationData(corpora=[model]), "test")
    return [row.text for row in rows if len(row.text) < 3_000][:most]


def bundle_of(model: str) -> Path:
    versions = find_bundles(MODELS)[model]
    return versions[max(versions)]


@dataclass(frozen=True)
class Server:
    """One that is up."""

    port: int
    group: int
    """Of its processes."""

    def closed(self, bodies: Sequence[dict[str, Any]], clients: int, seconds: float) -> Load:
        return closed(self.port, "/classify", bodies, clients, seconds)

    def stop(self) -> None:
        """Until it is to be awake: some take a whole core while nobody asks."""
        os.killpg(self.group, signal.SIGSTOP)

    @contextmanager
    def awake(self) -> Iterator[None]:
        os.killpg(self.group, signal.SIGCONT)
        try:
            yield
        finally:
            self.stop()


@contextmanager
def serving(server: str, model: str, canned: int) -> Iterator[Server]:
    """A server over a bundle, ready. `canned`: bytes of the bare endpoint's answer."""
    if server in (OURS, OURS_TWICE):
        with Service(DEFAULT_CLASSIFIER=model, PROCESSES="2" if server == OURS_TWICE else "1") as service:
            yield Server(service.port, service.process.pid)
        return
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.rivals", server, str(port)],
        env={**os.environ, BUNDLE: str(bundle_of(model)), CANNED: str(canned)},
        cwd=MODELS.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that its children end with it
    )
    try:
        since = time.monotonic()
        while not answers(port):
            if process.poll() is not None or time.monotonic() - since > 60:
                raise SystemExit(f"{server} did not get ready")
            time.sleep(0.2)
        yield Server(port, process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        os.killpg(process.pid, signal.SIGCONT)
        process.wait()


def answers(port: int) -> bool:
    connection = HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("POST", "/classify", json.dumps({"text": ["Hello"]}), {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def body_of(server: str, texts: str | list[str]) -> dict[str, Any]:
    """BentoML takes lists only."""
    return {"text": [texts] if server == "BentoML" and isinstance(texts, str) else texts}


def servers() -> list[str]:
    missing = [] if BENTOML.exists() else ["BentoML"]
    return [OURS, OURS_TWICE, *(server for server in SERVERS if server not in missing)]


# The same work in process. Each in a process of its own, so that no threads of another are left over.


def bare_loop(model: str, texts: list[str], rounds: int, threads: int) -> float:
    """Texts per second of tokenizer, onnxruntime and orjson alone: 32 at a time, sorted by length."""
    network, ordered = Network(bundle_of(model), threads), sorted(texts, key=len)
    batches = [ordered[start : start + ROWS] for start in range(0, len(ordered), ROWS)]
    orjson.dumps(network(batches[-1]))
    since = time.perf_counter()
    for _ in range(rounds):
        for batch in batches:
            orjson.dumps(network(batch))
    return rounds * len(texts) / (time.perf_counter() - since)


def torch_loop(model: str, texts: list[str], rounds: int) -> float:
    """The same of torch, with as many threads as there are cores."""
    bundle, recipe = bundle_of(model), load_recipe(model)
    assert isinstance(recipe, ClassificationRecipe)
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    tokenizer.enable_truncation(recipe.limits.max_tokens)
    pad_id = special_id(tokenizer, PAD)
    labels = read_manifest(bundle).labels or []
    network = build_classifier(recipe, tokenizer.get_vocab_size(), len(labels), pad_id).eval()
    start_from(network, bundle)
    torch.set_num_threads(available_cores())

    @torch.inference_mode()
    def answer(batch: list[str]) -> bytes:
        ids = [encoding.ids for encoding in tokenizer.encode_batch(batch)]
        logits, weights = network(pad(ids, pad_id), torch.tensor([len(one) for one in ids]))
        assert weights is not None
        rows = zip(logits.softmax(-1).tolist(), weights[:, 0].tolist(), ids, strict=True)
        return orjson.dumps([{"scores": scores, "attention": row[: len(one)]} for scores, row, one in rows])

    ordered = sorted(texts, key=len)
    batches = [ordered[start : start + ROWS] for start in range(0, len(ordered), ROWS)]
    answer(batches[-1])
    since = time.perf_counter()
    for _ in range(rounds):
        for batch in batches:
            answer(batch)
    return rounds * len(texts) / (time.perf_counter() - since)


def registry() -> Registry:
    return Registry(MODELS, Runtime("cpu"), Limits(queue_tokens=10**9))


def predictor(model: str, texts: list[str], rounds: int) -> float:
    """Texts per second of the service's own classifier and encoder, two calls with 32 texts at a time."""
    found = registry()
    found.load(model)
    classifier, ordered = found.classifier(model), sorted(texts, key=len)
    batches = [ordered[start : start + ROWS] for start in range(0, len(ordered), ROWS)] * rounds

    async def caller(numbers: Iterator[int]) -> None:
        for number in numbers:
            dumps([encode(one) for one in await classifier.classify(batches[number])])

    async def callers() -> None:
        numbers = iter(range(len(batches)))
        await asyncio.gather(*(caller(numbers) for _ in range(2)))

    asyncio.run(classifier.classify(batches[-1]))  # warms up
    since = time.perf_counter()
    asyncio.run(callers())
    return sum(map(len, batches)) / (time.perf_counter() - since)


def engine(model: str, texts: list[str]) -> tuple[float, float]:
    """Target tokens per second of the service's own translator, 32 sentences at a time, and tokens of a sentence."""
    found = registry()
    found.load(model)
    translator = found.translator(None, None, model)
    asyncio.run(translator.translate(texts[:ROWS], Options()))
    tokens, since = 0, time.perf_counter()
    for start in range(0, len(texts), ROWS):
        translations = asyncio.run(translator.translate(texts[start : start + ROWS], Options()))
        tokens += sum(len(sentence.target_tokens) for one in translations for sentence in one.sentences)
    return tokens / (time.perf_counter() - since), tokens / len(texts)


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


# Over HTTP


def single_texts(model: str, most: int, seconds: float, rounds: int) -> Results:
    """One text a request. All servers are measured in turns, so that what else the machine does falls on all alike;
    each one's best counts."""
    texts = texts_of(model, most)
    with ExitStack() as stack:
        up = {OURS: stack.enter_context(serving(OURS, model, 0))}
        canned = typical_bytes(up[OURS].port, texts)
        up |= {name: stack.enter_context(serving(name, model, canned)) for name in servers() if name != OURS}
        for server in up.values():
            server.stop()
        bodies = {name: [body_of(name, text) for text in texts] for name in up}
        best: dict[str, list[Load]] = {}
        for _ in range(rounds):
            for name, server in up.items():
                with server.awake():
                    server.closed(bodies[name], 8, 1)  # warms up
                    loads = [server.closed(bodies[name], clients, seconds) for clients in CLIENTS]
                    per_s = max(1.0, BUSY * loads[CLIENTS.index(32)].per_s)
                    loads.append(open_loop(server.port, "/classify", bodies[name], per_s, seconds))
                pairs = zip(loads, best.get(name, loads), strict=True)
                best[name] = [min(pair, key=lambda load: load.p50_ms) for pair in pairs]
    columns = [f"{clients} clients" for clients in CLIENTS] + [f"open, {BUSY:.0%}"]
    print(f"\n{f'{model}: requests/s (p50, p99 ms)':<28}" + "".join(f"{column:>24}" for column in columns))
    for name, loads in best.items():
        print(f"{name:<28}" + "".join(f"{cell(load):>24}" for load in loads), flush=True)
    return {name: dict(zip(columns, (load.summary() for load in loads), strict=True)) for name, loads in best.items()}


def typical_bytes(port: int, texts: list[str]) -> int:
    """Of an answer to one text, on average."""
    connection = HTTPConnection(HOST, port)
    sizes = []
    for text in texts[:64]:
        connection.request("POST", "/classify", json.dumps({"text": text}), {"Content-Type": "application/json"})
        sizes.append(len(connection.getresponse().read()))
    return round(np.mean(sizes))


def cell(load: Load) -> str:
    return f"{load.per_s:,.0f} ({load.p50_ms:.2f}, {load.p99_ms:.1f})" + (f" {load.wrong} wrong" if load.wrong else "")


def short() -> Results:
    found = single_texts("sms-spam", 512, SECONDS, 3)
    rates = {server: loads["32 clients"]["per_s"] for server, loads in found.items()}
    bare_ms = found["bare endpoint"]["1 clients"]["p50_ms"]
    for ours in (OURS, OURS_TWICE):
        compared = {
            f"{ours}: times, 32 clients": {name: round(rates[ours] / rate, 2) for name, rate in rates.items()},
            f"{ours}: p50 ms over the bare endpoint, 1 client": round(found[ours]["1 clients"]["p50_ms"] - bare_ms, 2),
        }
        for name, value in compared.items():
            print(f"{name}: {value}")
        found |= compared
    return found


def long() -> Results:
    found = single_texts("imdb", 64, 2 * SECONDS, 1)
    return {**found, **in_process("imdb", 64, 1, found[OURS]["32 clients"]["per_s"])}


def batches() -> Results:
    """32 texts a request, 8 clients."""
    model, results = "sms-spam", {}
    texts = texts_of(model, 512)
    print(f"\n{model}, {ROWS} texts a request, 8 clients: texts/s")
    for server in servers():
        if server == "bare endpoint":
            continue
        bodies = [body_of(server, texts[start : start + ROWS]) for start in range(0, len(texts), ROWS)]
        with serving(server, model, 0) as one:
            one.closed(bodies, 8, 1)
            load = one.closed(bodies, 8, 3 * SECONDS)
        results[server] = round(ROWS * load.per_s)
        print(f"{server:<28}{ROWS * load.per_s:>12,.0f}{f' {load.wrong} wrong' if load.wrong else ''}", flush=True)
    return {**results, **in_process(model, 512, 8, results[OURS])}


def in_process(model: str, most: int, rounds: int, per_s: float) -> Results:
    """What the same texts get without HTTP, and what part of it `per_s` is."""
    texts = texts_of(model, most)
    found = {}
    for name, rates in (
        ("torch in process", [apart(torch_loop, model, texts, rounds)]),
        ("onnxruntime in process", [apart(bare_loop, model, texts, rounds, n) for n in sorted({1, available_cores()})]),
        ("limelight in process", [apart(predictor, model, texts, rounds)]),
    ):
        found[name] = round(max(rates), 1)
        print(f"{name:<28}{found[name]:>12,.0f} texts/s; over HTTP {per_s / found[name]:.0%} of it", flush=True)
    return found


def translate() -> Results:
    """32 clients, beam 4, captions; then what comes at 70 % of that."""
    data = TranslationData(corpora=["multi30k"], source="en", target="fr")
    texts = [pair.source for pair in sentence_pairs("multi30k", "valid", data)][:128]
    rate, length = apart(engine, "en-fr", texts)
    bodies = [{"q": text, "source": "en", "target": "fr"} for text in texts]
    with Service() as service:
        closed(service.port, "/translate", bodies, 32, 2)
        load = closed(service.port, "/translate", bodies, 32, 4 * SECONDS)
        busy = open_loop(service.port, "/translate", bodies, BUSY * load.per_s, 4 * SECONDS)
    found = {
        "in process, tokens/s": round(rate),
        "32 clients, tokens/s": round(length * load.per_s),
        "of it": round(length * load.per_s / rate, 2),
        "32 clients": load.summary(),
        f"open, {BUSY:.0%}": busy.summary(),
        f"p99 / p50 at {BUSY:.0%}": round(busy.p99_ms / busy.p50_ms, 2),
    }
    print("\n/translate, captions, beam 4")
    for name, value in found.items():
        print(f"  {name:<28}{value}")
    return found


def growth() -> Results:
    """/classify alone: its start, and milliseconds (median) for texts of so many words, and for so many texts."""
    words = " ".join(texts_of("imdb", 16)).split()
    since = time.perf_counter()
    with Service() as service:
        found: Results = {"start_s": round(time.perf_counter() - since, 2), "rss_mb": round(service.rss_mb())}
        one = partial(closed, service.port, "/classify", clients=1, seconds=1)
        found["ms by words"] = {
            count: round(one([{"text": " ".join(words[:count]), "model": "imdb"}]).p50_ms, 2)
            for count in (8, 32, 128, 512)
        }
        sms = texts_of("sms-spam", 256)
        found["ms by texts"] = {
            count: round(one([{"text": sms[:count], "model": "sms-spam"}]).p50_ms, 2) for count in (1, 4, 16, 64, 256)
        }
    print("\nstart and growth")
    for name, value in found.items():
        print(f"  {name:<28}{value}")
    return found


PARTS: dict[str, Callable[[], Results]] = {
    "short": short,
    "long": long,
    "batches": batches,
    "translate": translate,
    "growth": growth,
}


def measure(parts: Sequence[str] = ()) -> Results:
    return {name: PARTS[name]() for name in parts or PARTS}


def main() -> None:
    results: Results = machine()
    print(json.dumps({**results, **measure(sys.argv[1:])}))


if __name__ == "__main__":
    main()
