import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from service.batching import budget
from service.batching import scheduler as scheduler_module
from service.batching.engine import SinglePassEngine
from service.batching.scheduler import Limits, Scheduler
from service.errors import (
    InferenceFailed,
    InferenceTimeout,
    InvalidInput,
    LimelightError,
    ModelNotReady,
    Overloaded,
    TooManyTokens,
)

T = TypeVar("T")


@dataclass
class Item:
    number: int
    length: int = 1


@dataclass
class Network:
    """Answers each item with its negative number. If `closed`, a batch waits until `gate` is set."""

    closed: bool = False
    batches: list[list[Item]] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)

    def run(self, batch: Sequence[Item]) -> list[int]:
        self.batches.append(list(batch))
        self.started.set()
        if self.closed:
            self.gate.wait()
        return [-item.number for item in batch]

    @property
    def numbers(self) -> list[int]:
        return [item.number for batch in self.batches for item in batch]


@contextmanager
def scheduler(
    run: Callable[[Sequence[Item]], Sequence[int]], workers: int = 1, **limits: int
) -> Iterator[Scheduler[Item, int]]:
    made: Scheduler[Item, int] = Scheduler("test", [SinglePassEngine(run) for _ in range(workers)], Limits(**limits))
    try:
        yield made
    finally:
        made.close()


async def in_time(awaitable: Awaitable[T]) -> T:
    """Fail after a minute."""
    return await asyncio.wait_for(awaitable, 60)


Scenario = Callable[[Scheduler[Item, int], Network], Coroutine[Any, Any, None]]


def while_a_batch_runs(scenario: Scenario, **limits: int) -> Network:
    """Run a scenario while item 0 runs and other items wait; then open the gate."""
    network = Network(closed=True)

    async def play(running: Scheduler[Item, int]) -> None:
        first = asyncio.create_task(running.submit([Item(0)]))
        await asyncio.to_thread(network.started.wait)
        try:
            await scenario(running, network)
        finally:
            network.gate.set()
        assert await first == [0]

    with scheduler(network.run, **limits) as running:
        asyncio.run(in_time(play(running)))
    return network


requests = st.lists(st.lists(st.integers(1, 13), max_size=5), max_size=7)
"""Lengths of the items of each request."""


@given(requests, st.integers(1, 40), st.booleans(), st.integers(1, 3), st.data())
def test_each_caller_gets_its_own_results(
    requests: list[list[int]], batch_tokens: int, closed: bool, workers: int, data: st.DataObject
) -> None:
    """For any order of arrival, any number of workers, and with or without a running batch."""
    pauses = data.draw(st.lists(st.integers(0, 3), min_size=len(requests), max_size=len(requests)))

    async def caller(running: Scheduler[Item, int], number: int, work: list[int]) -> None:
        for _ in range(pauses[number]):
            await asyncio.sleep(0)
        items = [Item(1 + 10 * number + i, length) for i, length in enumerate(work)]
        assert await running.submit(items) == [-item.number for item in items]

    async def callers(running: Scheduler[Item, int], network: Network) -> None:
        tasks = [asyncio.create_task(caller(running, i, work)) for i, work in enumerate(requests)]
        await asyncio.sleep(0)
        network.gate.set()
        await asyncio.gather(*tasks)

    network = Network()
    if closed:
        network = while_a_batch_runs(callers, batch_tokens=batch_tokens)
    else:
        with (
            pytest.MonkeyPatch.context() as patch,
            scheduler(network.run, workers, batch_tokens=batch_tokens) as running,
        ):
            patch.setattr(SinglePassEngine, "min_tokens_per_worker", 5)
            asyncio.run(in_time(callers(running, network)))

    assert sorted(network.numbers) == [0] * closed + sorted(
        1 + 10 * number + i for number, work in enumerate(requests) for i in range(len(work))
    )
    for batch in network.batches:
        padded = len(batch) * max(item.length for item in batch)
        assert padded <= batch_tokens or len(batch) == 1
        assert sum(item.length for item in batch) >= SinglePassEngine.min_fill * padded


