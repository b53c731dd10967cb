"""`python -m bench.decoding`: target tokens per second of every translator in models/, beside CTranslate2.

Captions of Multi30k's validation split, tokenised and decoded in process, one after the other and 32 at a time, greedy
and beam 4, with one thread and with as many as there are cores; the Transformers also by CTranslate2 on the same
weights with its attention returned, its threads inside a batch or workers that share the batches. Each in float32 and
in int8, where our best is compared with its best and its translations with ours. Needs the corpus (LIMELIGHT_DATA).
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import ctranslate2
from tokenizers import Tokenizer

from bench.peers import convert
from service.bundle import find_bundles, read_manifest
from service.decoder import Options
from service.registry import Registry
from service.runtime import Runtime
from service.scheduling import Limits
from service.translator import Translator
from training.corpora import sentence_pairs
from training.recipe import TranslationData

SENTENCES = 64
ROUNDS = 3
CASES = [(1, 1), (4, 1), (1, 32), (4, 32)]
"""(beam size, sentences at a time)"""

Translate = Callable[[list[str], int], list[tuple[str, int]]]
"""(texts, beam size) -> the best translation of each and its tokens"""


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


def measure(translate: Translate, texts: list[str], beam_size: int, at_a_time: int) -> tuple[float, list[str]]:
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
    precision: Literal["float32", "int8"]
    threads: int
    workers: int = 1
    """Of CTranslate2, with so many threads each. Limelight divides its threads by itself."""

    def __str__(self) -> str:
        workers = f"{self.workers} workers, " if self.workers > 1 else ""
        return f"{self.name} {self.precision}, {workers}{self.threads} thread{'s' * (self.threads > 1)}"


def measure_all(engine: Engine, bundle: Path, model: Path, texts: list[str]) -> tuple[list[float], list[str]]:
    """Tokens per second of every case, and the translations of the last. For a process of its own: what one engine
    leaves spinning would slow the next one down."""
    if engine.name == "ctranslate2":
        translate = of_ctranslate2(bundle, model, engine.threads, engine.workers, engine.precision)
    else:
        runtime = Runtime("cpu", engine.threads, engine.precision)
        registry = Registry(bundle.parent.parent, runtime, Limits(queue_tokens=10**9))
        registry.load(bundle.parent.name)
        translator = registry.translator(None, None, bundle.parent.name, int(bundle.name))
        translate = of_limelight(translator, "summary" if engine.name == "limelight" else "none")
    translate(texts[:32], 4)
    found = [measure(translate, texts, beam_size, batch) for beam_size, batch in CASES]
    return [rate for rate, _ in found], found[-1][1]


def main() -> None:
    cores = len(os.sched_getaffinity(0))
    results: dict[str, Any] = {"cores": cores}
    header = "".join(f"{f'beam {beam}, {batch}':>14}" for beam, batch in CASES)
    print(f"{'target tokens/s':<52}{header}")
    for name, versions in find_bundles(Path("models")).items():
        bundle = versions[max(versions)]
        manifest = read_manifest(bundle)
        if manifest.task != "translation":
            continue
        assert manifest.source and manifest.target
        data = TranslationData(corpora=["multi30k"], source=manifest.source, target=manifest.target)
        texts = [pair.source for pair in sentence_pairs("multi30k", "valid", data)][:SENTENCES]
        has_peer = manifest.architecture.network == "transformer"
        precisions: list[Literal["float32", "int8"]] = ["float32", "int8"]
        found = [
            Engine(engine, precision, threads)
            for threads in sorted({1, cores})
            for engine in ("limelight", "limelight, no attention", *["ctranslate2"] * has_peer)
            for precision in precisions
        ]
        if has_peer and cores > 1:
            found += [Engine("ctranslate2", precision, 1, cores) for precision in precisions]
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model"
            if has_peer:
                convert(bundle, model)
            best = {engine: [0.0] * len(CASES) for engine in found}
            said: dict[Engine, list[str]] = {}
            # Round by round, so that what else the machine does falls on all alike.
            for _ in range(ROUNDS):
                for engine in found:
                    with ProcessPoolExecutor(1, get_context("spawn")) as process:
                        rates, said[engine] = process.submit(measure_all, engine, bundle, model, texts).result()
                    best[engine] = [max(pair) for pair in zip(best[engine], rates, strict=True)]
        for engine, rates in best.items():
            print(f"{f'{name}/{bundle.name}':<12}{engine!s:<40}" + "".join(f"{rate:>14,.0f}" for rate in rates))
            cases = (f"beam {beam_size}, {batch}" for beam_size, batch in CASES)
            results[f"{name}, {engine}"] = dict(zip(cases, map(round, rates), strict=True))
        for precision in precisions if has_peer else []:
            theirs = [rates for e, rates in best.items() if e.name == "ctranslate2" and e.precision == precision]
            ours = [rates for e, rates in best.items() if e.name == "limelight" and e.precision == precision]
            ratios = [max(a) / max(b) for a, b in zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True)]
            print(f"{'':<12}{f'{precision}: our best / theirs':<40}" + "".join(f"{ratio:>14.2f}" for ratio in ratios))
            results[f"{name}, {precision}, times ctranslate2"] = [round(ratio, 2) for ratio in ratios]
            [a, b] = (said[Engine(engine, precision, 1)] for engine in ("limelight", "ctranslate2"))
            same = sum(one == other for one, other in zip(a, b, strict=True))
            print(f"{'':<12}{f'{same} of {len(texts)} translations are the same'}")
            results[f"{name}, {precision}, same translations"] = [same, len(texts)]
    print(json.dumps(results))


if __name__ == "__main__":
    main()
