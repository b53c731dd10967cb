"""FastAPI around CTranslate2, with the answer of /translate: tokens, offsets of the source, and attention.

The environment selects the mode. `single`: each request calls the translator in a thread of the pool. `batching`: each
worker takes up to 32 waiting requests with the same beam size and translates them in one call, without a delay. Texts
are neither checked nor split into sentences.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import ctranslate2
import orjson
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from tokenizers import Encoding, Tokenizer

from bench.rivals import BUNDLE, MODE, MODEL, PRECISION, THREADS, WORKERS
from bench.rivals.network import ROWS

TARGET_TOKENS = 256
"""Maximum tokens of a translation: the default of CTranslate2."""

workers = int(os.environ[WORKERS])
tokenizer = Tokenizer.from_file(os.path.join(os.environ[BUNDLE], "tokenizer.json"))
translator = ctranslate2.Translator(
    os.environ[MODEL],
    device="cpu",
    compute_type=os.environ[PRECISION],
    inter_threads=workers,
    intra_threads=int(os.environ[THREADS]),
)
waiting: list[tuple[str, int, "asyncio.Future[dict[str, Any]]"]] = []
"""Text, beam size and the answer of each waiting request (mode `batching`)."""
arrived = asyncio.Condition()


def translate(texts: list[str], beam_size: int) -> list[dict[str, Any]]:
    encodings = tokenizer.encode_batch(texts)
    results = translator.translate_batch(
        [encoding.tokens for encoding in encodings],
        beam_size=beam_size,
        disable_unk=True,
        return_scores=True,
        return_attention=True,
        max_decoding_length=TARGET_TOKENS,
    )
    return [answer(text, *pair) for text, *pair in zip(texts, encodings, results, strict=True)]


def answer(text: str, source: Encoding, result: Any) -> dict[str, Any]:
    target = result.hypotheses[0]
    translation = tokenizer.decode([tokenizer.token_to_id(token) for token in target])
    return {
        "translatedText": translation,
        "score": result.scores[0],
        "source_tokens": [{"text": text[start:end], "start": start, "end": end} for start, end in source.offsets],
        "target_tokens": [{"text": token} for token in target],
        "attention": [{"kind": "cross", "weights": result.attention[0]}],
    }


async def serve_batches(pool: ThreadPoolExecutor) -> None:
    """Translate the requests in the queue, up to a full batch."""
    while True:
        async with arrived:
            await arrived.wait_for(lambda: bool(waiting))
            beam_size = waiting[0][1]
            batch = [item for item in waiting if item[1] == beam_size][:ROWS]
            for item in batch:
                waiting.remove(item)
        texts = [text for text, _, _ in batch]
        found = await asyncio.get_running_loop().run_in_executor(pool, translate, texts, beam_size)
        for (_, _, future), one in zip(batch, found, strict=True):
            future.set_result(one)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with ThreadPoolExecutor(workers) as pool:
        tasks = [asyncio.create_task(serve_batches(pool)) for _ in range(workers)]
        yield
        for task in tasks:
            task.cancel()


app = FastAPI(lifespan=lifespan)


@app.post("/translate")
async def endpoint(request: Request) -> Response:
    body = orjson.loads(await request.body())
    text, beam_size = body["q"], body.get("beam_size", 4)
    if os.environ[MODE] == "single":
        [found] = await run_in_threadpool(translate, [text], beam_size)
    else:
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        async with arrived:
            waiting.append((text, beam_size, future))
            arrived.notify()
        found = await future
    return Response(orjson.dumps(found), media_type="application/json")
