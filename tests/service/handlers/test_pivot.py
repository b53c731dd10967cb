"""Translations in two steps: which sentences belong together, and the product of their attention."""

import numpy as np
import pytest

from service.attention import AttentionMatrix
from service.handlers.pivot import compose, groups, overlaps, spans_in
from service.text.tokenizer import Token
from service.translation.results import Sentence, Translation

Span = tuple[int, int]


def tokens(text: str, start: int = 0) -> list[Token]:
    """One token per word."""
    found, position = [], 0
    for word in text.split():
        position = text.index(word, position)
        found.append(Token(word, start + position, start + position + len(word)))
        position += len(word)
    return found


def sentence(source: str, at: int, target: str, target_at: int, weights: list[list[float]]) -> Sentence:
    matrix = AttentionMatrix("cross", 0, None, np.array(weights, dtype=np.float32))
    ours, theirs = tokens(source, at), tokens(target, target_at)
    return Sentence(target, -0.5, at, at + len(source), ours, theirs, [matrix], [("other", -1.0)])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([], [], []),
        ([(0, 4)], [(0, 4)], [([0], [0])]),
        ([(0, 4), (5, 9)], [(0, 4), (5, 9)], [([0], [0]), ([1], [1])]),
        ([(0, 4), (5, 9)], [(0, 9)], [([0, 1], [0])]),
        ([(0, 9)], [(0, 4), (5, 9)], [([0], [0, 1])]),
        ([(0, 5), (5, 9), (10, 12)], [(0, 3), (3, 7), (7, 9), (10, 12)], [([0, 1], [0, 1, 2]), ([2], [3])]),
        ([(0, 4)], [(5, 9)], [([0], []), ([], [0])]),
        ([(2, 2), (5, 9)], [(5, 9)], [([0], []), ([1], [0])]),
    ],
)
def test_groups(first: list[Span], second: list[Span], expected: list[tuple[list[int], list[int]]]) -> None:
    assert [(list(ours), list(theirs)) for ours, theirs in groups(first, second)] == expected


def test_overlaps_are_shares_of_characters() -> None:
    queries = [Token("goodmor", 0, 7), Token("ning", 7, 11), Token("", 11, 11, "</s>")]
    keys = [Token("good", 0, 4), Token("morning", 4, 11)]
    assert overlaps(queries, keys) == pytest.approx(np.array([[4 / 7, 3 / 7], [0, 1], [0, 1]]))


def test_the_attention_is_the_product() -> None:
    """Two sentences of the first step are one of the second step."""
    first = Translation(
        "a b. c",
        [sentence("x y", 0, "a b.", 0, [[0.9, 0.1], [0.2, 0.8]]), sentence("z", 4, "c", 5, [[1.0]])],
        [],
    )
    assert spans_in(first) == [(0, 4), (5, 6)]
    step = [[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]]
    second = Translation("p q", [sentence("a b. c", 0, "p q", 0, step)], ["p r"])
    found = compose(first, second)
    assert (found.text, found.pivot, found.alternatives) == ("p q", "a b. c", ["p r"])
    [joined] = found.sentences
    assert (joined.text, joined.start, joined.end, joined.score) == ("p q", 0, 5, -1.0)
    assert [token.text for token in joined.source_tokens] == ["x", "y", "z"]
    assert [token.text for token in joined.target_tokens] == ["p", "q"]
    assert joined.alternatives == [("other", -1.5)]
    [matrix] = joined.attention
    whole = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0, 0, 1]])
    assert matrix.weights == pytest.approx(np.array(step) @ whole)


def test_a_step_without_attention() -> None:
    first = Translation("a", [sentence("x", 0, "a", 0, [[1.0]])], [])
    without = sentence("a", 0, "p", 0, [[1.0]])
    without.attention.clear()
    assert compose(first, Translation("p", [without], [])).sentences[0].attention == []
