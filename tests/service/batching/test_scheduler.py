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

from service.batching import scheduler as scheduling
from service.batching.scheduler import Limits, Scheduler, SinglePassEngine
from service.errors import InferenceFailed, InvalidInput, LimelightError, ModelNotReady, Overloaded

T = TypeVar("T")


@dataclass
class Item:
    number: int
    length: int = 1


@dataclass
class Network:
    """Answers each item with its own number. Stops at the gate before its first batch, until it is opened."""

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
    """Fail instead of waiting for ever."""
    return await asyncio.wait_for(awaitable, 60)


Scenario = Callable[[Scheduler[Item, int], Network], Coroutine[Any, Any, None]]


def behind_a_running_batch(scenario: Scenario, **limits: int) -> Network:
    """Play a scenario while item 0 is running and everything else has to wait; then open the gate."""
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
"""Lengths of what each wants."""


@given(requests, st.integers(1, 40), st.booleans(), st.integers(1, 3), st.data())
def test_each_caller_gets_its_own_results(
    requests: list[list[int]], batch_tokens: int, closed: bool, workers: int, data: st.DataObject
) -> None:
    """In whatever order requests come, whether they wait behind a batch or find an idle network, in however many
    workers."""
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
        network = behind_a_running_batch(callers, batch_tokens=batch_tokens)
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
        assert sum(item.length for item in batch) >= SinglePassEngine.fill * padded


def test_what_waited_together_runs_together() -> None:
    async def two_callers(running: Scheduler[Item, int], network: Network) -> None:
        tasks = [
            asyncio.create_task(running.submit([Item(1, 5), Item(2, 2)])),
            asyncio.create_task(running.submit([Item(3, 2), Item(4, 5), Item(5, 2)])),
        ]
        await asyncio.sleep(0)
        network.gate.set()
        assert await asyncio.gather(*tasks) == [[-1, -2], [-3, -4, -5]]

    network = behind_a_running_batch(two_callers, batch_tokens=10)
    assert [sorted(item.number for item in batch) for batch in network.batches] == [[0], [1, 4], [2, 3, 5]]


def test_requests_take_turns() -> None:
    """What comes later and is small does not wait for the end of what is large."""

    async def large_and_small(running: Scheduler[Item, int], network: Network) -> None:
        large = asyncio.create_task(running.submit([Item(number) for number in range(1, 8)]))
        await asyncio.sleep(0)
        small = asyncio.create_task(running.submit([Item(9)]))
        await asyncio.sleep(0)
        network.gate.set()
        await asyncio.gather(large, small)

    assert behind_a_running_batch(large_and_small, batch_tokens=1).numbers == [0, 1, 9, 2, 3, 4, 5, 6, 7]


def test_nobody_waits_for_ever_for_others_of_its_length() -> None:
    """Whose turn it is goes next, however many of another length would go well together."""

    async def crowd(running: Scheduler[Item, int], network: Network) -> None:
        tasks = [asyncio.create_task(running.submit([Item(1, 10)]))]
        tasks += [asyncio.create_task(running.submit([Item(number)])) for number in range(2, 9)]
        await asyncio.sleep(0)
        network.gate.set()
        await asyncio.gather(*tasks)

    network = behind_a_running_batch(crowd, batch_tokens=10)
    assert [item.number for item in network.batches[1]] == [1]
    assert len(network.batches) == 3


def test_a_full_queue_refuses_at_once() -> None:
    async def crowd(running: Scheduler[Item, int], network: Network) -> None:
        waiting = asyncio.create_task(running.submit([Item(1, 7), Item(2, 3)]))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="10 tokens are waiting"):
            await running.submit([Item(3, 2)])  # the gate is still closed: it did not wait
        fits = asyncio.create_task(running.submit([Item(4, 1)]))
        await asyncio.sleep(0)
        network.gate.set()
        assert await waiting == [-1, -2]
        assert await fits == [-4]
        assert await running.submit([Item(5, 11)]) == [-5]  # and there is room again

    network = behind_a_running_batch(crowd, queue_tokens=11)
    assert 3 not in network.numbers


