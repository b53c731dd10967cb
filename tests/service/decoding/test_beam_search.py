import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.decoding.beam_search import BeamSearch, Hypothesis, SearchRequest, best_candidates, length_penalty
from service.decoding.step import Floats
from tests.service.decoding.toy import (
    ATTENTION,
    BOS,
    COPYING,
    EOS,
    SPECIAL,
    WORDS,
    ToyStep,
    V,
    every_hypothesis,
    log_probs,
    reference_beam_search,
    reference_greedy_search,
    score,
    search,
    start,
)

ALPHAS = [0.0, 0.6, 1.0, 1.5]
SENTENCES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 5)), min_size=1, max_size=5)
"""(number, max_length) of each sentence."""


def own_weights(hypothesis: Hypothesis, name: str) -> list[list[list[int]]]:
    """Attention of each position, without padding."""
    return [weights[..., -t - 1 :].tolist() for t, weights in enumerate(hypothesis.attention[name])]


def same(one: Hypothesis, other: Hypothesis) -> bool:
    return (
        one.token_ids == other.token_ids
        and one.score == other.score
        and one.attention.keys() == other.attention.keys()
        and all(own_weights(one, name) == own_weights(other, name) for name in one.attention)
    )


@pytest.mark.parametrize(("length", "alpha", "expected"), [(7, 0.0, 1.0), (7, 1.0, 7.0), (9, 0.5, 3.0), (1, 1.5, 1.0)])
def test_length_penalty(length: int, alpha: float, expected: float) -> None:
    assert length_penalty(length, alpha) == pytest.approx(expected)


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
def test_beam_search_equals_the_reference(number: int, max_length: int, alpha: float, beam_size: int) -> None:
    [found] = search([number], [max_length], alpha, beam_size)
    expected = reference_beam_search(number, max_length, alpha, beam_size)
    assert [hypothesis.token_ids for hypothesis in found] == [tokens for _, tokens in expected]
    assert [hypothesis.score for hypothesis in found] == pytest.approx([score for score, _ in expected], abs=1e-12)


@given(st.integers(0, 10**6), st.integers(0, 7), st.sampled_from(ALPHAS))
def test_beam_size_1_is_greedy_search(number: int, max_length: int, alpha: float) -> None:
    [[found]] = search([number], [max_length], alpha, beam_size=1)
    assert found.token_ids == reference_greedy_search(number, max_length)
    assert found.score == pytest.approx(score(number, found.token_ids, alpha), abs=1e-12)


@given(sentences=SENTENCES, alpha=st.sampled_from(ALPHAS), beam_size=st.integers(1, 5))
def test_a_batch_gives_the_results_of_each_sentence_alone(
    sentences: list[tuple[int, int]], alpha: float, beam_size: int
) -> None:
    numbers, max_lengths = map(list, zip(*sentences, strict=True))
    for (number, max_length), found in zip(sentences, search(numbers, max_lengths, alpha, beam_size), strict=True):
        [alone] = search([number], [max_length], alpha, beam_size)
        assert len(alone) == len(found)
        assert all(same(one, other) for one, other in zip(alone, found, strict=True))


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 6), st.integers(0, 7)), max_size=7), st.integers(1, 4))
def test_sentences_that_join_and_leave_do_not_change_others(
    sentences: list[tuple[int, int, int]], beam_size: int
) -> None:
    """Each sentence joins after its own number of steps. Every third one leaves unfinished."""
    running = BeamSearch(ToyStep(), SPECIAL, beam_size)
    found: dict[int, list[Hypothesis]] = {}
    for now in range(30):
        for key, (number, max_length, after) in enumerate(sentences):
            if after == now:
                running.join([key], [SearchRequest(max_length, attention=ATTENTION)], start([number]))
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
        assert set(hypothesis.token_ids) <= set(WORDS)  # no forbidden token
        assert hypothesis.score == pytest.approx(score(number, hypothesis.token_ids, alpha), abs=1e-12)


@given(number=st.integers(0, 10**6), max_length=st.integers(0, 6), beam_size=st.integers(1, 5))
def test_attention_follows_its_hypothesis(number: int, max_length: int, beam_size: int) -> None:
    """The toy's attention weights are the prefix of the hypothesis, although it moves between rows."""
    [found] = search([number], [max_length], beam_size=beam_size)
    for hypothesis in found:
        inputs = [BOS, *hypothesis.token_ids[:-1]][: len(hypothesis.token_ids)]
        assert [weights.tolist() for weights in hypothesis.attention["last"]] == [[[token]] for token in inputs]
        prefixes = [[inputs[: t + 1]] for t in range(len(inputs))]
        assert [weights.tolist()[0] for weights in hypothesis.attention["prefix"]] == prefixes


def test_all_hypotheses_have_attention() -> None:
    [found] = search([11], [4])
    assert [set(hypothesis.attention) for hypothesis in found] == [ATTENTION] * 3


COPIES = st.fixed_dictionaries({}, optional={token: st.integers(0, 2) for token in COPYING.copies})


