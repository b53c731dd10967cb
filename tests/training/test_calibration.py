"""The fitted temperature is the true one of generated labels."""

import numpy as np
import pytest

from service.bundle.manifest import Metric
from service.classification.calibration import calibrated
from training.calibration import at_temperature, calibration_error, fit_temperature
from training.card import with_rows


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_recovered(temperature: float) -> None:
    random = np.random.default_rng(3)
    raw = random.dirichlet([0.5, 0.5, 0.5], size=20_000)
    true = at_temperature(raw, temperature)
    labels = (true.cumsum(axis=1) > random.random((len(true), 1))).argmax(axis=1)
    found = fit_temperature(raw, labels)
    assert found == pytest.approx(temperature, rel=0.04)
    after = calibration_error(at_temperature(raw, found), labels)
    assert after < 0.015
    assert temperature == 1 or after < calibration_error(raw, labels) / 3


def test_the_service_computes_the_same(temperature: float = 0.7) -> None:
    rows = [[0.2, 0.7, 0.1], [1.0, 0.0, 0.0], [1e-20, 1 - 1e-20, 1e-25]]
    expected = at_temperature(np.array(rows), temperature)
    np.testing.assert_allclose([calibrated(row, temperature) for row in rows], expected, atol=1e-12)


def test_the_rows_of_the_card() -> None:
    others = [Metric(name=name, value=1, data="a", detail="") for name in ("accuracy", "calibration error")]
    card = "| accuracy | 0.9 | a | |\n| calibration error | 0.03 | a test | |\n\nText\n"
    for value in (0.02, 0.01):
        card = with_rows(
            card, others, [Metric(name="calibration error (raw)", value=value, data="a valid", detail="T = 2")]
        )
    assert card.splitlines()[2:] == ["| calibration error (raw) | 0.01 | a valid | T = 2 |", "", "Text"]
