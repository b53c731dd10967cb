import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.decoding.beam import beam_search, best_candidates
from service.decoding.greedy import greedy_search
from service.decoding.step import Arrays, Candidates, Hypothesis, Ids, State
from tests.service.decoding.toy import (
    BOS,
    EOS,
    RULES,
    WORDS,
    ToyStep,
    V,
    beam_by_the_book,
    every_hypothesis,
    likeliest,
    score,
    start,
)

ALPHAS = [0.0, 0.6, 1.0, 1.5]
SENTENCES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 5)), min_size=1, max_size=5)
"""Of each its number and its max_length."""


def search(
    sentences: list[int], max_lengths: list[int], alpha: float = 1.0, beam_size: int = 3
) -> list[list[Hypothesis]]:
    return beam_search(ToyStep(), start(sentences), RULES, np.array(max_lengths), alpha, beam_size)


def same(one: Hypothesis, other: Hypothesis) -> bool:
    return (
        one.token_ids == other.token_ids
        and one.score == other.score
        and one.attention.keys() == other.attention.keys()
        and all(np.array_equal(one.attention[name], other.attention[name]) for name in one.attention)
    )


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("max_length", range(4))
def test_a_wide_beam_finds_every_hypothesis(max_length: int, alpha: float) -> None:
    [found] = search([11], [max_length], alpha, beam_size=127)
    expected = every_hypothesis(11, max_length, alpha)
    assert [hypothesis.token_ids for hypothesis in found] == [tokens for _, tokens in expected]
    assert [hypothesis.score for hypothesis in found] == pytest.approx([score for score, _ in expected], abs=1e-12)


@given(
    number=st.integers(0, 10**6),
    max_length=st.integers(0, 6),
    alpha=st.sampled_from(ALPHAS),
    beam_size=st.integers(1, 5),
)
def test_a_narrow_beam_is_by_the_book(number: int, max_length: int, alpha: float, beam_size: int) -> None:
    [found] = search([number], [max_length], alpha, beam_size)
    expected = beam_by_the_book(number, max_length, alpha, beam_size)
    assert [hypothesis.token_ids for hypothesis in found] == [tokens for _, tokens in expected]
    assert [hypothesis.score for hypothesis in found] == pytest.approx([score for score, _ in expected], abs=1e-12)


@given(sentences=SENTENCES, alpha=st.sampled_from(ALPHAS))
def test_a_beam_of_one_is_greedy(sentences: list[tuple[int, int]], alpha: float) -> None:
    numbers, max_lengths = map(list, zip(*sentences, strict=True))
    greedy = greedy_search(ToyStep(), start(numbers), RULES, np.array(max_lengths), alpha)
    for [one], expected in zip(search(numbers, max_lengths, alpha, beam_size=1), greedy, strict=True):
        assert same(one, expected)


@given(sentences=SENTENCES, alpha=st.sampled_from(ALPHAS), beam_size=st.integers(1, 5))
def test_alone_as_in_a_batch(sentences: list[tuple[int, int]], alpha: float, beam_size: int) -> None:
    numbers, max_lengths = map(list, zip(*sentences, strict=True))
    for (number, max_length), found in zip(sentences, search(numbers, max_lengths, alpha, beam_size), strict=True):
        [alone] = search([number], [max_length], alpha, beam_size)
        assert len(alone) == len(found)
        assert all(same(one, other) for one, other in zip(alone, found, strict=True))


@given(
    number=st.integers(0, 10**6),
    max_length=st.integers(0, 6),
    alpha=st.sampled_from(ALPHAS),
    beam_size=st.integers(1, 5),
)
def test_hypotheses_are_distinct_bounded_and_scored_by_the_definition(
    number: int, max_length: int, alpha: float, beam_size: int
) -> None:
    [found] = search([number], [max_length], alpha, beam_size)
    assert 1 <= len(found) <= beam_size
    assert len({tuple(hypothesis.token_ids) for hypothesis in found}) == len(found)
    scores = [hypothesis.score for hypothesis in found]
    assert scores == sorted(scores, reverse=True)
    for hypothesis in found:
        assert len(hypothesis.token_ids) <= max_length
        assert set(hypothesis.token_ids) <= set(WORDS)  # nothing that is never to be said
        assert hypothesis.score == pytest.approx(score(number, hypothesis.token_ids, alpha), abs=1e-12)


