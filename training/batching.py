"""Batches of texts with similar lengths and a limited number of padded tokens."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler


class TokenBatches(Sampler[list[int]]):
    """Batches of indices. The padded size of a batch (longest text x number of texts) is at most `batch_tokens`.

    Indices are sorted by length plus random noise, so that batches have similar lengths and differ between epochs. The
    order of the batches is random. Without a seed nothing is random.

    >>> list(TokenBatches([5, 1, 2, 1], batch_tokens=6))
    [[1, 3, 2], [0]]
    """

    def __init__(self, lengths: Sequence[int], batch_tokens: int, seed: int | None = None):
        lengths_array = np.asarray(lengths)
        keys = lengths_array.astype(float)
        random = np.random.default_rng(seed)
        if seed is not None:
            keys = keys + random.uniform(0, 1 + 0.05 * keys)
        self.batches: list[list[int]] = [[]]
        longest = 0
        for index in np.argsort(keys, kind="stable").tolist():
            longest = max(longest, int(lengths_array[index]))
            if self.batches[-1] and longest * (len(self.batches[-1]) + 1) > batch_tokens:
                self.batches.append([])
                longest = int(lengths_array[index])
            self.batches[-1].append(index)
        if seed is not None:
            random.shuffle(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def pad(rows: Sequence[Sequence[int]], pad_id: int) -> Tensor:
    """Rows of ids -> int64 [rows, longest], padded with pad_id on the right.

    >>> pad([[4, 5], [6]], pad_id=0).tolist()
    [[4, 5], [6, 0]]
    """
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[pad_id] * (longest - len(row))] for row in rows])
