import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from service.batching import budget, offload
from service.batching.offload import Cost, ThreadPool, run_in_thread, run_in_thread_if_long
from service.errors import EmptyText, InferenceTimeout, Overloaded

T = TypeVar("T")
SHORT, LONG = "a" * 10, "a" * 10_000


def run(awaitable: Awaitable[T]) -> T:
    return asyncio.run(asyncio.wait_for(awaitable, 60))


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    made = ThreadPool("test", max_threads=2, max_waiting=3, idle_s=0.05)
    yield made
    until(lambda: made.threads == 0)


@pytest.fixture(autouse=True)
def costs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Cost]:
    """Forget the costs that other tests measured."""
    fresh: dict[str, Cost] = {}
    monkeypatch.setattr(offload, "_costs", fresh)
    return fresh


def test_a_short_text_runs_on_the_event_loop() -> None:
    assert run(run_in_thread_if_long([SHORT], threading.get_ident)) == threading.get_ident()


@pytest.mark.parametrize("texts", [[LONG], [SHORT] * 100])
def test_long_texts_run_in_a_thread(texts: list[str]) -> None:
    assert run(run_in_thread_if_long(texts, threading.get_ident)) != threading.get_ident()


def test_a_slow_function_runs_in_a_thread_for_a_short_text() -> None:
    threads = []

    def slow() -> None:
        threads.append(threading.get_ident())
        end = time.thread_time() + 0.01
        while time.thread_time() < end:
            pass

    for _ in range(5):
        run(run_in_thread_if_long([SHORT], slow))
    assert [thread == threading.get_ident() for thread in threads] == [True, True, True, False, False]


def test_the_cost_of_a_function_falls_after_fast_runs() -> None:
    cost = Cost()
    for _ in range(3):
        cost.observe(100, 0.1)
    assert not cost.fits_inline(100)
    runs = 0
    while not cost.fits_inline(100):
        cost.observe(100, 0.00001)
        runs += 1
    assert 2 < runs < 200


def test_waits_in_a_busy_process_do_not_send_short_texts_to_threads() -> None:
    cost = Cost()
    for _ in range(50):
        cost.observe(500, 0.0001)
        cost.observe(500, 0.02)
        assert cost.fits_inline(500)


def test_a_single_slow_run_has_no_effect() -> None:
    cost = Cost()
    for _ in range(100):
        cost.observe(100, 0.00005)
    cost.observe(100, 1.0)
    assert cost.fits_inline(100)


def test_a_fast_function_is_not_trusted_with_long_texts() -> None:
    cost = Cost()
    for _ in range(1000):
        cost.observe(100, 0.0)
    assert cost.fits_inline(offload.INLINE_CHARACTERS)
    assert not cost.fits_inline(offload.INLINE_CHARACTERS + 1)


def test_each_function_has_its_own_cost(costs: dict[str, Cost]) -> None:
    async def request() -> None:
        for _ in range(2):
            await run_in_thread_if_long([SHORT], lambda: None)
        await run_in_thread_if_long([SHORT], lambda: None)

    run(request())
    assert len(costs) == 1  # lambdas of one function share a name
    run(run_in_thread_if_long([SHORT], threading.get_ident))
    assert len(costs) == 2


@pytest.mark.parametrize("text", [SHORT, LONG])
def test_errors_reach_the_caller(text: str) -> None:
    def fail() -> None:
        raise EmptyText("nothing")

    with pytest.raises(EmptyText, match="nothing"):
        run(run_in_thread_if_long([text], fail))


def test_a_function_runs_in_the_context_of_its_caller() -> None:
    async def request() -> float:
        budget.start(17.0)
        return await run_in_thread(lambda: budget.current.get().seconds)

    assert run(request()) == 17


def endless() -> None:
    while True:
        budget.check()


def test_a_function_stops_at_the_deadline(pool: ThreadPool) -> None:
    async def request() -> None:
        budget.start(0.05)
        await run_in_thread(endless, pool)

    with pytest.raises(InferenceTimeout, match=r"within 0\.05 s"):
        run(request())