@given(
    sentences=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 5), COPIES, st.integers(0, 4)), max_size=5),
    beam_size=st.integers(1, 4),
    leaving=st.sets(st.integers(0, 4), max_size=2),
)
def test_copy_tokens_are_bounded_by_their_source(
    sentences: list[tuple[int, int, dict[int, int], int]], beam_size: int, leaving: set[int]
) -> None:
    """Sentences with and without copy tokens join at their own steps. Each equals the reference search."""
    running = BeamSearch(ToyStep(), COPYING, beam_size)
    found: dict[int, list[Hypothesis]] = {}
    for now in range(12):
        for key, (number, max_length, copies, after) in enumerate(sentences):
            if after == now:
                running.join([key], [SearchRequest(max_length, copies=copies)], start([number]))
        if now == 3:
            running.leave(leaving)
        found |= dict(running.advance())
    assert len(running) == 0
    for key, (number, max_length, copies, after) in enumerate(sentences):
        if key in leaving and after <= 3 and key not in found:
            continue
        expected = reference_beam_search(number, max_length, 1.0, beam_size, copies)
        assert [hypothesis.token_ids for hypothesis in found[key]] == [tokens for _, tokens in expected]
        for hypothesis in found[key]:
            for token in COPYING.copies:
                assert hypothesis.token_ids.count(token) <= copies.get(token, 0)


def test_hypotheses_share_prefixes() -> None:
    """Guards the test of attention: it needs hypotheses that were copied to other rows."""
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
    assert both.rows == [3, *one.rows[1:]]  # the first step runs one row per sentence
    assert one.rows[0] == 1 and set(one.rows[1:]) == {2}


def test_a_length_of_zero_leaves_one_hypothesis() -> None:
    [[only]] = search([5], [0], beam_size=4)
    assert only.token_ids == []
    assert only.score == pytest.approx(score(5, [], 1.0))


def test_no_sentences() -> None:
    assert search([], []) == []


def test_equal_scores_are_ordered_alike_alone_and_in_a_batch() -> None:
    class Uniform(ToyStep):
        def log_probs(self, sentence: int, prefix: list[int]) -> Floats:
            return np.full(V, -np.log(V))

    both = search([1, 2], [3, 2], step=Uniform())
    alone = search([2], [2], step=Uniform())
    assert [h.token_ids for h in both[1]] == [h.token_ids for h in alone[0]]


def test_best_candidates() -> None:
    totals = np.array([[0.0, -1.0, 3.0, 3.0], [-np.inf, -2.0, -np.inf, -1.0]])
    values, indices = best_candidates(totals, 3)
    assert indices[0].tolist() == [2, 3, 0]
    assert indices[1, :2].tolist() == [4 + 3, 4 + 1]
    assert values[0].tolist() == [3.0, 3.0, 0.0]
    assert best_candidates(totals, 13)[0].shape == (2, 4)


@given(st.lists(st.lists(st.integers(-3, 3), min_size=7, max_size=7), min_size=1, max_size=3), st.integers(1, 7))
def test_best_candidates_prefer_the_lower_index(rows: list[list[int]], count: int) -> None:
    values, indices = best_candidates(np.array(rows, dtype=float), count)
    for number, (row, found, at) in enumerate(zip(rows, values.tolist(), indices.tolist(), strict=True)):
        assert found == sorted(row, reverse=True)[:count]
        own = [index - 7 * number for index in at]
        assert own == sorted(own, key=lambda index: (-row[index], index))


def test_a_network_that_allows_only_the_end() -> None:
    class OnlyTheEnd(ToyStep):
        def log_probs(self, sentence: int, prefix: list[int]) -> Floats:
            row = np.full(V, -np.inf)
            row[EOS] = 0.0
            return row

    [[only]] = search([1], [7], step=OnlyTheEnd())
    assert (only.token_ids, only.score) == ([], 0.0)


def test_a_network_that_allows_no_token() -> None:
    """A softmax does not produce this, but the sentence must still leave the search."""

    class NoToken(ToyStep):
        def log_probs(self, sentence: int, prefix: list[int]) -> Floats:
            return np.full(V, -np.inf)

    assert search([1], [7], step=NoToken()) == [[]]


def test_greedy_search_streams_its_tokens() -> None:
    """The streamed tokens are the tokens of the result, while other sentences join and leave."""
    running = BeamSearch(ToyStep(), SPECIAL, 1)
    streamed: dict[int, list[int]] = {}
    finished: dict[int, list[int]] = {}
    for now in range(12):
        running.join([now], [SearchRequest(now % 7, attention=ATTENTION)], start([100 + now]))
        for key, [hypothesis] in running.advance():
            finished[key] = hypothesis.token_ids
        for key, token, weights in running.latest():
            before = streamed.setdefault(key, [])
            assert weights["last"].tolist() == [[before[-1] if before else BOS]]
            before.append(token)
    assert len(finished) > 5
    for key, tokens in finished.items():
        assert streamed.get(key, []) == tokens


def test_an_empty_search_does_nothing() -> None:
    running = BeamSearch(ToyStep(), SPECIAL, 3)
    assert running.advance() == [] and running.latest() == [] and len(running) == 0
    running.leave({13})
    assert len(running) == 0


@given(number=st.integers(0, 10**6), max_length=st.integers(0, 6), beam_size=st.integers(1, 4))
def test_log_probabilities_of_tokens(number: int, max_length: int, beam_size: int) -> None:
    running = BeamSearch(ToyStep(), SPECIAL, beam_size)
    # The second sentence leaves early or late, so that rows move.
    requests = [SearchRequest(max_length, log_probs=True), SearchRequest(3), SearchRequest(max_length, log_probs=True)]
    running.join([0, 1, 2], requests, start([number, 7, number]))
    found: dict[int, list[Hypothesis]] = {}
    while len(running):
        found |= dict(running.advance())
    assert [one.log_probs for one in found[1]] == [[]] * len(found[1])
    for one in (*found[0], *found[2]):
        rows = [log_probs(number, [BOS, *one.token_ids[:t]]) for t in range(len(one.token_ids))]
        expected = [row[token] for row, token in zip(rows, one.token_ids, strict=True)]
        assert one.log_probs == pytest.approx(expected, abs=1e-9)
