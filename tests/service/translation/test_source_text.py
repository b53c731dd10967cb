"""The text that the network reads, and its mapping to the protected text."""

from pathlib import Path

import pytest

from service.bundle.conventions import STAND_INS
from service.markup.protect import escape_html, protect
from service.text.casing import Truecaser
from service.text.tokenizer import TextTokenizer
from service.translation.source_text import SourceReader, SourceText

MODELS = Path(__file__).parents[3] / "models"


@pytest.fixture(scope="module")
def reader() -> SourceReader:
    tokenizer = TextTokenizer((MODELS / "en-fr/2/tokenizer.json").read_bytes())
    return SourceReader(STAND_INS, Truecaser(tokenizer, "en"), "en", "fr")


def read(reader: SourceReader, text: str) -> SourceText:
    protected = protect(text, "text")
    source = reader.read(protected, 0, len(protected.text))
    for piece in source.pieces:
        assert source.text[slice(*piece.read)] == piece.placeholder
        assert source.mapped.span(*piece.read) == (piece.start, piece.end)
    return source


@pytest.mark.parametrize(
    ("text", "expected", "pieces"),
    [
        ("I see {{x}} and %s.", "I see 0 and 1.", ["{{x}}", "%s"]),
        ("I am NOT in the USA.", "I am not in the USA.", []),
        ("STOP!", "Stop!", []),
        ("Terms Of Service", "Terms of service", []),
        ("The d\u00ado\u200bg is h\u200dere.", "The dog is here.", []),
        ("Wind and rain.", "Wind and rain.", []),
    ],
)
def test_what_the_network_reads(reader: SourceReader, text: str, expected: str, pieces: list[str]) -> None:
    source = read(reader, text)
    assert source.text == expected.replace("0", STAND_INS[0]).replace("1", STAND_INS[1])
    assert [piece.raw for piece in source.pieces] == pieces
    assert source.capitals == text.isupper()


def test_an_unchanged_sentence_is_mapped_to_itself(reader: SourceReader) -> None:
    protected = protect("Rain. No wind", "text")
    source = reader.read(protected, 6, 13)
    assert source.changed is None and source.mapped.span(0, 2) == (6, 8)
    assert source.slice(3, 7).mapped.span(0, 4) == (9, 13)


def test_offsets_of_changed_sentences(reader: SourceReader) -> None:
    source = read(reader, "A w\u00adind {x} RAIN \ufb01")
    place = source.text.index("ind")
    assert source.mapped.span(place, place + 3) == (4, 7)
    assert source.mapped.span(*source.pieces[0].read) == (8, 9)


@pytest.mark.parametrize(
    ("text", "expected", "kept"),
    [
        ("Tom works for NASA.", "Tom works for NASA.", ["NASA"]),
        ("It follows ISO 9001.", "It follows ISO 9001.", ["ISO 9001"]),
        ("The USA and APIs are NOT here.", "The USA and APIs are not here.", ["APIs"]),
        ("THE DOG AND HTML", "The dog and HTML", ["HTML"]),
        ("NASA", "NASA", ["NASA"]),
        ("My iPhone has JavaScript \u2192 \u00a9", None, ["iPhone", "JavaScript", "\u2192", "\u00a9"]),
        ("XIV", "XIV", ["XIV"]),
    ],
)
def test_kept_words(reader: SourceReader, text: str, expected: str | None, kept: list[str]) -> None:
    source = read(reader, text)
    assert source.text == (expected or text)
    assert [source.text[start:end] for start, end in source.kept] == kept


def test_kept_words_of_a_part(reader: SourceReader) -> None:
    source = read(reader, "NASA and {x} R&D")
    part = source.slice(5, len(source.text))
    assert [part.text[start:end] for start, end in part.kept] == ["R&D"]
    protected = reader.with_words_protected(part, escape_html)
    assert protected is not None and [piece.raw for piece in protected.pieces] == ["{x}", "R&amp;D"]


def test_numbers_become_pieces(reader: SourceReader) -> None:
    source = read(reader, "I have {n} dogs, 12 cats and 1,299.5 birds")
    protected = reader.with_words_protected(source, str)
    assert protected is not None
    zero, one, two = STAND_INS[:3]
    assert protected.text == f"I have {zero} dogs, {one} cats and {two} birds"
    assert [piece.raw for piece in protected.pieces] == ["{n}", "12", "1\u202f299,5"]
    for piece in protected.pieces:
        assert protected.text[slice(*piece.read)] == piece.placeholder
    assert reader.with_words_protected(protected, str) is None
    assert reader.with_words_protected(read(reader, "no number"), str) is None


def test_numbers_beyond_the_placeholders_stay(reader: SourceReader) -> None:
    source = read(reader, "a " + " and ".join(str(number) for number in range(40)))
    protected = reader.with_words_protected(source, str)
    assert protected is not None
    assert len({piece.placeholder for piece in protected.pieces}) == len(STAND_INS) == len(protected.pieces)


def test_something_to_translate(reader: SourceReader) -> None:
    texts = ["{x} wind", "{x}", "%s 5 km", "7 km/h", "31", "NASA", "NASA wind"]
    assert [text for text in texts if read(reader, text).has_words] == ["{x} wind", "NASA wind"]
