"""`python -m bench.decoding`: target tokens per second of every translator in models/, without HTTP.

Captions of Multi30k's validation split, one after the other and 32 at a time, greedy and beam 4, attention none and
summary. Needs the corpus (LIMELIGHT_DATA).
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from service.registry import Registry
from service.runtime import Runtime
from service.scheduling import Limits
from service.translator import Options, Translator
from training.corpora import sentence_pairs
from training.recipe import TranslationData

SENTENCES = 64
CASES = [(1, 1), (4, 1), (1, 32), (4, 32)]
"""(beam size, sentences at a time)"""


def tokens_per_second(translator: Translator, texts: list[str], options: Options, at_a_time: int) -> float:
    """Target tokens of the best hypotheses, by the wall clock."""
    tokens = 0
    since = time.perf_counter()
    for start in range(0, len(texts), at_a_time):
        for translation in asyncio.run(translator.translate(texts[start : start + at_a_time], options)):
            tokens += sum(len(sentence.target_tokens) for sentence in translation.sentences)
    return tokens / (time.perf_counter() - since)


def main() -> None:
    registry = Registry(Path("models"), Runtime("auto"), Limits(queue_tokens=10**9))
    results: dict[str, Any] = {}
    header = "".join(f"{f'beam {beam}, {batch}':>14}" for beam, batch in CASES)
    print(f"{'target tokens/s':<22}{'attention':<12}{header}")
    for entry in registry.entries():
        if entry.manifest is None or entry.manifest.task != "translation":
            continue
        assert entry.manifest.source and entry.manifest.target
        data = TranslationData(corpora=["multi30k"], source=entry.manifest.source, target=entry.manifest.target)
        texts = [pair.source for pair in sentence_pairs("multi30k", "valid", data)][:SENTENCES]
        registry.load(entry.name)
        translator = registry.translator(None, None, entry.name, entry.version)
        for attention in ("none", "summary"):
            rates = []
            for beam, batch in CASES:
                options = Options(beam_size=beam, attention=attention)  # type: ignore[arg-type]
                tokens_per_second(translator, texts[:batch], options, batch)
                rates.append(round(tokens_per_second(translator, texts, options, batch)))
            print(f"{entry.name:<22}{attention:<12}" + "".join(f"{rate:>14,}" for rate in rates))
            results[f"{entry.name}, attention {attention}"] = dict(
                zip((f"beam {b}, {n}" for b, n in CASES), rates, strict=True)
            )
    registry.close()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
