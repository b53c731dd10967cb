"""Explains a score by several methods, with two submissions of changed texts.

The first submission has the sets of occlusion, of the Shapley values and of the random orders. The second one has the
first units of each method, whose order is known only after the first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from service.explanation import faithfulness, occlusion
from service.explanation.faithfulness import Faithfulness
from service.explanation.shapley import shapley
from service.explanation.subsets import Evaluate, Floats, Subsets

Method = Literal["attention", "contribution", "occlusion", "shapley"]


@dataclass(frozen=True)
class ExplanationParams:
    """Options of an explanation."""

    methods: Sequence[Method]
    evaluations: int | None = None
    """Maximum sets for the Shapley values; see `shapley.shapley`."""
    max_evaluations: int = 4_096
    """Limit of the service for `evaluations`."""
    random_orders: int = 10
    """Number of random orders. With 0 their faithfulness is not measured."""
    seed: int = 0
    """Seed of all random orders."""


@dataclass(frozen=True)
class Explanation:
    """The weights of one method. Legend: U units."""

    method: Method
    weights: Floats
    """[U]: attention weights, contributions to the logit, or changes of the score."""
    errors: Floats | None
    """[U]: standard errors of Shapley values."""
    faithfulness: Faithfulness
    correlation: float | None
    """Rank correlation with occlusion; None for occlusion itself and without it. Attention has no sign, and is
    compared with the absolute changes."""


@dataclass(frozen=True)
class Explained:
    """The explanations of one score."""

    score: float
    empty_score: float | None
    """Score of the empty text, which the Shapley values are relative to. None without Shapley values."""
    explanations: list[Explanation]
    random: Faithfulness | None
    """Faithfulness of random orders, averaged over them. None if no random order is requested."""
    evaluations: int
    """Number of scored texts."""


async def explain(
    units: int, own: Mapping[Method, Callable[[], Floats]], evaluate: Evaluate, params: ExplanationParams
) -> Explained:
    """Explain the score of a text with some units.

    own: functions for the methods of the network itself. They return the weight of each unit [U], and are called after
        `evaluate`
    evaluate: scores sets of kept units

    Raises UnsupportedOption and the errors of `evaluate`.
    """
    subsets = Subsets(units)
    one_less = subsets.add(occlusion.masks(units)) if "occlusion" in params.methods else None
    values = coalitions = None
    if "shapley" in params.methods:
        values = shapley(units, params.evaluations, params.seed, params.max_evaluations)
        coalitions = subsets.add(values.masks)
    orders = faithfulness.random_orders(units, params.random_orders, params.seed)
    random = subsets.add(faithfulness.masks(orders)) if params.random_orders else None
    await subsets.evaluate(evaluate)

    full_score = subsets.full_score
    weights = {method: compute() for method, compute in own.items() if method in params.methods}
    errors: dict[Method, Floats] = {}
    empty_score = None
    if one_less is not None:
        weights["occlusion"] = occlusion.weights(full_score, subsets.scores[one_less])
    if values is not None and coalitions is not None:
        scores = subsets.scores[coalitions]
        weights["shapley"], errors["shapley"] = values.values(scores)
        empty_score = float(scores[0])

    in_order = {method: faithfulness.order_of(weights[method]) for method in params.methods}
    rows = {method: subsets.add(faithfulness.masks(order[None])) for method, order in in_order.items()}
    await subsets.evaluate(evaluate)
    explanations = [
        Explanation(
            method,
            weights[method],
            errors.get(method),
            faithfulness.measure(full_score, subsets.scores[rows[method]]),
            correlation(method, weights),
        )
        for method in params.methods
    ]
    measured = None if random is None else faithfulness.measure(full_score, subsets.scores[random])
    return Explained(full_score, empty_score, explanations, measured, len(subsets.scores))


def correlation(method: Method, weights: dict[Method, Floats]) -> float | None:
    """The rank correlation of a method with occlusion. None for occlusion itself and without it."""
    changes = weights.get("occlusion")
    if changes is None or method == "occlusion":
        return None
    return faithfulness.rank_correlation(weights[method], np.abs(changes) if method == "attention" else changes)