def test_an_idle_scheduler_takes_a_request_of_any_size() -> None:
    with scheduler(Network().run, queue_tokens=2, batch_tokens=3) as running:
        assert asyncio.run(running.submit([Item(1, 17), Item(2, 19)])) == [-1, -2]


def test_work_whose_caller_has_gone_never_runs() -> None:
    async def leave(running: Scheduler[Item, int], network: Network) -> None:
        gone = asyncio.create_task(running.submit([Item(1), Item(2)]))
        stays = asyncio.create_task(running.submit([Item(3)]))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        network.gate.set()
        assert await stays == [-3]

    assert behind_a_running_batch(leave).numbers == [0, 3]


def test_a_caller_can_go_while_its_work_runs() -> None:
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


def test_who_waits_no_longer() -> None:
    async def impatient(running: Scheduler[Item, int], network: Network) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running.submit([Item(1)]), 0.01)

    assert behind_a_running_batch(impatient).numbers == [0]  # it is not run after all


@pytest.mark.parametrize("error", [RuntimeError("boom"), MemoryError("boom"), TimeoutError("boom"), KeyError("boom")])
def test_a_failure_fails_its_batch_only(error: Exception) -> None:
    def run(batch: Sequence[Item]) -> list[int]:
        if any(item.number == 2 for item in batch):
            raise error
        return [-item.number for item in batch]

    async def callers(running: Scheduler[Item, int]) -> None:
        bad, good = await asyncio.gather(
            running.submit([Item(1, 20), Item(2, 20)]), running.submit([Item(3)]), return_exceptions=True
        )
        assert isinstance(bad, InferenceFailed) and "boom" in str(bad)
        assert bad.__cause__ is error
        assert good == [-3]
        assert await running.submit([Item(4)]) == [-4]

    with scheduler(run) as running:
        asyncio.run(in_time(callers(running)))


def test_one_that_has_no_result_fails_its_request_only() -> None:
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


def test_a_request_that_failed_in_part_is_given_up() -> None:
    """What of it still waits never runs."""
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
        """Item 1 holds the others back; 3 and 5 have their turns before 4."""
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
    """An engine that needs as many steps for an item as its number says. It takes newcomers while no more than `most`
    run."""

    fill = 0.0
    min_tokens_per_worker = 1
    seconds_per_token = math.inf

    def __init__(self, most: int = 10**9) -> None:
        self.most = most
        self.left: dict[int, int] = {}
        self.sizes: list[int] = []
        self.dropped: list[int] = []

    def ready(self) -> bool:
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
    """Waits at its gate before each step, until it is opened."""

    def __init__(self, most: int = 10**9) -> None:
        super().__init__(most)
        self.started, self.gate = threading.Event(), threading.Event()

    def advance(self) -> list[tuple[int, int]]:
        self.started.set()
        self.gate.wait(60)
        return super().advance()


def test_work_joins_what_is_running() -> None:
    engine = Steps()
    running: Scheduler[Item, int] = Scheduler("test", [engine], Limits())

    async def play() -> None:
        long = asyncio.create_task(running.submit([Item(10**9)]))
        await asyncio.sleep(0)
        assert await running.submit([Item(3)]) == [1]  # it is done while the other goes on
        long.cancel()
        assert await running.submit([Item(2)]) == [2]
        with pytest.raises(asyncio.CancelledError):
            await long

    asyncio.run(in_time(play()))
    running.close()
    assert engine.dropped == [0] and engine.left == {}  # its caller had gone
    assert 2 in engine.sizes


def test_a_caller_hears_of_its_own_work() -> None:
    running: Scheduler[Item, int] = Scheduler("test", [Steps()], Limits())
    heard: dict[str, list[tuple[int, int]]] = {"one": [], "other": []}

    async def play() -> None:
        await asyncio.gather(
            running.submit([Item(2), Item(4)], heard=lambda place, new: heard["one"].append((place, new))),
            running.submit([Item(3)], heard=lambda place, new: heard["other"].append((place, new))),
            running.submit([Item(5)]),
        )

    asyncio.run(in_time(play()))
    running.close()
    assert sorted(heard["one"]) == [(0, 1), (1, 1), (1, 2), (1, 3)]
    assert heard["other"] == [(0, 2), (0, 1)]


