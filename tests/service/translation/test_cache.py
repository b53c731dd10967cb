import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.batching.scheduler import Limits
from service.bundle.bundle import read_bundle
from service.bundle.files import read_manifest
from service.bundle.manifest import TranslationManifest
from service.markup.protect import ProtectedText, protect
from service.runtime import Runtime
from service.translation import cache as module
from service.translation.cache import CALLER, ResultCache, TextKey, sentence_key, size_of
from service.translation.engine import Options, TranslationRequest
from service.translation.glossary import Glossary
from service.translation.results import SentenceEvent, Translation
from service.translation.translator import Translator

TEXTS = ["No rain. Wind and rain!", "Wind and rain! <b>Cold</b> day."]


@pytest.fixture
def caching(models: Path) -> Iterator[Translator]:
    folder = models / "en-xx" / "1"
    bundle = read_bundle(folder, read_manifest(folder, TranslationManifest))
    translator = Translator(bundle, Runtime("cpu", threads=1), Limits(cache_bytes=1_000_000))
    yield translator
    translator.close()


@pytest.fixture
def decoded(caching: Translator, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of sentences of each submission to the scheduler."""
    counts: list[int] = []
    submit = caching.scheduler.submit

    async def counting(work: list[TranslationRequest], *args: object) -> object:
        counts.append(len(work))
        return await submit(work, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(caching.scheduler, "submit", counting)
    return counts


def translate(translator: Translator, texts: list[str] = TEXTS, **options: object) -> list[Translation]:
    return list(asyncio.run(translator.translate(texts, Options(**options), "html")))  # type: ignore[arg-type]


def same(one: list[Translation], other: list[Translation]) -> bool:
    return repr(one) == repr(other)


def test_a_sentence_is_decoded_once(translator: Translator, caching: Translator, decoded: list[int]) -> None:
    expected = translate(translator, attention="full", alternatives=1)
    for _ in range(2):
        assert same(translate(caching, attention="full", alternatives=1), expected)
    assert decoded == [3, 0]  # "Wind and rain!" occurs twice


def test_options_glossaries_and_callers_are_parts_of_the_key(caching: Translator, decoded: list[int]) -> None:
    translate(caching)
    translate(caching, beam_size=2)
    translate(caching, attention="none")
    assert decoded == [3, 3, 2]  # tags need attention anyway
    glossary = Glossary({"rain": "ab"}, "en")
    found = asyncio.run(caching.translate(TEXTS[:1], find_terms=lambda _, text: glossary.occurrences(text.text)))
    assert "ab" in found[0].text and "ab" not in translate(caching)[0].text
    token = CALLER.set("another")
    translate(caching)
    CALLER.reset(token)
    assert decoded[-1] == 3


def test_sentences_of_the_cache_are_events_too(caching: Translator) -> None:
    translate(caching)
    events: list[SentenceEvent] = []
    asyncio.run(caching.translate(TEXTS, Options(), "html", on_sentence=events.append))
    assert sorted((event.translation, event.number) for event in events) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_the_least_recently_used_sentences_are_forgotten(caching: Translator) -> None:
    ids = [[4, 5, 3], [6, 7, 3], [8, 9, 3]]
    requests = [TranslationRequest(each, [], Options()) for each in ids]
    results = asyncio.run(caching.scheduler.submit(requests))
    room = 2 * max(map(size_of, results)) + 2 * 3 * module.BYTES_PER_ID
    cache = ResultCache(room)
    keys = [sentence_key(request) for request in requests]
    cache.put_sentence(keys[0], results[0])
    cache.put_sentence(keys[1], results[1])
    assert cache.get(keys[0]) is not None
    cache.put_sentence(keys[2], results[2])
    assert [cache.get(key) is not None for key in keys] == [True, False, True]
    small = ResultCache(1)
    small.put_sentence(keys[0], results[0])  # larger than the cache
    assert (len(cache), len(small)) == (2, 0)


def test_a_text_without_attention_is_read_once(
    translator: Translator, caching: Translator, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def reading(text: str, *args: object) -> ProtectedText:
        read.append(text)
        return protect(text, *args)  # type: ignore[arg-type]

    expected = translate(translator, [*TEXTS, TEXTS[0], ""], attention="none", alternatives=1, log_probs=True)
    monkeypatch.setattr("service.translation.translator.protect", reading)
    for _ in range(2):
        found = translate(caching, [*TEXTS, TEXTS[0], ""], attention="none", alternatives=1, log_probs=True)
        assert same(found, expected)
    assert (read, decoded) == ([*TEXTS, ""], [3])


def test_texts_depend_on_options_format_lines_and_caller(caching: Translator, decoded: list[int]) -> None:
    def ask(text: str, format: str = "text", join_lines: bool = False, **options: object) -> int:
        """The number of submissions to the scheduler."""
        before = len(decoded)
        chosen = Options(attention="none", **options)  # type: ignore[arg-type]
        asyncio.run(caching.translate([text], chosen, format, join_lines=join_lines))  # type: ignore[arg-type]
        return len(decoded) - before

    text = "No rain &amp;\nno wind."
    assert [ask(text), ask(text)] == [1, 0]
    assert [ask(text, "html"), ask(text, join_lines=True), ask(text, beam_size=2), ask("A" + text)] == [1, 1, 1, 1]
    token = CALLER.set("another")
    assert [ask(text), ask(text)] == [1, 0]
    CALLER.reset(token)
    assert ask(text) == 0


def test_texts_and_sentences_share_the_bytes_of_a_cache(caching: Translator) -> None:
    [translation] = translate(caching, TEXTS[:1], attention="none")
    cache = ResultCache(12_000)
    keys: list[TextKey] = [("", Options(attention="none"), "text", False, f"text {number}") for number in range(9)]
    for key in keys:
        cache.put_text(key, translation)
    kept = [key for key in keys if cache.get(key) is not None]
    assert kept == keys[-len(cache) :] and 0 < len(kept) < 9
