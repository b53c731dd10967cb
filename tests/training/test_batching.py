"""Batches: within the budget, every example once, the same for the same seed."""

from hypothesis import given
from hypothesis import strategies as st

from training.batching import TokenBatches, pad


@given(st.lists(st.integers(1, 50), min_size=1, max_size=100), st.integers(1, 200), st.none() | st.integers(0, 9))
def test_budget_and_completeness(lengths: list[int], budget: int, seed: int | None) -> None:
    batches = list(TokenBatches(lengths, budget, seed))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= budget
    assert batches == list(TokenBatches(lengths, budget, seed))


def test_seeds_differ_and_padding_is_rare() -> None:
    lengths = [n % 40 + 1 for n in range(4000)]
    first, second = list(TokenBatches(lengths, 1000, seed=1)), list(TokenBatches(lengths, 1000, seed=2))
    assert first != second
    padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in first)
    assert padded < 1.1 * sum(lengths)


def test_pad() -> None:
    assert pad([[1, 2, 3], [4]], 9).tolist() == [[1, 2, 3], [4, 9, 9]]
