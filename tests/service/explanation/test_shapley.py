"""Shapley values against the definition."""

import itertools
import math

import numpy as np
import pytest

from service.errors import UnsupportedOption
from service.explanation.shapley import ExactShapley, SampledShapley, evaluations_needed, shapley
from service.explanation.subsets import Floats, Masks

WEIGHTS = np.random.default_rng(3).normal(size=9)


def score(masks: Masks) -> Floats:
    """A score in which units depend on each other."""
    sums = masks @ WEIGHTS[: masks.shape[1]]
    return np.asarray(1 / (1 + np.exp(-sums)) + masks[:, 0] * masks[:, -1])


def by_definition(units: int) -> Floats:
    """The mean change over all orders."""
    total = np.zeros(units)
    for order in itertools.permutations(range(units)):
        kept = np.zeros((1, units), dtype=bool)
        for unit in order:
            before = score(kept)[0]
            kept[0, unit] = True
            total[unit] += score(kept)[0] - before
    return total / math.factorial(units)


@pytest.mark.parametrize("units", [1, 2, 5])
def test_exact_values(units: int) -> None:
    made = shapley(units, None, seed=0, maximum=4_096)
    assert isinstance(made, ExactShapley)
    values, errors = made.values(score(made.masks))
    np.testing.assert_allclose(values, by_definition(units), atol=1e-12)
    assert not errors.any()


def test_sampled_values_are_near_the_exact_ones_and_keep_the_sum() -> None:
    made = shapley(9, 400, seed=5, maximum=4_096)
    assert isinstance(made, SampledShapley)
    assert len(np.unique(made.masks, axis=0)) <= 400
    scores = score(made.masks)
    values, errors = made.values(scores)
    exact = ExactShapley(9)
    expected, _ = exact.values(score(exact.masks))
    assert (errors > 0).all()
    assert (abs(values - expected) <= 4 * errors).all()
    assert values.sum() == pytest.approx(score(np.ones((1, 9), dtype=bool))[0] - score(np.zeros((1, 9), dtype=bool))[0])


def test_a_seed_determines_the_orders() -> None:
    masks = [SampledShapley(9, 256, seed).masks for seed in (1, 1, 2)]
    assert (masks[0] == masks[1]).all() and not (masks[0] == masks[2]).all()


def test_evaluations_are_bounded() -> None:
    assert isinstance(shapley(200, None, 0, 4_096), SampledShapley)
    with pytest.raises(UnsupportedOption, match="at least 798"):
        shapley(200, 256, 0, 4_096)
    with pytest.raises(UnsupportedOption, match="the limit is 797"):
        shapley(200, None, 0, evaluations_needed(200) - 1)
