"""`make gpu-check`: check the bundles in models/ on a GPU, in one call of less than eight minutes.

It runs golden inputs in each precision. It compares attention and scores with the CPU in float32, a batch with its
texts alone, and rates with CTranslate2 and torch where they are installed. It measures quality on validation data, and
the service under mixed load. It prints tables, and writes one JSON document after each part. The exit code is 1 if a
guarantee does not hold. With `--device cpu` everything runs on the CPU, whose numbers stand in for those of CUDA.

`python -m bench.cuda_pack` packs what another machine needs.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from bench.clients import MODELS, Service, for_seconds, load, machine
from bench.cuda_peers import ctranslate2_rates, torch_rates
from bench.cuda_sample import Sample, read_sample
from service.batching.scheduler import Limits
from service.bundle.bundle import read_bundle
from service.bundle.files import find_bundles, read_manifest
from service.bundle.golden import parse_golden
from service.bundle.manifest import GOLDEN, Precision
from service.classification.classifier import Classifier
from service.registry.entry import Predictor, open_predictor
from service.runtime import Device, Runtime
from service.translation.engine import Options
from service.translation.results import Translation
from service.translation.translator import Translator

PRECISIONS: dict[str, tuple[Precision, ...]] = {"cuda": ("float32", "float16"), "cpu": ("float32", "float16", "int8")}
TRANSLATOR, CLASSIFIER = "en-fr", "imdb"
"""Models whose rates are measured."""
BATCHES = {"cuda": (1, 32, 256), "cpu": (1, 16)}
ROWS = {"cuda": 200, "cpu": 40}
"""Maximum rows of each data set, so that the check ends in eight minutes."""
SECONDS = {"cuda": 60, "cpu": 20}
"""Seconds of mixed load."""
BEAMS = (1, 4)
RATE_S = 1.5
"""Minimum seconds of one rate."""
CONNECTIONS = 64
READY_S = 150
"""Maximum seconds for the start of the service."""
CLOSE = 1e-4
"""Maximum difference of attention weights and scores between CUDA and the CPU in float32."""

Results = dict[str, Any]


class Check:
    """The options of one run, and the models that are loaded in it."""

    def __init__(self, device: Device, seconds: float, sample: Sample):
        self.device, self.seconds, self.sample = device, seconds, sample

    def runtime(self, precision: Precision) -> Runtime:
        """A runtime on the device. On a CPU, it computes the graphs that are for CUDA, except in int8."""
        runtime = Runtime(self.device, precision=precision)
        runtime.rewrites = precision != "int8"
        return runtime

    def open(self, folder: Path, runtime: Runtime) -> Predictor:
        """The predictor of a bundle, with large batches on a GPU."""
        limits = Limits(65_536 if self.device == "cuda" else 8_192, queue_tokens=10**9)
        return open_predictor(read_bundle(folder, read_manifest(folder)), runtime, limits)

    def translator(self, precision: Precision) -> Translator:
        found = self.open(newest(TRANSLATOR), self.runtime(precision))
        assert isinstance(found, Translator)
        return found


def newest(name: str) -> Path:
    versions = find_bundles(MODELS)[name]
    return versions[max(versions)]


def difference(expected: Any, actual: Any) -> float:
    """The largest difference of two numbers of two JSON values; infinite if anything else differs."""
    if isinstance(expected, dict) and isinstance(actual, dict) and expected.keys() == actual.keys():
        return max((difference(expected[key], actual[key]) for key in expected), default=0.0)
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return max((difference(a, b) for a, b in zip(expected, actual, strict=True)), default=0.0)
    if isinstance(expected, float) and isinstance(actual, float):
        return abs(expected - actual)
    return 0.0 if expected == actual else float("inf")


def goldens(check: Check) -> Results:
    """Largest difference of the golden answers of every bundle in each precision that it has."""
    found: Results = {}
    for name in find_bundles(MODELS):
        for precision in PRECISIONS[check.device]:
            since = time.perf_counter()
            predictor: Any = check.open(newest(name), check.runtime(precision))
            if predictor.precision == precision:
                found[f"{name} {precision}"] = {
                    **golden_difference(newest(name), predictor),
                    "seconds": round(time.perf_counter() - since, 2),
                }
            predictor.close()
    return found


def golden_difference(folder: Path, predictor: Any) -> Results:
    golden = parse_golden((folder / GOLDEN).read_bytes(), predictor.manifest.task)
    worst, tolerance = 0.0, golden.tolerance_for(predictor.precision)
    for case in golden.cases:
        expected = case.answer.model_dump()
        worst = max(worst, difference(expected, asyncio.run(predictor.golden(case)).model_dump()))
    return {"difference": worst, "tolerance": tolerance, "holds": worst <= tolerance}


def translate(translator: Translator, texts: list[str], beam: int = 1, attention: Any = "none") -> list[Translation]:
    return asyncio.run(translator.translate(texts, Options(beam_size=beam, attention=attention)))


def worst_pair(first: list[Translation], second: list[Translation]) -> Results:
    """The share of equal translations, and the largest difference of scores and attention weights among them."""
    equal, scores, weights = 0, [0.0], [0.0]
    for one, other in zip(first, second, strict=True):
        if one.text != other.text:
            continue
        equal += 1
        for a, b in zip(one.sentences, other.sentences, strict=True):
            scores.append(abs(a.score - b.score))
            for x, y in zip(a.attention, b.attention, strict=True):
                weights.append(float(np.abs(x.weights.astype(np.float64) - y.weights).max()))
    return {"equal": equal / len(first), "scores": max(scores), "attention": max(weights)}


def parity(check: Check) -> Results:
    """Compare full attention and scores of one translator in each precision with the CPU in float32."""
    texts = [source for source, _ in check.sample.pairs[: 32 if check.device == "cuda" else 16]]
    reference = open_predictor(
        read_bundle(newest(TRANSLATOR), read_manifest(newest(TRANSLATOR))),
        Runtime("cpu", precision="float32"),
        Limits(),
    )
    assert isinstance(reference, Translator)
    expected = translate(reference, texts, attention="full")
    reference.close()
    found: Results = {}
    for precision in PRECISIONS[check.device]:
        translator = check.translator(precision)
        together = translate(translator, texts, attention="full")
        alone = [translate(translator, [text], attention="full")[0] for text in texts]
        translator.close()
        beside_cpu, beside_alone = worst_pair(expected, together), worst_pair(together, alone)
        found[f"{precision}, beside the CPU"] = {
            **beside_cpu,
            "holds": precision != "float32" or max(beside_cpu["scores"], beside_cpu["attention"]) < CLOSE,
        }
        found[f"{precision}, batch beside alone"] = {
            **beside_alone,
            "holds": precision != "float32" or beside_alone["equal"] == 1,
        }
    return found


def quality(check: Check) -> Results:
    """BLEU of greedy translations and accuracy of classifiers on validation data, in each precision."""
    found: Results = {}
    for precision in PRECISIONS[check.device]:
        translator = check.translator(precision)
        texts = [
            translation.text for translation in translate(translator, [source for source, _ in check.sample.pairs])
        ]
        translator.close()
        found[f"{TRANSLATOR} {precision}"] = {"bleu": bleu(texts, [target for _, target in check.sample.pairs])}
        for name, rows in check.sample.labelled.items():
            classifier = check.open(newest(name), check.runtime(precision))
            assert isinstance(classifier, Classifier)
            predictions = asyncio.run(classifier.classify([text for _, text in rows], "none", truncate=True))
            classifier.close()
            right = sum(p.label == label for p, (label, _) in zip(predictions, rows, strict=True))
            found[f"{name} {precision}"] = {"accuracy": right / len(rows), "texts": len(rows)}
    return found


def bleu(texts: list[str], references: list[str]) -> float | None:
    """BLEU, or None if sacrebleu is not installed."""
    try:
        import sacrebleu
    except ModuleNotFoundError:
        return None
    return round(sacrebleu.corpus_bleu(texts, [references]).score, 2)


def per_second(run: Callable[[], int]) -> float:
    """The sum of the results of `run` per second. It is called once, then for RATE_S if the first call was shorter."""
    since, count = time.perf_counter(), run()
    if (elapsed := time.perf_counter() - since) >= RATE_S:
        return round(count / elapsed, 1)
    since, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - since) < RATE_S:
        count += run()
    return round(count / elapsed, 1)


def translation_rates(translator: Translator, sources: list[str], batches: Iterable[int]) -> Results:
    """Target tokens per second by batch and beam."""

    def tokens(chosen: list[str], beam: int) -> int:
        results = translate(translator, chosen, beam, "summary")
        return sum(len(sentence.target_tokens) for one in results for sentence in one.sentences)

    return {
        f"tokens/s, batch {batch}, beam {beam}": per_second(partial(tokens, (sources * batch)[:batch], beam))
        for batch in batches
        for beam in BEAMS
    }


def classification_rates(classifier: Classifier, texts: list[str], batches: Iterable[int]) -> Results:
    """Texts per second by batch."""

    def classified(chosen: list[str]) -> int:
        return len(asyncio.run(classifier.classify(chosen, "summary", truncate=True)))

    return {f"texts/s, batch {b}": per_second(partial(classified, (texts * b)[:b])) for b in batches}


def rates(check: Check) -> Results:
    """Rates of a translator and a classifier in each precision, and those of other engines."""
    sources = [source for source, _ in check.sample.pairs]
    texts = [text for _, text in check.sample.labelled[CLASSIFIER]]
    batches = BATCHES[check.device]
    found: Results = {}
    for precision in PRECISIONS[check.device]:
        translator = check.translator(precision)
        found[f"{TRANSLATOR} {precision}"] = translation_rates(translator, sources, batches)
        translator.close()
        classifier = check.open(newest(CLASSIFIER), check.runtime(precision))
        assert isinstance(classifier, Classifier)
        if classifier.precision == precision:
            found[f"{CLASSIFIER} {precision}"] = classification_rates(classifier, texts, batches)
        classifier.close()
    found |= ctranslate2_rates(check.device, newest(TRANSLATOR), sources, batches, BEAMS, per_second)
    return found | torch_rates(check.device, newest(CLASSIFIER), texts, batches, per_second)


def memory_mb(device: str) -> float | None:
    """Memory in use on the GPU, or None."""
    if device != "cuda":
        return None
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0])


def wait_until_ready(service: Service) -> str:
    """Wait for all models. Returns the provider that runs them. Raises TimeoutError."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until and service.process.poll() is None:
        try:
            status, answer = service.ask("GET", "/health/ready")
        except OSError:
            status = 0  # the port is not open yet
        if status == 200:
            return str(answer["provider"])
        time.sleep(0.2)
    raise TimeoutError("the service did not get ready")


