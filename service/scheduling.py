"""Batching across requests: whatever waits while a batch runs goes together into the next ones.

One thread per model runs the network, so that the event loop never waits for it and models do not fight
over the cores inside one batch. Nothing waits on purpose: an idle scheduler runs a single item at once.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from service.errors import InferenceFailed, InferenceTimeout, LimelightError, ModelNotReady, Overloaded


class Work(Protocol):
    """One text or sentence to run."""

    @property
    def length(self) -> int:
        """Its tokens."""

    @property
    def group(self) -> Hashable:
        """Only work of one group can run together (same beam size, same outputs)."""


W = TypeVar("W", bound=Work)
R = TypeVar("R")


@dataclass(frozen=True)
class Limits:
    batch_tokens: int = 8_192
    """Most padded tokens of a batch; one longer item still runs, alone."""
    queue_tokens: int = 200_000
    """Most tokens that may wait."""


class Scheduler(Generic[W, R]):
    """Runs work in batches of one group and of similar lengths.

    `run` maps a batch to its results, in order. Each caller gets exactly its own results; work whose
    caller has gone is dropped before it runs.
    """

    def __init__(self, name: str, run: Callable[[Sequence[W]], Sequence[R]], limits: Limits):
        self._run = run
        self._limits = limits
        self._waiting: queue.SimpleQueue[tuple[W, Future[R]] | None] = queue.SimpleQueue()
        self._waiting_tokens = 0
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name=f"scheduler-{name}", daemon=True)
        self._thread.start()

    async def submit(self, work: Sequence[W], timeout_s: float | None = None) -> list[R]:
        """Run some work and wait for its results, in order.

        Raises Overloaded at once if the queue is full, InferenceTimeout after `timeout_s`, and
        InferenceFailed if the network failed.
        """
        futures = self._enqueue(work)
        try:
            async with asyncio.timeout(timeout_s):
                return list(await asyncio.gather(*(asyncio.wrap_future(future) for future in futures)))
        except TimeoutError:
            raise InferenceTimeout(f"no answer within {timeout_s:g} s; send less text or try again later") from None
        finally:
            for future in futures:
                future.cancel()  # of no effect on those that are done

    def _enqueue(self, work: Sequence[W]) -> list["Future[R]"]:
        tokens = sum(item.length for item in work)
        with self._lock:
            if self._closed:
                raise ModelNotReady("this version of the model is being unloaded")
            # An idle scheduler takes any one request, however large: the limits on requests are elsewhere.
            if self._waiting_tokens and self._waiting_tokens + tokens > self._limits.queue_tokens:
                raise Overloaded(f"{self._waiting_tokens} tokens are waiting already; try again shortly")
            self._waiting_tokens += tokens
            futures: list[Future[R]] = [Future() for _ in work]
            for pair in zip(work, futures, strict=True):
                self._waiting.put(pair)
        return futures

    def close(self) -> None:
        """Finish what waits, take nothing more, and end the thread."""
        with self._lock:
            self._closed = True
            self._waiting.put(None)
        self._thread.join()

    def _loop(self) -> None:
        open_ = True
        while open_:
            taken = [self._waiting.get()]
            while not self._waiting.empty():
                taken.append(self._waiting.get())
            open_ = None not in taken
            pairs = [pair for pair in taken if pair is not None]
            with self._lock:
                self._waiting_tokens -= sum(item.length for item, _ in pairs)
            for batch in self._batches(pairs):
                self._run_batch(batch)

    def _batches(self, pairs: list[tuple[W, "Future[R]"]]) -> list[list[tuple[W, "Future[R]"]]]:
        """Cut into batches: groups apart, similar lengths together."""
        batches: list[list[tuple[W, Future[R]]]] = []
        group: Hashable = None
        for pair in sorted(pairs, key=lambda pair: (hash(pair[0].group), pair[0].length)):
            item = pair[0]
            same = bool(batches) and item.group == group
            # Sorted by length, so the newcomer is the longest of its batch.
            if not same or item.length * (len(batches[-1]) + 1) > self._limits.batch_tokens:
                batches.append([])
                group = item.group
            batches[-1].append(pair)
        return batches

    def _run_batch(self, batch: list[tuple[W, "Future[R]"]]) -> None:
        batch = [(item, future) for item, future in batch if future.set_running_or_notify_cancel()]
        if not batch:
            return
        try:
            results = self._run([item for item, _ in batch])
            if len(results) != len(batch):
                raise ValueError(f"{len(results)} results for {len(batch)} texts")
        except Exception as error:
            for _, future in batch:
                future.set_exception(_failure(error))
        else:
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)


def _failure(error: Exception) -> LimelightError:
    """What a caller is told of an error in `run`, which may be of any kind, a TimeoutError too."""
    if isinstance(error, LimelightError):
        return error
    failure = InferenceFailed(f"the network failed: {error}")
    failure.__cause__ = error
    return failure
