"""The confidence of a translated word: the probability that it is right.

The probability that the network gives to a word differs from the share of such words that are right. A logistic
function maps one to the other (Platt 1999, "Probabilistic Outputs for Support Vector Machines"). It is fitted on
validation pairs.
"""

import math

from service.bundle.manifest import WordCalibration

LOWEST = 1e-6
"""Probabilities are at least this and at most 1 minus this, so that their log-odds are finite."""


def logit(log_prob: float) -> float:
    """The log-odds of a probability, from its logarithm."""
    probability = min(max(math.exp(log_prob), LOWEST), 1 - LOWEST)
    return math.log(probability / (1 - probability))


def confidence(log_prob: float, calibration: WordCalibration | None) -> float:
    """The probability that a word is right, from its log-probability; without a calibration its own probability.

    >>> round(confidence(math.log(0.5), None), 3)
    0.5
    """
    if calibration is None:
        return math.exp(log_prob)
    return 1 / (1 + math.exp(-calibration.slope * logit(log_prob) - calibration.intercept))
