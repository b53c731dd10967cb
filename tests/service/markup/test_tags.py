"""Tags become elements, and elements enclose the aligned words."""

from service.markup.alignment import WordAlignment
from service.markup.edits import TextEdits
from service.markup.tags import MAX_DEPTH, Element, Tag, element_tree, place_tags
from service.text.tokenizer import Token


def outline(elements: list[Element]) -> list[object]:
    return [(e.opening, e.start, e.end, e.closing, outline(e.children)) for e in elements]


def test_nested_elements() -> None:
    tags = [Tag(1, "<b>", "b"), Tag(2, "<br>"), Tag(3, "<i>", "i"), Tag(4, "</i>", "/i"), Tag(5, "</b>", "/b")]
    inner: list[object] = [("<br>", 2, 2, "", []), ("<i>", 3, 4, "</i>", [])]
    assert outline(element_tree(tags, (0, 9))) == [("<b>", 1, 5, "</b>", inner)]


def test_elements_of_several_sentences_reach_to_the_edge() -> None:
    assert outline(element_tree([Tag(4, "</b>", "/b"), Tag(6, "<i>", "i")], (2, 9))) == [
        ("", 2, 4, "</b>", []),
        ("<i>", 6, 9, "", []),
    ]


def test_tags_out_of_order_stand_alone() -> None:
    tags = [Tag(1, "<b>", "b"), Tag(2, "<i>", "i"), Tag(3, "</b>", "/b"), Tag(4, "</i>", "/i")]
    raw = "".join(element.raw for element in element_tree(tags, (0, 9)))
    assert raw == "<b><i></b></i>"


def test_deep_elements_stand_alone() -> None:
    tags = [Tag(1, "<b>", "b")] * 5_000
    assert "".join(element.raw for element in element_tree(tags, (0, 9))) == "<b>" * 5_000

    def depth(elements: list[Element]) -> int:
        return 1 + max((depth(element.children) for element in elements), default=0)

    assert depth(element_tree(tags, (0, 9))) <= MAX_DEPTH + 2


def test_tags_enclose_the_aligned_words() -> None:
    sources = [Token("red", 0, 3), Token("dog", 4, 7)]
    targets = [Token("rouge", 0, 5), Token("chien", 6, 11)]
    edits = TextEdits("rouge chien", str)
    alignment = WordAlignment(sources, targets, "rouge chien", [])
    place_tags([Tag(4, "<b>", "b"), Tag(7, "</b>", "/b")], (0, 7), alignment, edits)
    assert edits.apply() == "rouge <b>chien</b>"
