"""Edits are applied together, and spans of the old text are found in the new one."""

from service.markup.edits import TextEdits
from service.markup.protect import escape_html


def test_insertions_and_replacements() -> None:
    edits = TextEdits("a < b!", escape_html)
    edits.replace((4, 5), "<x>")
    edits.insert_before(0, "<i>")
    edits.insert_after(1, "</i>")
    edits.append("{y}")
    assert edits.apply() == edits.result == "<i>a</i> &lt; <x> {y}!"
    assert edits.result[slice(*edits.span(2, 3))] == "&lt;"
    assert edits.result[slice(*edits.span(4, 5))] == "<x>"
    assert edits.span(6, 6) == (len(edits.result),) * 2


def test_a_closing_tag_comes_before_an_opening_one() -> None:
    edits = TextEdits("ab", str)
    edits.insert_before(1, "<i>")
    edits.insert_after(1, "</b>")
    assert edits.apply() == "a</b><i>b"


def test_a_dropped_word_takes_the_space_before_it() -> None:
    edits = TextEdits("a Tom b Tom", str)
    edits.drop((2, 5))
    edits.drop((8, 11))
    assert edits.overlaps((1, 2)) and not edits.overlaps((5, 7))
    assert edits.apply() == "a b"


def test_an_empty_text() -> None:
    edits = TextEdits("", str)
    edits.insert_before(0, "<br>")
    edits.append("{x}")
    assert edits.apply() == "<br> {x}"
