"""Links of both directions. The committed translators of English and French serve both."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from starlette.testclient import TestClient

from service.attention import AttentionMatrix
from service.batching.scheduler import Limits
from service.errors import TextTooLong
from service.handlers.alignment import AlignedAnswer, translate_with_alignment
from service.handlers.encoding import AS_JSON
from service.handlers.reverse_alignment import _pair, _plain
from service.handlers.schemas import TranslateRequest, TranslateResponse
from service.registry.registry import Registry
from service.runtime import Runtime
from service.settings import Settings
from service.text.tokenizer import TextTokenizer, Token
from service.translation.translator import Translator
from tests.fakes import source_tokenizer

TOKENIZER = TextTokenizer(source_tokenizer(ends=True).to_str().encode())


@pytest.fixture(scope="module")
def both(real_models: Path) -> Iterator[Registry]:
    registry = Registry(real_models, Runtime("cpu", threads=1), Limits())
    registry.load("en-fr")
    registry.load("fr-en")
    yield registry
    registry.close()


def ask(registry: Registry, q: str | list[str], **fields: Any) -> AlignedAnswer:
    request = TranslateRequest(q=q, source="en", target="fr", alignment="symmetric", **fields)
    return asyncio.run(translate_with_alignment(request, registry, Settings()))


def words(answer: AlignedAnswer) -> list[set[tuple[str, str]]]:
    return [{(link.source_word.text, link.target_word.text) for link in links} for links in answer.links()]


def test_links_of_both_directions(both: Registry) -> None:
    answer = ask(both, ["A dog is <b>here</b>. He sleeps.", "7", "The cat sleeps."], format="html")
    assert answer.reverse is not None and len(answer.reverse) == 3
    here, he, cat = words(answer)
    assert {("A", "Un"), ("dog", "chien"), ("is", "est"), ("here", "ici"), (".", ".")} <= here
    assert {("He", "Il"), ("sleeps", "dort"), (".", ".")} <= he
    assert {("The", "Le"), ("cat", "chat"), ("sleeps", "dort"), (".", ".")} <= cat
    one_way = [{(link.source, link.target) for link in links} for links in AlignedAnswer(answer.answer, True).links()]
    for links, forward, reverse in zip(answer.links(), one_way, answer.reverse, strict=True):
        found = {(link.source, link.target) for link in links}
        assert forward & reverse <= found <= forward | reverse
        assert [link.target for link in links] == sorted(link.target for link in links)
    TranslateResponse.model_validate(answer.encode(AS_JSON))


def test_links_do_not_depend_on_the_units_of_attention(both: Registry) -> None:
    q = "The unbelievable cat sleeps, and I don't."
    [by_token], [by_word] = (words(ask(both, q, attention_unit=unit)) for unit in ("token", "word"))
    assert by_token == by_word


def test_one_direction_only(client: TestClient) -> None:
    body = {"q": "No way!", "source": "en", "target": "xx", "alignment": "symmetric"}
    answer = client.post("/translate", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "symmetric alignment needs a translator from xx to en"
    assert client.post("/translate", json={**body, "alignment": "both"}).status_code == 422
    assert client.post("/translate", data={**body, "alignment": "true"}).status_code == 200


def reverse(**limits: int) -> Translator:
    """A translator with tokenizers and limits only."""
    manifest = SimpleNamespace(
        name="xx-en", limits=SimpleNamespace(**{"max_tokens": 9, "max_target_tokens": 9} | limits)
    )
    return cast(Translator, SimpleNamespace(manifest=manifest, source_tokenizer=TOKENIZER, target_tokenizer=TOKENIZER))


WIND = [Token("wind", 3, 7), Token("", 7, 7), Token("and", 8, 11), Token("rain", 20, 24)]


def test_each_source_word_is_linked_to_its_highest_weight() -> None:
    assert _plain(WIND) == ("wind and rain", [(0, 4), (4, 4), (5, 8), (9, 13)])
    pair = _pair(WIND, WIND[2:], reverse())
    assert pair is not None
    assert [token.text for token in pair.written.tokens] == ["wind", "and", "rain"]
    assert [token.special for token in pair.read.tokens] == [None, None, "</s>"]
    weights = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [0.6, 0.4, 0.0]])
    decoded: Any = SimpleNamespace(attention_of=lambda index: [AttentionMatrix("cross", 0, None, weights)])
    assert pair.links(decoded) == {(0, 1), (2, 0), (3, 0)}


@pytest.mark.parametrize(
    ("limit", "message"),
    [("max_tokens", "3 tokens, xx-en reads up to 2"), ("max_target_tokens", "3 tokens, xx-en writes up to 2")],
)
def test_a_sentence_over_the_limits_of_the_reverse_translator(limit: str, message: str) -> None:
    with pytest.raises(TextTooLong, match=message):
        _pair(WIND, WIND[2:], reverse(**{limit: 2}))


def test_a_sentence_without_words() -> None:
    assert _pair([Token("", 3, 3)], WIND, reverse()) is None