@given(number=st.integers(0, 10**6), max_length=st.integers(0, 6), beam_size=st.integers(1, 5))
def test_attention_follows_its_hypothesis(number: int, max_length: int, beam_size: int) -> None:
    """What each position looked at spells the hypothesis's own prefix, whichever beams it went through."""
    [found] = search([number], [max_length], beam_size=beam_size)
    for tokens, attention in [(hypothesis.token_ids, hypothesis.attention) for hypothesis in found]:
        if not tokens:
            assert attention == {}
            continue
        heard = [BOS, *tokens[:-1]]
        assert attention["last"].tolist() == [[token] for token in heard]
        rows = [heard[: t + 1] + [0] * (len(heard) - t - 1) for t in range(len(heard))]  # zeros where nothing was yet
        assert attention["prefix"].tolist() == [rows, (-np.array(rows)).tolist()]


def test_beams_are_copied_and_dropped() -> None:
    """The test above would say little if every hypothesis stayed in its own row."""
    siblings = 0
    for number in range(11):
        [found] = search([number], [6], beam_size=3)
        started = [hypothesis.token_ids[0] for hypothesis in found if hypothesis.token_ids]
        siblings += len(set(started)) < len(started)
    assert siblings > 0


def test_a_finished_sentence_leaves_the_batch() -> None:
    one, both = ToyStep(), ToyStep()
    beam_search(one, start([3]), RULES, np.array([4]), 1.0, 2)
    beam_search(both, start([1, 2, 3]), RULES, np.array([0, 0, 4]), 1.0, 2)
    assert both.rows == [3, *one.rows[1:]]
    assert set(one.rows[1:]) == {2}


def test_a_length_of_zero_leaves_one_hypothesis() -> None:
    [[only]] = search([5], [0], beam_size=4)
    assert only.token_ids == []
    assert only.score == pytest.approx(score(5, [], 1.0))


def test_no_sentences() -> None:
    assert search([], []) == []


def test_equal_scores_are_ordered_alike_alone_and_in_a_batch() -> None:
    def indifferent(token_ids: Ids, state: State, count: int) -> tuple[Candidates, Arrays, Arrays]:
        return likeliest(np.full((len(token_ids), V), -np.log(V)), count), state.past, {}

    both = beam_search(indifferent, start([1, 2]), RULES, np.array([3, 2]), 1.0, 3)
    alone = beam_search(indifferent, start([2]), RULES, np.array([2]), 1.0, 3)
    assert [h.token_ids for h in both[1]] == [h.token_ids for h in alone[0]]


def test_best_candidates() -> None:
    totals = np.array([[0.0, -1.0, 3.0, 3.0], [-np.inf, -2.0, -np.inf, -1.0]])
    values, places = best_candidates(totals, 3)
    assert places[0].tolist() == [2, 3, 0]
    assert places[1, :2].tolist() == [3, 1]
    assert values[0].tolist() == [3.0, 3.0, 0.0]
    assert best_candidates(totals, 13)[0].shape == (2, 4)  # no more than there are


@given(st.lists(st.lists(st.integers(-3, 3), min_size=7, max_size=7), min_size=1, max_size=3), st.integers(1, 7))
def test_best_candidates_prefer_the_lower_place(rows: list[list[int]], count: int) -> None:
    values, places = best_candidates(np.array(rows, dtype=float), count)
    for row, found, at in zip(rows, values.tolist(), places.tolist(), strict=True):
        assert found == sorted(row, reverse=True)[:count]
        assert at == sorted(at, key=lambda place: (-row[place], place))


def test_ends_where_nothing_else_can_be_said() -> None:
    def only_the_end(token_ids: Ids, state: State, count: int) -> tuple[Candidates, Arrays, Arrays]:
        row = np.full(V, -np.inf)
        row[EOS] = 0.0
        return likeliest(np.tile(row, (len(token_ids), 1)), count), state.past, {}

    [[only]] = beam_search(only_the_end, start([1]), RULES, np.array([7]), 1.0, 3)
    assert (only.token_ids, only.score) == ([], 0.0)
