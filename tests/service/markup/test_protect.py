"""Pieces and tags are taken out of a text, with their spans."""

import time

import pytest

from service.markup.protect import PIECE, Format, protect

FORMATS: list[Format] = ["text", "html"]


@pytest.mark.parametrize(
    ("text", "read", "pieces"),
    [
        ("I see {{name}}.", "I see _.", ["{{name}}"]),
        ("%(n)d of %1$s, 50% off", "_ of _, 50% off", ["%(n)d", "%1$s"]),
        ("%1$d/%2$d characters", "_ characters", ["%1$d/%2$d"]),
        ("See https://example.org/a?b=c.", "See _.", ["https://example.org/a?b=c"]),
        ("Press <0> and <1>this</1>", "Press _ and this", ["<0>"]),
        ("First.\\nSecond.", "First.\nSecond.", []),
        ("{n, plural, one {# dog} other {# dogs}}", "\n_ dog\n_ dogs\n", ["#", "#"]),
        ("{}" * 500 + " a", "_ a", ["{}" * 500]),
    ],
)
def test_pieces_of_a_plain_text(text: str, read: str, pieces: list[str]) -> None:
    protected = protect(text, "text")
    assert protected.text == read.replace("_", PIECE)
    assert [piece.raw for piece in protected.pieces] == pieces
    for piece in protected.pieces:
        assert text[slice(*protected.span(piece.place, piece.place + 1))] == piece.raw


def test_a_text_without_anything_to_protect_is_not_copied() -> None:
    protected = protect("wind and rain", "text")
    assert protected.mapped is None and protected.text is protected.raw
    assert protected.span(2, 5) == (2, 5)


def test_tags_and_pieces_of_a_span() -> None:
    protected = protect("<b>wind</b> {{x}} <i>rain</i>", "html")
    assert protected.text == f"wind {PIECE} rain"
    assert [tag.raw for tag in protected.tags_in(0, 6)] == ["</b>"]
    assert [tag.raw for tag in protected.tags_in(5, 11)] == ["<i>"]
    assert [piece.raw for piece in protected.pieces_in(5, 6)] == ["{{x}}"]
    assert protected.pieces_in(6, 11) == []


@pytest.mark.parametrize(
    ("text", "read", "pieces", "tags"),
    [
        ("Hi <a>@<b>anna</b></a>!", "Hi _!", ["@<b>anna</b>"], ["<a>", "</a>"]),
        ("<a><b>https://</b><i>x.y/a</i></a> ok", "_ ok", ["<b>https://</b><i>x.y/a</i>"], ["<a>", "</a>"]),
        ("go <b>{x</b>} now", "go _ now", ["<b>{x</b>}"], []),
        ("<b>go {x</b>} now", "go __ now", ["{x", "}"], ["<b>", "</b>"]),
        ("a {x<wbr>} b", "a _ b", ["{x<wbr>}"], []),
    ],
)
def test_pieces_reach_through_tags(text: str, read: str, pieces: list[str], tags: list[str]) -> None:
    protected = protect(text, "html")
    assert protected.text == read.replace("_", PIECE)
    assert [piece.raw for piece in protected.pieces] == pieces
    assert [tag.raw for tag in protected.tags] == tags


def test_quotation_marks_are_tags() -> None:
    protected = protect("He said \u201cyes\u201d and <b>\u00ab no \u00bb</b>.", "html")
    assert protected.text == "He said yes and no."
    assert [(tag.place, tag.raw) for tag in protected.tags] == [
        (8, "\u201c"),
        (11, "\u201d"),
        (16, "<b>"),
        (16, "\u00ab "),
        (18, " \u00bb"),
        (18, "</b>"),
    ]


def test_lines_of_a_paragraph_are_joined() -> None:
    text = "wind\nand {{x}}\n\n- rain\n- no"
    assert protect(text, "text").text == f"wind\nand {PIECE}\n\n- rain\n- no"
    joined = protect(text, "text", join_lines=True)
    assert joined.text == f"wind and {PIECE}\n\n- rain\n- no"
    assert joined.span(4, 5) == (4, 5)
    assert protect("wind\r\nrain", "text", join_lines=True).text == "wind  rain"


@pytest.mark.parametrize(
    "unit",
    [
        "{}",
        "<0>",
        "{x} ",
        "`",
        "\\n",
        "A1 ",
        "a.a/",
        "\u201c",
        "\u201ca\u201d ",
        "{a,plural,one{",
        "{a,plural,one{b}}",
        "<b>@</b>a",
        "\ud55c",
        "_",
        "%",
        "a_",
        "-a ",
        "\U0001f600",
    ],
)
@pytest.mark.parametrize("format", FORMATS)
def test_hostile_texts_take_linear_time(unit: str, format: Format) -> None:
    def seconds(part: str) -> float:
        start = time.thread_time()
        protect(part, format)
        return time.thread_time() - start

    text = (unit * 20_000)[:20_000] + "a"
    quarter = min(seconds(text[:5_000]) for _ in range(2))
    assert seconds(text) < max(0.6, 10 * quarter)