def test_waiting_items_run_in_one_batch() -> None:
    async def two_callers(running: Scheduler[Item, int], network: Network) -> None:
        tasks = [
            asyncio.create_task(running.submit([Item(1, 5), Item(2, 2)])),
            asyncio.create_task(running.submit([Item(3, 2), Item(4, 5), Item(5, 2)])),
        ]
        await asyncio.sleep(0)
        network.gate.set()
        assert await asyncio.gather(*tasks) == [[-1, -2], [-3, -4, -5]]

    network = while_a_batch_runs(two_callers, batch_tokens=10)
    assert [sorted(item.number for item in batch) for batch in network.batches] == [[0], [1, 4], [2, 3, 5]]


def test_a_small_request_does_not_wait_for_all_of_a_large_one() -> None:

    async def large_and_small(running: Scheduler[Item, int], network: Network) -> None:
        large = asyncio.create_task(running.submit([Item(number) for number in range(1, 8)]))
        await asyncio.sleep(0)
        small = asyncio.create_task(running.submit([Item(9)]))
        await asyncio.sleep(0)
        network.gate.set()
        await asyncio.gather(large, small)

    assert while_a_batch_runs(large_and_small, batch_tokens=1).numbers == [0, 1, 9, 2, 3, 4, 5, 6, 7]


def test_no_item_starves() -> None:
    """The head of the queue runs next, although many items of another length would fill a batch better."""

    async def crowd(running: Scheduler[Item, int], network: Network) -> None:
        tasks = [asyncio.create_task(running.submit([Item(1, 10)]))]
        tasks += [asyncio.create_task(running.submit([Item(number)])) for number in range(2, 9)]
        await asyncio.sleep(0)
        network.gate.set()
        await asyncio.gather(*tasks)

    network = while_a_batch_runs(crowd, batch_tokens=10)
    assert [item.number for item in network.batches[1]] == [1]
    assert len(network.batches) == 3


def test_a_full_queue_refuses_at_once() -> None:
    async def crowd(running: Scheduler[Item, int], network: Network) -> None:
        waiting = asyncio.create_task(running.submit([Item(1, 7), Item(2, 3)]))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="10 tokens are waiting"):
            await running.submit([Item(3, 2)])  # while the gate is closed
        fits = asyncio.create_task(running.submit([Item(4, 1)]))
        await asyncio.sleep(0)
        network.gate.set()
        assert await waiting == [-1, -2]
        assert await fits == [-4]
        assert await running.submit([Item(5, 11)]) == [-5]

    network = while_a_batch_runs(crowd, queue_tokens=11)
    assert 3 not in network.numbers


def test_a_request_of_too_many_tokens_is_refused() -> None:
    async def play(running: Scheduler[Item, int]) -> None:
        with pytest.raises(TooManyTokens, match="18 tokens in one request, at most 17"):
            await running.submit([Item(1, 7), Item(2, 11)])
        assert await running.submit([Item(1, 17)]) == [-1]

    with scheduler(Network().run, request_tokens=17) as running:
        asyncio.run(in_time(play(running)))


def test_an_idle_scheduler_takes_a_request_of_any_size() -> None:
    with scheduler(Network().run, queue_tokens=2, batch_tokens=3) as running:
        assert asyncio.run(running.submit([Item(1, 17), Item(2, 19)])) == [-1, -2]


def test_waiting_items_of_a_cancelled_request_do_not_run() -> None:
    async def leave(running: Scheduler[Item, int], network: Network) -> None:
        gone = asyncio.create_task(running.submit([Item(1), Item(2)]))
        stays = asyncio.create_task(running.submit([Item(3)]))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        network.gate.set()
        assert await stays == [-3]

    assert while_a_batch_runs(leave).numbers == [0, 3]


def test_a_request_can_be_cancelled_while_it_runs() -> None:
    network = Network(closed=True)

    async def leave(running: Scheduler[Item, int]) -> None:
        gone = asyncio.create_task(running.submit([Item(1)]))
        await asyncio.to_thread(network.started.wait)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        network.gate.set()
        assert await running.submit([Item(2)]) == [-2]

    with scheduler(network.run) as running:
        asyncio.run(leave(running))


def test_a_timeout_cancels_waiting_items() -> None:
    async def impatient(running: Scheduler[Item, int], network: Network) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running.submit([Item(1)]), 0.01)

    assert while_a_batch_runs(impatient).numbers == [0]


