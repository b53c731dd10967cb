"""Token constraints: which candidates a hypothesis may continue with.

Legend: R rows, C candidates per row, K copy tokens.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from service.decoding.step import Candidates, Flags, Ids


@dataclass(frozen=True)
class SpecialTokens:
    """Ids with a special role in the search."""

    bos: int
    """<s>, the first input of the decoder."""
    eos: int
    """</s>, the end of a hypothesis."""
    forbidden: tuple[int, ...]
    """Ids that are never produced, such as padding and <s>."""
    copies: tuple[int, ...] = ()
    """K copy tokens. Each stands for a piece of the source that is copied: a stand-in, or <unk> for an unknown symbol
    (Luong et al. 2015b, "Addressing the Rare Word Problem"). Forbidden, unless a request allows them."""

    @property
    def num_maskable(self) -> int:
        """Number of ids that can be masked. The search requests this many extra candidates, so that enough remain."""
        return len(self.forbidden) + len(self.copies)

    @cached_property
    def mask(self) -> NDArray[np.float64]:
        """Additive mask by token id: 0 or -inf. Ids beyond its end use the last value."""
        masked = [*self.forbidden, *self.copies]
        mask = np.zeros(max(masked, default=0) + 2)
        mask[masked] = -np.inf
        return mask

    @cached_property
    def copy_index(self) -> Ids:
        """Index among `copies` by token id, -1 for other tokens. Ids beyond its end use the last value."""
        index = np.full(max(self.copies, default=0) + 2, -1, np.int64)
        index[list(self.copies)] = np.arange(len(self.copies))
        return index


def constrain(
    candidates: Candidates, special: SpecialTokens, must_end: Flags | None = None, copies_left: Ids | None = None
) -> tuple[NDArray[np.float64], Ids]:
    """Return log-probabilities and ids [R, C], with impossible candidates at -inf.

    must_end [R]: rows that can only produce </s>. None: no row.
    copies_left [R, K]: how often a row may still produce each copy token. None: never.
    """
    token_ids = candidates.token_ids
    log_probs = candidates.log_probs + special.mask.take(token_ids, mode="clip")
    if copies_left is not None:
        index = special.copy_index.take(token_ids, mode="clip")  # [R, C]
        allowed = (index >= 0) & (np.take_along_axis(copies_left, index.clip(0), axis=1) > 0)
        log_probs[allowed] = candidates.log_probs[allowed]
    if must_end is not None:
        token_ids = token_ids.copy()
        log_probs[must_end] = -np.inf
        log_probs[must_end, 0] = candidates.eos_log_probs[must_end]
        token_ids[must_end, 0] = special.eos
    return log_probs, token_ids


def count_copies(copies_left: Ids, special: SpecialTokens, token_ids: Ids) -> None:
    """Subtract the copy tokens among `token_ids` [R] from `copies_left` [R, K], in place."""
    index = special.copy_index.take(token_ids, mode="clip")
    rows = np.flatnonzero(index >= 0)
    copies_left[rows, index[rows]] -= 1
