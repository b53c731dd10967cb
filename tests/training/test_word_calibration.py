"""The fitted logistic function is the true one of generated words."""

import numpy as np
import pytest

from service.bundle.manifest import Metric, WordCalibration
from service.translation.confidence import confidence
from training.card import with_rows
from training.word_calibration import calibration_error, fit, right_words


def test_the_function_is_recovered() -> None:
    random = np.random.default_rng(3)
    log_probs = np.log(random.beta(2, 0.7, size=40_000))
    true = WordCalibration(slope=0.6, intercept=-0.4)
    right = random.random(len(log_probs)) < [confidence(one, true) for one in log_probs.tolist()]
    found = fit(log_probs, right)
    assert found.slope == pytest.approx(0.6, abs=0.03) and found.intercept == pytest.approx(-0.4, abs=0.04)
    raw, calibrated = (
        calibration_error([confidence(one, chosen) for one in log_probs.tolist()], right) for chosen in (None, found)
    )
    assert calibrated < 0.01 < 0.1 < raw


def test_words_are_right_as_often_as_the_reference_has_them() -> None:
    assert right_words(["Le", "chien", "et", "le", "chien"], ["Le", "chien", "est", "là"]) == [
        *(True, True, False, False, False)
    ]


def test_the_rows_of_the_card() -> None:
    others = [Metric(name=name, value=1, data="a", detail="") for name in ("BLEU", "chrF2")]
    card = "| metric | value |\n| --- | --- |\n| BLEU | 1 |\n| chrF2 | 1 |\n\nText\n"
    for value in (0.02, 0.01):
        card = with_rows(
            card, others, [Metric(name="calibration error of words (raw)", value=value, data="a", detail="b")]
        )
    assert card.splitlines()[3:] == ["| chrF2 | 1 |", "| calibration error of words (raw) | 0.01 | a | b |", "", "Text"]
