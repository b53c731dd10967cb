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


class Clock:
    """Replaces the module `time`. Each look at the clock takes 0.1 ms."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        self.now += 0.0001
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(self.now)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    replaced = Clock()
    monkeypatch.setattr(budget, "time", replaced)
    return replaced


def test_a_check_in_a_thread_releases_the_gil_every_millisecond(clock: Clock) -> None:
    own = Budget(60).for_thread()
    while clock.now < 0.1:
        own.check()
    assert 80 <= len(clock.pauses) <= 100
    gaps = [later - earlier for earlier, later in zip(clock.pauses, clock.pauses[1:], strict=False)]
    assert max(gaps) < 0.0015


def test_a_check_on_the_event_loop_does_not_sleep(clock: Clock) -> None:
    limited = Budget(60)
    while clock.now < 0.1:
        limited.check()
    assert clock.pauses == []
