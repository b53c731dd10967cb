"""Word alignment is read from the cross-attention of visible tokens."""

import numpy as np
import pytest

from service.attention import AttentionMatrix
from service.markup.alignment import WordAlignment
from service.text.tokenizer import Token

SOURCES = [Token("red", 0, 3), Token("dog", 4, 7), Token("", 7, 7, "</s>")]
TARGETS = [Token("chi", 0, 3), Token("en", 3, 5), Token("rouge", 6, 11)]
TEXT = "chien rouge"


def matrix(*rows: list[float]) -> AttentionMatrix:
    return AttentionMatrix("cross", 0, None, np.array(rows))


CROSS = matrix([0.1, 0.4, 0.5], [0.1, 0.9, 0.0], [0.6, 0.2, 0.2])


def test_words_average_their_tokens_without_special_tokens() -> None:
    alignment = WordAlignment(SOURCES, TARGETS, TEXT, [CROSS])
    assert alignment.words == [(0, 5), (6, 11)]
    assert alignment.attention_to((4, 7)) == pytest.approx([(0.8 + 0.9) / 2, 0.25])
    assert alignment.attention_to((0, 7)) == pytest.approx([1.0, 1.0])
    assert alignment.attention_between((0, 3), (4, 7)) == pytest.approx(0.8)
    assert alignment.attention_between((11, 11), (4, 7)) == 0.0


def test_a_part_of_a_token_gets_a_part_of_its_attention() -> None:
    alignment = WordAlignment(SOURCES, TARGETS, TEXT, [CROSS])
    assert alignment.attention_to((0, 1)) == pytest.approx(alignment.attention_to((0, 3)) / 3)


def test_the_translation_of_a_span() -> None:
    alignment = WordAlignment(SOURCES, TARGETS, TEXT, [CROSS])
    assert alignment.translation_of((4, 7)) == (0, 5)
    assert alignment.translation_of((0, 3)) == (6, 11)
    spread = matrix([0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.4, 0.4, 0.2])
    assert WordAlignment(SOURCES, TARGETS, TEXT, [spread]).translation_of((0, 3)) is None


def test_several_matrices_are_averaged() -> None:
    other = matrix([0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.9, 0.1, 0.0])
    mean = WordAlignment(SOURCES, TARGETS, TEXT, [CROSS, other]).attention_to((4, 7))
    assert mean[1] == pytest.approx(0.15 / 0.9)


def test_without_attention_the_order_is_the_same() -> None:
    sources = SOURCES[:2]
    alignment = WordAlignment(sources, TARGETS, TEXT, [])
    assert alignment.attention_to((0, 3)) == pytest.approx([1.0, 0.0])


def test_an_empty_translation() -> None:
    alignment = WordAlignment(SOURCES, [], "", [])
    assert alignment.words == [] and alignment.translation_of((0, 3)) is None
