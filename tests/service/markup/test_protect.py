"""Protected pieces and tags are taken out of a text, with their spans."""

import pytest

from service.markup.protect import NAME_STAND_IN, Format, protect


@pytest.mark.parametrize(
    ("text", "read", "pieces"),
    [
        ("I see {{name}}.", "I see Tom.", ["{{name}}"]),
        ("%(n)d of %1$s, 50% off", "Tom of Tom, 50% off", ["%(n)d", "%1$s"]),
        ("Ask a@b.org or @anna.", "Ask Tom or Tom.", ["a@b.org", "@anna"]),
        ("See https://example.org/a?b=c.", "See Tom.", ["https://example.org/a?b=c"]),
        ("Press <0> and <1>this</1>", "Press Tom and this", ["<0>"]),
        ("Run `make` now", "Run Tom now", ["`make`"]),
    ],
)
def test_stand_ins_of_a_plain_text(text: str, read: str, pieces: list[str]) -> None:
    protected = protect(text, "text", NAME_STAND_IN)
    assert protected.text == read
    assert [piece.raw for piece in protected.pieces] == pieces
    for piece in protected.pieces:
        assert protected.text[piece.start : piece.end] == NAME_STAND_IN
        assert text[slice(*protected.span(piece.start, piece.end))] == piece.raw


@pytest.mark.parametrize("format", ["text", "html"])
def test_a_line_without_letters_is_blank(format: Format) -> None:
    protected = protect("wind {{x}}\n{{y}}: 7", format, NAME_STAND_IN)
    assert protected.text.rstrip() == ("wind Tom" if format == "text" else "wind Tom Tom: 7")
    assert protect("{{x}}", format, NAME_STAND_IN).is_blank


def test_a_text_without_anything_to_protect_is_not_copied() -> None:
    protected = protect("wind and rain", "text", NAME_STAND_IN)
    assert protected.mapped is None and protected.text is protected.raw
    assert protected.span(2, 5) == (2, 5)


def test_tags_and_pieces_of_a_span() -> None:
    protected = protect("<b>wind</b> {{x}} <i>rain</i>", "html", NAME_STAND_IN)
    assert protected.text == "wind Tom rain"
    assert [tag.raw for tag in protected.tags_in(0, 8)] == ["</b>"]
    assert [tag.raw for tag in protected.tags_in(5, 13)] == ["<i>"]
    assert [piece.raw for piece in protected.pieces_in(5, 8)] == ["{{x}}"]
    assert protected.pieces_in(8, 13) == []
