import numpy as np
import pytest

from service.decoding.constraints import SpecialTokens, constrain, count_copies
from service.decoding.step import Candidates

SPECIAL = SpecialTokens(bos=0, eos=2, forbidden=(0, 3))


def candidates(token_ids: list[list[int]], probabilities: list[list[float]], eos: float = 0.05) -> Candidates:
    rows = len(token_ids)
    return Candidates(
        np.log(np.array(probabilities)).astype(np.float32), np.array(token_ids), np.full(rows, np.log(eos))
    )


def test_forbidden_tokens_and_forced_ends() -> None:
    found = candidates([[3, 1, 2], [0, 1, 3]], [[0.4, 0.3, 0.2], [0.5, 0.3, 0.1]])
    log_probs, token_ids = constrain(found, SPECIAL, np.array([False, True]))
    assert log_probs.dtype == np.float64
    assert np.isneginf(log_probs).tolist() == [[True, False, False], [False, True, True]]
    assert token_ids.tolist() == [[3, 1, 2], [2, 1, 3]]
    assert log_probs[0, 1:] == pytest.approx(np.log([0.3, 0.2]))
    assert log_probs[1, 0] == pytest.approx(np.log(0.05))  # </s> was not a candidate of this row
    assert np.isfinite(found.log_probs).all() and found.token_ids[1, 0] == 0  # the input is unchanged


def test_only_rows_with_copies_left_can_copy() -> None:
    special = SpecialTokens(bos=0, eos=2, forbidden=(0,), copies=(1, 5))
    found = candidates([[1, 5, 9], [5, 3, 1], [1, 5, 3]], [[0.5, 0.4, 0.1]] * 3)
    log_probs, token_ids = constrain(found, special, None, np.array([[1, 0], [0, 2], [0, -1]]))
    assert np.isneginf(log_probs).tolist() == [[False, True, False], [False, False, True], [True, True, False]]
    assert np.array_equal(token_ids, found.token_ids)
    assert special.num_maskable == 3 and SPECIAL.num_maskable == 2
    without, _ = constrain(found, special)
    assert np.isneginf(without).tolist() == [[True, True, False], [True, False, True], [True, True, False]]


def test_copies_are_counted() -> None:
    special = SpecialTokens(bos=0, eos=2, forbidden=(0,), copies=(1, 5))
    copies_left = np.array([[1, 0], [0, 2], [3, 3]])
    count_copies(copies_left, special, np.array([1, 5, 9]))
    assert copies_left.tolist() == [[0, 0], [0, 1], [3, 3]]
