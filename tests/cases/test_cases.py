"""Texts that users really send, translated by the bundles in models/. The rates must not fall.

| table    | right                                                                                               |
|----------|-----------------------------------------------------------------------------------------------------|
| verbatim | the text comes back as it is                                                                        |
| pieces   | each piece of `keeps` is in the translation as often as in the text                                 |
| numbers  | the translation has the digits of the text, no more and no fewer                                    |
| words    | the translation is one of the accepted ones                                                         |
| caps     | the translation of the same text in sentence case; in capitals if the text is in capitals           |
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.batching.scheduler import Limits
from service.registry.registry import Registry
from service.runtime import Runtime
from service.translation.translator import Translator

TABLES = Path(__file__).parent
PAIRS = ["en-fr", "en-de", "fr-en", "de-en"]
WORD_RATES = {"en-fr": 0.75, "en-de": 0.75, "fr-en": 0.65, "de-en": 0.65}
"""Rates of the committed bundles. The networks of these bundles were not trained on single words."""


def table(name: str) -> list[dict[str, str]]:
    header, *rows = (TABLES / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    return [dict(zip(header.split("\t"), row.split("\t"), strict=True)) for row in rows]


def of_source(name: str, pair: str) -> list[dict[str, str]]:
    return [row for row in table(name) if row["source"] == pair[:2]]


@pytest.fixture(scope="module", params=PAIRS)
def translator(
    request: pytest.FixtureRequest, real_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Translator]:
    folder = tmp_path_factory.mktemp("models")
    (folder / request.param).symlink_to(real_models / request.param)
    registry = Registry(folder, Runtime("cpu", threads=1), Limits())
    registry.load()
    yield registry.translator(*request.param.split("-"))
    registry.close()


def translated(translator: Translator, texts: list[str]) -> list[str]:
    return [translation.text for translation in asyncio.run(translator.translate(texts))]


def pair_of(translator: Translator) -> str:
    return f"{translator.source}-{translator.target}"


def test_nothing_to_translate(translator: Translator) -> None:
    texts = [row["text"] for row in table("verbatim")]
    assert [pair for pair in zip(texts, translated(translator, texts), strict=True) if pair[0] != pair[1]] == []


def test_pieces_are_kept(translator: Translator) -> None:
    rows = of_source("pieces", pair_of(translator))
    lost = [
        (row["text"], text)
        for row, text in zip(rows, translated(translator, [row["text"] for row in rows]), strict=True)
        if any(text.count(piece) != row["text"].count(piece) for piece in row["keeps"].split(" ||| "))
    ]
    assert lost == []


def test_branches_of_messages_are_translated(translator: Translator) -> None:
    branches = {"en": ("dog", "dogs"), "fr": ("chien", "chiens"), "de": ("Hund", "Hunde")}[translator.source]
    [text] = translated(translator, [f"{{n, plural, one {{# {branches[0]}}} other {{# {branches[1]}}}}}"])
    assert re.fullmatch(r"\{n, plural, one \{[^{}]*#[^{}]*\} other \{[^{}]*#[^{}]*\}\}", text), text
    assert not set(re.findall(r"\w+", text)) & set(branches)


def test_numbers_are_kept(translator: Translator) -> None:
    rows = of_source("numbers", pair_of(translator))
    texts = [row["text"] for row in rows]
    changed = [
        (text, found)
        for text, found in zip(texts, translated(translator, texts), strict=True)
        if Counter(re.findall(r"\d", found)) != Counter(re.findall(r"\d", text))
    ]
    assert changed == []


def test_capitals_and_title_case(translator: Translator) -> None:
    rows = of_source("caps", pair_of(translator))
    plain = translated(translator, [row["plain"] for row in rows])
    found = translated(translator, [row["text"] for row in rows])
    for row, expected, text in zip(rows, plain, found, strict=True):
        assert text == (expected.upper() if row["text"].isupper() else expected)


def test_words(translator: Translator) -> None:
    pair, rows = pair_of(translator), table("words")
    forms = [("", "the ", "a ", "an ") if translator.target == "en" else ("",)] * len(rows)
    found = translated(translator, [row[translator.source].split("|")[0] for row in rows])
    right = [
        text.strip(" .!").lower()
        in {form + answer.lower() for answer in row[translator.target].split("|") for form in own}
        for row, text, own in zip(rows, found, forms, strict=True)
    ]
    assert sum(right) / len(right) >= WORD_RATES[pair]
