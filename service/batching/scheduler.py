"""Continuous batching across requests: choose a batch, run it, account for the results.

Each worker is a thread with an engine. A worker takes items from the queue as soon as its batch has room for them.
There is no batching delay: an idle worker runs a single item immediately. The event loop runs a batch itself if that
takes less time than waking a worker.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from service import observability
from service.batching import budget
from service.batching.engine import Engine, R, W
from service.batching.fair_queue import FairQueue, Item, choose_batch, tokens_per_worker, workers_wanted
from service.batching.request import Request, deliver, fail_all, failure_of
from service.batching.worker import Worker, WorkerState
from service.errors import InferenceFailed, LimelightError, ModelNotReady, Overloaded, TooManyTokens

log = logging.getLogger(__name__)

INLINE_S = 0.0005
"""Maximum time of a batch that runs inline on the event loop: about the time to wake a worker and be woken by it."""
DEADLINE_INTERVAL_S = 0.02
"""Time between two checks of deadlines by one worker."""

FIRST_BATCH_TOKENS = 256
"""Tokens of the first batch for a caller that gets results one by one. Later batches grow with its finished items."""


@dataclass(frozen=True)
class Limits:
    """Limits of a scheduler, in tokens, and of the answers of its predictor."""

    batch_tokens: int = 8_192
    """Maximum padded tokens of a running batch. A single longer item runs alone."""
    queue_tokens: int = 200_000
    """Maximum tokens in the queue."""
    request_tokens: int = 10**12
    """Maximum tokens of one request."""
    answer_weights: int = 10**12
    """Maximum attention weights in one answer, which the predictors check."""
    cache_bytes: int = 0
    """Maximum bytes of cached sentences of a translator; 0: none are cached."""


class Scheduler(Generic[W, R]):
    """Runs the items of all requests to one model in batches of similar length, with one worker for each engine.

    Each caller gets the results of its own items. Items of cancelled requests do not run. Requests share the workers
    fairly; see `fair_queue`.
    """

    def __init__(self, name: str, engines: Sequence[Engine[W, R]], limits: Limits):
        self._name = name
        self._limits = limits
        self._queue: FairQueue[W] = FairQueue()
        self._inline_loop: asyncio.AbstractEventLoop | None = None
        """The event loop that has scheduled `_run_inline`."""
        self._lock = threading.Lock()
        self.closed = False
        self.failure: str | None = None
        """The error after which the scheduler does not run anything."""
        self._workers = [Worker(engine, threading.Condition(self._lock)) for engine in engines]
        self._threads = [
            threading.Thread(target=self._run, args=(worker,), name=f"scheduler-{name}-{number}", daemon=True)
            for number, worker in enumerate(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def engines(self) -> list[Engine[W, R]]:
        return [worker.engine for worker in self._workers]

    @property
    def idle(self) -> bool:
        """True if the queue is empty and every worker sleeps."""
        with self._lock:
            return not len(self._queue) and all(worker.state is WorkerState.IDLE for worker in self._workers)

    @property
    def waiting_tokens(self) -> int:
        """Tokens in the queue."""
        return self._queue.tokens

    @property
    def running(self) -> int:
        """Number of items in running batches."""
        with self._lock:
            return sum(len(worker.running) for worker in self._workers)

    async def submit(
        self,
        work: Sequence[W],
        on_token: Callable[[int, Any], None] | None = None,
        on_result: Callable[[int, R], None] | None = None,
    ) -> list[R]:
        """Run items and return their results, in order. Items do not run after the caller is cancelled or its time
        budget is over.

        `on_token` is called on the event loop with the index of an item and its new token, and `on_result` with the
        index of a finished item and its result.

        Raises TooManyTokens, Overloaded if the queue is full, ModelNotReady, InferenceTimeout, and InferenceFailed if
        the network fails.
        """
        if not work:
            return []
        request = self._enqueue(work, on_token, on_result)
        try:
            return await request.future
        finally:
            request.cancelled = True

    def _enqueue(
        self,
        work: Sequence[W],
        on_token: Callable[[int, Any], None] | None,
        on_result: Callable[[int, R], None] | None,
    ) -> Request:
        loop = asyncio.get_running_loop()
        timing = observability.Timing(self._name)
        future = loop.create_future()
        time_budget = budget.current.get()
        request = Request(loop, future, [None] * len(work), len(work), timing, time_budget, on_token, on_result)
        lengths = [item.length for item in work]
        tokens = sum(lengths)
        if tokens > (maximum := self._limits.request_tokens):
            raise TooManyTokens(
                f"{tokens} tokens in one request, at most {maximum} are taken; send fewer or shorter texts"
            )
        with self._lock:
            self._check_admission(tokens)
            self._queue.add(request, work, lengths)
            observability.observe_queue(self._name, self._queue.tokens)
            if not self._fits_inline():
                self._wake_workers()
            elif self._inline_loop is not loop:
                self._inline_loop = loop
                loop.call_soon(self._run_inline)
        observability.observe_tokens(self._name, read=tokens)
        return request

    def _check_admission(self, tokens: int) -> None:
        if self.failure is not None:
            raise ModelNotReady(self.failure)
        if self.closed:
            raise ModelNotReady("this version of the model is being unloaded")
        # An empty queue takes a request of any size; `request_tokens` limits one request.
        if self._queue.tokens and self._queue.tokens + tokens > self._limits.queue_tokens:
            raise Overloaded(f"{self._queue.tokens} tokens are waiting already; try again shortly")

    def close(self) -> None:
        """Refuse new requests, finish the queue, and end the threads."""
        with self._lock:
            self.closed = True
            for worker in self._workers:
                worker.wake.notify()
        for thread in self._threads:
            thread.join()

    # The loop of a worker

    def _run(self, worker: Worker[W, R]) -> None:
        while self._wait_for_work(worker) and self._step(worker):
            pass

    def _step(self, worker: Worker[W, R]) -> bool:
        """Choose, run, account. Return false after a defect of the scheduler; other workers finish their batches."""
        try:
            new, cancelled = self._choose(worker)
            if worker.running or cancelled:
                try:
                    finished, new_tokens = worker.run(new, cancelled)
                except Exception as error:  # an error of the network fails its batch only
                    self._fail_batch(worker, failure_of(error))
                else:
                    self._account(worker, finished, new_tokens)
            return True
        except Exception as error:
            log.exception("the scheduler has failed")
            self._stop(worker, f"the scheduler has failed: {type(error).__name__}")
            return False

    def _choose(self, worker: Worker[W, R]) -> tuple[list[Item[W]], list[int]]:
        """Return the new items of a worker's batch and the keys of cancelled ones, and update the batch."""
        with self._lock:
            self._cancel_late_requests(worker)
            if unwanted := [item for item in self._queue.items if item.request.cancelled]:
                self._queue.remove(unwanted)
                observability.observe_queue(self._name, self._queue.tokens)
            new = self._choose_new(worker)
            cancelled = [key for key, item in worker.running.items() if item.request.cancelled]
            for key in cancelled:
                del worker.running[key]
            for item in new:
                worker.running[item.key] = item
                item.request.timing.begin()
        if new:
            lengths = [item.length for item in new]
            observability.observe_batch(self._name, len(new), sum(lengths), len(new) * max(lengths))
        return new, cancelled

    def _cancel_late_requests(self, worker: Worker[W, R]) -> None:
        """Fail requests whose time budget is over, for the queue and this worker."""
        now = time.monotonic()
        if now < worker.next_deadline_check:
            return
        worker.next_deadline_check = now + DEADLINE_INTERVAL_S
        late = [
            item.request
            for items in (self._queue.items, worker.running.values())
            for item in items
            if item.request.budget.deadline <= now and not item.request.cancelled
        ]
        for request in late:
            request.fail(request.budget.exceeded())
        deliver(late)

    def _choose_new(self, worker: Worker[W, R]) -> list[Item[W]]:
        queue, engine = self._queue, worker.engine
        if not len(queue) or (worker.running and not engine.admits()):
            return []
        free_workers = 1 + sum(
            other.state in (WorkerState.IDLE, WorkerState.WOKEN) for other in self._workers if other is not worker
        )
        target = tokens_per_worker(len(queue), queue.tokens, engine.min_tokens_per_worker, free_workers)
        first = queue.items[0].request
        if first.on_result is not None:
            target = min(target, FIRST_BATCH_TOKENS * (1 + first.finished))
        new = choose_batch(queue.items, worker.running_tokens, self._limits.batch_tokens, target, engine.min_fill)
        if new:
            queue.take(new)
            observability.observe_queue(self._name, queue.tokens)
        return new

    def _account(
        self,
        worker: Worker[W, R],
        finished: Sequence[tuple[int, R | LimelightError]],
        new_tokens: Sequence[tuple[int, Any]],
    ) -> None:
        """Pass on new tokens and results. Raises KeyError for an item that is not in the batch."""
        for key, new_token in new_tokens:
            item = worker.running[key]
            item.request.notify_token(item.index, new_token)
        if not finished:
            return
        items = [(worker.running.pop(key), result) for key, result in finished]
        for item, result in items:
            if item.request.on_result is not None:
                item.request.notify_result(item.index, result)
        with self._lock:  # several workers may run items of one request
            complete = [item.request for item, result in items if item.request.finish(item.index, result)]
        deliver(complete)

    def _fail_batch(self, worker: Worker[W, R], failure: LimelightError) -> None:
        worker.engine.drop(worker.running.keys())
        with self._lock:
            items, worker.running = list(worker.running.values()), {}
        fail_all((item.request for item in items), failure)

    def _stop(self, worker: Worker[W, R], failure: str) -> None:
        """Fail what this worker runs, what waits and what comes."""
        with self._lock:
            self.failure = failure
            items, worker.running = [*worker.running.values(), *self._queue.clear()], {}
        fail_all((item.request for item in items), InferenceFailed(failure))

    # Threads

    def _wait_for_work(self, worker: Worker[W, R]) -> bool:
        """Sleep until there is something to run. Return false after `close`, once the queue is empty."""
        with self._lock:
            while worker.state is WorkerState.INLINE or not (worker.running or len(self._queue) or self.closed):
                if worker.state is not WorkerState.INLINE:
                    worker.state = WorkerState.IDLE
                worker.wake.wait()
            worker.state = WorkerState.RUNNING
            return bool(worker.running or len(self._queue))

    def _wake_workers(self) -> None:
        """Wake as many workers as the queue is worth."""
        queue, engine = self._queue, self._workers[0].engine
        wanted = workers_wanted(len(queue), queue.tokens, engine.min_tokens_per_worker)
        wanted -= sum(worker.state is WorkerState.WOKEN for worker in self._workers)
        for worker in [worker for worker in self._workers if worker.state is WorkerState.IDLE][: max(0, wanted)]:
            worker.state = WorkerState.WOKEN
            worker.wake.notify()

    def _fits_inline(self) -> bool:
        """Return true if the queue can be run in less time than it takes to wake a worker."""
        worker = self._workers[0]
        return worker.state is WorkerState.IDLE and self._queue.tokens * worker.engine.seconds_per_token <= INLINE_S

    def _run_inline(self) -> None:
        """Run what has arrived in this iteration of the event loop, on the event loop, if it still fits inline."""
        with self._lock:
            self._inline_loop = None
            if not (len(self._queue) and self._fits_inline()):
                self._wake_workers()
                return
            worker = self._workers[0]
            worker.state = WorkerState.INLINE
        self._step(worker)
        with self._lock:
            worker.state = WorkerState.IDLE
            if self.closed:
                worker.wake.notify()
            self._wake_workers()
