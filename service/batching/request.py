"""One call of the scheduler, and the delivery of its results to the event loop of its caller."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from service.batching.budget import Budget
from service.errors import InferenceFailed, LimelightError
from service.observability import Timing


@dataclass(eq=False)
class Request:
    """A caller and the results it waits for."""

    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[list[Any]]"
    results: list[Any]
    """One per item; None until the item is finished."""
    pending: int
    """Items that are not finished."""
    timing: Timing
    budget: Budget
    on_token: Callable[[int, Any], None] | None = None
    """Called on the event loop with the index of an item and its new token."""
    on_result: Callable[[int, Any], None] | None = None
    """Called on the event loop with the index of an item and its result."""
    failure: LimelightError | None = None
    cancelled: bool = False
    """The caller does not wait any longer, or the request has failed: remaining items do not run."""

    @property
    def finished(self) -> int:
        """Number of finished items."""
        return len(self.results) - self.pending

    def finish(self, index: int, result: Any) -> bool:
        """Store the result of an item, or its error. Return true if the request is complete."""
        if isinstance(result, LimelightError):
            self.fail(result)
            return True
        self.results[index] = result
        self.pending -= 1
        if self.pending == 0:
            self.timing.end()
        return self.pending == 0

    def fail(self, failure: LimelightError) -> None:
        self.failure, self.cancelled = failure, True

    def notify_token(self, index: int, new_token: Any) -> None:
        """Call `on_token` on the event loop of the caller."""
        if self.on_token is not None:
            call_soon(self.loop, self.on_token, index, new_token)

    def notify_result(self, index: int, result: Any) -> None:
        """Call `on_result` on the event loop of the caller."""
        if self.on_result is not None and not isinstance(result, LimelightError):
            call_soon(self.loop, self.on_result, index, result)


def deliver(requests: Iterable[Request]) -> None:
    """Wake the callers of complete requests, with one call for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Request]] = {}
    for request in requests:
        by_loop.setdefault(request.loop, []).append(request)
    for loop, complete in by_loop.items():
        call_soon(loop, _set_results, complete)


def fail_all(requests: Iterable[Request], failure: LimelightError) -> None:
    """Raise the same error in all callers."""
    unique = {id(request): request for request in requests}.values()
    for request in unique:
        request.fail(failure)
    deliver(unique)


def failure_of(error: Exception) -> LimelightError:
    """Return the error that all callers of a batch get for an exception in an engine, which may be of any class.

    The messages of onnxruntime are included. Others can contain a text of one of the callers.
    """
    if isinstance(error, LimelightError):
        return error
    is_runtime = type(error).__module__.startswith("onnxruntime")
    failure = InferenceFailed(f"the network failed: {error if is_runtime else type(error).__name__}")
    failure.__cause__ = error
    return failure


def call_soon(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: Any) -> None:
    """Call a function on an event loop, immediately if it runs in this thread."""
    if asyncio._get_running_loop() is loop:
        function(*args)
        return
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        pass  # the loop is closed, and its callers with it


def _set_results(requests: list[Request]) -> None:
    for request in requests:
        if request.future.done():
            continue
        if request.failure is not None:
            request.future.set_exception(request.failure)
        else:
            request.future.set_result(request.results)
