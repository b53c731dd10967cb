"""Kinds of pieces, and words that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.markup.pieces import CHUNK, PIECE, TRIGGERS, find_pieces


def pieces(text: str) -> list[str]:
    return [text[start:end] for start, end in find_pieces(text)]


@pytest.mark.parametrize(
    "piece",
    """{0} {} {name!r} ${x} #{x} %{x} @{x} {{x}} {{{x}}} [[x]] $name $NAME$ $1 %s %d %1$s %(x)d %-5s %.2f %ld %n %%
    %@ %1 %L2 %name% :name :smile: [X7X] __1__ <%=x%> \\(name) $(x) &nbsp; &#160; <0> <br/> `make` --verbose --a=b -v
    https://example.org/a?b=c&d=1 http://localhost:8000/docs www.example.org mailto:a@b.org a.b@c.org @anna
    @anna@example.social hotels.example.com example.com:8080 example.org/a/b report_final.pdf package.json Node.js
    src/main/app.py /var/log/app ~/x ../x ./configure /etc C:\\temp\\notes.txt \\\\host\\share getName()
    user_id MAX_VALUE Ctrl+C Ctrl+Shift+T Strg+C C++ C# .NET #123 #cats
    v2 v2.10.3 2.10.3 10.0.0.1 1.2.3-beta.4
    DE89370400440532013000 a1b2c3 X7K9P2 AB-1234-X COVID-19 8f14e45f-ceea-467f-a8d2-0c9f1b2a3c4d fe80::1:2 3D mp3
    \U0001f600 \U0001f44d\U0001f3fd \u2764\ufe0f \u2713 :-) \ue000 \ufffc""".split(),
)
def test_a_piece(piece: str) -> None:
    assert pieces(f"See {piece} here, {piece} and ({piece}).") == [piece] * 3


@pytest.mark.parametrize(
    "text",
    [
        "It is 50% off, and/or 9 a.m. to 5 p.m.",
        "well-known don't 1st 2nd 20th 10am 100km",
        "Wait... What? No! - Yes: it is (not) so; file(s).",
        "He said: no.It is",
        "a < b and b > a, x <3",
        "100 % des gens, 5 h 30",
        "AT&T is U.S. e.g. this, etc.",
        "I/O is fine",
    ],
)
def test_no_piece(text: str) -> None:
    assert pieces(text) == []


def test_punctuation_behind_an_address_is_no_part_of_it() -> None:
    assert pieces("(see https://example.org/a_(b)), or www.example.org...") == [
        "https://example.org/a_(b)",
        "www.example.org",
    ]


def test_a_piece_across_chunks_is_found() -> None:
    text = "word " * (CHUNK // 5 - 1) + "see {name}, " * 500
    assert pieces(text) == ["{name}"] * 500


@given(st.text("aZ1 .,:;/\\@#$%&*()[]{}<>-_+=`'\"\u00e9\ue000\U0001f600w", max_size=30))
def test_every_piece_has_a_trigger(text: str) -> None:
    """Texts without a trigger are not searched."""
    match = PIECE.search(text)
    assert match is None or TRIGGERS.search(match[0])
