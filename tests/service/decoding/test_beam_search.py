import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.decoding.beam_search import Search, best_candidates
from service.decoding.step import Floats, Goal, Hypothesis
from tests.service.decoding.toy import (
    ATTENTION,
    BOS,
    EOS,
    RULES,
    WORDS,
    ToyStep,
    V,
    beam_by_the_book,
    every_hypothesis,
    greedy_by_the_book,
    score,
    search,
    start,
)

ALPHAS = [0.0, 0.6, 1.0, 1.5]
SENTENCES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 5)), min_size=1, max_size=5)
"""Of each its number and its max_length."""


def spelled(hypothesis: Hypothesis, name: str) -> list[list[list[int]]]:
    """Its attention, of each position what is its own."""
    return [weights[..., -t - 1 :].tolist() for t, weights in enumerate(hypothesis.attention[name])]


def same(one: Hypothesis, other: Hypothesis) -> bool:
    return (
        one.token_ids == other.token_ids
        and one.score == other.score
        and one.attention.keys() == other.attention.keys()
        and all(spelled(one, name) == spelled(other, name) for name in one.attention)
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


@given(st.integers(0, 10**6), st.integers(0, 7), st.sampled_from(ALPHAS))
def test_a_beam_of_one_is_greedy(number: int, max_length: int, alpha: float) -> None:
    [[found]] = search([number], [max_length], alpha, beam_size=1)
    assert found.token_ids == greedy_by_the_book(number, max_length)
    assert found.score == pytest.approx(score(number, found.token_ids, alpha), abs=1e-12)


@given(sentences=SENTENCES, alpha=st.sampled_from(ALPHAS), beam_size=st.integers(1, 5))
def test_alone_as_in_a_batch(sentences: list[tuple[int, int]], alpha: float, beam_size: int) -> None:
    numbers, max_lengths = map(list, zip(*sentences, strict=True))
    for (number, max_length), found in zip(sentences, search(numbers, max_lengths, alpha, beam_size), strict=True):
        [alone] = search([number], [max_length], alpha, beam_size)
        assert len(alone) == len(found)
        assert all(same(one, other) for one, other in zip(alone, found, strict=True))


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 6), st.integers(0, 7)), max_size=7), st.integers(1, 4))
def test_whoever_else_comes_and_goes(sentences: list[tuple[int, int, int]], beam_size: int) -> None:
    """Each sentence joins after so many steps; every third leaves before it is done."""
    running = Search(ToyStep(), RULES, beam_size)
    found: dict[int, list[Hypothesis]] = {}
    for now in range(30):
        for key, (number, max_length, after) in enumerate(sentences):
            if after == now:
                running.join([key], [Goal(max_length, attention=ATTENTION)], start([number]))
            if key % 3 == 2 and after + 2 == now:
                running.leave({key})
        found |= dict(running.advance())
    assert len(running) == 0
    for key, (number, max_length, _) in enumerate(sentences):
        if key % 3 != 2:
            [alone] = search([number], [max_length], beam_size=beam_size)
            assert len(alone) == len(found[key])
            assert all(same(one, other) for one, other in zip(alone, found[key], strict=True))


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
    running = Search(ToyStep(), RULES, beam_size)
    # May copy, so that every hypothesis keeps its attention.
    running.join([13], [Goal(max_length, may_copy=True, attention=ATTENTION)], start([number]))
    found: list[Hypothesis] = []
    while len(running):
        for key, hypotheses in running.advance():
            assert key == 13
            found = hypotheses
    for hypothesis in found:
        heard = [BOS, *hypothesis.token_ids[:-1]][: len(hypothesis.token_ids)]
        assert [weights.tolist() for weights in hypothesis.attention["last"]] == [[[token]] for token in heard]
        prefixes = [[heard[: t + 1]] for t in range(len(heard))]
        assert [weights.tolist()[0] for weights in hypothesis.attention["prefix"]] == prefixes


