from pathlib import Path

import numpy as np
import pytest

from service.bundle.bundle import read_bundle
from service.bundle.files import read_manifest
from service.decoding.onnx_step import OnnxState, OnnxStep
from service.runtime import Runtime
from tests.service import networks


@pytest.fixture(scope="module")
def step(models: Path) -> OnnxStep:
    """The step of the fake translator, which has three states."""
    folder = models / "en-xx" / "1"
    return OnnxStep(Runtime("cpu", threads=1).open(read_bundle(folder, read_manifest(folder)), "step"))


def start(step: OnnxStep, count: int, length: int) -> OnnxState:
    """Return the initial state of `count` sentences with `length` source tokens. `mood` is filled with `count`."""
    mood = np.full((count, networks.D), count, dtype=np.float32)
    wishes = np.ones((count, length, networks.V), dtype=np.float32)
    source = {"mood": mood, "wishes": wishes, "source_mask": np.ones((count, length), dtype=bool)}
    return step.start(source, count)


def test_initial_state(step: OnnxStep) -> None:
    """A state starts as the encoder output of its name, or as zeros of length 0."""
    state = start(step, 3, 7)
    assert state.source.keys() == {"wishes", "source_mask"}
    assert state.past.keys() == {"mood", "clock", "past"}
    assert np.array_equal(state.past["mood"].numpy(), np.full((3, networks.D), 3))
    assert state.past["clock"].numpy().tolist() == [[0.0]] * 3
    assert state.past["past"].shape == [3, 0, networks.D]


def test_one_step(step: OnnxStep) -> None:
    state = start(step, 3, 7)
    ids, parents, lengths = np.array([2, 5, 7]), np.array([0, 1, 2]), np.zeros(3, np.int64)
    names = frozenset({"cross_0", "decoder_self_0"})
    candidates, after, attention = step(ids, parents, lengths, state, networks.V, names)
    assert np.exp(candidates.log_probs).sum(axis=1) == pytest.approx(np.ones(3))
    assert (np.diff(candidates.log_probs, axis=1) <= 0).all()
    eos_log_probs = candidates.log_probs[candidates.token_ids == networks.EOS]
    assert candidates.eos_log_probs == pytest.approx(eos_log_probs)
    few, _, _ = step(ids, parents, lengths, state, 5, names)
    assert np.array_equal(few.token_ids, candidates.token_ids[:, :5])
    assert after.past["clock"].numpy().tolist() == [[1.0]] * 3
    assert after.past["past"].shape == [3, 1, networks.D]
    assert attention.keys() == names


def test_states_join_and_leave(step: OnnxStep) -> None:
    """Sources are padded on the right, pasts on the left."""
    ids, parents, lengths = np.array([2, 5]), np.array([0, 1]), np.zeros(2, np.int64)
    _, one, _ = step(ids, parents, lengths, start(step, 2, 3), 1, frozenset())
    both = step.join(one, start(step, 1, 5))
    assert both.source["source_mask"].tolist() == [[True] * 3 + [False] * 2] * 2 + [[True] * 5]
    assert both.past["clock"].numpy().tolist() == [[1.0], [1.0], [0.0]]
    history = both.past["past"].numpy()
    assert np.array_equal(history[:2, 0], networks.EMBEDDING[[2, 5]]) and not history[2].any()
    left = step.keep(both, np.array([2]), longest=0)
    assert left.source["source_mask"].tolist() == [[True] * 5]
    assert left.past["past"].shape == [3, 0, networks.D]  # rows are selected by the parents of the next step
