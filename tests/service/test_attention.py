import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.attention import AttentionDetail, matrices, outputs_for, significant
from service.bundle.manifest import AttentionOutput


def output(name: str, layer: int | None = None, heads: int | None = None, summary: bool = False) -> AttentionOutput:
    return AttentionOutput(kind="cross", layer=layer, heads=heads, graph="step", output=name, summary=summary)


OUTPUTS = [output("first", 0, 3), output("second", 1, 3, summary=True), output("alone")]


@pytest.mark.parametrize(
    ("detail", "expected"), [("none", []), ("summary", ["second"]), ("full", ["first", "second", "alone"])]
)
def test_only_needed_outputs_are_fetched(detail: AttentionDetail, expected: list[str]) -> None:
    assert [found.output for found in outputs_for(detail, OUTPUTS)] == expected


def test_full_returns_every_head() -> None:
    heads, single = np.random.default_rng(7).random((3, 5, 7)), np.random.default_rng(8).random((5, 7))
    found = matrices("full", [(OUTPUTS[0], heads), (OUTPUTS[2], single)])
    assert [(matrix.kind, matrix.layer, matrix.head) for matrix in found] == [
        ("cross", 0, 0),
        ("cross", 0, 1),
        ("cross", 0, 2),
        ("cross", None, None),
    ]
    for matrix, expected in zip(found, [*heads, single], strict=True):
        assert np.array_equal(matrix.weights, expected)


def test_summary_is_the_mean_of_the_heads() -> None:
    heads = np.random.default_rng(7).random((3, 5, 7))
    [found] = matrices("summary", [(OUTPUTS[1], heads)])
    assert (found.layer, found.head) == (1, None)
    assert found.weights == pytest.approx(sum(heads) / 3)


def test_summary_of_an_output_without_heads() -> None:
    weights = np.array([[0.25, 0.75]])
    [found] = matrices("summary", [(OUTPUTS[2], weights)])
    assert (found.layer, found.head) == (None, None)
    assert np.array_equal(found.weights, weights)


@pytest.mark.parametrize(
    ("weight", "expected"),
    [(0.123456, 0.1235), (0.000123456, 0.0001235), (0.99996, 1.0), (1.0, 1.0), (0.0, 0.0), (3.14159e-12, 3.142e-12)],
)
def test_significant(weight: float, expected: float) -> None:
    assert significant(np.array([[weight]])).tolist() == [[expected]]


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=13))
def test_four_digits_are_kept_and_printed(weights: list[float]) -> None:
    """Any float32 keeps 4 digits; a weight of at least 1e-15 prints with no more."""
    exact = np.array(weights, dtype=np.float32)
    for weight, found in zip(exact.tolist(), significant(exact).tolist(), strict=True):
        assert found == pytest.approx(weight, rel=5.001e-4, abs=0)
        if weight >= 1e-15:
            assert found == float(f"{found:.3e}")


@given(length=st.integers(1, 500), sharpness=st.floats(0, 50), seed=st.integers(0, 10**6))
def test_rows_still_sum_to_one(length: int, sharpness: float, seed: int) -> None:
    scores = sharpness * np.random.default_rng(seed).normal(size=(3, length))
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    assert significant(weights).sum(axis=1) == pytest.approx(np.ones(3), abs=1e-3)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3)])
def test_an_empty_matrix(shape: tuple[int, int]) -> None:
    assert significant(np.zeros(shape, dtype=np.float32)).shape == shape
