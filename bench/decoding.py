"""`python -m bench.decoding`: target tokens per second of every translator in models/, beside CTranslate2.

Captions of Multi30k's validation split, tokenised and decoded in process, one after the other and 32 at a time, greedy
and beam 4, with one thread and with as many as there are cores; the Transformers also by CTranslate2 on the same
weights, in float32 and in int8, with its attention returned. Its best is compared with our best, and its translations
with ours. Needs the corpus (LIMELIGHT_DATA).
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctranslate2
from tokenizers import Tokenizer

from bench.peers import convert
from service.decoder import Options
from service.registry import Entry, Registry
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
    def translate(texts: list[str], beam_size: int) -> list[tuple[str, int]]:
        found = asyncio.run(translator.translate(texts, Options(beam_size=beam_size, attention=attention)))
        return [(t.text, sum(len(sentence.target_tokens) for sentence in t.sentences)) for t in found]

    return translate


def of_ctranslate2(bundle: Path, folder: Path, threads: int, precision: str) -> Translate:
    options = {"device": "cpu", "compute_type": precision, "intra_threads": threads, "inter_threads": 1}
    translator = ctranslate2.Translator(str(folder), **options)
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))

    def translate(texts: list[str], beam_size: int) -> list[tuple[str, int]]:
        sources = [encoding.tokens for encoding in tokenizer.encode_batch(texts)]
        results = translator.translate_batch(
            sources, beam_size=beam_size, max_batch_size=0, disable_unk=True, return_attention=True
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


def engines(entry: Entry, folder: Path, threads: int, registry: Registry) -> dict[str, Translate]:
    """Every engine that can be asked, by name, with so many threads."""
    registry.load(entry.name)
    translator = registry.translator(None, None, entry.name, entry.version)
    ours = f"limelight {translator.precision}"
    found = {f"{ours}, no attention": of_limelight(translator, "none"), ours: of_limelight(translator, "summary")}
    if (folder / "model").is_dir():
        for precision in ("float32", "int8"):
            found[f"ctranslate2 {precision}"] = of_ctranslate2(entry.folder, folder / "model", threads, precision)
    return {f"{name}, {threads} thread{'s' * (threads > 1)}": engine for name, engine in found.items()}


def main() -> None:
    cores = len(os.sched_getaffinity(0))
    registries = {
        n: Registry(Path("models"), Runtime("cpu", n), Limits(queue_tokens=10**9)) for n in sorted({1, cores})
    }
    results: dict[str, Any] = {"cores": cores}
    header = "".join(f"{f'beam {beam}, {batch}':>14}" for beam, batch in CASES)
    print(f"{'target tokens/s':<52}{header}")
    for entry in registries[1].entries():
        if entry.manifest is None or entry.manifest.task != "translation":
            continue
        assert entry.manifest.source and entry.manifest.target
        data = TranslationData(corpora=["multi30k"], source=entry.manifest.source, target=entry.manifest.target)
        texts = [pair.source for pair in sentence_pairs("multi30k", "valid", data)][:SENTENCES]
        with tempfile.TemporaryDirectory() as folder:
            if entry.manifest.architecture.network == "transformer":
                convert(entry.folder, Path(folder) / "model")
            found: dict[str, Translate] = {}
            for threads, registry in registries.items():
                found |= engines(entry, Path(folder), threads, registry)
            # Round by round, so that what else the machine does falls on all alike.
            best: dict[str, list[float]] = {name: [0.0] * len(CASES) for name in found}
            said: dict[str, list[str]] = {}
            for _ in range(ROUNDS):
                for place, (beam_size, batch) in enumerate(CASES):
                    for name, engine in found.items():
                        rate, said[name] = measure(engine, texts, beam_size, batch)
                        best[name][place] = max(best[name][place], rate)
        for name, rates in best.items():
            print(
                f"{entry.name + '/' + str(entry.version):<12}{name:<40}" + "".join(f"{rate:>14,.0f}" for rate in rates)
            )
            cases = (f"beam {beam_size}, {batch}" for beam_size, batch in CASES)
            results[f"{entry.name}, {name}"] = dict(zip(cases, map(round, rates), strict=True))
        theirs = [rates for name, rates in best.items() if name.startswith("ctranslate2")]
        ours = [rates for name, rates in best.items() if name.startswith("limelight") and "no attention" not in name]
        if theirs:
            ratios = [max(a) / max(b) for a, b in zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True)]
            print(f"{'':<12}{'best of ours / best of theirs':<40}" + "".join(f"{ratio:>14.2f}" for ratio in ratios))
            reference = next(said[name] for name in said if name.startswith("ctranslate2 float32"))
            for name in (name for name in said if name.startswith("limelight")):
                same = sum(a == b for a, b in zip(reference, said[name], strict=True))
                results[f"{entry.name}, {name}, same as ctranslate2 float32"] = [same, len(texts)]
            print(f"{'':<12}{same} of {len(texts)} translations are those of ctranslate2 float32")
            results[f"{entry.name}, times ctranslate2"] = [round(ratio, 2) for ratio in ratios]
    for registry in registries.values():
        registry.close()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
