"""`python -m bench.decoding`: target tokens per second of every translator in models/, compared with CTranslate2.

Decodes captions of Multi30k's validation split in process, 1 and 32 sentences at a time, greedy and beam 4. One
Transformer runs in float32 and int8, with 1 thread and with one thread per core. CTranslate2 runs on the same weights
with attention returned, with its default threads, 1 thread, and one worker per core. Reports the ratio of the best
results and the number of equal translations. Needs the corpus (LIMELIGHT_DATA).
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
from bench.ctranslate2_converter import convert
from service.batching.scheduler import Limits
from service.bundle.files import find_bundles, read_manifest
from service.bundle.manifest import Precision, TranslationManifest
from service.registry.registry import Registry
from service.runtime import Runtime, available_cores
from service.translation.engine import Options
from service.translation.translator import Translator
from training.corpora import sentence_pairs
from training.recipe import TranslationData

OURS, PEER = "limelight", "ctranslate2"
COMPARED = "en-fr"
"""Model that CTranslate2 decodes too."""
SENTENCES = 64
ROUNDS = 3
CASES = [(1, 1), (4, 1), (1, 32), (4, 32)]
"""(beam size, sentences per call)"""

Translate = Callable[[list[str], int], list[tuple[str, int]]]
"""(texts, beam size) -> best translation of each text and its token count."""
Results = dict["Engine", tuple[list[float], list[str]]]
"""Engine -> target tokens per second of each case, and the translations of the last case."""


def limelight_translate(translator: Translator, attention: Any) -> Translate:
    # One event loop, as in the service. `asyncio.run` would also format the whole result for its signal handler.
    loop = asyncio.new_event_loop()

    def translate(texts: list[str], beam_size: int) -> list[tuple[str, int]]:
        options = Options(beam_size=beam_size, attention=attention)
        translations = loop.run_until_complete(translator.translate(texts, options))
        return [(t.text, sum(len(sentence.target_tokens) for sentence in t.sentences)) for t in translations]

    return translate


def ctranslate2_translate(bundle: Path, folder: Path, threads: int, workers: int, precision: str) -> Translate:
    options = {"device": "cpu", "compute_type": precision, "intra_threads": threads, "inter_threads": workers}
    translator = ctranslate2.Translator(str(folder), **options)
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))

    def translate(texts: list[str], beam_size: int) -> list[tuple[str, int]]:
        sources = [encoding.tokens for encoding in tokenizer.encode_batch(texts)]
        # Two batches per worker.
        max_batch_size = -(-len(texts) // (2 * workers)) if workers > 1 else 0
        results = translator.translate_batch(
            sources, beam_size=beam_size, max_batch_size=max_batch_size, disable_unk=True, return_attention=True
        )
        hypotheses = [result.hypotheses[0] for result in results]
        return [(tokenizer.decode([tokenizer.token_to_id(t) for t in tokens]), len(tokens)) for tokens in hypotheses]

    return translate


def decode(translate: Translate, texts: list[str], beam_size: int, batch: int) -> tuple[float, list[str]]:
    """Return target tokens per second of wall-clock time, and the translations."""
    results = []
    since = time.perf_counter()
    for start in range(0, len(texts), batch):
        results += translate(texts[start : start + batch], beam_size)
    return sum(tokens for _, tokens in results) / (time.perf_counter() - since), [text for text, _ in results]


@dataclass(frozen=True)
class Engine:
    """A configuration that translates with a bundle."""

    name: str
    precision: Precision
    threads: int
    """0 selects the default of CTranslate2."""
    workers: int = 1
    """CTranslate2 workers, each with `threads` threads. Limelight distributes its threads automatically."""

    def __str__(self) -> str:
        workers = f"{self.workers} workers, " if self.workers > 1 else ""
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}" if self.threads else "default threads"
        return f"{self.name} {self.precision}, {workers}{threads}"


def measure_all(engine: Engine, bundle: Path, model: Path, texts: list[str]) -> tuple[list[float], list[str]]:
    """Return tokens per second of each case, and the translations of the last case.

    Runs in a separate process: threads that an earlier engine leaves spinning would slow the next one.
    """
    if engine.name == PEER:
        translate = ctranslate2_translate(bundle, model, engine.threads, engine.workers, engine.precision)
    else:
        runtime = Runtime("cpu", engine.threads, engine.precision)
        registry = Registry(bundle.parent.parent, runtime, Limits(queue_tokens=10**9))
        registry.load(bundle.parent.name)
        translator = registry.translator(None, None, bundle.parent.name, int(bundle.name))
        translate = limelight_translate(translator, "summary" if engine.name == OURS else "none")
    translate(texts[:32], 4)
    decoded = [decode(translate, texts, beam_size, batch) for beam_size, batch in CASES]
    return [rate for rate, _ in decoded], decoded[-1][1]


def captions(source: str, target: str) -> list[str]:
    data = TranslationData(corpora=["multi30k"], source=source, target=target)
    return [pair.source for pair in sentence_pairs("multi30k", "valid", data)][:SENTENCES]


def best_of(engines: list[Engine], bundle: Path, model: Path, texts: list[str], rounds: int) -> Results:
    """Return the best rate of each engine and case, and its last translations.

    The engines run in turns, so that other load on the machine affects all of them.
    """
    best: dict[Engine, list[float]] = {engine: [0.0] * len(CASES) for engine in engines}
    translations: dict[Engine, list[str]] = {}
    for _ in range(rounds):
        for engine in engines:
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                rates, translations[engine] = process.submit(measure_all, engine, bundle, model, texts).result()
            best[engine] = [max(pair) for pair in zip(best[engine], rates, strict=True)]
    return {engine: (best[engine], translations[engine]) for engine in engines}


def row(name: str, cells: list[str]) -> None:
    print(f"{name:<56}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def compare_with_ctranslate2(bundle: Path, texts: list[str], cores: int) -> dict[str, Any]:
    precisions: list[Precision] = ["float32", "int8"]
    engines = [
        Engine(engine, precision, threads)
        for threads in sorted({1, cores})
        for engine in (OURS, f"{OURS}, no attention")
        for precision in precisions
    ]
    layouts = [(1, 1), (0, 1)] + [(1, cores)] * (cores > 1)
    engines += [Engine(PEER, precision, threads, workers) for threads, workers in layouts for precision in precisions]
    with tempfile.TemporaryDirectory() as folder:
        convert(bundle, Path(folder) / "model")
        found = best_of(engines, bundle, Path(folder) / "model", texts, ROUNDS)
    results: dict[str, Any] = {}
    for engine, (rates, _) in found.items():
        row(str(engine), [f"{rate:,.0f}" for rate in rates])
        results[str(engine)] = [round(rate) for rate in rates]

    def best(name: str, among: Sequence[Precision], threads: int | None = None) -> list[float]:
        matching = [e for e in found if e.name == name and e.precision in among and threads in (None, e.threads)]
        return [max(case) for case in zip(*(found[engine][0] for engine in matching), strict=True)]

    groups: list[list[Precision]] = [["float32"], ["int8"], precisions]
    for among in groups:
        for layout, theirs in (("default threads", best(PEER, among, 0)), ("best threads", best(PEER, among))):
            pairs = zip(best(OURS, among), theirs, strict=True)
            ratios = results[f"{' or '.join(among)}, ratio to {PEER}, {layout}"] = [round(a / b, 2) for a, b in pairs]
            row(f"{' or '.join(among)}: ratio to {PEER}, {layout}", [f"{ratio:.2f}" for ratio in ratios])
    for precision in precisions:
        [our_texts, peer_texts] = (found[Engine(name, precision, 1)][1] for name in (OURS, PEER))
        same = results[f"{precision}, same translations"] = sum(
            a == b for a, b in zip(our_texts, peer_texts, strict=True)
        )
        print(f"{precision}: {same} of {len(texts)} translations are equal")
    return results


def measure() -> dict[str, Any]:
    cores = available_cores()
    results: dict[str, Any] = {}
    row("target tokens/s", [f"beam {beam}, {batch}" for beam, batch in CASES])
    for name, versions in find_bundles(MODELS).items():
        bundle = versions[max(versions)]
        manifest = read_manifest(bundle)
        if not isinstance(manifest, TranslationManifest):
            continue
        texts = captions(manifest.source, manifest.target)
        if name == COMPARED:
            results[name] = compare_with_ctranslate2(bundle, texts, cores)
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
