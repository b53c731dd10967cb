import numpy as np
import pytest

from service.decoding.step import History, Rules, constrain, length_penalty, take

RULES = Rules(bos=0, eos=2, never=(0, 3))


@pytest.mark.parametrize(("length", "alpha", "expected"), [(7, 0.0, 1.0), (7, 1.0, 7.0), (9, 0.5, 3.0), (1, 1.5, 1.0)])
def test_length_penalty(length: int, alpha: float, expected: float) -> None:
    assert length_penalty(length, alpha) == pytest.approx(expected)


def test_constrain() -> None:
    log_probs = np.log(np.array([[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]], dtype=np.float32))
    allowed = constrain(log_probs, RULES, np.array([False, True]), np.array([False, False]))
    assert allowed.dtype == np.float64
    assert np.isneginf(allowed).tolist() == [[True, False, False, True], [True, True, False, True]]
    assert allowed[:, 2] == pytest.approx(np.log([0.3, 0.3]))
    assert np.isfinite(log_probs).all()  # the step's own array is left as it was


def test_only_rows_with_an_unknown_symbol_can_copy_it() -> None:
    rules = Rules(bos=0, eos=2, never=(0,), unknown=1)
    allowed = constrain(np.zeros((2, 4), np.float32), rules, np.array([False, False]), np.array([True, False]))
    assert np.isneginf(allowed).tolist() == [[True, False, False, False], [True, True, False, False]]


def test_take() -> None:
    assert take({"a": np.array([[2], [3], [5]])}, np.array([2, 0, 2]))["a"].tolist() == [[5], [2], [5]]


def test_history_reads_a_hypothesis_back_along_its_parents() -> None:
    history = History()
    first, second = np.array([[[7.0]]]), np.array([[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]])
    history.add(np.array([0, 0, 0]), np.array([11, 12, 13]), {"weights": first})
    history.add(np.array([2, 2, 0]), np.array([21, 22, 23]), {"weights": second})
    tokens, attention = history.read(1)
    assert tokens == [13, 22]
    assert attention["weights"].tolist() == [[7.0, 0.0], [5.0, 6.0]]
    assert history.read(2)[0] == [11, 23]


def test_history_of_nothing() -> None:
    assert History().read(0) == ([], {})
