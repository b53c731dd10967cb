"""Influence: how much the words of an input change the probability of each word of a given output.

The words of a translation depend on the words of its source (Alvarez-Melis and Jaakkola 2017, "A causal framework for
explaining the predictions of black-box sequence-to-sequence models"). The characters of a text depend on those before
them. Each row of a matrix explains one word of the output, by its own order of the units.

Legend: U units of the input, T words of the output, O orders.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from service.errors import UnsupportedOption
from service.explanation import faithfulness, occlusion
from service.explanation.faithfulness import SHARES, Faithfulness
from service.explanation.subsets import Evaluate, Floats, Indices, Subsets

InfluenceMethod = Literal["attention", "occlusion"]


@dataclass(frozen=True)
class InfluenceParams:
    """Options of an explanation of an output."""

    methods: Sequence[InfluenceMethod]
    max_evaluations: int = 4_096
    """Maximum number of changed inputs."""
    random_orders: int = 10
    """Minimum number of random orders over all words of the output. With 0 there are none."""
    seed: int = 0
    """Seed of the random orders."""


@dataclass(frozen=True)
class Influence:
    """The weights of one method."""

    method: InfluenceMethod
    weights: Floats
    """[T, U]: attention weights, or falls of the log-probability; 0 for units that a word cannot depend on."""
    faithfulness: Faithfulness
    """Changes of the log-probability, averaged over the words of the output."""
    correlation: float | None
    """Rank correlation of attention with the absolute weights of occlusion, averaged over the words of the output."""


@dataclass(frozen=True)
class Influences:
    """The explanations of one output."""

    log_probs: Floats
    """[T]"""
    explanations: list[Influence]
    random: Faithfulness | None
    """Faithfulness of random orders, averaged over them and the words of the output."""
    evaluations: int
    """Number of scored inputs."""


async def explain(
    available: Indices, units: int, attention: Callable[[], Floats], evaluate: Evaluate, params: InfluenceParams
) -> Influences:
    """Explain each word of an output by the units of its input.

    available: [T], number of units that each word of the output can depend on: the first ones. At least one
    attention: returns the attention that each word pays to each unit [T, U]; called after `evaluate`
    evaluate: scores sets of kept units: log-probabilities [R, T]

    Raises UnsupportedOption if more than `max_evaluations` inputs are needed, and the errors of `evaluate`.
    """
    subsets = Subsets(units)
    one_less = subsets.add(occlusion.masks(units))
    drawn = _random_orders(available, params)
    random = [_add(subsets, orders) for orders in drawn]
    _check(subsets, params)
    await subsets.evaluate(evaluate)

    full = np.array(subsets.scores[0])
    possible = np.arange(units) < available[:, None]
    changes = np.where(possible, full[:, None] - subsets.scores[one_less].T, 0.0)
    weights: dict[InfluenceMethod, Floats] = {"occlusion": changes}
    if "attention" in params.methods:
        weights["attention"] = np.where(possible, attention(), 0.0)

    rows = {
        method: [
            _add(subsets, faithfulness.order_of(row[:count])[None])
            for row, count in zip(weights[method], available.tolist(), strict=True)
        ]
        for method in params.methods
    }
    _check(subsets, params)
    await subsets.evaluate(evaluate)
    explanations = [
        Influence(
            method,
            weights[method],
            _mean(full, subsets, rows[method]),
            _correlation(weights["attention"], changes, available) if method == "attention" else None,
        )
        for method in params.methods
    ]
    measured = _mean(full, subsets, random) if params.random_orders else None
    return Influences(full, explanations, measured, len(subsets.scores))


def _random_orders(available: Indices, params: InfluenceParams) -> list[Indices]:
    """Orders [O, available units] for each word of the output, the same number for each. They differ between words."""
    each = math.ceil(params.random_orders / len(available))
    return [
        faithfulness.random_orders(count, each, params.seed * len(available) + row)
        for row, count in enumerate(available.tolist())
    ]


def _add(subsets: Subsets, orders: Indices) -> Indices:
    """Add the sets of `faithfulness.masks`. The units that are not in the orders are kept."""
    masks = faithfulness.masks(orders)
    padding = [(0, 0), (0, subsets.units - masks.shape[1])]
    return subsets.add(np.pad(masks, padding, constant_values=True))


def _check(subsets: Subsets, params: InfluenceParams) -> None:
    if len(subsets) > params.max_evaluations:
        raise UnsupportedOption(
            f"{len(subsets)} changed inputs; the limit is {params.max_evaluations} "
            "(LIMELIGHT_MAX_EXPLAIN_EVALUATIONS); send a shorter text or output, or fewer methods or random orders"
        )


def _mean(full: Floats, subsets: Subsets, rows: Sequence[Indices]) -> Faithfulness:
    """The faithfulness, averaged over the words of the output. rows: for each word, the places of its sets."""
    measured = [
        faithfulness.measure(float(score), subsets.scores[places, row])
        for row, (score, places) in enumerate(zip(full, rows, strict=True))
    ]
    return Faithfulness(
        np.mean([one.comprehensiveness for one in measured], axis=0).reshape(len(SHARES)),
        np.mean([one.sufficiency for one in measured], axis=0).reshape(len(SHARES)),
    )


def _correlation(attention: Floats, changes: Floats, available: Indices) -> float | None:
    """The mean rank correlation over the rows that have one."""
    found = [
        faithfulness.rank_correlation(weights[:count], np.abs(row[:count]))
        for weights, row, count in zip(attention, changes, available.tolist(), strict=True)
    ]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None
