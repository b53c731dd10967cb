"""Functions over texts that run in a thread if they would block the event loop.

The threads are few, so that hostile texts cannot use all cores, and they are daemons: a function that does not return
does not keep the process from ending.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from service.batching import budget
from service.batching.request import call_soon
from service.errors import Overloaded

R = TypeVar("R")

INLINE_S = 0.001
"""Maximum expected time of a function that runs on the event loop."""
INLINE_CHARACTERS = 1_000
"""Maximum size of texts for a function that runs on the event loop. It bounds the time of the first slow texts."""
TEXT_OVERHEAD = 100
"""Characters that take about as long as the fixed cost of one text."""
FIRST_GUESS = 2e-6
"""Seconds per character of a function that has not run yet: several times the cost of tokenising."""
MIN_COST = 1e-7
"""Minimum of the measured cost, in seconds per character."""
BLOCKING_S = 0.01
"""Time of a run that is too long for the event loop, however busy the process is."""
RISE, STEEP_RISE = 1.1, 4.0
"""Factors of the measured cost after a slower run, and after the second of two runs of BLOCKING_S."""
FALL = 0.3
"""Weight of a faster run in the measured cost."""


@dataclass(eq=False)
class Job:
    """A function, its context, and the future of its caller."""

    function: Callable[[], Any]
    context: Context
    budget: budget.Budget
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"

    def run(self) -> None:
        try:
            result = self.context.run(self._checked)
        except Exception as error:
            call_soon(self.loop, self._set, self.future.set_exception, error)
        else:
            call_soon(self.loop, self._set, self.future.set_result, result)

    def _checked(self) -> Any:
        budget.current.set(self.budget)
        budget.check()  # the job may have waited too long
        return self.function()

    def _set(self, setter: Callable[[Any], None], value: Any) -> None:
        if not self.future.done():
            setter(value)
        del self.future  # a cycle: an error refers to its stack, and so to this job and to all texts of the function


class ThreadPool:
    """Daemon threads that start on demand and end after `idle_s` without a job."""

    def __init__(self, name: str, max_threads: int = 4, max_waiting: int = 256, idle_s: float = 2.0):
        self._name = name
        self._max_threads = max_threads
        self._max_waiting = max_waiting
        self._idle_s = idle_s
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self.threads = 0
        """Number of threads."""

    def submit(self, job: Job) -> None:
        """Raises Overloaded if too many jobs wait."""
        with self._changed:
            if len(self._jobs) >= self._max_waiting:
                raise Overloaded(f"{len(self._jobs)} requests are waiting for a thread already; try again shortly")
            self._jobs.append(job)
            if self._idle >= len(self._jobs) or self.threads >= self._max_threads:
                self._changed.notify()
                return
            self.threads += 1
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job.run()

    def _next(self) -> Job | None:
        with self._changed:
            self._idle += 1
            found = self._changed.wait_for(lambda: self._jobs, self._idle_s)
            self._idle -= 1
            if found:
                return self._jobs.popleft()
            self.threads -= 1
            return None


TEXT_POOL = ThreadPool("text")


async def run_in_thread(function: Callable[[], R], pool: ThreadPool = TEXT_POOL) -> R:
    """Run a function in a thread, in the context and with the time budget of the caller.

    If the caller is cancelled, the function stops at its next `budget.check`.

    Raises Overloaded if too many functions wait for a thread, InferenceTimeout, and errors of the function.
    """
    loop = asyncio.get_running_loop()
    own = budget.current.get().for_thread()
    job = Job(function, copy_context(), own, loop, loop.create_future())
    pool.submit(job)
    try:
        result: R = await job.future
        return result
    finally:
        own.cancel()


class Cost:
    """Time of a function per character: a low quantile of the measured times.

    A run in a busy process waits for the GIL and for a core, and measures several times the cost of its texts. Such
    runs have little effect on a quantile.
    """

    def __init__(self) -> None:
        self.seconds_per_character = FIRST_GUESS
        self._blocked = False
        """The last run took BLOCKING_S. A single one is often a wait for a core."""

    def fits_inline(self, characters: int) -> bool:
        return characters <= INLINE_CHARACTERS and characters * self.seconds_per_character <= INLINE_S

    def observe(self, characters: int, seconds: float) -> None:
        """Rise by a factor after a slower run; approach a faster one."""
        observed = max(MIN_COST, seconds / max(1, characters))
        if observed > self.seconds_per_character:
            rise = STEEP_RISE if self._blocked and seconds >= BLOCKING_S else RISE
            self.seconds_per_character = min(observed, rise * self.seconds_per_character)
        else:
            self.seconds_per_character += FALL * (observed - self.seconds_per_character)
        self._blocked = seconds >= BLOCKING_S


_costs: dict[str, Cost] = {}


async def run_in_thread_if_long(texts: Sequence[str], function: Callable[[], R]) -> R:
    """Run a function over texts: on the event loop if it takes less than a millisecond, else in a thread.

    The time is estimated from earlier runs of the same function. A lambda is the same function each time that its
    expression is evaluated.

    Raises as `run_in_thread`.
    """
    characters = sum(map(len, texts)) + TEXT_OVERHEAD * len(texts)
    name = function.__qualname__
    cost = _costs.get(name) or _costs.setdefault(name, Cost())
    if cost.fits_inline(characters):
        return _measured(function, time.perf_counter, cost, characters)
    # The clock of the thread does not count the time that threads wait for each other, but takes a system call.
    return await run_in_thread(lambda: _measured(function, time.thread_time, cost, characters))


def _measured(function: Callable[[], R], clock: Callable[[], float], cost: Cost, characters: int) -> R:
    since = clock()
    try:
        return function()
    finally:
        cost.observe(characters, clock() - since)
