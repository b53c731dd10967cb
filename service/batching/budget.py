"""The time budget of a request, which code on texts checks while it runs.

A cancelled asyncio task does not stop a function in a thread. Loops over texts therefore call `check`, which raises
InferenceTimeout after the deadline of the current request or after its cancellation:

    for match in PATTERN.finditer(text):
        budget.check()

A call takes about 0.2 us. Call it about every 0.1 ms, and at least every millisecond.
"""

import math
import time
from contextvars import ContextVar

from service.errors import InferenceTimeout

YIELD_INTERVAL_S = 0.001
YIELD_S = 0.00005
"""A thread that computes in Python keeps the GIL for 5 ms and more, and the event loop waits. With this pause in each
interval the event loop waits for at most 25 ms while four such threads run, without it for up to 370 ms (measured on
two busy cores)."""


class Budget:
    """The remaining time of a request, or of a part of it that runs in a thread."""

    __slots__ = ("seconds", "deadline", "cancelled", "_in_thread", "_next_yield")

    def __init__(self, seconds: float = math.inf):
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        """On the clock of `time.monotonic`, which is also the clock of asyncio's event loops."""
        self.cancelled = False
        self._in_thread = False
        self._next_yield = 0.0

    def for_thread(self) -> "Budget":
        """Return a budget with the same deadline that can be cancelled alone, for a function in another thread."""
        budget = Budget(self.seconds)
        budget.deadline = self.deadline
        budget._in_thread = True
        return budget

    def cancel(self) -> None:
        """Let the next `check` raise."""
        self.cancelled = True

    def exceeded(self) -> InferenceTimeout:
        return InferenceTimeout(f"no answer within {self.seconds:g} s; send less text or try again later")

    def check(self) -> None:
        """Raise InferenceTimeout after the deadline or after `cancel`. In a thread, let other threads run first."""
        now = time.monotonic()
        if self.cancelled or now >= self.deadline:
            raise self.exceeded()
        if self._in_thread and now >= self._next_yield:
            time.sleep(YIELD_S)
            self._next_yield = time.monotonic() + YIELD_INTERVAL_S


UNLIMITED = Budget()

current: ContextVar[Budget] = ContextVar("budget", default=UNLIMITED)


def start(seconds: float) -> Budget:
    """Start the budget of the current task, and of the tasks and threads that it starts from now on."""
    budget = Budget(seconds)
    current.set(budget)
    return budget


def check() -> None:
    """Check the budget of the current request. Raises InferenceTimeout."""
    current.get().check()
