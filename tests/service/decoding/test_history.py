import numpy as np

from service.decoding.history import History


def test_a_hypothesis_is_read_along_its_parents() -> None:
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


def test_an_empty_history() -> None:
    assert History().read(0, 0, 0, frozenset({"weights"})) == ([], {"weights": []})