def test_only_the_best_hypothesis_keeps_its_attention() -> None:
    [found] = search([11], [4])
    assert [set(hypothesis.attention) for hypothesis in found] == [ATTENTION, set(), set()]


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
    search([3], [4], beam_size=2, step=one)
    search([1, 2, 3], [0, 0, 4], beam_size=2, step=both)
    assert both.rows == [3, *one.rows[1:]]  # in the first step, one row for each sentence
    assert one.rows[0] == 1 and set(one.rows[1:]) == {2}


def test_a_length_of_zero_leaves_one_hypothesis() -> None:
    [[only]] = search([5], [0], beam_size=4)
    assert only.token_ids == []
    assert only.score == pytest.approx(score(5, [], 1.0))


def test_no_sentences() -> None:
    assert search([], []) == []


def test_equal_scores_are_ordered_alike_alone_and_in_a_batch() -> None:
    class Indifferent(ToyStep):
        def log_probs(self, sentence: int, prefix: list[int]) -> Floats:
            return np.full(V, -np.log(V))

    both = search([1, 2], [3, 2], step=Indifferent())
    alone = search([2], [2], step=Indifferent())
    assert [h.token_ids for h in both[1]] == [h.token_ids for h in alone[0]]


def test_best_candidates() -> None:
    totals = np.array([[0.0, -1.0, 3.0, 3.0], [-np.inf, -2.0, -np.inf, -1.0]])
    values, places = best_candidates(totals, 3)
    assert places[0].tolist() == [2, 3, 0]
    assert places[1, :2].tolist() == [4 + 3, 4 + 1]
    assert values[0].tolist() == [3.0, 3.0, 0.0]
    assert best_candidates(totals, 13)[0].shape == (2, 4)  # no more than there are


@given(st.lists(st.lists(st.integers(-3, 3), min_size=7, max_size=7), min_size=1, max_size=3), st.integers(1, 7))
def test_best_candidates_prefer_the_lower_place(rows: list[list[int]], count: int) -> None:
    values, places = best_candidates(np.array(rows, dtype=float), count)
    for number, (row, found, at) in enumerate(zip(rows, values.tolist(), places.tolist(), strict=True)):
        assert found == sorted(row, reverse=True)[:count]
        own = [place - 7 * number for place in at]
        assert own == sorted(own, key=lambda place: (-row[place], place))


def test_ends_where_nothing_else_can_be_said() -> None:
    class OnlyTheEnd(ToyStep):
        def log_probs(self, sentence: int, prefix: list[int]) -> Floats:
            row = np.full(V, -np.inf)
            row[EOS] = 0.0
            return row

    [[only]] = search([1], [7], step=OnlyTheEnd())
    assert (only.token_ids, only.score) == ([], 0.0)


def test_ends_where_not_even_the_end_can_be_said() -> None:
    """No softmax does this, but no sentence may stay for ever."""

    class Mute(ToyStep):
        def log_probs(self, sentence: int, prefix: list[int]) -> Floats:
            return np.full(V, -np.inf)

    assert search([1], [7], step=Mute()) == [[]]


def test_greedy_search_can_be_listened_to() -> None:
    """What is heard step by step is what is said in the end, whoever else leaves or joins."""
    running = Search(ToyStep(), RULES, 1)
    heard: dict[int, list[int]] = {}
    said: dict[int, list[int]] = {}
    for now in range(12):
        running.join([now], [Goal(now % 7, attention=ATTENTION)], start([100 + now]))
        for key, [hypothesis] in running.advance():
            said[key] = hypothesis.token_ids
        for key, token, weights in running.latest():
            before = heard.setdefault(key, [])
            assert weights["last"].tolist() == [[before[-1] if before else BOS]]
            before.append(token)
    assert len(said) > 5
    for key, tokens in said.items():
        assert heard.get(key, []) == tokens


def test_an_empty_search_does_nothing() -> None:
    running = Search(ToyStep(), RULES, 3)
    assert running.advance() == [] and running.latest() == [] and len(running) == 0
    running.leave({13})
    assert len(running) == 0
