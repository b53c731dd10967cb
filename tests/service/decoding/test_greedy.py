import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.decoding.greedy import greedy_search
from tests.service.decoding.toy import BOS, EOS, RULES, WORDS, ToyStep, log_probs, score, start


def likeliest(sentence: int, max_length: int) -> list[int]:
    """Greedy search from the definition."""
    found: list[int] = []
    while len(found) < max_length:
        row = log_probs(sentence, [BOS, *found])
        best = max([EOS, *WORDS], key=lambda token: row[token])
        if best == EOS:
            break
        found.append(best)
    return found


@given(st.integers(0, 10**6), st.integers(0, 7), st.sampled_from([0.0, 0.6, 1.0, 1.5]))
def test_takes_the_likeliest_token_each_time(sentence: int, max_length: int, alpha: float) -> None:
    [found] = greedy_search(ToyStep(), start([sentence]), RULES, np.array([max_length]), alpha)
    assert found.token_ids == likeliest(sentence, max_length)
    assert found.score == pytest.approx(score(sentence, found.token_ids, alpha), abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 7)), min_size=1, max_size=5))
def test_alone_as_in_a_batch(sentences: list[tuple[int, int]]) -> None:
    numbers, max_lengths = map(list, zip(*sentences, strict=True))
    batch = greedy_search(ToyStep(), start(numbers), RULES, np.array(max_lengths), 1.0)
    for number, max_length, found in zip(numbers, max_lengths, batch, strict=True):
        [alone] = greedy_search(ToyStep(), start([number]), RULES, np.array([max_length]), 1.0)
        assert (found.token_ids, found.score) == (alone.token_ids, alone.score)
        assert found.attention.keys() == alone.attention.keys()
        assert all(np.array_equal(found.attention[name], alone.attention[name]) for name in found.attention)


@given(st.integers(0, 10**6))
def test_attention_spells_the_prefix(sentence: int) -> None:
    [found] = greedy_search(ToyStep(), start([sentence]), RULES, np.array([5]), 1.0)
    heard = [BOS, *found.token_ids[:-1]]
    if found.token_ids:
        assert found.attention["last"].tolist() == [[token] for token in heard]
        assert found.attention["prefix"][0].tolist() == [
            heard[: t + 1] + [0] * (len(heard) - t - 1) for t in range(len(heard))
        ]
    else:
        assert found.attention == {}


def test_a_finished_sentence_leaves_the_batch() -> None:
    one, both = ToyStep(), ToyStep()
    [found] = greedy_search(one, start([3]), RULES, np.array([7]), 1.0)
    greedy_search(both, start([1, 2, 3]), RULES, np.array([0, 0, 7]), 1.0)
    assert len(found.token_ids) > 1
    assert both.rows == [3, *one.rows[1:]]
