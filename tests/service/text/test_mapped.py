"""Texts made from other texts keep the spans of the original."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.text.mapped import MappedText


def test_runs_of_the_same_length_are_mapped_character_by_character() -> None:
    mapped = MappedText.from_runs([("ab", 3, 5), ("\u00e9", 5, 13), ("", 13, 20), ("c", 20, 21)], 25)
    assert mapped.text == "ab\u00e9c"
    assert [mapped.span(place, place + 1) for place in range(4)] == [(3, 4), (4, 5), (5, 13), (20, 21)]
    assert mapped.span(1, 3) == (4, 13)
    assert (mapped.span(3, 3), mapped.span(4, 4)) == ((20, 20), (21, 21))


def test_replacements_stand_for_the_whole_span() -> None:
    mapped, places = MappedText.copy_of("wind {{x}} rain").replace([(5, 10, "Tom")])
    assert mapped.text == "wind Tom rain"
    assert mapped.span(5, 6) == mapped.span(6, 8) == (5, 10)
    assert mapped.span(9, 13) == (11, 15)
    assert places[[0, 5, 7, 10, 11, 15]].tolist() == [0, 5, 5, 8, 9, 13]


def test_replacements_of_replacements() -> None:
    once, _ = MappedText.copy_of("abcdef").replace([(1, 3, "x")])
    twice, places = once.replace([(0, 2, ""), (3, 4, "yz")])
    assert twice.text == "dyzf"
    assert [twice.span(place, place + 1) for place in range(4)] == [(3, 4), (4, 5), (4, 5), (5, 6)]
    assert places.tolist() == [0, 0, 0, 1, 3, 4]


@given(text=st.text("abc", max_size=12), data=st.data())
def test_unchanged_characters_keep_their_places(text: str, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6, unique=True).map(sorted))
    edits = [(a, b, data.draw(st.text("XYZ", max_size=3))) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    mapped, places = MappedText.copy_of(text).replace(edits)
    for place, character in enumerate(mapped.text):
        start, end = mapped.span(place, place + 1)
        assert character.isupper() or (text[start:end], places[start]) == (character, place)
    assert len(places) == len(text) + 1 and places[-1] == len(mapped.text)


@pytest.mark.parametrize("text", ["", "wind"])
def test_a_copy(text: str) -> None:
    assert MappedText.copy_of(text).span(0, len(text)) == (0, len(text))
