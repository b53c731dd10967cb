"""A memory of decoded sentences: the same sentence with the same options is not decoded again."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace

import numpy as np

from service import observability
from service.batching.scheduler import Scheduler
from service.decoding.pattern_search import Pattern
from service.translation.engine import Decoded, NewToken, Options, TranslationRequest

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""Name of the API key of the current request. Callers do not share cached sentences."""

OVERHEAD = 500
"""Estimated bytes of an entry without its tokens and matrices."""
BYTES_PER_TOKEN = 40
"""Estimated bytes of a token in a list of Python integers."""

Key = tuple[str, Options, Pattern | None, tuple[int, ...]]
"""Caller, options, pattern and source tokens."""


class SentenceCache:
    """The most recently used sentences of one model, up to a number of bytes.

    A key has everything that the result depends on: source tokens, options, and the pattern of a glossary. Each loaded
    model has a cache of its own, so that another version never answers.
    """

    def __init__(self, max_bytes: int):
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, tuple[Decoded, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @staticmethod
    def key(request: TranslationRequest) -> Key:
        """The key of a request of the current caller."""
        return CALLER.get(), request.options, request.pattern, tuple(request.source_ids)

    def get(self, key: Key) -> Decoded | None:
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: Key, decoded: Decoded) -> None:
        """Remember a result, and forget the least recently used ones if there are too many."""
        decoded = without_batches(decoded)
        size = size_of(decoded) + BYTES_PER_TOKEN * len(key[3])
        if size > self._max_bytes:
            return
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = decoded, size
            self._bytes += size
            while self._bytes > self._max_bytes:
                _, (_, freed) = self._entries.popitem(last=False)
                self._bytes -= freed


def without_batches(decoded: Decoded) -> Decoded:
    """The same with copies of matrices that are parts of larger ones, which would stay in memory."""
    outputs = [[(output, np.array(weights)) for output, weights in each] for each in decoded.outputs]
    return replace(decoded, outputs=outputs)


def size_of(decoded: Decoded) -> int:
    """Estimated bytes."""
    tokens = sum(len(hypothesis.token_ids) + len(hypothesis.log_probs) for hypothesis in decoded.hypotheses)
    weights = sum(weights.nbytes for each in decoded.outputs for _, weights in each)
    return OVERHEAD * (1 + len(decoded.hypotheses)) + BYTES_PER_TOKEN * tokens + weights


async def decode(
    requests: Sequence[TranslationRequest],
    scheduler: Scheduler[TranslationRequest, Decoded],
    cache: SentenceCache | None,
    model: str,
    on_token: Callable[[int, NewToken], None] | None = None,
    on_result: Callable[[int, Decoded], None] | None = None,
) -> list[Decoded]:
    """Decode sentences that are not in the cache. `on_result` is called with each result as soon as it is known.

    Streamed tokens are not cached. Raises as `Scheduler.submit`.
    """
    if cache is None or on_token is not None:
        return await scheduler.submit(requests, on_token, on_result)
    keys = [cache.key(request) for request in requests]
    found = {place: decoded for place, key in enumerate(keys) if (decoded := cache.get(key)) is not None}
    places: dict[Key, list[int]] = {}
    for place, key in enumerate(keys):
        if place not in found:
            places.setdefault(key, []).append(place)  # a sentence that occurs twice is decoded once
    missing = list(places.values())
    observability.observe_cache(model, hits=len(requests) - len(missing), misses=len(missing))
    if on_result is not None:
        for place, decoded in found.items():
            on_result(place, decoded)

    def notify(index: int, decoded: Decoded) -> None:
        assert on_result is not None
        for place in missing[index]:
            on_result(place, decoded)

    results = await scheduler.submit([requests[first] for first, *_ in missing], None, on_result and notify)
    for key, own, decoded in zip(places, missing, results, strict=True):
        cache.put(key, decoded)
        found.update((place, decoded) for place in own)
    return [found[place] for place in range(len(requests))]
