"""Attention matrices on their way to a reader: cropped, selected, reduced, rounded.

Legend: N heads, Q queries, K keys.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import AttentionKind, AttentionOutput

AttentionDetail = Literal["none", "summary", "full"]
Floats = NDArray[np.floating]


@dataclass(slots=True)
class AttentionMatrix:
    kind: AttentionKind
    layer: int | None
    head: int | None
    """None: there is one only, or the heads were averaged."""
    weights: Floats
    """[Q, K]: how much query i looks at key j; every row sums to 1."""


def outputs_for(detail: AttentionDetail, outputs: list[AttentionOutput]) -> list[AttentionOutput]:
    """Which graph outputs an answer of this detail needs, so that no other is fetched."""
    if detail == "none":
        return []
    return [output for output in outputs if detail == "full" or output.summary]


def matrices(detail: AttentionDetail, outputs: Iterable[tuple[AttentionOutput, Floats]]) -> list[AttentionMatrix]:
    """The matrices of an answer, from what one text's rows of the graph outputs hold, already cropped.

    Each array is [Q, K] where the output has no heads, else [N, Q, K].
    """
    found = []
    for output, weights in outputs:
        if output.heads is None:
            found.append(AttentionMatrix(output.kind, output.layer, None, weights))
        elif detail == "summary":
            found.append(AttentionMatrix(output.kind, output.layer, None, weights.mean(axis=0)))
        else:
            found.extend(AttentionMatrix(output.kind, output.layer, n, head) for n, head in enumerate(weights))
    return found


EXPONENTS = range(-45, 40)
"""Of ten, in all that float32 holds."""
POWERS = np.array([10.0**exponent for exponent in EXPONENTS])
SCALES = np.array([1.0, *(10.0 ** -(exponent + 1) for exponent in EXPONENTS)])


def significant(weights: Floats, digits: int = 4) -> NDArray[np.float64]:
    """Rounded to so many significant digits, which keeps the row sums within 1e-3 at any length.

    >>> significant(np.array([0.123456, 0.000123456, 0.0])).tolist()
    [0.1235, 0.0001235, 0.0]
    """
    wide = weights.astype(np.float64)
    # An integer over a power of ten: the nearest float to the decimal, so it prints with so many digits and no more.
    scale = SCALES[POWERS.searchsorted(abs(wide), side="right")] * 10.0**digits
    return np.rint(wide * scale) / scale