def test_a_function_stops_when_its_caller_is_cancelled(pool: ThreadPool) -> None:
    stopped = threading.Event()

    def observed() -> None:
        try:
            endless()
        finally:
            stopped.set()

    async def request() -> None:
        task = asyncio.create_task(run_in_thread(observed, pool))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(stopped.wait, 60)

    run(request())


def test_a_function_whose_caller_has_gone_does_not_start(pool: ThreadPool) -> None:
    gate, ran = threading.Event(), []

    async def request() -> None:
        running = [asyncio.create_task(run_in_thread(gate.wait, pool)) for _ in range(2)]
        waiting = asyncio.create_task(run_in_thread(lambda: ran.append("cancelled"), pool))
        late = asyncio.create_task(late_request())
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*running)
        with pytest.raises(InferenceTimeout):
            await late

    async def late_request() -> None:
        budget.start(0.01)
        await run_in_thread(lambda: ran.append("late"), pool)

    run(request())
    assert ran == []


def test_threads_and_waiting_functions_are_limited(pool: ThreadPool) -> None:
    gate, running = threading.Event(), []

    def wait() -> None:
        running.append(threading.get_ident())
        gate.wait()

    async def request() -> None:
        tasks = [asyncio.create_task(run_in_thread(wait, pool)) for _ in range(2)]
        await asyncio.to_thread(until, lambda: len(running) == 2)
        tasks += [asyncio.create_task(run_in_thread(wait, pool)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="3 requests are waiting for a thread"):
            await run_in_thread(wait, pool)
        assert pool.threads == 2
        gate.set()
        await asyncio.gather(*tasks)

    run(request())
    assert len(running) == 5 and len(set(running)) == 2


def test_threads_are_used_again() -> None:
    """A thread may start before the others are idle."""
    pool = ThreadPool("test", max_threads=20, idle_s=0.5)

    async def request() -> set[int]:
        return {await run_in_thread(threading.get_ident, pool) for _ in range(20)}

    assert len(run(request())) <= 5
    until(lambda: pool.threads == 0)


def test_threads_and_files_return_to_their_number_after_load(pool: ThreadPool) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0

    async def request() -> None:
        await asyncio.gather(*(run_in_thread(lambda: time.sleep(0.001), pool) for _ in range(3)))

    before = threading.active_count(), descriptors()
    for _ in range(20):
        run(request())
    assert pool.threads > 0
    until(lambda: pool.threads == 0)
    until(lambda: (threading.active_count(), descriptors()) == before)


def test_an_error_frees_the_texts_of_its_function(pool: ThreadPool) -> None:
    """Without a garbage collection: it would come late, and texts are large."""

    class Texts(list[str]):
        pass

    async def fail() -> "weakref.ref[Texts]":
        texts = Texts(["a"])

        def refuse() -> None:
            raise EmptyText(texts[0])

        with pytest.raises(EmptyText):
            await run_in_thread(refuse, pool)
        return weakref.ref(texts)

    gc.disable()
    try:
        texts = asyncio.run(fail())
        until(lambda: pool.threads == 0)
        assert texts() is None
    finally:
        gc.enable()


def test_an_event_loop_that_has_ended_is_not_called(pool: ThreadPool) -> None:
    gate, done = threading.Event(), threading.Event()

    def wait() -> None:
        gate.wait()
        done.set()

    async def request() -> None:
        asyncio.create_task(run_in_thread(wait, pool))
        await asyncio.sleep(0.01)

    asyncio.run(request())
    gate.set()
    assert done.wait(60)
    assert run(run_in_thread(lambda: 7, pool)) == 7


ENDLESS = """
import asyncio, time
from service.batching.offload import run_in_thread


async def main() -> None:
    task = asyncio.create_task(run_in_thread(lambda: time.sleep(600)))
    await asyncio.sleep(0.05)
    task.cancel()


asyncio.run(main())
print("ended")
"""


def test_a_function_that_never_returns_does_not_keep_the_process_from_ending() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDLESS], check=True, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "ended\n"
