"""Paragraphs in several languages, with the fake translator from English."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.batching.scheduler import Limits
from service.handlers.encoding import AS_JSON
from service.handlers.paragraphs import Part, parts_of
from service.handlers.schemas import TranslateRequest
from service.handlers.translate import translate
from service.registry.registry import Registry
from service.runtime import Runtime
from service.settings import Settings
from tests.fakes import doubled, write_translator

ENGLISH = "The wind is cold and there is no rain today. We have a warm day and the rain is over."
FRENCH = "Le vent est froid et il ne pleut pas aujourd'hui. Nous avons une belle journée devant nous."
GERMAN = "Der Wind ist kalt und heute regnet es nicht. Wir haben einen warmen Tag vor uns liegen."
TEXT = f"{ENGLISH}\n\n{FRENCH}\n \nNo. 1\n\n{ENGLISH}\n"


def test_parts() -> None:
    second, third = TEXT.index(FRENCH), TEXT.index("No.")
    parts = parts_of(TEXT, "en", {"en", "fr"})
    assert parts == [Part(0, second, "en"), Part(second, third, "fr"), Part(third, len(TEXT), "en")]
    assert parts_of(TEXT, "en", {"en"}) == [Part(0, len(TEXT), "en")]
    assert parts_of(f"{FRENCH}\n\nNo rain.", "fr", {"en", "fr"}) == [Part(0, len(FRENCH) + 10, "fr")]
    assert [part.language for part in parts_of(f"{GERMAN}\n\n{FRENCH}", "de", {"de", "fr"})] == ["de", "fr"]


@pytest.fixture(scope="module")
def french(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A translator from English to a language whose texts are returned as they are."""
    models: Path = tmp_path_factory.mktemp("models")
    write_translator(models, "en-fr", target="fr")
    registry = Registry(models, Runtime("cpu", threads=1), Limits())
    registry.load()
    yield registry
    registry.close()


def answered(registry: Registry, q: Any, **fields: Any) -> Any:
    request = TranslateRequest(q=q, **{"source": "auto", "target": "fr", "beam_size": 1, **fields})
    settings = Settings(models=Path("models"))
    return asyncio.run(translate(request, registry, settings)).encode(AS_JSON)


def test_each_paragraph_is_translated_from_its_language(french: Registry) -> None:
    answer = answered(french, ["No rain today, it is a warm day.", TEXT], glossary={"rain": "RAIN"})
    alone = [
        answered(french, part, source="en", glossary={"rain": "RAIN"}) for part in (ENGLISH, f"No. 1\n\n{ENGLISH}\n")
    ]
    first, second = (each["translatedText"] for each in alone)
    found = answer["translations"][1]
    assert found["text"] == f"{first}\n\n{FRENCH}\n \n{second}"
    assert [part["language"] for part in found["languages"]] == ["en", "fr", "en"]
    assert "languages" not in answer["translations"][0]
    assert [guess["language"] for guess in answer["detectedLanguage"]] == ["en", "en"]
    for sentence in found["sentences"]:
        for token in sentence["source_tokens"]:
            assert TEXT[token["start"] : token["end"]] == token["text"]
        for token in sentence["target_tokens"]:
            assert found["text"][token["start"] : token["end"]] == token["text"]
    used = found["glossary"]
    assert [each["source"]["text"] for each in used] == ["rain"] * 4
    assert [each["target"]["text"] for each in used] == ["RAIN"] * 4


def test_other_requests_are_not_divided(french: Registry) -> None:
    assert "languages" not in answered(french, TEXT, source="en")["translations"][0]
    assert "languages" not in answered(french, TEXT, format="html")["translations"][0]
    assert "languages" not in answered(french, f"{ENGLISH}\n\n{ENGLISH}")["translations"][0]


def test_short_texts_have_a_language_that_can_be_translated(french: Registry) -> None:
    """Each text of a list has its own language."""
    answer = answered(french, ["No rain", "Le vent est froid et il pleut.", "wind"])
    assert [guess["language"] for guess in answer["detectedLanguage"]] == ["en", "fr", "en"]
    assert answer["translatedText"] == [doubled("No rain"), "Le vent est froid et il pleut.", doubled("wind")]
