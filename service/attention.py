"""Attention matrices of an answer: selected, averaged over heads, and rounded.

Legend: N heads, Q queries, K keys.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import ONE_QUERY, AttentionKind, AttentionOutput
from service.errors import AnswerTooLarge

AttentionDetail = Literal["none", "summary", "full"]
Floats = NDArray[np.floating]


@dataclass(slots=True)
class AttentionMatrix:
    kind: AttentionKind
    layer: int | None
    head: int | None
    """None if the output has one head only or the heads are averaged. For `contribution`: the position of the label."""
    weights: Floats
    """[Q, K]: weight of key j for query i. Every row sums to 1, except those of `contribution`."""


def outputs_for(detail: AttentionDetail, outputs: list[AttentionOutput]) -> list[AttentionOutput]:
    """Return the graph outputs that an answer of this detail needs. Others are not fetched."""
    if detail == "none":
        return []
    return [output for output in outputs if detail == "full" or output.summary]


def count_weights(detail: AttentionDetail, outputs: list[AttentionOutput], lengths: Sequence[int]) -> int:
    """Return the number of weights in the matrices of some texts, from their numbers of tokens.

    A translation has about as many tokens as its source.
    """
    linear, square = sum(lengths), sum(length * length for length in lengths)
    return sum(
        (1 if detail == "summary" else output.heads or 1) * (linear if output.kind in ONE_QUERY else square)
        for output in outputs_for(detail, outputs)
    )


def check_weights(weights: int, limit: int) -> None:
    """Raises AnswerTooLarge if an answer would have more weights than the limit."""
    if weights > limit:
        raise AnswerTooLarge(
            f"the answer would have about {weights} attention weights; the limit is {limit} "
            "(LIMELIGHT_MAX_ANSWER_WEIGHTS); send fewer or shorter texts, or ask for less attention"
        )


def matrices(detail: AttentionDetail, outputs: Iterable[tuple[AttentionOutput, Floats]]) -> list[AttentionMatrix]:
    """Return the matrices of one text.

    outputs: the graph outputs of this text without padding, [Q, K] for an output without heads, else [N, Q, K]
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
"""Decimal exponents of float32."""
POWERS = np.array([10.0**exponent for exponent in EXPONENTS])
SCALES = np.array([1.0, *(10.0 ** -(exponent + 1) for exponent in EXPONENTS)])


def significant(weights: Floats, digits: int = 4) -> NDArray[np.float64]:
    """Round to significant digits. With 4 digits row sums stay within 1e-3 of 1 at any length.

    >>> significant(np.array([0.123456, 0.000123456, 0.0])).tolist()
    [0.1235, 0.0001235, 0.0]
    """
    wide = weights.astype(np.float64)
    # An integer divided by a power of ten is the float nearest to the decimal, and prints without further digits.
    scale = SCALES[POWERS.searchsorted(abs(wide), side="right")] * 10.0**digits
    return np.rint(wide * scale) / scale
