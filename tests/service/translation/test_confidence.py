"""Confidence of words."""

import math

import pytest

from service.bundle.manifest import WordCalibration
from service.translation.confidence import confidence

SAME = WordCalibration(slope=1, intercept=0)


@pytest.mark.parametrize("probability", [1e-5, 0.001, 0.5, 0.9, 0.999])
def test_without_a_calibration_or_with_the_identity_it_is_the_probability(probability: float) -> None:
    log_prob = math.log(probability)
    assert confidence(log_prob, None) == pytest.approx(probability)
    assert confidence(log_prob, SAME) == pytest.approx(probability)


def test_it_rises_with_the_probability_and_stays_within_0_and_1() -> None:
    found = [confidence(log_prob, WordCalibration(slope=0.7, intercept=0.5)) for log_prob in (-1e4, -5, -1, -1e-9, 0.0)]
    assert found == sorted(found) and found[0] >= 0 and found[-1] <= 1
    assert found[2] == pytest.approx(1 / (1 + math.exp(-0.7 * math.log(1 / (math.e - 1)) - 0.5)))
