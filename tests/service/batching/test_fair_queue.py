"""The order of the queue and the choice of a batch, without threads."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.batching.budget import UNLIMITED
from service.batching.fair_queue import (
    LOOK_AHEAD,
    FairQueue,
    Item,
    choose_batch,
    tokens_per_worker,
    workers_wanted,
)
from service.batching.request import Request
from service.observability import Timing


@dataclass
class Text:
    length: int


@pytest.fixture(scope="module")
def request_() -> Iterator[Request]:
    loop = asyncio.new_event_loop()
    yield make_request(loop)
    loop.close()


def make_request(loop: asyncio.AbstractEventLoop) -> Request:
    return Request(loop, loop.create_future(), [], 0, Timing("test"), UNLIMITED)


def add(queue: FairQueue[Text], request: Request, *lengths: int) -> None:
    queue.add(request, [Text(length) for length in lengths], lengths)


def lengths_of(items: list[Item[Text]]) -> list[int]:
    return [item.length for item in items]


def chosen(
    queue: FairQueue[Text],
    running_tokens: int = 0,
    batch_tokens: int = 100,
    target_tokens: int = 100,
    min_fill: float = 0.7,
) -> list[int]:
    return lengths_of(choose_batch(queue.items, running_tokens, batch_tokens, target_tokens, min_fill))


@pytest.fixture
def queue() -> FairQueue[Text]:
    return FairQueue()


# The order of the queue


def test_items_of_a_request_start_one_after_another(queue: FairQueue[Text], request_: Request) -> None:
    add(queue, request_, 5, 3, 7)
    assert [item.start_tag for item in queue.items] == [0, 5, 8]
    assert [item.index for item in queue.items] == [0, 1, 2]
    assert (len(queue), queue.tokens) == (3, 15)


def test_a_small_request_overtakes_a_large_one(queue: FairQueue[Text], request_: Request) -> None:
    add(queue, request_, 5, 5, 5, 5)
    add(queue, request_, 2)
    assert lengths_of(queue.items) == [5, 2, 5, 5, 5]


def test_a_request_starts_at_the_virtual_time(queue: FairQueue[Text], request_: Request) -> None:
    """It does not overtake items that have waited while others ran."""
    add(queue, request_, 5, 5, 5)
    queue.take(queue.items[:1])
    queue.take(queue.items[:1])
    assert queue.virtual_time == 5
    add(queue, request_, 11)
    assert [(item.start_tag, item.length) for item in queue.items] == [(5, 11), (10, 5)]


def test_taken_and_removed_items_leave_the_queue(queue: FairQueue[Text], request_: Request) -> None:
    add(queue, request_, 5, 3, 7)
    queue.take([queue.items[0], queue.items[2]])
    assert (lengths_of(queue.items), queue.tokens) == ([3], 3)
    add(queue, request_, 11)
    queue.remove(lambda item: item.length == 3)
    assert (lengths_of(queue.items), queue.tokens) == ([11], 11)
    assert lengths_of(queue.clear()) == [11]
    assert (len(queue), queue.tokens) == (0, 0)


@given(st.lists(st.lists(st.integers(1, 13), min_size=1, max_size=5), min_size=2, max_size=5))
def test_requests_get_equal_shares(requests: list[list[int]]) -> None:
    """Goyal et al. 1996, theorem 1: while two requests wait, their service differs by at most two items."""
    loop = asyncio.new_event_loop()
    queue: FairQueue[Text] = FairQueue()
    waiting = {id(request): (request, sum(work)) for work in requests for request in [make_request(loop)]}
    for (request, _), work in zip(waiting.values(), requests, strict=True):
        add(queue, request, *work)
    served = dict.fromkeys(waiting, 0)
    while len(queue):
        item = queue.items[0]
        queue.take([item])
        served[id(item.request)] += item.length
        backlogged = [tokens for key, tokens in served.items() if tokens < waiting[key][1]]
        assert not backlogged or max(backlogged) - min(backlogged) <= 2 * 13
    loop.close()


# The choice of a batch


def test_an_empty_queue(queue: FairQueue[Text]) -> None:
    assert chosen(queue) == []


def test_similar_lengths_join_the_head_of_the_queue(queue: FairQueue[Text], request_: Request) -> None:
    add(queue, request_, 20, 3, 21, 3, 3)
    assert chosen(queue) == [20, 21]


def test_the_head_of_the_queue_is_always_chosen(queue: FairQueue[Text], request_: Request) -> None:
    add(queue, request_, 90, 5, 5, 5, 5)
    assert chosen(queue) == [90]


def test_the_nearest_length_comes_first(queue: FairQueue[Text], request_: Request) -> None:
    add(queue, request_, 10, 12, 9)
    assert chosen(queue, batch_tokens=20) == [9, 10]


@pytest.mark.parametrize(("min_fill", "expected"), [(0.0, [2, 10]), (0.6, [2, 10]), (0.61, [10])])
def test_padding_is_limited(queue: FairQueue[Text], request_: Request, min_fill: float, expected: list[int]) -> None:
    add(queue, request_, 10, 2)
    assert chosen(queue, min_fill=min_fill) == expected


def test_a_batch_stays_within_its_tokens(queue: FairQueue[Text], request_: Request) -> None:
    add(queue, request_, *[7] * 10)
    assert chosen(queue, batch_tokens=30) == [7] * 4
    assert chosen(queue, batch_tokens=30, running_tokens=15) == [7] * 2
    assert chosen(queue, batch_tokens=30, running_tokens=24) == []


def test_an_item_over_the_limit_runs_alone(queue: FairQueue[Text], request_: Request) -> None:
    add(queue, request_, 101, 101)
    assert chosen(queue) == [101]
    assert chosen(queue, running_tokens=1) == []


def test_no_item_is_added_over_the_target(queue: FairQueue[Text], request_: Request) -> None:
    add(queue, request_, *[7] * 10)
    assert chosen(queue, target_tokens=21) == [7] * 3
    assert chosen(queue, target_tokens=1) == [7]


def test_the_choice_looks_ahead_only_so_far(queue: FairQueue[Text], request_: Request) -> None:
    add(queue, request_, 50, *[1] * LOOK_AHEAD, 50)
    assert chosen(queue, batch_tokens=1000, target_tokens=1000) == [50]


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.integers(0, 60),
    st.integers(1, 120),
    st.integers(1, 120),
    st.floats(0, 1),
)
def test_limits_hold_for_any_queue(lengths: list[int], running: int, batch: int, target: int, min_fill: float) -> None:
    loop = asyncio.new_event_loop()
    queue: FairQueue[Text] = FairQueue()
    add(queue, make_request(loop), *lengths)
    loop.close()
    found = chosen(queue, running, batch, target, min_fill)
    if not found:
        assert running and lengths[0] > batch - running
        return
    assert lengths[0] in found
    padded = len(found) * max(found)
    assert len(found) == 1 or (padded <= batch - running and sum(found) <= target and sum(found) >= min_fill * padded)


# The division between workers


@pytest.mark.parametrize(
    ("items", "tokens", "wanted"), [(0, 0, 0), (1, 3, 1), (9, 512, 1), (9, 513, 2), (9, 5_000, 9), (9, 9_000, 9)]
)
def test_workers_wanted(items: int, tokens: int, wanted: int) -> None:
    assert workers_wanted(items, tokens, 512) == wanted


@pytest.mark.parametrize(
    ("tokens", "free_workers", "expected"), [(300, 3, 512), (1_300, 1, 1_300), (1_300, 2, 650), (1_300, 5, 512)]
)
def test_tokens_per_worker(tokens: int, free_workers: int, expected: int) -> None:
    assert tokens_per_worker(9, tokens, 512, free_workers) == expected
