"""Temperature scaling of probabilities: softmax(z / T) from softmax(z) (Guo et al. 2017, section 4.2).

The temperature is fitted on the validation split, so that the probability of a label is the share of texts for which it
is right. The order of the labels does not change.
"""

from collections.abc import Sequence


def calibrated(probabilities: Sequence[float], temperature: float) -> list[float]:
    """Probabilities at a temperature.

    >>> [round(one, 3) for one in calibrated([0.8, 0.2], 2.0)]
    [0.667, 0.333]
    """
    highest = max(probabilities)
    powers = [(one / highest) ** (1 / temperature) for one in probabilities]
    total = sum(powers)
    return [power / total for power in powers]
