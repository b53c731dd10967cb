"""Back-pointers: the tokens and attention of every live hypothesis.

Legend: R rows.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from service.decoding.step import Arrays, Floats, Ids, Rows

Scores = NDArray[np.float64]
NO_SCORES: Scores = np.zeros(0)


class History:
    """A tree of back-pointers: each row of a step points to its parent row in the step before.

    Beam search reorders, copies and drops rows at every step. The history is not reordered with them: a hypothesis is
    read back along its parents once, when its sentence is finished.
    """

    def __init__(self) -> None:
        # Lists, because reading single items of arrays is slow.
        self._steps: list[tuple[list[int], list[int], Arrays, Scores]] = []
        self._num_dropped = 0
        """Steps that were dropped because no live hypothesis is that long."""

    def __len__(self) -> int:
        """Number of steps, including dropped ones."""
        return self._num_dropped + len(self._steps)

    def add(self, parents: Rows, token_ids: Ids, attention: Arrays, scores: Scores = NO_SCORES) -> None:
        """Append a step.

        parents [R]: the parent of each new row in the step before.
        token_ids [R]: the token of each new row.
        attention [R_before, ...]: weights by name, one entry per parent row.
        scores [R]: the sum of the log-probabilities of each row, in any shape.
        """
        self._steps.append((parents.tolist(), token_ids.tolist(), attention, scores))

    def keep(self, rows: Rows, longest: int) -> None:
        """Select rows of the last step, in the given order, and drop steps before the last `longest`.

        Rows beyond the last step belong to sentences that joined since and have no tokens yet.
        """
        if self._steps:
            parents, token_ids, attention, scores = self._steps[-1]
            kept = [row if row < len(parents) else 0 for row in rows.tolist()]  # a new sentence's row is never read
            scores = scores.take(kept) if scores.size else scores
            self._steps[-1] = ([parents[row] for row in kept], [token_ids[row] for row in kept], attention, scores)
        excess = max(0, len(self._steps) - longest)
        del self._steps[:excess]
        self._num_dropped += excess

    def latest(self, rows: Rows) -> list[tuple[int, dict[str, Floats]]]:
        """Return the token and the attention weights of the last step for the given rows."""
        parents, token_ids, attention, _ = self._steps[-1]
        return [
            (token_ids[row], {name: weights[parents[row]] for name, weights in attention.items()})
            for row in rows.tolist()
        ]

    def read(
        self, row: int, steps: int, length: int, names: frozenset[str]
    ) -> tuple[list[int], dict[str, list[Floats]]]:
        """Return the last `length` tokens of the hypothesis in `row` after `steps` steps, with the named attention
        weights of each token."""
        end = steps - self._num_dropped
        path = self._steps[end - length : end]
        tokens: list[int] = []
        rows: list[int] = []  # the row in which each token was computed
        for parents, token_ids, _, _ in reversed(path):
            tokens.append(token_ids[row])
            row = parents[row]
            rows.append(row)
        tokens.reverse()
        rows.reverse()
        return tokens, {name: [step[2][name][row] for step, row in zip(path, rows, strict=True)] for name in names}

    def log_probs(self, row: int, steps: int, length: int) -> list[float]:
        """Return the log-probabilities of the last `length` tokens of the hypothesis in `row` after `steps` steps."""
        end = steps - self._num_dropped
        sums: list[float] = []
        for parents, _, _, scores in reversed(self._steps[end - length : end]):
            sums.append(float(scores.flat[row]))
            row = parents[row]
        sums.append(0.0)
        sums.reverse()
        return [after - before for before, after in pairwise(sums)]
