"""Numbers of a source and of its translation."""

import time

import pytest

from service.text.numbers import NUMBER, localized, same_numbers


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("He is 27.", "Il a 27 ans."),
        ("$1,299.99", "1 299,99 $"),
        ("1.234.567", "1,234,567"),
        ("12:30", "12 h 30"),
        ("In 2015, 48 of them", "48 en 2015"),
        ("3-5 days", "3 bis 5 Tage"),
        ("\u0661\u0662", "12"),
        ("no number", "rien"),
    ],
)
def test_same_numbers(source: str, target: str) -> None:
    assert same_numbers(source, target) and same_numbers(target, source)


@pytest.mark.parametrize(
    ("source", "target"),
    [("27 years", "deux ans"), ("3-5 days", "35 jours"), ("two", "2"), ("5 and 5", "5"), ("12", "21"), ("1.5", "15")],
)
def test_other_numbers(source: str, target: str) -> None:
    assert not same_numbers(source, target)


def test_numbers_of_a_text() -> None:
    text = "-12 degrees at 12:30, 3-5 days, $1,299.99, 1 000 000 m, 555-0123, 20th, v2, 7."
    assert NUMBER.findall(text) == ["-12", "12:30", "3-5", "1,299.99", "1 000 000", "555-0123", "20th", "7"]


@pytest.mark.parametrize(
    ("number", "source", "target", "expected"),
    [
        ("1,299.99", "en", "fr", "1\u202f299,99"),
        ("1,299.99", "en", "de", "1.299,99"),
        ("1 299,99", "fr", "en", "1,299.99"),
        ("-0.5", "en", "fr", "-0,5"),
        ("1000", "en", "de", "1000"),
        ("12:30", "en", "fr", "12:30"),
        ("20th", "en", "fr", "20e"),
        ("1er", "fr", "en", "1st"),
        ("12e", "fr", "en", "12th"),
        ("23rd", "en", "de", "23."),
        ("5km", "en", "fr", "5km"),
        ("2.10.3", "en", "fr", "2.10.3"),
        ("3-5", "de", "en", "3-5"),
    ],
)
def test_notation_of_the_target_language(number: str, source: str, target: str, expected: str) -> None:
    assert localized(number, source, target) == expected


@pytest.mark.parametrize("unit", ["1", "1,", "1,000", "1 ", "1-", "-1", "1:1 "])
def test_linear_time(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    start = time.process_time()
    NUMBER.findall(text)
    same_numbers(text, text)
    assert time.process_time() - start < 2