def test_waiting_items_do_not_run_after_the_deadline() -> None:
    """Their caller gets an error, although it is not cancelled."""

    async def late(running: Scheduler[Item, int]) -> None:
        budget.start(0.01)
        with pytest.raises(InferenceTimeout, match=r"no answer within 0\.01 s"):
            await running.submit([Item(1), Item(2)])

    async def scenario(running: Scheduler[Item, int], network: Network) -> None:
        task = asyncio.create_task(late(running))
        await asyncio.sleep(0.05)
        network.gate.set()
        await task
        assert running.waiting_tokens == 0

    assert while_a_batch_runs(scenario).numbers == [0]


def test_running_items_stop_at_the_deadline() -> None:
    """Other items of the batch continue."""
    engine = Steps()
    running: Scheduler[Item, int] = Scheduler("test", [engine], Limits())

    async def late() -> None:
        budget.start(0.05)
        with pytest.raises(InferenceTimeout):
            await running.submit([Item(10**9), Item(10**9)])

    async def play() -> None:
        other = asyncio.create_task(running.submit([Item(10**9)]))
        await asyncio.gather(late())
        while running.running > 1:
            await asyncio.sleep(0.001)
        assert not other.done()
        other.cancel()

    asyncio.run(in_time(play()))
    running.close()
    assert engine.left == {} and len(engine.dropped) == 3


def test_a_request_that_is_cancelled_between_batches_starts_no_more_of_them() -> None:
    """A single pass cannot be stopped while it runs."""
    network = Network(closed=True)

    async def play(running: Scheduler[Item, int]) -> None:
        task = asyncio.create_task(running.submit([Item(number, 7) for number in range(10)]))
        await asyncio.to_thread(network.started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        network.gate.set()

    with scheduler(network.run, batch_tokens=14) as running:
        asyncio.run(in_time(play(running)))
    assert network.numbers == [0, 1]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("boom"), "RuntimeError"),
        (MemoryError("boom"), "MemoryError"),
        (TimeoutError("boom"), "TimeoutError"),
        (KeyError("boom"), "KeyError"),
        (Fail("boom"), "boom"),
    ],
)
def test_a_failure_fails_its_batch_only(error: Exception, reason: str) -> None:
    """Its message can contain a text of another caller, unless it is of onnxruntime."""

    def run(batch: Sequence[Item]) -> list[int]:
        if any(item.number == 2 for item in batch):
            raise error
        return [-item.number for item in batch]

    async def callers(running: Scheduler[Item, int]) -> None:
        bad, good = await asyncio.gather(
            running.submit([Item(1, 20), Item(2, 20)]), running.submit([Item(3)]), return_exceptions=True
        )
        assert isinstance(bad, InferenceFailed) and str(bad) == f"the network failed: {reason}"
        assert bad.__cause__ is error
        assert good == [-3]
        assert await running.submit([Item(4)]) == [-4]

    with scheduler(run) as running:
        asyncio.run(in_time(callers(running)))


def test_an_item_without_a_result_fails_its_request_only() -> None:
    def run(batch: Sequence[Item]) -> list[Any]:
        return [InferenceFailed("boom") if item.number == 2 else -item.number for item in batch]

    async def callers(running: Scheduler[Item, int]) -> None:
        first = asyncio.create_task(running.submit([Item(0)]))
        together = [running.submit([Item(1), Item(2), Item(3)]), running.submit([Item(4)])]
        bad, good = await asyncio.gather(*together, return_exceptions=True)
        assert isinstance(bad, InferenceFailed) and str(bad) == "boom"
        assert good == [-4] and await first == [0]

    with scheduler(run) as running:
        asyncio.run(in_time(callers(running)))


def test_waiting_items_of_a_failed_request_do_not_run() -> None:
    gates = {number: threading.Event() for number in (1, 3)}
    ran: list[int] = []

    def run(batch: Sequence[Item]) -> list[int]:
        [item] = batch
        ran.append(item.number)
        if item.number in gates:
            gates[item.number].wait()
        if item.number == 2:
            raise RuntimeError("boom")
        return [-item.number]

    async def play(running: Scheduler[Item, int]) -> None:
        """The others wait behind item 1. Items 3 and 5 have smaller start tags than item 4."""
        tasks = [asyncio.create_task(running.submit([Item(1)]))]
        while not ran:
            await asyncio.sleep(0.001)
        failing = asyncio.create_task(running.submit([Item(2), Item(4)]))
        tasks += [asyncio.create_task(running.submit([Item(number)])) for number in (3, 5)]
        await asyncio.sleep(0)
        gates[1].set()
        with pytest.raises(InferenceFailed):
            await failing
        gates[3].set()
        assert await asyncio.gather(*tasks) == [[-1], [-3], [-5]]

    with scheduler(run, batch_tokens=1) as running:
        asyncio.run(in_time(play(running)))
    assert ran == [1, 2, 3, 5]


