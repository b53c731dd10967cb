"""The interface of an engine, and the engine of networks that answer a batch in one run."""

import math
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Generic, Protocol, TypeVar

from service.errors import LimelightError


class Work(Protocol):
    """One text or sentence to run."""

    @property
    def length(self) -> int:
        """Tokens that it takes in a batch: its own, times its rows."""


W = TypeVar("W", bound=Work)
R = TypeVar("R")
W_contra = TypeVar("W_contra", bound=Work, contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Engine(Protocol[W_contra, R_co]):
    """Runs the batch of one worker. Its methods are called from one thread at a time."""

    min_fill: float
    """Minimum share of real tokens, without padding, among the items that start together."""
    min_tokens_per_worker: int
    """Tokens that are worth a worker. Fewer are not divided between workers."""
    seconds_per_token: float
    """Time per token of the last run; infinite for an engine that needs several calls of `advance`."""

    def admits(self) -> bool:
        """Return true if new items may join the running batch now."""

    def start(self, work: Sequence[tuple[int, W_contra]]) -> None:
        """Add items to the running batch, each with its key."""

    def advance(self) -> Sequence[tuple[int, R_co | LimelightError]]:
        """Run one step of the batch and return the finished items: key and result, or key and error.

        An exception is the failure of the whole batch.
        """

    def new_tokens(self) -> list[tuple[int, Any]]:
        """Return the tokens of the last step, with the key of their item, for items that are streamed."""

    def drop(self, keys: Collection[int]) -> None:
        """Remove cancelled items from the running batch."""


class SinglePassEngine(Generic[W, R]):
    """Engine of a network that needs one run per batch. `run` maps a batch to its results, in order.

    With `inline`, the event loop runs short batches. A call of a GPU waits for the GPU, whatever its size.
    """

    min_fill = 0.7
    min_tokens_per_worker = 512
    """A batch of this size runs longer than a thread needs to wake up."""

    def __init__(self, run: Callable[[Sequence[W]], Sequence[R]], inline: bool = True):
        self.seconds_per_token = math.inf
        self._inline = inline
        self._run = run
        self._batch: list[tuple[int, W]] = []

    def admits(self) -> bool:
        return True

    def start(self, work: Sequence[tuple[int, W]]) -> None:
        self._batch += work

    def advance(self) -> Sequence[tuple[int, R | LimelightError]]:
        """Raises ValueError if the network returns another number of results than it got items."""
        batch, self._batch = self._batch, []
        if not batch:
            return []
        since = time.perf_counter()
        results = self._run([work for _, work in batch])
        if len(results) != len(batch):
            raise ValueError(f"{len(results)} results for {len(batch)} texts")
        if self._inline:
            self.seconds_per_token = (time.perf_counter() - since) / sum(work.length for _, work in batch)
        return [(key, result) for (key, _), result in zip(batch, results, strict=True)]

    def new_tokens(self) -> list[tuple[int, Any]]:
        return []

    def drop(self, keys: Collection[int]) -> None:
        self._batch = [(key, work) for key, work in self._batch if key not in keys]
