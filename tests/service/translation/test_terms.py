"""Glossary terms in translations."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.batching.scheduler import Limits
from service.bundle.bundle import read_bundle
from service.bundle.files import read_manifest
from service.bundle.manifest import TranslationManifest
from service.markup.protect import Format
from service.runtime import Runtime
from service.translation.engine import Options
from service.translation.glossary import Glossary
from service.translation.results import Translation
from service.translation.translator import Translator

TERMS = {
    "dog": "toutou",
    "cat": "minette",
    "pull request": "demande de tirage",
    "API": "interface \U0001f642",
    "shop": "échoppe",
    "big apple": "la Grosse Pomme",
    "rain": "pluie",
}


@pytest.fixture(scope="module")
def english_french(real_models: Path) -> Iterator[Translator]:
    folder = max((real_models / "en-fr").iterdir(), key=lambda version: int(version.name))
    bundle = read_bundle(folder, read_manifest(folder, TranslationManifest))
    translator = Translator(bundle, Runtime("cpu", threads=1), Limits())
    yield translator
    translator.close()


def translate(
    translator: Translator, *texts: str, options: Options | None = None, format: Format = "text"
) -> list[Translation]:
    glossary = Glossary(TERMS, "en")

    async def run() -> list[Translation]:
        found = await translator.translate(
            texts, options or Options(), format, find_terms=lambda _, text: glossary.occurrences(text.text)
        )
        return list(found)

    return asyncio.run(run())


def spans(translation: Translation, text: str) -> list[tuple[str, str]]:
    """Each used term as it is in the source and in the translation."""
    return [
        (text[term.start : term.end], translation.text[term.target_start : term.target_end])
        for sentence in translation.sentences
        for term in sentence.terms
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The dogs sleep. A man sees a dog.", [("dogs", "toutou"), ("dog", "toutou")]),
        ("I will review your pull request today.", [("pull request", "demande de tirage")]),
        ("Pull request", [("Pull request", "Demande de tirage")]),
        ("THE DOG BARKS!", [("DOG", "TOUTOU")]),
        ("The API returns a dog.", [("API", "interface \U0001f642"), ("dog", "toutou")]),
        ("He lives in the Big Apple.", [("Big Apple", "la Grosse Pomme")]),
        ("The man reads a book.", []),
    ],
)
def test_terms_are_in_the_translation_once(
    english_french: Translator, text: str, expected: list[tuple[str, str]]
) -> None:
    [translation] = translate(english_french, text)
    assert spans(translation, text) == expected
    for _, target in expected:
        assert translation.text.count(target) == sum(other == target for _, other in expected)
    assert all(
        token.text == translation.text[token.start : token.end] for token in translation.sentences[0].target_tokens
    )


def test_articles_agree_with_the_term(english_french: Translator) -> None:
    text = "The man is in front of the shop with a cat."
    [translation] = translate(english_french, text)
    assert "devant l'échoppe avec une minette" in translation.text


def test_markup_and_pieces_stay(english_french: Translator) -> None:
    text = "A <b>dog</b> &amp; {{name}} see a pull request."
    [translation] = translate(english_french, text, format="html")
    assert spans(translation, text) == [("dog", "toutou"), ("pull request", "demande de tirage")]
    assert translation.text.count("{{name}}") == translation.text.count("<b>") == translation.text.count("</b>") == 1


def test_alternatives_have_the_terms_too(english_french: Translator) -> None:
    [translation] = translate(english_french, "A dog sleeps.", options=Options(alternatives=2, attention="none"))
    assert len(translation.alternatives) == 2
    assert all("toutou" in text for text in (translation.text, *translation.alternatives))
    assert translation.sentences[0].attention == []


def test_other_texts_of_the_request_are_the_same_as_without_a_glossary(english_french: Translator) -> None:
    texts = ["Two men play football.", "A dog sleeps."]
    plain = asyncio.run(english_french.translate(texts))
    found = translate(english_french, *texts)
    assert found[0].text == plain[0].text and found[1].text != plain[1].text


def test_words_that_the_network_cannot_write_replace_the_aligned_ones(translator: Translator) -> None:
    text = "Wind and rain, no rain."
    [translation] = translate(translator, text)
    assert translation.text == "WWiinndd aanndd pluie,, nnoo pluie.."
    assert spans(translation, text) == [("rain", "pluie"), ("rain", "pluie")]