class Steps:
    """Engine in which the number of an item is the number of its steps. It admits items while at most `most` run."""

    min_fill = 0.0
    min_tokens_per_worker = 1
    seconds_per_token = math.inf

    def __init__(self, most: int = 10**9) -> None:
        self.most = most
        self.left: dict[int, int] = {}
        self.sizes: list[int] = []
        self.dropped: list[int] = []

    def admits(self) -> bool:
        return len(self.left) <= self.most

    def start(self, work: Sequence[tuple[int, Item]]) -> None:
        self.left |= {key: item.number for key, item in work}

    def advance(self) -> list[tuple[int, int]]:
        self.sizes.append(len(self.left))
        self.left = {key: left - 1 for key, left in self.left.items()}
        done = [key for key, left in self.left.items() if left <= 0]
        for key in done:
            del self.left[key]
        return [(key, key) for key in done]

    def new_tokens(self) -> list[tuple[int, int]]:
        return list(self.left.items())

    def drop(self, keys: Collection[int]) -> None:
        self.dropped += [key for key in keys if self.left.pop(key, None) is not None]


class Gated(Steps):
    """Waits before each step until `gate` is set."""

    def __init__(self, most: int = 10**9) -> None:
        super().__init__(most)
        self.started, self.gate = threading.Event(), threading.Event()

    def advance(self) -> list[tuple[int, int]]:
        self.started.set()
        self.gate.wait(60)
        return super().advance()


def test_items_join_a_running_batch() -> None:
    engine = Steps()
    running: Scheduler[Item, int] = Scheduler("test", [engine], Limits())

    async def play() -> None:
        long = asyncio.create_task(running.submit([Item(10**9)]))
        await asyncio.sleep(0)
        assert await running.submit([Item(3)]) == [1]  # while the first still runs
        long.cancel()
        assert await running.submit([Item(2)]) == [2]
        with pytest.raises(asyncio.CancelledError):
            await long

    asyncio.run(in_time(play()))
    running.close()
    assert engine.dropped == [0] and engine.left == {}
    assert 2 in engine.sizes


def test_a_caller_gets_the_new_tokens_of_its_items() -> None:
    running: Scheduler[Item, int] = Scheduler("test", [Steps()], Limits())
    heard: dict[str, list[tuple[int, int]]] = {"one": [], "other": []}

    async def play() -> None:
        await asyncio.gather(
            running.submit([Item(2), Item(4)], on_token=lambda place, new: heard["one"].append((place, new))),
            running.submit([Item(3)], on_token=lambda place, new: heard["other"].append((place, new))),
            running.submit([Item(5)]),
        )

    asyncio.run(in_time(play()))
    running.close()
    assert sorted(heard["one"]) == [(0, 1), (1, 1), (1, 2), (1, 3)]
    assert heard["other"] == [(0, 2), (0, 1)]


def test_a_caller_gets_each_result_as_soon_as_it_is_there() -> None:
    running: Scheduler[Item, int] = Scheduler("test", [Steps()], Limits())
    results: list[tuple[int, int]] = []
    tokens: list[int] = []

    async def play() -> None:
        await running.submit(
            [Item(4), Item(2)],
            on_token=lambda index, new: tokens.append(index),
            on_result=lambda index, result: results.append((index, len(tokens))),
        )

    asyncio.run(in_time(play()))
    running.close()
    # Item 1 ends in the second step, before the tokens of that step and of the third are delivered for item 0.
    assert [index for index, _ in results] == [1, 0]
    assert results[0][1] < results[1][1]


