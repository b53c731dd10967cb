from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.decoding.beam_search import Hypothesis
from service.decoding.pattern_search import MAX_WIDTH, Pattern, PatternRequest, PatternSearch
from tests.service.decoding.toy import ATTENTION, SPECIAL, WORDS, ToyStep, V, score, start

tokens = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(tuple)
patterns = st.lists(st.lists(tokens, min_size=1, max_size=3, unique=True).map(tuple), max_size=3).map(tuple)


Parts = tuple[tuple[tuple[int, ...], ...], ...]


def search(parts: list[Parts], candidates: int = V, cost: float = 0.0) -> list[list[Hypothesis]]:
    """The hypotheses of sentences 0, 1, ... that start together."""
    wanted = [Pattern(part, candidates, cost) for part in parts]
    running = PatternSearch(ToyStep(), SPECIAL, MAX_WIDTH)
    requests = [PatternRequest(p.max_length, 1.0, attention=ATTENTION, pattern=p) for p in wanted]
    running.join(range(len(parts)), requests, start(list(range(len(parts)))))
    found: dict[int, list[Hypothesis]] = {}
    while len(running):
        found |= dict(running.advance())
    return [found[key] for key in range(len(parts))]


@given(parts=patterns)
def test_the_best_sequence_of_a_small_pattern_is_found(
    parts: Parts,
) -> None:
    [[best, *_]] = search([parts])
    sequences = [sum(choice, ()) for choice in product(*parts)]
    assert tuple(best.token_ids) in sequences
    if len(sequences) <= MAX_WIDTH:  # the beam holds all
        expected = max(score(0, list(sequence), 1.0) for sequence in sequences)
        assert best.score == pytest.approx(expected, abs=1e-9)


@given(batch=st.lists(patterns, min_size=1, max_size=4))
def test_a_sentence_has_the_same_result_in_every_batch(batch: list[Parts]) -> None:
    together = search(batch)
    for number, parts in enumerate(batch):
        alone = search([*batch[:number], parts])[number]
        assert [one.token_ids for one in alone] == [one.token_ids for one in together[number]]


def test_other_alternatives_than_the_first_have_a_cost() -> None:
    [[best, *_]] = search([(((2,), (3,)),)])
    other = ((3,), (2,)) if best.token_ids == [2] else ((2,), (3,))
    assert search([(other,)], cost=1_000.0)[0][0].token_ids == list(other[0])


def test_a_token_that_is_not_among_the_candidates_is_written_too() -> None:
    [[best]] = search([(((2, 3, 4, 2),),)], candidates=1)
    assert best.token_ids == [2, 3, 4, 2]


@given(parts=patterns.filter(bool), data=st.data())
def test_ends_of_parts(parts: Parts, data: st.DataObject) -> None:
    choice = [data.draw(st.sampled_from(alternatives)) for alternatives in parts]
    sequence = sum(choice, ())
    ends = Pattern(parts, V).ends(sequence)
    pieces = [sequence[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    assert ends[-1] == len(sequence)
    assert all(piece in alternatives for piece, alternatives in zip(pieces, parts, strict=True))
