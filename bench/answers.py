"""`python -m bench.answers`: size and CPU time of each response encoding, including compression.

Encodes one answer of sms-spam and two of en-fr. Prints a table, then one JSON document on the last line.
"""

import asyncio
import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard

from service.batching.scheduler import Limits
from service.handlers.classify import classify
from service.handlers.encoding import AS_JSON, Encoding, as_msgpack
from service.handlers.schemas import ClassifyRequest, TranslateRequest
from service.handlers.translate import translate
from service.registry.registry import Registry
from service.runtime import Runtime
from service.settings import Settings

LONG = " ".join(
    [
        "A man is riding a bicycle in the park while two young women are reading a book under an old tree.",
        "The children who were playing near the river yesterday have already gone home with their parents.",
        "I do not know where she bought that red dress, but it was very expensive and it does not suit her.",
        "If you want to catch the last train to the city, you will have to leave the house before six o'clock.",
        "My brother works in a small restaurant where he cooks fish and washes the dishes every evening.",
        "The old woman sat on a wooden bench in front of the church and watched the people on the street.",
        "We had to wait for three hours at the airport because there was too much snow on the ground.",
        "Nobody believed the boy when he said that he had seen a black horse running across the field.",
    ]
)
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda body: body,
    ", gzip": lambda body: gzip.compress(body, 1),  # the levels of service/app.py
    ", zstd": lambda body: zstandard.ZstdCompressor(1).compress(body),
}
ENCODINGS = {"JSON": AS_JSON, "msgpack, float16": as_msgpack("float16"), "msgpack, float32": as_msgpack("float32")}
REPEATS = 20


def cost(write: Callable[[], bytes]) -> tuple[int, float]:
    """Return the size in bytes, and the minimum CPU time in milliseconds of 20 runs."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        size = len(write())
        times.append(time.process_time() - start)
    return size, round(1000 * min(times), 2)


def costs(answer: Callable[[Encoding], Any]) -> dict[str, tuple[int, float]]:
    return {
        name + compression: cost(lambda e=encoding, c=compress: c(e.dumps(answer(e))))  # type: ignore[misc]
        for name, encoding in ENCODINGS.items()
        for compression, compress in COMPRESSIONS.items()
    }


async def translation(registry: Registry, **body: Any) -> Callable[[Encoding], Any]:
    request = TranslateRequest(source="en", target="fr", beam_size=1, **body)
    return (await translate(request, registry, Settings())).encode


async def main() -> None:
    registry = Registry(Path("models"), Runtime("cpu", threads=1), Limits())
    for name in ("en-fr", "sms-spam"):
        await asyncio.to_thread(registry.load, name)
    message = ClassifyRequest(text="FREE entry! Text WIN to 80086 now", model="sms-spam")
    classification = await classify(message, registry, Settings())
    results = {
        "classify, a message": costs(classification.encode),
        "translate, 7 words": costs(await translation(registry, q="Two dogs are playing in the snow.")),
        "translate, 150 words, full attention": costs(await translation(registry, q=LONG, attention="full")),
    }
    for name, sizes in results.items():
        print(f"\n| {name} | bytes | ms |\n|---|---|---|")
        for form, (size, ms) in sizes.items():
            print(f"| {form} | {size:,} | {ms:.2f} |")
    print(json.dumps(results))
    registry.close()


if __name__ == "__main__":
    asyncio.run(main())
