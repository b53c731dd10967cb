"""A worker: one thread, its engine and its running batch."""

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic

from service.batching.engine import Engine, R, W
from service.batching.fair_queue import Item
from service.errors import LimelightError


class WorkerState(Enum):
    IDLE = "idle"
    """Its thread sleeps."""
    WOKEN = "woken"
    """Its thread is about to look at the queue."""
    RUNNING = "running"
    """Its thread runs batches until the queue is empty."""
    INLINE = "inline"
    """The event loop uses its engine; its thread waits."""


@dataclass(eq=False)
class Worker(Generic[W, R]):
    """The engine and the running batch of one thread. The scheduler changes `state` under its lock."""

    engine: Engine[W, R]
    wake: threading.Condition
    state: WorkerState = WorkerState.WOKEN
    running: dict[int, Item[W]] = field(default_factory=dict)
    """The running batch, by key."""
    next_deadline_check: float = 0.0
    """On the clock of `time.monotonic`."""

    @property
    def running_tokens(self) -> int:
        return sum(item.length for item in self.running.values())

    def run(
        self, new: Sequence[Item[W]], cancelled: Collection[int]
    ) -> tuple[Sequence[tuple[int, R | LimelightError]], list[tuple[int, Any]]]:
        """Run one step of the engine with the new items and without the cancelled ones.

        Return the finished items and the new tokens of streamed items, both with their keys.
        """
        if cancelled:
            self.engine.drop(cancelled)
        if new:
            self.engine.start([(item.key, item.work) for item in new])
        return self.engine.advance(), self.engine.new_tokens()
