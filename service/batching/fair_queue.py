"""The queue of a model, in fair order, and the choice of a batch. No threads and no clock.

Start-time fair queueing (Goyal, Vin and Cheng, "Start-time Fair Queueing", 1996): a request is a flow, and the unit of
service is a token. The first item of a request gets the virtual time as its start tag, each further item the end of the
item before it. Items run in the order of their start tags. A small request therefore does not wait for all the texts of
a large one that came before it.
"""

import bisect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic

from service.batching.engine import W
from service.batching.request import Request

LOOK_AHEAD = 512
"""Items at the head of the queue among which a batch of similar lengths is chosen."""


@dataclass(order=True)
class Item(Generic[W]):
    """One text or sentence of a request, ordered by its start tag."""

    start_tag: int
    """Virtual time at which the item may start."""
    key: int
    """Unique in its queue. Earlier items have smaller keys."""
    work: W = field(compare=False)
    request: Request = field(compare=False)
    index: int = field(compare=False)
    """Index of its result in the request."""
    length: int = field(compare=False)
    """Tokens; see `Work.length`."""


class FairQueue(Generic[W]):
    """Items in the order of their start tags. The caller holds a lock where several threads use one queue."""

    def __init__(self) -> None:
        self.items: list[Item[W]] = []
        self.tokens = 0
        """Sum of the lengths of the items."""
        self.virtual_time = 0
        """Start tag of the item that was taken last."""
        self._keys = itertools.count()

    def __len__(self) -> int:
        return len(self.items)

    def add(self, request: Request, work: Sequence[W], lengths: Sequence[int]) -> None:
        """Add the items of one request."""
        start_tag = self.virtual_time
        for index, (one, length) in enumerate(zip(work, lengths, strict=True)):
            bisect.insort(self.items, Item(start_tag, next(self._keys), one, request, index, length))
            start_tag += length
        self.tokens = self.tokens + start_tag - self.virtual_time

    def take(self, batch: Sequence[Item[W]]) -> None:
        """Remove the items of a batch and advance the virtual time."""
        self.virtual_time = self.items[0].start_tag
        keys = {item.key for item in batch}
        self.remove(lambda item: item.key in keys)

    def remove(self, unwanted: Callable[[Item[W]], bool]) -> None:
        """Remove items that nobody waits for."""
        self.items = [item for item in self.items if not unwanted(item)]
        self.tokens = sum(item.length for item in self.items)

    def clear(self) -> list[Item[W]]:
        """Remove and return all items."""
        items, self.items, self.tokens = self.items, [], 0
        return items


def choose_batch(
    waiting: Sequence[Item[W]], running_tokens: int, batch_tokens: int, target_tokens: int, min_fill: float
) -> list[Item[W]]:
    """Choose the items that start next: the head of the queue, and items of similar length.

    waiting: the queue, in order
    running_tokens: tokens of the batch that the items join
    batch_tokens: maximum padded tokens of that batch; an item over it is chosen only if nothing runs
    target_tokens: tokens after which no further item is chosen
    min_fill: minimum share of real tokens among the padded tokens of the chosen items
    """
    if not waiting:
        return []
    head = waiting[0]
    room = batch_tokens - running_tokens
    if running_tokens and head.length > room:
        return []
    if len(waiting) == 1:
        return [head]
    by_length = sorted(waiting[:LOOK_AHEAD], key=lambda item: item.length)
    sums = [0, *itertools.accumulate(item.length for item in by_length)]
    low = by_length.index(head)
    high = low + 1
    while True:
        # Add the next shorter item, which gets padding, or the next longer one, to which all others are padded. The
        # one with the smaller difference comes first.
        wider = [(low - 1, high)] * (low > 0) + [(low, high + 1)] * (high < len(by_length))
        wider.sort(key=lambda ends: by_length[ends[1] - 1].length - by_length[ends[0]].length)
        for start, end in wider:
            padded = by_length[end - 1].length * (end - start)
            real = sums[end] - sums[start]
            if padded <= room and real <= target_tokens and real >= min_fill * padded:
                low, high = start, end
                break
        else:
            return by_length[low:high]


def workers_wanted(items: int, tokens: int, min_tokens_per_worker: int) -> int:
    """Return how many workers a queue of this size is worth.

    >>> workers_wanted(items=5, tokens=1_000, min_tokens_per_worker=512)
    2
    """
    return min(items, max(1, -(-tokens // min_tokens_per_worker)))


def tokens_per_worker(items: int, tokens: int, min_tokens_per_worker: int, free_workers: int) -> int:
    """Return the share of the queue that one of the free workers takes.

    >>> tokens_per_worker(items=5, tokens=1_300, min_tokens_per_worker=512, free_workers=2)
    650
    """
    workers = max(1, min(workers_wanted(items, tokens, min_tokens_per_worker), free_workers))
    return max(min_tokens_per_worker, -(-tokens // workers))
