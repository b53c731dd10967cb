"""Shapley values: the mean change of a score when a unit joins a set, over all orders of the units.

Shapley, "A value for n-person games", 1953. Few units are computed exactly. For more units, random orders are sampled
in pairs of an order and its reverse (Castro, Gomez and Tejada 2009; Mitchell et al. 2022, "antithetic sampling").
In both cases the values sum to the score of the whole text minus the score of the empty text.

Legend: O orders, U units, P pairs of orders.
"""

import math

import numpy as np

from service.errors import UnsupportedOption
from service.explanation.subsets import Floats, Indices, Masks

DEFAULT_EVALUATIONS = 256
MIN_PAIRS = 2
"""Minimum pairs of orders: one pair has no standard error."""


def evaluations_needed(units: int) -> int:
    """Return the minimum number of sets for sampled values: MIN_PAIRS pairs share the empty and the whole text.

    >>> evaluations_needed(25)
    98
    """
    return 2 + 2 * MIN_PAIRS * (units - 1)


def ranks_of(orders: Indices) -> Indices:
    """Orders [O, U] -> the place of each unit in each order, [O, U]."""
    return np.argsort(orders, axis=-1)


class ExactShapley:
    """Values from all 2^U sets."""

    def __init__(self, units: int):
        self._units = units
        numbers = np.arange(2**units)
        self.masks: Masks = (numbers[:, None] >> np.arange(units)) & 1 == 1
        """[2^U, U]"""

    def values(self, scores: Floats) -> tuple[Floats, Floats]:
        """Scores [2^U] -> values [U] and their standard errors [U], which are 0."""
        units = self._units
        sizes = self.masks.sum(axis=1)
        # Share of the orders in which exactly the units of a set of this size come before a given other unit.
        shares = np.array([1 / (units * math.comb(units - 1, size)) for size in range(units)])
        found = np.empty(units)
        for unit in range(units):
            without = np.flatnonzero(~self.masks[:, unit])
            found[unit] = shares[sizes[without]] @ (scores[without + (1 << unit)] - scores[without])
        return found, np.zeros(units)


class SampledShapley:
    """Values from random orders, which a seed determines."""

    def __init__(self, units: int, evaluations: int, seed: int):
        """evaluations: maximum number of sets, at least `evaluations_needed(units)`"""
        pairs = (evaluations - 2) // (2 * (units - 1))
        order = np.tile(np.arange(units), (pairs, 1))
        forward = np.random.default_rng(seed).permuted(order, axis=1)
        self._orders = np.stack([forward, forward[:, ::-1]], axis=1).reshape(2 * pairs, units)
        ranks = ranks_of(self._orders)
        self.masks: Masks = (ranks[:, None, :] < np.arange(units + 1)[:, None]).reshape(-1, units)
        """[O * (U + 1), U]: the first 0, 1, ... U units of each order. They repeat the empty and the full set."""

    def values(self, scores: Floats) -> tuple[Floats, Floats]:
        """Scores of `masks` -> values [U] and their standard errors [U]."""
        orders, units = self._orders.shape
        changes = np.diff(scores.reshape(orders, units + 1), axis=1)
        by_unit = np.take_along_axis(changes, ranks_of(self._orders), axis=1)
        pairs = by_unit.reshape(orders // 2, 2, units).mean(axis=1)
        return pairs.mean(axis=0), pairs.std(axis=0, ddof=1) / math.sqrt(len(pairs))


def shapley(units: int, evaluations: int | None, seed: int, maximum: int) -> ExactShapley | SampledShapley:
    """Choose the sets: all of them if that takes no more evaluations, else sampled orders.

    evaluations: maximum number of sets; None: DEFAULT_EVALUATIONS, or `evaluations_needed` if that is more
    maximum: the limit of the service

    Raises UnsupportedOption if there are too many units for the evaluations, or too many evaluations for the service.
    """
    wanted = max(DEFAULT_EVALUATIONS, evaluations_needed(units)) if evaluations is None else evaluations
    if units < wanted.bit_length():  # 2**units <= wanted
        return ExactShapley(units)
    if wanted < evaluations_needed(units):
        raise UnsupportedOption(
            f"Shapley values of {units} units need at least {evaluations_needed(units)} evaluations, not {wanted}"
        )
    if wanted > maximum:
        raise UnsupportedOption(
            f"{wanted} evaluations for the Shapley values of {units} units; the limit is {maximum} "
            "(LIMELIGHT_MAX_EXPLAIN_EVALUATIONS); send a shorter text or fewer evaluations"
        )
    return SampledShapley(units, wanted, seed)
