"""Faithfulness: how much a score depends on the units that an explanation puts first.

Comprehensiveness is the score of the whole text minus the score without the first units. Sufficiency is the score of
the whole text minus the score of the first units alone (DeYoung et al. 2020, "ERASER", equations 1 and 2). A faithful
explanation has a high comprehensiveness and a low sufficiency. Both are computed for several shares of the units;
their mean over the shares is the area over the perturbation curve (AOPC; Samek et al. 2017).

Legend: O orders, S shares, U units.
"""

from dataclasses import dataclass

import numpy as np

from service.explanation.shapley import ranks_of
from service.explanation.subsets import Floats, Indices, Masks

SHARES = (0.05, 0.1, 0.2, 0.5)
"""Shares of the units, as in DeYoung et al. 2020 without their first one, 0.01."""


@dataclass(frozen=True)
class Faithfulness:
    """Changes of the score, in the order of SHARES."""

    comprehensiveness: Floats
    """[S]"""
    sufficiency: Floats
    """[S]"""


def counts(units: int) -> Indices:
    """Return the number of first units for each share, rounded, at least one.

    >>> counts(25).tolist()
    [1, 3, 5, 13]
    """
    return np.array([max(1, int(share * units + 0.5)) for share in SHARES], dtype=np.intp)


def order_of(weights: Floats) -> Indices:
    """Units by weight, the highest first. Equal ones are in the order of the text."""
    return np.argsort(-weights, kind="stable")


def random_orders(units: int, number: int, seed: int) -> Indices:
    """Return random orders [O, U], which a seed determines."""
    return np.random.default_rng(seed).permuted(np.tile(np.arange(units), (number, 1)), axis=1)


def masks(orders: Indices) -> Masks:
    """Orders [O, U] -> sets [O * 2 * S, U]: without the first units of each share, then the first units alone."""
    first = ranks_of(orders)[:, None, :] < counts(orders.shape[1])[:, None]
    return np.stack([~first, first], axis=1).reshape(-1, orders.shape[1])


def measure(full_score: float, scores: Floats) -> Faithfulness:
    """Scores of the sets of `masks` -> the changes, averaged over the orders."""
    changes = full_score - scores.reshape(-1, 2, len(SHARES)).mean(axis=0)
    return Faithfulness(changes[0], changes[1])


def rank_correlation(first: Floats, second: Floats) -> float | None:
    """Spearman's rank correlation of two weights per unit, [U] each. None if all weights of one are equal.

    >>> rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.5, 0.7]))
    1.0
    """
    ranks = [_mean_ranks(values) for values in (first, second)]
    if any(np.ptp(one) == 0 for one in ranks):
        return None
    centred = [one - one.mean() for one in ranks]
    norms = [np.linalg.norm(one) for one in centred]
    return round(float(centred[0] @ centred[1] / (norms[0] * norms[1])), 12)


def _mean_ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last_ranks = np.cumsum(sizes).astype(np.float64)
    return np.take(last_ranks - (sizes - 1) / 2, inverse)