def test_a_running_batch_stays_within_its_limit() -> None:
    engine = Steps()
    running: Scheduler[Item, int] = Scheduler("test", [engine], Limits(batch_tokens=3))

    async def play() -> None:
        await asyncio.gather(*(running.submit([Item(number, 1)]) for number in (5, 3, 8, 2, 7)))

    asyncio.run(in_time(play()))
    running.close()
    assert max(engine.sizes) <= 3


def test_newcomers_wait_until_an_engine_is_ready() -> None:
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
    assert engine.sizes[:51] == [3] * 30 + [2] * 20 + [3]  # what is left of the first, and both of the later


class Meeting:
    """Batches that wait in it until so many are there."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count)
        self.batches: list[list[int]] = []

    def run(self, batch: Sequence[Item]) -> list[int]:
        self.batches.append(sorted(item.number for item in batch))
        self.barrier.wait(60)
        return [-item.number for item in batch]


def test_lanes_share_what_is_worth_it() -> None:
    """One request in two workers at once, by similar lengths."""
    meeting = Meeting(2)
    with scheduler(meeting.run, workers=2) as running:
        long, short = [Item(n, 100) for n in range(1, 6)], [Item(n, 50) for n in range(6, 16)]
        assert asyncio.run(running.submit([*long, *short])) == [-n for n in range(1, 16)]
    assert sorted(meeting.batches) == [[1, 2, 3, 4, 5], list(range(6, 16))]


def test_a_request_while_a_lane_is_busy_goes_to_another() -> None:
    meeting = Meeting(2)

    async def play(running: Scheduler[Item, int]) -> None:
        first = asyncio.create_task(running.submit([Item(1)]))
        while not meeting.batches:
            await asyncio.sleep(0.001)
        assert await running.submit([Item(2)]) == [-2]
        assert await first == [-1]

    with scheduler(meeting.run, workers=3) as running:
        asyncio.run(in_time(play(running)))


def test_little_is_not_divided() -> None:
    network = Network()
    with scheduler(network.run, workers=3) as running:
        asyncio.run(running.submit([Item(number, 20) for number in range(25)]))
    assert [len(batch) for batch in network.batches] == [25]


def test_a_failure_in_one_lane_fails_its_request_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves both workers at work."""
    monkeypatch.setattr(scheduling, "INLINE_S", 0.0)  # who waits for somebody else is not brief
    meeting = Meeting(2)

    def run(batch: Sequence[Item]) -> list[int]:
        found = meeting.run(batch)
        if any(item.number == 2 for item in batch):
            raise RuntimeError("boom")
        return found

    async def play(running: Scheduler[Item, int]) -> None:
        with pytest.raises(InferenceFailed, match="boom"):
            await running.submit([Item(1, 600), Item(2, 600)])
        third = asyncio.create_task(running.submit([Item(3)]))
        while len(meeting.batches) < 3:
            await asyncio.sleep(0.001)
        assert await running.submit([Item(4)]) == [-4]
        assert await third == [-3]

    with scheduler(run, workers=2) as running:
        asyncio.run(in_time(play(running)))