def test_a_caller_that_gets_results_one_by_one_starts_with_a_small_batch() -> None:
    streamed, whole = Network(), Network()
    items = [Item(number, scheduler_module.FIRST_BATCH_TOKENS // 2) for number in range(1, 13)]
    with scheduler(streamed.run) as running:
        asyncio.run(in_time(running.submit(items, on_result=lambda index, result: None)))
    with scheduler(whole.run) as running:
        asyncio.run(in_time(running.submit(items)))
    assert [len(batch) for batch in streamed.batches] == [2, 6, 4]
    assert streamed.batches[0] == items[:2]
    assert [len(batch) for batch in whole.batches] == [12]


def test_an_item_without_a_result_has_no_call_of_on_result() -> None:
    results: list[int] = []

    def run(batch: Sequence[Item]) -> list[Any]:
        return [InferenceFailed("boom") if item.number == 2 else -item.number for item in batch]

    async def play(running: Scheduler[Item, int]) -> None:
        with pytest.raises(InferenceFailed, match="boom"):
            await running.submit([Item(1), Item(2)], on_result=lambda index, result: results.append(result))

    with scheduler(run) as running:
        asyncio.run(in_time(play(running)))
    assert results == [-1]


def test_a_running_batch_stays_within_its_limit() -> None:
    engine = Steps()
    running: Scheduler[Item, int] = Scheduler("test", [engine], Limits(batch_tokens=3))

    async def play() -> None:
        await asyncio.gather(*(running.submit([Item(number, 1)]) for number in (5, 3, 8, 2, 7)))

    asyncio.run(in_time(play()))
    running.close()
    assert max(engine.sizes) <= 3


def test_items_wait_until_an_engine_admits_them() -> None:
    engine = Gated(most=1)
    running: Scheduler[Item, int] = Scheduler("test", [engine], Limits())

    async def play() -> None:
        first = asyncio.create_task(running.submit([Item(30), Item(50), Item(70)]))
        await asyncio.to_thread(engine.started.wait)
        later = asyncio.create_task(running.submit([Item(1), Item(2)]))
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(first, later)

    asyncio.run(in_time(play()))
    running.close()
    assert engine.sizes[:51] == [3] * 30 + [2] * 20 + [3]  # one of the first request and two of the second


class Meeting:
    """A network whose batches wait until `count` of them run."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count)
        self.batches: list[list[int]] = []

    def run(self, batch: Sequence[Item]) -> list[int]:
        self.batches.append(sorted(item.number for item in batch))
        self.barrier.wait(60)
        return [-item.number for item in batch]


def test_workers_share_a_large_request() -> None:
    """Two workers run its items in batches of similar lengths."""
    meeting = Meeting(2)
    with scheduler(meeting.run, workers=2) as running:
        long, short = [Item(n, 100) for n in range(1, 6)], [Item(n, 50) for n in range(6, 16)]
        assert asyncio.run(running.submit([*long, *short])) == [-n for n in range(1, 16)]
    assert sorted(meeting.batches) == [[1, 2, 3, 4, 5], list(range(6, 16))]


def test_a_request_goes_to_an_idle_worker() -> None:
    meeting = Meeting(2)

    async def play(running: Scheduler[Item, int]) -> None:
        first = asyncio.create_task(running.submit([Item(1)]))
        while not meeting.batches:
            await asyncio.sleep(0.001)
        assert await running.submit([Item(2)]) == [-2]
        assert await first == [-1]

    with scheduler(meeting.run, workers=3) as running:
        asyncio.run(in_time(play(running)))


def test_a_small_request_is_not_divided() -> None:
    network = Network()
    with scheduler(network.run, workers=3) as running:
        asyncio.run(running.submit([Item(number, 20) for number in range(25)]))
    assert [len(batch) for batch in network.batches] == [25]


def test_a_failure_in_one_worker_fails_the_whole_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both workers continue."""
    monkeypatch.setattr(scheduler_module, "INLINE_S", 0.0)  # a batch here waits for another one
    meeting = Meeting(2)

    def run(batch: Sequence[Item]) -> list[int]:
        found = meeting.run(batch)
        if any(item.number == 2 for item in batch):
            raise RuntimeError("boom")
        return found

    async def play(running: Scheduler[Item, int]) -> None:
        with pytest.raises(InferenceFailed, match="RuntimeError"):
            await running.submit([Item(1, 600), Item(2, 600)])
        third = asyncio.create_task(running.submit([Item(3)]))
        while len(meeting.batches) < 3:
            await asyncio.sleep(0.001)
        assert await running.submit([Item(4)]) == [-4]
        assert await third == [-3]

    with scheduler(run, workers=2) as running:
        asyncio.run(in_time(play(running)))


class Watched:
    """A network that records the thread of each batch."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.batches: list[list[int]] = []

    def run(self, batch: Sequence[Item]) -> list[int]:
        self.threads.append(threading.get_ident())
        self.batches.append([item.number for item in batch])
        if any(item.number == 13 for item in batch):
            raise RuntimeError("boom")
        return [-item.number for item in batch]


async def rest(running: Scheduler[Item, int]) -> None:
    """Wait until every worker sleeps."""
    while not running.idle:
        await asyncio.sleep(0.001)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every batch fit inline once `seconds_per_token` is known."""
    monkeypatch.setattr(scheduler_module, "INLINE_S", 60.0)


@pytest.mark.usefixtures("inline")
def test_a_batch_that_fits_inline_wakes_no_worker() -> None:
    watched, here = Watched(), threading.get_ident()

    async def play(running: Scheduler[Item, int]) -> None:
        assert await running.submit([Item(0)]) == [0]  # `seconds_per_token` is not known yet
        await rest(running)
        assert await running.submit([Item(1)]) == [-1]
        # Requests of one iteration of the event loop run in one batch.
        found = await asyncio.gather(running.submit([Item(2), Item(3)]), running.submit([Item(4)]))
        assert [*found] == [[-2, -3], [-4]]

    with scheduler(watched.run, workers=2) as running:
        asyncio.run(in_time(play(running)))
    assert [sorted(batch) for batch in watched.batches] == [[0], [1], [2, 3, 4]]
    assert [thread == here for thread in watched.threads] == [False, True, True]


def test_a_long_batch_runs_in_a_worker() -> None:
    watched = Watched()

    async def play(running: Scheduler[Item, int]) -> None:
        await running.submit([Item(0)])
        for work in ([Item(1, 11)], [Item(2, 6), Item(3, 6)]):
            await rest(running)
            running.engines[0].seconds_per_token = scheduler_module.INLINE_S / 10
            await running.submit(work)

    with scheduler(watched.run) as running:
        asyncio.run(in_time(play(running)))
    assert threading.get_ident() not in watched.threads
    assert watched.batches == [[0], [1], [2, 3]]


def test_a_batch_that_grows_too_long_does_not_run_inline() -> None:
    """Two requests of one iteration of the event loop: the first alone would fit."""
    watched = Watched()

    async def play(running: Scheduler[Item, int]) -> None:
        await running.submit([Item(0)])
        await rest(running)
        running.engines[0].seconds_per_token = scheduler_module.INLINE_S / 10
        found = await asyncio.gather(running.submit([Item(1, 7)]), running.submit([Item(2, 7)]))
        assert [*found] == [[-1], [-2]]

    with scheduler(watched.run) as running:
        asyncio.run(in_time(play(running)))
    assert threading.get_ident() not in watched.threads


@pytest.mark.usefixtures("inline")
def test_an_inline_batch_can_fail() -> None:
    watched, here = Watched(), threading.get_ident()

    async def play(running: Scheduler[Item, int]) -> None:
        await running.submit([Item(0)])
        await rest(running)
        with pytest.raises(InferenceFailed, match="RuntimeError") as raised:
            await running.submit([Item(13)])
        assert isinstance(raised.value.__cause__, RuntimeError)
        assert await running.submit([Item(1)]) == [-1]

    with scheduler(watched.run) as running:
        asyncio.run(in_time(play(running)))
    assert [thread == here for thread in watched.threads] == [False, True, True]


@pytest.mark.usefixtures("inline")
def test_close_waits_for_an_inline_batch() -> None:
    network, calls = Network(), []

    class Counted(SinglePassEngine[Item, int]):
        def advance(self) -> Sequence[tuple[int, int | LimelightError]]:
            calls.append(threading.get_ident())
            return super().advance()

    with closing(Scheduler("test", [Counted(network.run)], Limits())) as running:
        asyncio.run(running.submit([Item(0)]))
        asyncio.run(rest(running))
        network.closed = True
        with ThreadPoolExecutor() as pool:
            network.started.clear()
            answer = pool.submit(asyncio.run, running.submit([Item(1)]))
            network.started.wait()
            closed = pool.submit(running.close)
            while not running.closed:
                time.sleep(0.001)
            assert not closed.done()
            network.gate.set()
            assert answer.result() == [-1]
            closed.result(60)
    assert network.numbers == [0, 1] and len(calls) == 2  # the thread of the worker did not run one


@pytest.mark.usefixtures("inline")
def test_an_event_loop_that_stops_does_not_block_another() -> None:
    network = Network()

    loop = asyncio.new_event_loop()

    with scheduler(network.run) as running:
        asyncio.run(running.submit([Item(0)]))
        asyncio.run(rest(running))
        abandoned = running.submit([Item(1)])
        loop.call_soon(abandoned.send, None)
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        assert asyncio.run(in_time(running.submit([Item(2)]))) == [-2]
        abandoned.close()


@pytest.mark.parametrize("seconds", [math.inf, 0.0])
def test_a_defect_stops_the_scheduler(seconds: float) -> None:
    """A result for an unknown item is a defect of the scheduler, not a failure of the network."""

    class Confused(Steps):
        seconds_per_token = seconds

        def advance(self) -> list[tuple[int, int]]:
            return [(13, 13)]

    running: Scheduler[Item, int] = Scheduler("test", [Confused()], Limits())

    async def play() -> None:
        await rest(running)
        with pytest.raises(InferenceFailed, match="the scheduler has failed: KeyError"):
            await running.submit([Item(1)])
        with pytest.raises(ModelNotReady, match="the scheduler has failed"):
            await running.submit([Item(2)])

    asyncio.run(in_time(play()))
    running.close()
    assert running.failure is not None


def test_other_workers_finish_their_batches_after_a_defect() -> None:
    class Confused(Steps):
        def advance(self) -> list[tuple[int, int]]:
            return [(13, 13)]

    gated = Gated()
    running: Scheduler[Item, int] = Scheduler("test", [gated, Confused()], Limits())

    async def play() -> None:
        await rest(running)
        first = asyncio.create_task(running.submit([Item(3)]))
        await asyncio.to_thread(gated.started.wait)
        with pytest.raises(InferenceFailed, match="the scheduler has failed"):
            await running.submit([Item(1)])
        gated.gate.set()
        assert await first == [0]

    asyncio.run(in_time(play()))
    running.close()


@pytest.mark.parametrize("results", [[], [1], [1, 2, 3]])
def test_a_wrong_number_of_results_is_a_failure(results: list[int]) -> None:
    async def callers(running: Scheduler[Item, int]) -> None:
        with pytest.raises(InferenceFailed):
            await running.submit([Item(1), Item(2)])
        with pytest.raises(InferenceFailed):  # the worker still runs
            await running.submit([Item(1), Item(2)])

    with scheduler(lambda batch: results) as running:
        asyncio.run(in_time(callers(running)))


def test_errors_of_the_service_are_passed_on() -> None:
    def run(batch: Sequence[Item]) -> list[int]:
        raise InvalidInput("not this")

    with scheduler(run) as running, pytest.raises(InvalidInput, match="not this"):
        asyncio.run(running.submit([Item(1)]))


def test_close_finishes_the_queue_and_refuses_new_requests() -> None:
    network = Network(closed=True)
    running: Scheduler[Item, int] = Scheduler("test", [SinglePassEngine(network.run)], Limits())

    async def play() -> None:
        first = asyncio.create_task(running.submit([Item(0)]))
        await asyncio.to_thread(network.started.wait)
        waiting = asyncio.create_task(running.submit([Item(1), Item(2)]))
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(running.close))
        while not running.closed:
            await asyncio.sleep(0)
        with pytest.raises(ModelNotReady, match="unloaded"):
            await running.submit([Item(3)])
        assert not closing.done()
        network.gate.set()
        await closing
        assert await first == [0]
        assert await waiting == [-1, -2]

    asyncio.run(play())
    assert sorted(network.numbers) == [0, 1, 2]
    running.close()  # a second call has no effect


def test_a_request_without_items() -> None:
    with scheduler(Network().run) as running:
        assert asyncio.run(running.submit([])) == []