def under_load(check: Check) -> Results:
    """The service under mixed load: outcomes, latency, and memory after a sixth of the time and at the end."""
    with Service(wait=False, DEVICE=check.device) as service:
        provider = wait_until_ready(service)
        memory: list[dict[str, float | None]] = []
        tallies = []
        for part in (check.seconds / 6, check.seconds * 5 / 6):
            tallies.append(asyncio.run(load(service.port, CONNECTIONS, for_seconds(part))))
            memory.append({"rss_mb": round(service.rss_mb()), "gpu_mb": memory_mb(check.device)})
    tally = tallies[1]
    grown = [end / start for start, end in zip(*(each.values() for each in memory), strict=True) if start and end]
    expected = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}[check.device]
    return {
        "mixed": {
            **tally.summary(),
            "requests_per_s": round(len(tally.seconds) / (check.seconds * 5 / 6), 1),
            "memory": memory,
            "provider": provider,
            "holds": tally.wrong() == 0 and max(grown) < 1.1 and provider == expected,
        }
    }


PARTS: list[Callable[[Check], Results]] = [goldens, parity, quality, under_load, rates]


def show(title: str, results: Results) -> None:
    """Print a part as a table."""
    print(f"\n{title}")
    for name, row in results.items():
        cells = row.items() if isinstance(row, dict) else [("", row)]
        print(
            f"  {name:<34} "
            + "  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in cells)
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--seconds", type=float, help="Seconds of mixed load: by default 60, on a CPU 20.")
    parser.add_argument(
        "--sample", type=Path, help="Validation data that bench.cuda_pack wrote; by default the corpora."
    )
    parser.add_argument("--out", type=Path, default=Path("gpu-check.json"))
    parser.add_argument("--parts", nargs="*", choices=[part.__name__ for part in PARTS], help="Parts; by default all.")
    options = parser.parse_args()
    since = time.perf_counter()
    sample = read_sample(options.sample).of(ROWS[options.device])
    check = Check(options.device, options.seconds or SECONDS[options.device], sample)
    results: Results = {**machine(), "onnxruntime": ort.__version__, "device": options.device}
    failed = False
    for part in PARTS:
        if options.parts and part.__name__ not in options.parts:
            continue
        started = time.perf_counter()
        try:
            found = part(check)
        except Exception as error:  # the other parts still run: a GPU is at hand for a short time
            found = {"error": {"reason": repr(error), "holds": False}}
        failed |= any(isinstance(row, dict) and row.get("holds") is False for row in found.values())
        results[part.__name__] = {**found, "seconds": round(time.perf_counter() - started, 1)}
        show(part.__name__, results[part.__name__])
        options.out.write_text(json.dumps(results, indent=1))
    results["seconds"] = round(time.perf_counter() - since, 1)
    options.out.write_text(json.dumps(results, indent=1))
    print(
        f"\n{'a guarantee does not hold' if failed else 'all guarantees hold'}, {results['seconds']} s: {options.out}"
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
