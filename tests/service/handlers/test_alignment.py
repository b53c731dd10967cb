"""Links between words. The fake translator writes a word for each word of its source, in order."""

import asyncio
from typing import Any

from starlette.testclient import TestClient

from service.handlers.alignment import AlignedAnswer, translate_with_alignment
from service.handlers.encoding import AS_JSON
from service.handlers.schemas import TranslateRequest, TranslateResponse
from service.registry.registry import Registry
from service.settings import Settings
from tests.fakes import doubled

TEXT = "No rain, a warm wind. No way!"
WORDS = [["No", "rain", ",", "a", "warm", "wind", "."], ["No", "way", "!"]]


def ask(registry: Registry, settings: Settings, **fields: Any) -> AlignedAnswer:
    request = TranslateRequest.model_validate({"q": TEXT, "source": "en", "target": "xx", "alignment": True, **fields})
    return asyncio.run(translate_with_alignment(request, registry, settings))


def test_every_word_is_linked_to_its_own(registry: Registry, settings: Settings) -> None:
    for fields in ({}, {"attention": "full"}, {"attention_unit": "word"}, {"attention": "none"}):
        encoded = ask(registry, settings, **fields).encode(AS_JSON)
        [translation] = TranslateResponse.model_validate(encoded).translations
        for sentence, words in zip(translation.sentences, WORDS, strict=True):
            assert sentence.alignment is not None
            assert [link.source.text for link in sentence.alignment] == words
            for link in sentence.alignment:
                assert link.target.text == doubled(link.source.text)
                assert TEXT[link.source.start : link.source.end] == link.source.text
                assert translation.text[link.target.start : link.target.end] == link.target.text
            assert bool(sentence.attention) is (fields.get("attention") != "none")


def test_pharaoh_format(registry: Registry, settings: Settings) -> None:
    assert ask(registry, settings).pharaoh() == "0-0 1-1 2-2 3-3 4-4 5-5 6-6\n0-0 1-1 2-2\n"
    assert ask(registry, settings, q=["No way!", "..."]).pharaoh() == "0-0 1-1 2-2\n"


def test_routes(client: TestClient) -> None:
    body = {"q": "No way!", "source": "en", "target": "xx", "attention": "none"}
    pharaoh = client.post("/translate", json=body, headers={"Accept": "text/x-pharaoh"})
    assert pharaoh.headers["content-type"] == "text/x-pharaoh; charset=utf-8"
    assert pharaoh.text == "0-0 1-1 2-2\n"
    plain = client.post("/translate", json=body).json()["translations"][0]["sentences"][0]
    linked = client.post("/translate", json={**body, "alignment": True}).json()["translations"][0]["sentences"][0]
    assert len(linked.pop("alignment")) == 3 and linked == plain
