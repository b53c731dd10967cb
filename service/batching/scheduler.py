"""Continuous batching across requests.

Each worker is a thread with an engine of its own. A worker takes items from the queue as soon as its batch has room.
There is no waiting window: an idle worker runs a single item immediately. The event loop runs work itself if that takes
less time than waking a worker.
"""

import asyncio
import bisect
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from service import observability
from service.errors import (
    InferenceFailed,
    LimelightError,
    ModelNotReady,
    Overloaded,
    TooManyTokens,
)

log = logging.getLogger(__name__)


class Work(Protocol):
    """One text or sentence to run."""

    @property
    def length(self) -> int:
        """Its tokens, times the rows they take."""


W = TypeVar("W", bound=Work)
R = TypeVar("R")
W_contra = TypeVar("W_contra", bound=Work, contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Engine(Protocol[W_contra, R_co]):
    """What runs the work of one worker, all of it side by side. Called from one thread at a time."""

    fill: float
    """So much of what is taken in at once is to be real, at least; the rest is padding to the longest."""
    min_tokens_per_worker: int
    """So many tokens are worth a worker of their own; fewer are not divided among several."""
    seconds_per_token: float
    """Seconds that one call of `advance` takes for each token, as the last one did; infinite where one is not all."""

    def ready(self) -> bool:
        """Whether newcomers would better start now, beside what runs, than wait until there is less of it."""

    def start(self, work: Sequence[tuple[int, W_contra]]) -> None:
        """Take work into the running batch, each piece under a key."""

    def advance(self) -> Sequence[tuple[int, R_co | LimelightError]]:
        """Go on with everything; what is finished leaves, with its result or with why it has none. What is raised is
        the failure of everything."""

    def new_tokens(self) -> list[tuple[int, Any]]:
        """What is new of the work that goes on, where somebody wants to hear it."""

    def drop(self, keys: Collection[int]) -> None:
        """Let go of work that nobody waits for any more."""


class SinglePassEngine(Generic[W, R]):
    """An engine that is done in one go: `run` maps a batch to its results, in order."""

    fill = 0.7
    min_tokens_per_worker = 512
    """What takes longer to run than it takes to wake a thread."""

    def __init__(self, run: Callable[[Sequence[W]], Sequence[R]]):
        self.seconds_per_token = math.inf
        self._run = run
        self._batch: list[tuple[int, W]] = []

    def ready(self) -> bool:
        return True

    def start(self, work: Sequence[tuple[int, W]]) -> None:
        self._batch += work

    def advance(self) -> Sequence[tuple[int, R | LimelightError]]:
        batch, self._batch = self._batch, []
        if not batch:
            return []
        since = time.perf_counter()
        results = self._run([work for _, work in batch])
        if len(results) != len(batch):
            raise ValueError(f"{len(results)} results for {len(batch)} texts")
        self.seconds_per_token = (time.perf_counter() - since) / sum(work.length for _, work in batch)
        return [(key, result) for (key, _), result in zip(batch, results, strict=True)]

    def new_tokens(self) -> list[tuple[int, Any]]:
        return []

    def drop(self, keys: Collection[int]) -> None:
        self._batch = [(key, work) for key, work in self._batch if key not in keys]


@dataclass(frozen=True)
class Limits:
    batch_tokens: int = 8_192
    """Most padded tokens of a batch; one longer item still runs, alone."""
    queue_tokens: int = 200_000
    """Most tokens that may wait."""
    request_tokens: int = 10**12
    """Most tokens of one request."""


INLINE_S = 0.0005
"""Seconds in which the event loop may run a network itself: about as long as it takes to wake a worker and be woken."""
LOOK_AHEAD = 512
"""Among so many of those that wait, items of similar length are looked for."""


@dataclass(eq=False)
class Request:
    """One caller and what it still waits for."""

    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[list[Any]]"
    results: list[Any]
    left: int
    timing: observability.Timing
    heard: Callable[[int, Any], None] | None
    """Is told, by its place, what is new of its work."""
    failure: LimelightError | None = None
    gone: bool = False
    """Nobody waits for it any more."""

    def fail(self, failure: LimelightError) -> None:
        self.failure, self.gone = failure, True


@dataclass(order=True)
class Item(Generic[W]):
    """One piece of a request's work, ordered by its turn."""

    turn: int
    key: int
    work: W = field(compare=False)
    request: Request = field(compare=False)
    place: int = field(compare=False)
    length: int = field(compare=False)


@dataclass(eq=False)
class Worker(Generic[W, R]):
    """One thread and what it runs."""

    engine: Engine[W, R]
    wake: threading.Condition
    state: Literal["idle", "called", "running", "lent"] = "called"
    """Whether it waits for work, is on its way to some (woken, or just started), looks for more by itself, or waits
    until the event loop has done what there was."""
    live: dict[int, Item[W]] = field(default_factory=dict)
    """What it runs, by key."""


class Scheduler(Generic[W, R]):
    """Runs work side by side, of similar lengths where there is a choice, in a worker for each of the engines.

    Each caller gets exactly its own results; work whose caller has gone is dropped. Requests take turns by their
    tokens (start-time fair queueing, Goyal et al. 1996): the texts of a large one wait behind those of a small one
    that comes later.
    """

    def __init__(self, name: str, engines: Sequence[Engine[W, R]], limits: Limits):
        self._name = name
        self._limits = limits
        self._waiting: list[Item[W]] = []
        """In the order of their turns."""
        self._waiting_tokens = 0
        self._turn = 0
        """Of the last item that was taken."""
        self._keys = itertools.count()
        self._looking: asyncio.AbstractEventLoop | None = None
        """The event loop that will look at what waits, at the end of its turn."""
        self._lock = threading.Lock()
        self._closed = False
        self.failure: str | None = None
        """Why it runs nothing any more."""
        self._lanes = [Worker(engine, threading.Condition(self._lock)) for engine in engines]
        self._threads = [
            threading.Thread(target=self._run, args=(worker,), name=f"scheduler-{name}-{number}", daemon=True)
            for number, worker in enumerate(self._lanes)
        ]
        for thread in self._threads:
            thread.start()

    async def submit(self, work: Sequence[W], heard: Callable[[int, Any], None] | None = None) -> list[R]:
        """Run some work and wait for its results, in order; what nobody waits for any more is not run. `heard` is
        called meanwhile with the place of a piece and what is new of it.

        Raises Overloaded at once if the queue is full, and InferenceFailed if the network failed.
        """
        if not work:
            return []
        request = self._enqueue(work, heard)
        try:
            return await request.done
        finally:
            request.gone = True

    def _enqueue(self, work: Sequence[W], heard: Callable[[int, Any], None] | None) -> Request:
        loop = asyncio.get_running_loop()
        request = Request(
            loop, loop.create_future(), [None] * len(work), len(work), observability.Timing(self._name), heard
        )
        lengths = [item.length for item in work]
        if sum(lengths) > (most := self._limits.request_tokens):
            raise TooManyTokens(
                f"{sum(lengths)} tokens in one request, at most {most} are taken; send fewer or shorter texts"
            )
        with self._lock:
            if self.failure is not None:
                raise ModelNotReady(self.failure)
            if self._closed:
                raise ModelNotReady("this version of the model is being unloaded")
            # An idle scheduler takes any one request, however large: the limits on requests are elsewhere.
            if self._waiting_tokens and self._waiting_tokens + sum(lengths) > self._limits.queue_tokens:
                raise Overloaded(f"{self._waiting_tokens} tokens are waiting already; try again shortly")
            turn = self._turn
            for place, (item, length) in enumerate(zip(work, lengths, strict=True)):
                bisect.insort(self._waiting, Item(turn, next(self._keys), item, request, place, length))
                turn += length
            self._waiting_tokens += sum(lengths)
            observability.observe_queue(self._name, self._waiting_tokens)
            if not self._fits_inline():
                self._call_lanes()
            elif self._looking is not loop:
                self._looking = loop
                loop.call_soon(self._run_here)
        observability.observe_tokens(self._name, read=sum(lengths))
        return request

    def _fits_inline(self) -> bool:
        """Whether what waits is done in less time than it takes to wake a worker."""
        worker = self._lanes[0]
        return worker.state == "idle" and self._waiting_tokens * worker.engine.seconds_per_token <= INLINE_S

    def _run_here(self) -> None:
        """Do for a worker, in the event loop's thread, what has come in one turn of it, if that is still brief."""
        with self._lock:
            self._looking = None
            if not (self._waiting and self._fits_inline()):
                self._call_lanes()
                return
            worker = self._lanes[0]
            worker.state = "lent"
        self._guarded(worker)
        with self._lock:
            worker.state = "idle"
            if self._closed:
                worker.wake.notify()
            self._call_lanes()

    def _call_lanes(self) -> None:
        """Wake as many workers as what waits is worth."""
        wanted = self._worth() - sum(worker.state == "called" for worker in self._lanes)
        for worker in [worker for worker in self._lanes if worker.state == "idle"][: max(0, wanted)]:
            worker.state = "called"
            worker.wake.notify()

    def _worth(self) -> int:
        """How many workers what waits is worth."""
        return min(len(self._waiting), max(1, -(-self._waiting_tokens // self._lanes[0].engine.min_tokens_per_worker)))

    def close(self) -> None:
        """Finish what waits, take nothing more, and end the threads."""
        with self._lock:
            self._closed = True
            for worker in self._lanes:
                worker.wake.notify()
        for thread in self._threads:
            thread.join()

    def _run(self, worker: Worker[W, R]) -> None:
        while self._awaited(worker) and self._guarded(worker):
            pass

    def _awaited(self, worker: Worker[W, R]) -> bool:
        """Wait until there is something to do for a worker. False: nothing is left, and nothing will come."""
        with self._lock:
            while worker.state == "lent" or not (worker.live or self._waiting or self._closed):
                if worker.state != "lent":
                    worker.state = "idle"
                worker.wake.wait()
            worker.state = "running"
            return bool(worker.live or self._waiting)

    def _guarded(self, worker: Worker[W, R]) -> bool:
        """One step of a worker. False if the scheduler itself failed; other workers finish what they run."""
        try:
            self._advance(worker)
            return True
        except Exception as error:
            # Not the network's failure, which fails its batch only: a mistake here, after which nothing is sure.
            log.exception("the scheduler has failed")
            with self._lock:
                self.failure = f"the scheduler has failed: {error!r}"
                items, self._waiting, worker.live = [*worker.live.values(), *self._waiting], [], {}
            self._fail(items, InferenceFailed(self.failure))
            return False

    def _advance(self, worker: Worker[W, R]) -> None:
        """Take in what there is room for, go on with everything, hand out what is finished."""
        with self._lock:
            taken = self._take(worker)
            gone = [key for key, item in worker.live.items() if item.request.gone]
            for key in gone:
                del worker.live[key]
            for item in taken:
                worker.live[item.key] = item
                item.request.timing.begin()
        if taken:
            lengths = [item.length for item in taken]
            observability.observe_batch(self._name, len(taken), sum(lengths), len(taken) * max(lengths))
        if not (worker.live or gone):
            return
        try:
            if gone:
                worker.engine.drop(gone)
            if taken:
                worker.engine.start([(item.key, item.work) for item in taken])
            finished = worker.engine.advance()
            news = worker.engine.new_tokens()
        except Exception as error:
            worker.engine.drop(worker.live.keys())
            self._fail(list(worker.live.values()), _failure(error))
            worker.live = {}
        else:
            for key, new in news:
                item = worker.live[key]
                if item.request.heard is not None:
                    _call(item.request.loop, item.request.heard, item.place, new)
            if finished:
                self._answer([(worker.live.pop(key), result) for key, result in finished])

    def _take(self, worker: Worker[W, R]) -> list[Item[W]]:
        """What a worker has room for of what waits: whose turn it is, and others of similar length."""
        if any(item.request.gone for item in self._waiting):
            self._keep_waiting([item for item in self._waiting if not item.request.gone])
        if not self._waiting:
            return []
        first = self._waiting[0]
        room = self._limits.batch_tokens - sum(item.length for item in worker.live.values())
        if worker.live and (first.length > room or not worker.engine.ready()):
            return []
        # Its part, where others are about to take theirs.
        takers = 1 + sum(other.state in ("idle", "called") for other in self._lanes if other is not worker)
        part = max(worker.engine.min_tokens_per_worker, -(-self._waiting_tokens // min(self._worth(), takers)))
        by_length = sorted(self._waiting[:LOOK_AHEAD], key=lambda item: item.length)
        sums = [0, *itertools.accumulate(item.length for item in by_length)]
        low = by_length.index(first)
        high = low + 1
        while True:
            # The next shorter one, which will be padded, or the next longer one, to which all others will: the nearer.
            wider = [(low - 1, high)] * (low > 0) + [(low, high + 1)] * (high < len(by_length))
            wider.sort(key=lambda ends: by_length[ends[1] - 1].length - by_length[ends[0]].length)
            for ends in wider:
                padded = by_length[ends[1] - 1].length * (ends[1] - ends[0])
                real = sums[ends[1]] - sums[ends[0]]
                if padded <= room and real <= part and real >= worker.engine.fill * padded:
                    low, high = ends
                    break
            else:
                break
        taken = by_length[low:high]
        keys = {item.key for item in taken}
        self._turn = first.turn
        self._keep_waiting([item for item in self._waiting if item.key not in keys])
        return taken

    def _keep_waiting(self, items: list[Item[W]]) -> None:
        self._waiting = items
        self._waiting_tokens = sum(item.length for item in items)
        observability.observe_queue(self._name, self._waiting_tokens)

    def _answer(self, items: Iterable[tuple[Item[W], R | LimelightError]]) -> None:
        complete = []
        with self._lock:  # a request's work may be in several workers
            for item, result in items:
                if isinstance(result, LimelightError):
                    item.request.fail(result)
                    complete.append(item.request)
                    continue
                item.request.results[item.place] = result
                item.request.left -= 1
                if item.request.left == 0:
                    item.request.timing.end()
                    complete.append(item.request)
        _resolve(complete)

    def _fail(self, items: Iterable[Item[W]], failure: LimelightError) -> None:
        requests = {id(item.request): item.request for item in items}
        for request in requests.values():
            request.fail(failure)
        _resolve(requests.values())


def _resolve(requests: Iterable[Request]) -> None:
    """Wake the callers, each event loop once."""
    loops: dict[asyncio.AbstractEventLoop, list[Request]] = {}
    for request in requests:
        loops.setdefault(request.loop, []).append(request)
    for loop, found in loops.items():
        _call(loop, _wake, found)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: Any) -> None:
    if asyncio._get_running_loop() is loop:
        function(*args)
        return
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        pass  # the loop is closed: nobody waits there any more


def _wake(requests: list[Request]) -> None:
    for request in requests:
        if request.done.done():
            continue
        if request.failure is not None:
            request.done.set_exception(request.failure)
        else:
            request.done.set_result(request.results)


def _failure(error: Exception) -> LimelightError:
    """What a caller is told of an error in the engine, which may be of any kind, a TimeoutError too."""
    if isinstance(error, LimelightError):
        return error
    failure = InferenceFailed(f"the network failed: {error}")
    failure.__cause__ = error
    return failure
