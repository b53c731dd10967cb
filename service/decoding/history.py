"""Back-pointers: the tokens and attention of every live hypothesis.

Legend: R rows.
"""

import numpy as np

from service.decoding.step import Arrays, Floats, Ids, Rows


class History:
    """A tree of back-pointers: each row of a step points to its parent row in the step before.

    Beam search reorders, copies and drops rows at every step. The history is not reordered with them: a hypothesis is
    read back along its parents once, when its sentence is finished.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[Rows, Ids, Arrays]] = []
        self._num_dropped = 0
        """Steps that were dropped because no live hypothesis is that long."""

    def __len__(self) -> int:
        """Number of steps, including dropped ones."""
        return self._num_dropped + len(self._steps)

    def add(self, parents: Rows, token_ids: Ids, attention: Arrays) -> None:
        """Append a step.

        parents [R]: the parent of each new row in the step before.
        token_ids [R]: the token of each new row.
        attention [R_before, ...]: weights by name, one entry per parent row.
        """
        self._steps.append((parents, token_ids, attention))

    def keep(self, rows: Rows, longest: int) -> None:
        """Select rows of the last step, in the given order, and drop steps before the last `longest`.

        Rows beyond the last step belong to sentences that joined since and have no tokens yet.
        """
        if self._steps:
            parents, token_ids, attention = self._steps[-1]
            rows = np.where(rows < len(parents), rows, 0)  # a new sentence's row is never read
            self._steps[-1] = (parents[rows], token_ids[rows], attention)
        excess = max(0, len(self._steps) - longest)
        del self._steps[:excess]
        self._num_dropped += excess

    def latest(self, rows: Rows) -> list[tuple[int, dict[str, Floats]]]:
        """Return the token and the attention weights of the last step for the given rows."""
        parents, token_ids, attention = self._steps[-1]
        return [
            (int(token_ids[row]), {name: weights[parents[row]] for name, weights in attention.items()})
            for row in rows.tolist()
        ]

    def read(
        self, row: int, steps: int, length: int, names: frozenset[str]
    ) -> tuple[list[int], dict[str, list[Floats]]]:
        """Return the last `length` tokens of the hypothesis in `row` after `steps` steps, with the named attention
        weights of each token."""
        tokens: list[int] = []
        attention: dict[str, list[Floats]] = {name: [] for name in names}
        end = steps - self._num_dropped
        for parents, token_ids, weights in reversed(self._steps[end - length : end]):
            tokens.append(int(token_ids[row]))
            row = int(parents[row])
            for name, positions in attention.items():
                positions.append(weights[name][row])
        tokens.reverse()
        for positions in attention.values():
            positions.reverse()
        return tokens, attention
