"""The same work without HTTP: torch, onnxruntime, and the service's own classifier and translator.

Run each function through `in_subprocess`, so that threads of one do not disturb the next.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import orjson
import torch
from tokenizers import Tokenizer

from bench.clients import MODELS
from bench.rivals.network import ROWS, Network
from bench.servers import latest_bundle
from service.batching.scheduler import Limits
from service.bundle.files import read_manifest
from service.bundle.manifest import ClassificationManifest
from service.handlers.classify import encode
from service.handlers.encoding import dumps
from service.registry.registry import Registry
from service.runtime import Runtime, available_cores
from service.translation.engine import Options
from training.batching import pad
from training.recipe import ClassificationRecipe, load_recipe
from training.start import copy_weights
from training.tasks import build_classifier
from training.tokenization import PAD, special_id


def in_subprocess(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process and return its result."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def batches_of(texts: list[str]) -> list[list[str]]:
    """Sort texts by length and split them into batches of 32."""
    ordered = sorted(texts, key=len)
    return [ordered[start : start + ROWS] for start in range(0, len(ordered), ROWS)]


def onnxruntime_rate(model: str, texts: list[str], rounds: int, threads: int) -> float:
    """Texts per second of tokenizer, onnxruntime and orjson."""
    network, batches = Network(latest_bundle(model), threads), batches_of(texts)
    orjson.dumps(network(batches[-1]))
    since = time.perf_counter()
    for _ in range(rounds):
        for batch in batches:
            orjson.dumps(network(batch))
    return rounds * len(texts) / (time.perf_counter() - since)


def torch_rate(model: str, texts: list[str], rounds: int) -> float:
    """Texts per second of tokenizer, torch and orjson, with one thread per core."""
    bundle, recipe = latest_bundle(model), load_recipe(model)
    assert isinstance(recipe, ClassificationRecipe)
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    tokenizer.enable_truncation(recipe.limits.max_tokens)
    pad_id = special_id(tokenizer, PAD)
    labels = read_manifest(bundle, ClassificationManifest).labels
    network = build_classifier(recipe, tokenizer.get_vocab_size(), len(labels), pad_id).eval()
    copy_weights(network, bundle)
    torch.set_num_threads(available_cores())

    @torch.inference_mode()
    def answer(batch: list[str]) -> bytes:
        ids = [encoding.ids for encoding in tokenizer.encode_batch(batch)]
        logits, weights = network(pad(ids, pad_id), torch.tensor([len(one) for one in ids]))
        assert weights is not None
        rows = zip(logits.softmax(-1).tolist(), weights[:, 0].tolist(), ids, strict=True)
        return orjson.dumps([{"scores": scores, "attention": row[: len(one)]} for scores, row, one in rows])

    batches = batches_of(texts)
    answer(batches[-1])
    since = time.perf_counter()
    for _ in range(rounds):
        for batch in batches:
            answer(batch)
    return rounds * len(texts) / (time.perf_counter() - since)


def registry() -> Registry:
    return Registry(MODELS, Runtime("cpu"), Limits(queue_tokens=10**9))


def classifier_rate(model: str, texts: list[str], rounds: int) -> float:
    """Texts per second of the service's classifier and encoder, with two concurrent calls of 32 texts."""
    loaded = registry()
    loaded.load(model)
    classifier, batches = loaded.classifier(model), batches_of(texts) * rounds

    async def caller(numbers: Iterator[int]) -> None:
        for number in numbers:
            dumps([encode(one) for one in await classifier.classify(batches[number])])

    async def callers() -> None:
        numbers = iter(range(len(batches)))
        await asyncio.gather(*(caller(numbers) for _ in range(2)))

    asyncio.run(classifier.classify(batches[-1]))  # warm-up
    since = time.perf_counter()
    asyncio.run(callers())
    return sum(map(len, batches)) / (time.perf_counter() - since)


def translator_rate(model: str, texts: list[str]) -> tuple[float, float]:
    """Return target tokens per second of the service's translator, 32 sentences per call, and tokens per sentence."""
    loaded = registry()
    loaded.load(model)
    translator = loaded.translator(None, None, model)
    asyncio.run(translator.translate(texts[:ROWS], Options()))
    tokens, since = 0, time.perf_counter()
    for start in range(0, len(texts), ROWS):
        translations = asyncio.run(translator.translate(texts[start : start + ROWS], Options()))
        tokens += sum(len(sentence.target_tokens) for one in translations for sentence in one.sentences)
    return tokens / (time.perf_counter() - since), tokens / len(texts)