class Watched:
    """In which thread each batch ran."""

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
    """Until every worker sleeps."""
    while any(worker.state != "idle" for worker in running._lanes):
        await asyncio.sleep(0.001)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is, of which anything is known."""
    monkeypatch.setattr(scheduling, "INLINE_S", 60.0)


@pytest.mark.usefixtures("brief")
def test_what_fits_inline_wakes_nobody() -> None:
    watched, here = Watched(), threading.get_ident()

    async def play(running: Scheduler[Item, int]) -> None:
        assert await running.submit([Item(0)]) == [0]  # nothing is known yet
        await rest(running)
        assert await running.submit([Item(1)]) == [-1]
        # What comes in one turn goes together, as in a worker.
        found = await asyncio.gather(running.submit([Item(2), Item(3)]), running.submit([Item(4)]))
        assert [*found] == [[-2, -3], [-4]]

    with scheduler(watched.run, workers=2) as running:
        asyncio.run(in_time(play(running)))
    assert [sorted(batch) for batch in watched.batches] == [[0], [1], [2, 3, 4]]
    assert [thread == here for thread in watched.threads] == [False, True, True]


def test_what_is_long_runs_in_a_lane() -> None:
    watched = Watched()

    async def play(running: Scheduler[Item, int]) -> None:
        await running.submit([Item(0)])
        for work in ([Item(1, 11)], [Item(2, 6), Item(3, 6)]):
            await rest(running)
            running._lanes[0].engine.seconds_per_token = scheduling.INLINE_S / 10
            await running.submit(work)

    with scheduler(watched.run) as running:
        asyncio.run(in_time(play(running)))
    assert threading.get_ident() not in watched.threads
    assert watched.batches == [[0], [1], [2, 3]]


@pytest.mark.usefixtures("brief")
def test_a_failure_of_what_fits_inline_is_told_as_any() -> None:
    watched, here = Watched(), threading.get_ident()

    async def play(running: Scheduler[Item, int]) -> None:
        await running.submit([Item(0)])
        await rest(running)
        with pytest.raises(InferenceFailed, match="boom") as raised:
            await running.submit([Item(13)])
        assert isinstance(raised.value.__cause__, RuntimeError)
        assert await running.submit([Item(1)]) == [-1]

    with scheduler(watched.run) as running:
        asyncio.run(in_time(play(running)))
    assert [thread == here for thread in watched.threads] == [False, True, True]


@pytest.mark.usefixtures("brief")
def test_a_close_meanwhile_waits_for_what_fits_inline() -> None:
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
            while not running._closed:
                time.sleep(0.001)
            assert not closed.done()
            network.gate.set()
            assert answer.result() == [-1]
            closed.result(60)
    assert network.numbers == [0, 1] and len(calls) == 2  # not the worker's thread, too


@pytest.mark.usefixtures("brief")
def test_an_event_loop_that_ends_before_it_looked_holds_up_no_other() -> None:
    network = Network()

    loop = asyncio.new_event_loop()

    def come_and_go(running: Scheduler[Item, int]) -> None:
        running._enqueue([Item(1)], None)
        loop.stop()

    with scheduler(network.run) as running:
        asyncio.run(running.submit([Item(0)]))
        asyncio.run(rest(running))
        loop.call_soon(come_and_go, running)
        loop.run_forever()
        loop.close()
        assert asyncio.run(in_time(running.submit([Item(2)]))) == [-2]


@pytest.mark.parametrize("seconds", [math.inf, 0.0])
def test_a_scheduler_that_fails_says_so(seconds: float) -> None:
    """A result of nobody's work is no failure of the network: nothing is sure any more."""

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


def test_other_lanes_finish_what_they_run_when_it_fails() -> None:
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
def test_too_few_or_too_many_results_are_a_failure(results: list[int]) -> None:
    async def callers(running: Scheduler[Item, int]) -> None:
        with pytest.raises(InferenceFailed):
            await running.submit([Item(1), Item(2)])
        with pytest.raises(InferenceFailed):  # the thread is still there to answer
            await running.submit([Item(1), Item(2)])

    with scheduler(lambda batch: results) as running:
        asyncio.run(in_time(callers(running)))


def test_errors_of_our_own_are_passed_on() -> None:
    def run(batch: Sequence[Item]) -> list[int]:
        raise InvalidInput("not this")

    with scheduler(run) as running, pytest.raises(InvalidInput, match="not this"):
        asyncio.run(running.submit([Item(1)]))


def test_close_finishes_what_waits_and_then_refuses() -> None:
    network = Network(closed=True)
    running: Scheduler[Item, int] = Scheduler("test", [SinglePassEngine(network.run)], Limits())

    async def play() -> None:
        first = asyncio.create_task(running.submit([Item(0)]))
        await asyncio.to_thread(network.started.wait)
        waiting = asyncio.create_task(running.submit([Item(1), Item(2)]))
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(running.close))
        while not running._closed:  # close() has begun
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
    running.close()  # once more does no harm


def test_nothing_to_do() -> None:
    with scheduler(Network().run) as running:
        assert asyncio.run(running.submit([])) == []
