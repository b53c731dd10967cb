import numpy as np
import pytest

from service.decoding.step import Candidates, History, Rules, constrain, length_penalty

RULES = Rules(bos=0, eos=2, never=(0, 3))


@pytest.mark.parametrize(("length", "alpha", "expected"), [(7, 0.0, 1.0), (7, 1.0, 7.0), (9, 0.5, 3.0), (1, 1.5, 1.0)])
def test_length_penalty(length: int, alpha: float, expected: float) -> None:
    assert length_penalty(length, alpha) == pytest.approx(expected)


def candidates(token_ids: list[list[int]], probabilities: list[list[float]], end: float = 0.05) -> Candidates:
    rows = len(token_ids)
    return Candidates(
        np.log(np.array(probabilities)).astype(np.float32), np.array(token_ids), np.full(rows, np.log(end))
    )


def test_constrain() -> None:
    found = candidates([[3, 1, 2], [0, 1, 3]], [[0.4, 0.3, 0.2], [0.5, 0.3, 0.1]])
    allowed, token_ids = constrain(found, RULES, np.array([False, True]), np.array([False, False]))
    assert allowed.dtype == np.float64
    assert np.isneginf(allowed).tolist() == [[True, False, False], [False, True, True]]
    assert token_ids.tolist() == [[3, 1, 2], [2, 1, 3]]
    assert allowed[0, 1:] == pytest.approx(np.log([0.3, 0.2]))
    assert allowed[1, 0] == pytest.approx(np.log(0.05))  # it was no candidate, and has to be said
    assert (
        np.isfinite(found.log_probs).all() and found.token_ids[1, 0] == 0
    )  # the step's own arrays are left as they were


def test_only_rows_with_an_unknown_symbol_can_copy_it() -> None:
    rules = Rules(bos=0, eos=2, never=(0,), unknown=1)
    found = candidates([[1, 3], [1, 3]], [[0.6, 0.4], [0.6, 0.4]])
    allowed, _ = constrain(found, rules, np.array([False, False]), np.array([True, False]))
    assert np.isneginf(allowed).tolist() == [[False, False], [True, False]]
    assert rules.spare == 2 and RULES.spare == 2


def test_history_reads_a_hypothesis_back_along_its_parents() -> None:
    history = History()
    first, second = np.array([[[7.0]]]), np.array([[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]])
    history.add(np.array([0, 0, 0]), np.array([11, 12, 13]), {"weights": first})
    history.add(np.array([2, 2, 0]), np.array([21, 22, 23]), {"weights": second})
    tokens, attention = history.read(1, 2, 2, frozenset({"weights"}))
    assert tokens == [13, 22]
    assert [weights.tolist() for weights in attention["weights"]] == [[[7.0]], [[5.0, 6.0]]]
    assert history.read(2, 2, 2, frozenset()) == ([11, 23], {})
    assert history.read(2, 1, 1, frozenset()) == ([13], {})
    history.keep(np.array([2, 3]), 1)
    assert history.read(0, 2, 1, frozenset()) == ([23], {})
    assert len(history) == 2


def test_history_of_nothing() -> None:
    assert History().read(0, 0, 0, frozenset({"weights"})) == ([], {"weights": []})
