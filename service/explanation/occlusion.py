"""Occlusion: the change of a score when one unit is left out (Zeiler and Fergus 2014; Li, Monroe and Jurafsky 2016).

Legend: R sets, U units.
"""

import numpy as np

from service.explanation.subsets import Floats, Masks


def masks(units: int) -> Masks:
    """Return the sets that lack one unit, [U, U]."""
    return ~np.eye(units, dtype=bool)


def weights(full_score: float, scores: Floats) -> Floats:
    """Scores [U] of the sets of `masks` -> the weight of each unit, [U]: positive if the unit raises the score.

    >>> weights(0.75, np.array([0.25, 1.0])).tolist()
    [0.5, -0.25]
    """
    return full_score - scores
