"""The sets of kept units that an explanation needs, each scored once.

Legend: R sets, U units (words or tokens).
"""

from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

from service.batching import budget

Masks = NDArray[np.bool_]
"""[R, U]: true for the units that a set keeps."""
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Evaluate = Callable[[Masks], Awaitable[Floats]]
"""Sets [R, U] -> their scores: [R], or one for each of T words of an output, [R, T]."""


class Subsets:
    """Distinct sets of kept units with their scores. Set 0 keeps all units."""

    def __init__(self, units: int):
        self.units = units
        self.scores: Floats = np.zeros(0)
        """[R] or [R, T]: scores of the sets that have been evaluated."""
        self._index: dict[bytes, int] = {}
        self._waiting: list[NDArray[np.bool_]] = []
        self.add(np.ones((1, units), dtype=bool))

    def __len__(self) -> int:
        """Number of distinct sets."""
        return len(self._index)

    @property
    def full_score(self) -> float:
        """Score of the whole text, if there is one score per set."""
        return float(self.scores[0])

    def add(self, masks: Masks) -> Indices:
        """Add sets. Returns the index of each, which selects its score in `scores` after `evaluate`."""
        indices = []
        for mask in masks:
            budget.check()
            index = self._index.setdefault(mask.tobytes(), len(self._index))
            if index == len(self.scores) + len(self._waiting):
                self._waiting.append(mask)
            indices.append(index)
        return np.array(indices, dtype=np.intp)

    async def evaluate(self, evaluate: Evaluate) -> None:
        """Score the sets that have no score yet, in one call. Raises the errors of `evaluate`."""
        if self._waiting:
            masks, self._waiting = np.array(self._waiting), []
            scores = await evaluate(masks)
            self.scores = np.concatenate([self.scores, scores]) if len(self.scores) else scores
