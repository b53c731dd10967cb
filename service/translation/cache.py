"""A cache of results: the same sentence with the same options is not decoded again, the same text not even read."""

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import overload

import numpy as np

from service import observability
from service.batching import budget
from service.batching.offload import run_in_thread_if_long
from service.batching.scheduler import Scheduler
from service.decoding.pattern_search import Pattern
from service.markup.protect import Format
from service.translation.engine import Decoded, NewToken, Options, TranslationRequest
from service.translation.results import Translation

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""Name of the API key of the current request. Callers do not share cached results."""

OVERHEAD = 500
"""Estimated bytes of a hypothesis, of a sentence, or of an entry without its tokens and matrices."""
BYTES_PER_ID = 40
"""Estimated bytes of a token in a list of Python integers."""
BYTES_PER_TOKEN = 120
"""Estimated bytes of a token with its text and span."""

SentenceKey = tuple[str, Options, Pattern | None, tuple[int, ...]]
"""Caller, options, pattern and source tokens."""
TextKey = tuple[str, Options, Format, bool, str]
"""Caller, options, format, joined lines, and the text as sent."""


class ResultCache:
    """The most recently used results of one model, up to a number of bytes: decoded sentences, and translated texts.

    A key has everything that the result depends on. Each loaded model has a cache of its own, so that another version
    never answers.
    """

    def __init__(self, max_bytes: int):
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[SentenceKey | TextKey, tuple[Decoded | Translation, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def get(self, key: SentenceKey) -> Decoded | None: ...
    @overload
    def get(self, key: TextKey) -> Translation | None: ...
    def get(self, key: SentenceKey | TextKey) -> Decoded | Translation | None:
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put_sentence(self, key: SentenceKey, decoded: Decoded) -> None:
        decoded = without_batches(decoded)
        self._put(key, decoded, size_of(decoded) + BYTES_PER_ID * len(key[3]))

    def put_text(self, key: TextKey, translation: Translation) -> None:
        """Remember a translation without attention."""
        tokens = sum(len(one.source_tokens) + len(one.target_tokens) for one in translation.sentences)
        characters = 4 * (len(key[4]) + 2 * len(translation.text) + sum(map(len, translation.alternatives)))
        overhead = OVERHEAD * (1 + len(translation.sentences) * (1 + key[1].alternatives))
        self._put(key, translation, overhead + BYTES_PER_TOKEN * tokens + characters)

    def _put(self, key: SentenceKey | TextKey, result: Decoded | Translation, size: int) -> None:
        """Remember a result, and forget the least recently used ones if there are too many."""
        if size > self._max_bytes:
            return
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = result, size
            self._bytes += size
            while self._bytes > self._max_bytes:
                _, (_, freed) = self._entries.popitem(last=False)
                self._bytes -= freed


def sentence_key(request: TranslationRequest) -> SentenceKey:
    """The key of a request of the current caller."""
    return CALLER.get(), request.options, request.pattern, tuple(request.source_ids)


def without_batches(decoded: Decoded) -> Decoded:
    """The same with copies of matrices that are parts of larger ones, which would stay in memory."""
    outputs = [[(output, np.array(weights)) for output, weights in each] for each in decoded.outputs]
    return replace(decoded, outputs=outputs)


def size_of(decoded: Decoded) -> int:
    """Estimated bytes."""
    tokens = sum(len(hypothesis.token_ids) + len(hypothesis.log_probs) for hypothesis in decoded.hypotheses)
    weights = sum(weights.nbytes for each in decoded.outputs for _, weights in each)
    return OVERHEAD * (1 + len(decoded.hypotheses)) + BYTES_PER_ID * tokens + weights


async def translate_new(
    texts: Sequence[str],
    options: Options,
    format: Format,
    join_lines: bool,
    cache: ResultCache,
    model: str,
    translate: Callable[[Sequence[str]], Awaitable[list[Translation]]],
) -> list[Translation]:
    """Translate the texts that are not in the cache, each of them once. Raises as `translate`."""

    def look_up() -> tuple[list[TextKey], dict[TextKey, Translation]]:
        caller = CALLER.get()
        keys: list[TextKey] = [(caller, options, format, join_lines, text) for text in texts]
        return keys, {key: found for key in dict.fromkeys(keys) if (found := cache.get(key)) is not None}

    keys, known = await run_in_thread_if_long(texts, look_up)
    missing = [key for key in dict.fromkeys(keys) if key not in known]
    new = await translate([key[4] for key in missing]) if missing else []

    def remember() -> list[Translation]:
        for key, translation in zip(missing, new, strict=True):
            budget.check()
            cache.put_text(key, translation)
            known[key] = translation
        return [known[key] for key in keys]

    found = await run_in_thread_if_long(texts, remember)
    sentences = sum(len(one.sentences) for one in found) - sum(len(one.sentences) for one in new)
    observability.observe_cache(model, hits=sentences, misses=0)
    return found


async def decode(
    requests: Sequence[TranslationRequest],
    scheduler: Scheduler[TranslationRequest, Decoded],
    cache: ResultCache | None,
    model: str,
    on_token: Callable[[int, NewToken], None] | None = None,
    on_result: Callable[[int, Decoded], None] | None = None,
) -> list[Decoded]:
    """Decode sentences that are not in the cache. `on_result` is called with each result as soon as it is known.

    Streamed tokens are not cached. Raises as `Scheduler.submit`.
    """
    if cache is None or on_token is not None:
        return await scheduler.submit(requests, on_token, on_result)
    keys = [sentence_key(request) for request in requests]
    found = {place: decoded for place, key in enumerate(keys) if (decoded := cache.get(key)) is not None}
    places: dict[SentenceKey, list[int]] = {}
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
        cache.put_sentence(key, decoded)
        found.update((place, decoded) for place in own)
    return [found[place] for place in range(len(requests))]
