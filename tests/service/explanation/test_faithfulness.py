"""Comprehensiveness, sufficiency and rank correlation of known orders."""

import numpy as np

from service.explanation import faithfulness
from service.explanation.faithfulness import rank_correlation


def test_first_units_are_left_out_and_kept() -> None:
    masks = faithfulness.masks(np.array([[2, 0, 1, 3]]))
    assert masks[:4].tolist() == [[True, True, False, True]] * 3 + [[False, True, False, True]]
    assert (masks[4:] == ~masks[:4]).all()


def test_changes_of_an_additive_score() -> None:
    weights = np.array([0.1, 0.4, 0.2, 0.0, 0.05, 0.03, 0.02, 0.01, 0.06, 0.08])
    order = faithfulness.order_of(weights)
    assert order[:3].tolist() == [1, 2, 0]
    scores = faithfulness.masks(order[None]) @ weights
    measured = faithfulness.measure(weights.sum(), scores)
    np.testing.assert_allclose(measured.comprehensiveness, [0.4, 0.4, 0.6, 0.84])
    np.testing.assert_allclose(measured.sufficiency, weights.sum() - measured.comprehensiveness)


def test_random_orders_are_averaged() -> None:
    weights = np.arange(10.0)
    orders = faithfulness.random_orders(10, 2_000, seed=1)
    measured = faithfulness.measure(45.0, faithfulness.masks(orders) @ weights)
    np.testing.assert_allclose(measured.comprehensiveness, [4.5, 4.5, 9.0, 22.5], rtol=0.05)


def test_rank_correlation() -> None:
    assert rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([9.0, 5.0, 1.0])) == -1
    assert rank_correlation(np.array([1.0, 1.0]), np.array([1.0, 2.0])) is None
    # Ties share their mean rank: ranks 1.5, 1.5, 3, 4 and 1, 2, 3, 4.
    found = rank_correlation(np.array([0.0, 0.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert found is not None and abs(found - 4.5 / (4.5 * 5) ** 0.5) < 1e-9
