"""Ends of sentences in several languages, and hard-wrapped lines."""

import time

import pytest

from service.text.lines import with_joined_lines
from service.text.sentences import WINDOW, sentences


def split(text: str, language: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text, language)]


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("de", ["Am 3. Oktober 1990 war es kalt.", "Er wohnt in der 2. Etage.", "Das ist Gleis 4.", "Er geht."]),
        ("de", ["Im 20. Jahrhundert war das so.", "Ich habe 3.", "Du hast 4.", "Dr. Müller kommt z. B. nie."]),
        ("de", ["Siehe Nr. 5 und Abs. 3.", "Das ist gut."]),
        ("fr", ["M. Dupont est ici.", "Mme. Durand et MM. Martin arrivent.", "C'est à 5 h.", "Il part."]),
        ("fr", ["Voir p. 12 et art. 3.", "Elle est là."]),
        ("en", ["Mr. Smith is here.", "It is no. 5.", "He left at 5 p.m.", "Tom stayed."]),
    ],
)
def test_full_stops_that_end_no_sentence(language: str, expected: list[str]) -> None:
    assert split(" ".join(expected), language) == expected


@pytest.mark.parametrize("language", ["en", "fr", "de"])
def test_long_lines_are_split_in_windows(language: str) -> None:
    """The sentences are the same as in short lines."""
    parts = ["Wind and rain (again).", "No way!", "\u201cYes,\u201d he said.", "It is 7."]
    assert split(" ".join(parts * WINDOW), language) == parts * WINDOW


@pytest.mark.parametrize("unit", ["a ", "a. ", "Dr. ", '"a. ', "\u201c", "`", "(a. ", "3. ", "am 3. ", "M. ", ".", "a"])
@pytest.mark.parametrize("language", ["en", "fr", "de"])
def test_linear_time(unit: str, language: str) -> None:
    text = unit * (50_000 // len(unit))
    start = time.process_time()
    found = split(text, language)
    assert time.process_time() - start < 2
    assert "".join(found).replace(" ", "") == text.replace(" ", "")


def test_lines_of_a_paragraph() -> None:
    text = "One\ntwo \r\nthree.\n\nFour\n- five\n- six\n1. seven\n  eight\n    code\n> nine\nten  \neleven"
    joined = with_joined_lines(text)
    assert joined == ("One two   three.\n\nFour\n- five\n- six\n1. seven   eight\n    code\n> nine ten  \neleven")
    assert len(joined) == len(text)
