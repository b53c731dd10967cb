"""Words in capitals get the case that the vocabulary knows."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.text.casing import Truecaser, is_title, is_upper
from service.text.tokenizer import TextTokenizer

MODELS = Path(__file__).parents[3] / "models"


def in_sentence_case(model: str, language: str) -> Callable[[str], str]:
    truecaser = Truecaser(TextTokenizer((MODELS / model / "tokenizer.json").read_bytes()), language)

    def change(text: str) -> str:
        for start, end, word in reversed(list(truecaser.sentence_case(text))):
            text = text[:start] + word + text[end:]
        return text

    return change


@pytest.mark.parametrize(
    ("model", "language", "text", "expected"),
    [
        ("en-fr/2", "en", "DO YOU HEAR ME?", "Do you hear me?"),
        ("en-fr/2", "en", "I'M TOM SMITH AND I LIVE IN PARIS.", "I'm Tom Smith and I live in Paris."),
        ("en-fr/2", "en", "Terms Of Service", "Terms of service"),
        ("de-en/1", "de", "WO IST DER BAHNHOF?", "Wo ist der Bahnhof?"),
        ("fr-en/1", "fr", "JE T'AIME, 2 FOIS.", "Je t'aime, 2 fois."),
    ],
)
def test_sentence_case(model: str, language: str, text: str, expected: str) -> None:
    assert in_sentence_case(model, language)(text) == expected


def test_emphasised_words() -> None:
    truecaser = Truecaser(TextTokenizer((MODELS / "en-fr/2/tokenizer.json").read_bytes()), "en")
    assert [word for word in ("NOT", "ALL", "NASA", "API", "JSON", "A" * 99) if truecaser.is_emphasised(word)] == [
        "NOT",
        "ALL",
    ]


def test_capitals() -> None:
    assert [text for text in ("GOOD", "I", "A 5!", "Good", "GOOD day", "ÉTÉ", "7") if is_upper(text)] == ["GOOD", "ÉTÉ"]


def test_title_case() -> None:
    titles = ["Terms Of Service", "European Music Section", "Log In"]
    others = ["Good morning", "The dog is red", "Tom Smith, Anna", "Look At This.", "TERMS Of USE", "Tom" * 99 + " Tom"]
    assert [text for text in titles + others if is_title(text)] == titles
