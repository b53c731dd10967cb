import threading
import time
from contextvars import copy_context

import pytest

from service.batching import budget
from service.batching.budget import UNLIMITED, Budget
from service.errors import InferenceTimeout


def test_a_budget_is_checked_against_its_deadline() -> None:
    limited = Budget(0.02)
    limited.check()
    time.sleep(0.03)
    with pytest.raises(InferenceTimeout, match=r"no answer within 0\.02 s"):
        limited.check()


def test_a_cancelled_budget() -> None:
    limited = Budget(60)
    limited.cancel()
    with pytest.raises(InferenceTimeout):
        limited.check()


def test_the_budget_of_a_thread_has_the_same_deadline_and_is_cancelled_alone() -> None:
    limited = Budget(60)
    own = limited.for_thread()
    assert own.deadline == limited.deadline
    own.cancel()
    limited.check()
    with pytest.raises(InferenceTimeout):
        own.check()


def test_without_a_started_budget_a_check_passes() -> None:
    assert budget.current.get() is UNLIMITED
    budget.check()


def test_a_started_budget_belongs_to_its_context() -> None:
    def request() -> None:
        budget.start(0.0)
        with pytest.raises(InferenceTimeout):
            budget.check()

    copy_context().run(request)
    budget.check()


def counted_while_computing(compute: Budget) -> int:
    """Return how often a second thread ran while this one computed for 0.2 s and checked its budget."""
    counted = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal counted
        while not stop.is_set():
            counted += 1
            time.sleep(0)  # releases the GIL

    thread = threading.Thread(target=count)
    end = time.perf_counter() + 0.2
    thread.start()
    while time.perf_counter() < end:
        compute.check()
    stop.set()
    thread.join()
    return counted


def test_a_check_in_a_thread_lets_other_threads_run() -> None:
    limited = Budget(60)
    assert counted_while_computing(limited.for_thread()) > 3 * counted_while_computing(limited)
