"""Token constraints: which candidates a hypothesis may continue with.

Legend: R rows, C candidates per row.
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
    unknown: int | None = None
    """<unk>, if the model may produce it. It stands for an unknown symbol of the source, which is copied by attention
    (Luong et al. 2015b, "Addressing the Rare Word Problem"). Forbidden if the source has no unknown symbol."""

    @property
    def num_maskable(self) -> int:
        """Number of ids that can be masked. The search requests this many extra candidates, so that enough remain."""
        return len(self.forbidden) + (self.unknown is not None)

    @cached_property
    def mask(self) -> NDArray[np.float64]:
        """Additive mask by token id: 0 or -inf. Ids beyond its end use the last value."""
        masked = [*self.forbidden, *([] if self.unknown is None else [self.unknown])]
        mask = np.zeros(max(masked, default=0) + 2)
        mask[masked] = -np.inf
        return mask


def constrain(
    candidates: Candidates, special: SpecialTokens, must_end: Flags | None = None, may_copy: Flags | None = None
) -> tuple[NDArray[np.float64], Ids]:
    """Return log-probabilities and ids [R, C], with impossible candidates at -inf.

    must_end [R]: rows that can only produce </s>. None: no row.
    may_copy [R]: rows that may produce <unk>, to copy an unknown symbol. None: no row.
    """
    token_ids = candidates.token_ids
    log_probs = candidates.log_probs + special.mask.take(token_ids, mode="clip")
    if may_copy is not None:
        copies = (token_ids == special.unknown) & may_copy[:, None]
        log_probs[copies] = candidates.log_probs[copies]
    if must_end is not None:
        token_ids = token_ids.copy()
        log_probs[must_end] = -np.inf
        log_probs[must_end, 0] = candidates.eos_log_probs[must_end]
        token_ids[must_end, 0] = special.eos
    return log_probs, token_ids
