import asyncio

import pytest

from service.errors import MissingParameter
from service.handlers.languages import GUESSES, detect_languages, languages, name_of
from service.handlers.schemas import DetectRequest, Language
from service.registry.registry import Registry
from service.settings import Settings


def test_languages(registry: Registry) -> None:
    assert languages(registry) == [
        Language(code="en", name="English", targets=["xx"]),
        Language(code="xx", name="xx", targets=[]),
    ]
    assert (name_of("fr"), name_of("zz")) == ("French", "zz")


def test_detection_has_the_form_of_its_input(registry: Registry, settings: Settings) -> None:
    text = "Bonjour tout le monde, comment allez-vous ?"
    alone = asyncio.run(detect_languages(DetectRequest(q=text), registry, settings))
    assert asyncio.run(detect_languages(DetectRequest(q=[text]), registry, settings)) == [alone]
    assert len(alone) == GUESSES
    with pytest.raises(MissingParameter):
        asyncio.run(detect_languages(DetectRequest(), registry, settings))
