"""Placeholders directly around words are placed around their translation; other glued placeholders are copied."""

import pytest

from service.markup.protect import protect


@pytest.mark.parametrize(
    ("raw", "text", "tags"),
    [
        ("Click {link}here{end} now.", "Click here now.", ["{link}", "{end}"]),
        ("%(a)swords%(b)s", "words", ["%(a)s", "%(b)s"]),
        ("%1$sred%2$s", "red", ["%1$s", "%2$s"]),
        ("{a}Read more{b}, {c}not{d}", "Read more, not", ["{a}", "{b}", "{c}", "{d}"]),
        ("<b>{a}word{b}</b> end", "word end", ["<b>", "{a}", "{b}", "</b>"]),
    ],
)
def test_pairs(raw: str, text: str, tags: list[str]) -> None:
    protected = protect(raw, "text")
    assert (protected.text, protected.pieces) == (text, [])
    assert [tag.raw for tag in protected.tags] == tags
    assert [raw[slice(*protected.span(i, i + 1))] for i in range(len(text))] == list(text)


def test_ignored_elements_around_a_word() -> None:
    protected = protect('A <x translate="no">1</x>red<x translate="no">2</x> day', "html")
    assert (protected.text, protected.pieces) == ("A red day", [])


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("{n}th{x}", "\ufffdth\ufffd"),
        ("{n}days{m}hours", "\ufffddays\ufffdhours"),
        ("in{a}word{b}", "in\ufffdword\ufffd"),
        ("{a} word{b}", "\ufffd word\ufffd"),
        ("{0}files", "\ufffdfiles"),
        ("{a}s and word{b}", "\ufffds and word\ufffd"),
        ("{a}one <i>two</i> six{b}", "\ufffdone two six\ufffd"),
    ],
)
def test_no_pairs(raw: str, text: str) -> None:
    protected = protect(raw, "text")
    assert (
        "".join("\ufffd" if i in {p.place for p in protected.pieces} else c for i, c in enumerate(protected.text))
        == text
    )


def test_the_type_of_a_named_placeholder_is_one_letter() -> None:
    assert [piece.raw for piece in protect("%(n)sMB of %(x)5.1f, %(size)ld", "text").pieces] == [
        "%(n)s",
        "%(x)5.1f",
        "%(size)ld",
    ]
