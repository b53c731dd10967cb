"""`python -m bench.decoding`: target tokens per second of every translator in models/, beside CTranslate2.

Captions of Multi30k's validation split, tokenised and decoded in process, one after the other and 32 at a time, greedy
and beam 4, as the service would. One Transformer with one thread and with as many as there are cores, in float32 and in
int8, and by CTranslate2 on the same weights with its attention returned, with the threads it chooses itself, with one,
and with workers that share a batch: our best beside its best, and how many of its translations are ours. Needs the
corpus (LIMELIGHT_DATA).
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import ctranslate2
from tokenizers import Tokenizer

from bench.clients import MODELS, machine
from bench.peers import convert
from service.batching.scheduler import Limits
from service.bundle.manifest import Precision, find_bundles, read_manifest
from service.registry.registry import Registry
from service.runtime import Runtime, available_cores
from service.translation.engine import Options
from service.translation.translator import Translator
from training.corpora import sentence_pairs
from training.recipe import TranslationData

OURS, PEER = "limelight", "ctranslate2"
COMPARED = "en-fr"
"""The model that is also decoded by the peer."""
SENTENCES = 64
ROUNDS = 3
CASES = [(1, 1), (4, 1), (1, 32), (4, 32)]
"""(beam size, sentences at a time)"""

Translate = Callable[[list[str], int], list[tuple[str, int]]]
"""(texts, beam size) -> the best translation of each and its tokens"""
Results = dict["Engine", tuple[list[float], list[str]]]
"""Of each engine: target tokens per second of every case, and the translations of the last."""


def of_limelight(translator: Translator, attention: Any) -> Translate:
    # One loop, as in a service: `asyncio.run` also spells out the whole answer, as its signal handler's argument.
    loop = asyncio.new_event_loop()

    def translate(texts: list[str], beam_size: int) -> list[tuple[str, int]]:
        found = loop.run_until_complete(translator.translate(texts, Options(beam_size=beam_size, attention=attention)))
        return [(t.text, sum(len(sentence.target_tokens) for sentence in t.sentences)) for t in found]

    return translate


def of_ctranslate2(bundle: Path, folder: Path, threads: int, workers: int, precision: str) -> Translate:
    options = {"device": "cpu", "compute_type": precision, "intra_threads": threads, "inter_threads": workers}
    translator = ctranslate2.Translator(str(folder), **options)
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))

    def translate(texts: list[str], beam_size: int) -> list[tuple[str, int]]:
        sources = [encoding.tokens for encoding in tokenizer.encode_batch(texts)]
        # Workers share batches that are small enough for each to get two.
        most = -(-len(texts) // (2 * workers)) if workers > 1 else 0
        results = translator.translate_batch(
            sources, beam_size=beam_size, max_batch_size=most, disable_unk=True, return_attention=True
        )
        found = [result.hypotheses[0] for result in results]
        return [(tokenizer.decode([tokenizer.token_to_id(t) for t in tokens]), len(tokens)) for tokens in found]

    return translate


def decode(translate: Translate, texts: list[str], beam_size: int, at_a_time: int) -> tuple[float, list[str]]:
    """Target tokens per second by the wall clock, and the translations."""
    found = []
    since = time.perf_counter()
    for start in range(0, len(texts), at_a_time):
        found += translate(texts[start : start + at_a_time], beam_size)
    return sum(tokens for _, tokens in found) / (time.perf_counter() - since), [text for text, _ in found]


@dataclass(frozen=True)
class Engine:
    """One way to translate with a bundle."""

    name: str
    precision: Precision
    threads: int
    """0: what CTranslate2 takes where nobody says."""
    workers: int = 1
    """Of CTranslate2, with so many threads each. Limelight divides its threads by itself."""

    def __str__(self) -> str:
        workers = f"{self.workers} workers, " if self.workers > 1 else ""
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}" if self.threads else "its own threads"
        return f"{self.name} {self.precision}, {workers}{threads}"


def measure_all(engine: Engine, bundle: Path, model: Path, texts: list[str]) -> tuple[list[float], list[str]]:
    """Tokens per second of every case, and the translations of the last. For a process of its own: what one engine
    leaves spinning would slow the next one down."""
    if engine.name == PEER:
        translate = of_ctranslate2(bundle, model, engine.threads, engine.workers, engine.precision)
    else:
        runtime = Runtime("cpu", engine.threads, engine.precision)
        registry = Registry(bundle.parent.parent, runtime, Limits(queue_tokens=10**9))
        registry.load(bundle.parent.name)
        translator = registry.translator(None, None, bundle.parent.name, int(bundle.name))
        translate = of_limelight(translator, "summary" if engine.name == OURS else "none")
    translate(texts[:32], 4)
    found = [decode(translate, texts, beam_size, batch) for beam_size, batch in CASES]
    return [rate for rate, _ in found], found[-1][1]


def captions(source: str, target: str) -> list[str]:
    data = TranslationData(corpora=["multi30k"], source=source, target=target)
    return [pair.source for pair in sentence_pairs("multi30k", "valid", data)][:SENTENCES]


def best_of(engines: list[Engine], bundle: Path, model: Path, texts: list[str], rounds: int) -> Results:
    """Each engine's best of every case, and what it said last. Round by round, so that what else the machine does falls
    on all alike."""
    best: dict[Engine, list[float]] = {engine: [0.0] * len(CASES) for engine in engines}
    said: dict[Engine, list[str]] = {}
    for _ in range(rounds):
        for engine in engines:
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                rates, said[engine] = process.submit(measure_all, engine, bundle, model, texts).result()
            best[engine] = [max(pair) for pair in zip(best[engine], rates, strict=True)]
    return {engine: (best[engine], said[engine]) for engine in engines}


def row(name: str, cells: list[str]) -> None:
    print(f"{name:<56}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def beside_ctranslate2(bundle: Path, texts: list[str], cores: int) -> dict[str, Any]:
    precisions: list[Precision] = ["float32", "int8"]
    engines = [
        Engine(engine, precision, threads)
        for threads in sorted({1, cores})
        for engine in (OURS, f"{OURS}, no attention")
        for precision in precisions
    ]
    shares = [(1, 1), (0, 1)] + [(1, cores)] * (cores > 1)
    engines += [Engine(PEER, precision, threads, workers) for threads, workers in shares for precision in precisions]
    with tempfile.TemporaryDirectory() as folder:
        convert(bundle, Path(folder) / "model")
        found = best_of(engines, bundle, Path(folder) / "model", texts, ROUNDS)
    results: dict[str, Any] = {}
    for engine, (rates, _) in found.items():
        row(str(engine), [f"{rate:,.0f}" for rate in rates])
        results[str(engine)] = [round(rate) for rate in rates]

    def best(name: str, among: Sequence[Precision], threads: int | None = None) -> list[float]:
        able = [e for e in found if e.name == name and e.precision in among and threads in (None, e.threads)]
        return [max(case) for case in zip(*(found[engine][0] for engine in able), strict=True)]

    groups: list[list[Precision]] = [["float32"], ["int8"], precisions]
    for among in groups:
        for whose, theirs in (("with its own threads", best(PEER, among, 0)), ("at its best", best(PEER, among))):
            pairs = zip(best(OURS, among), theirs, strict=True)
            ratios = results[f"{' or '.join(among)}, times {PEER} {whose}"] = [round(a / b, 2) for a, b in pairs]
            row(f"{' or '.join(among)}: times {PEER} {whose}", [f"{ratio:.2f}" for ratio in ratios])
    for precision in precisions:
        [one, other] = (found[Engine(name, precision, 1)][1] for name in (OURS, PEER))
        same = results[f"{precision}, same translations"] = sum(a == b for a, b in zip(one, other, strict=True))
        print(f"{precision}: {same} of {len(texts)} translations are the same")
    return results


def measure() -> dict[str, Any]:
    cores = available_cores()
    results: dict[str, Any] = {}
    row("target tokens/s", [f"beam {beam}, {batch}" for beam, batch in CASES])
    for name, versions in find_bundles(MODELS).items():
        bundle = versions[max(versions)]
        manifest = read_manifest(bundle)
        if manifest.task != "translation":
            continue
        assert manifest.source and manifest.target
        texts = captions(manifest.source, manifest.target)
        if name == COMPARED:
            results[name] = beside_ctranslate2(bundle, texts, cores)
            continue
        [(engine, (rates, _))] = best_of([Engine(OURS, "int8", cores)], bundle, bundle, texts, 1).items()
        row(f"{name}: {engine}", [f"{rate:,.0f}" for rate in rates])
        results[name] = {str(engine): [round(rate) for rate in rates]}
    return results


def main() -> None:
    results = measure()
    print(json.dumps({**machine(), "decoding": results}))


if __name__ == "__main__":
    main()
