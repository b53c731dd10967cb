import numpy as np
import pytest

from service.decoding.constraints import SpecialTokens, constrain
from service.decoding.step import Candidates

SPECIAL = SpecialTokens(bos=0, eos=2, forbidden=(0, 3))


def candidates(token_ids: list[list[int]], probabilities: list[list[float]], eos: float = 0.05) -> Candidates:
    rows = len(token_ids)
    return Candidates(
        np.log(np.array(probabilities)).astype(np.float32), np.array(token_ids), np.full(rows, np.log(eos))
    )


def test_forbidden_tokens_and_forced_ends() -> None:
    found = candidates([[3, 1, 2], [0, 1, 3]], [[0.4, 0.3, 0.2], [0.5, 0.3, 0.1]])
    log_probs, token_ids = constrain(found, SPECIAL, np.array([False, True]), np.array([False, False]))
    assert log_probs.dtype == np.float64
    assert np.isneginf(log_probs).tolist() == [[True, False, False], [False, True, True]]
    assert token_ids.tolist() == [[3, 1, 2], [2, 1, 3]]
    assert log_probs[0, 1:] == pytest.approx(np.log([0.3, 0.2]))
    assert log_probs[1, 0] == pytest.approx(np.log(0.05))  # </s> was not a candidate of this row
    assert np.isfinite(found.log_probs).all() and found.token_ids[1, 0] == 0  # the input is unchanged


def test_only_rows_with_an_unknown_symbol_can_copy_it() -> None:
    special = SpecialTokens(bos=0, eos=2, forbidden=(0,), unknown=1)
    found = candidates([[1, 3], [1, 3]], [[0.6, 0.4], [0.6, 0.4]])
    log_probs, _ = constrain(found, special, np.array([False, False]), np.array([True, False]))
    assert np.isneginf(log_probs).tolist() == [[False, False], [True, False]]
    assert special.num_maskable == 2 and SPECIAL.num_maskable == 2
