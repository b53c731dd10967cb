"""Translation without HTTP."""

import asyncio
import math
from typing import Any

import pytest

from service.bundle.manifest import WordCalibration
from service.errors import EmptyText, MissingParameter, UnsupportedFormat, UnsupportedLanguagePair
from service.handlers.encoding import AS_JSON
from service.handlers.schemas import TranslateRequest, TranslateResponse
from service.handlers.translate import plan_translation, translate
from service.registry.registry import Registry
from service.settings import Settings
from service.translation.confidence import confidence
from tests.fakes import doubled

PAIR = {"source": "en", "target": "xx"}


def request(**fields: Any) -> TranslateRequest:
    return TranslateRequest.model_validate({**PAIR, "attention": "none", **fields})


@pytest.mark.parametrize("q", ["Wind. No!", ["Wind. No!", "Rain"]])
def test_one_translation_per_text(registry: Registry, settings: Settings, q: str | list[str]) -> None:
    answer = asyncio.run(translate(request(q=q), registry, settings))
    texts = [q] if isinstance(q, str) else q
    assert [one.text for one in answer.translations] == [doubled(text) for text in texts]
    encoded = TranslateResponse.model_validate(answer.encode(AS_JSON))
    assert encoded.translatedText == (doubled(q) if isinstance(q, str) else [doubled(text) for text in q])
    assert encoded.model == "en-xx"


def test_detected_languages(registry: Registry, settings: Settings) -> None:
    wanted = TranslateRequest(q=["Where is the wind?", "The wind is cold."], source="auto", target="xx")
    plan = asyncio.run(plan_translation(wanted, registry, settings))
    assert [guess.language for guess in plan.guesses] == ["en", "en"]
    assert [len(route) for route in plan.routes] == [1, 1]


def test_events_are_those_of_the_answer(registry: Registry, settings: Settings) -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    wanted = request(q=["Wind. No!", "Rain"], beam_size=1)

    def emit(name: str, content: Any) -> None:
        events.append((name, content() if callable(content) else content))

    answer = asyncio.run(translate(wanted, registry, settings, emit))
    found = {(e["translation"], e["number"]): e["sentence"]["text"] for name, e in events if name == "sentence"}
    assert found == {
        (place, number): sentence.text
        for place, translation in enumerate(answer.translations)
        for number, sentence in enumerate(translation.sentences)
    }
    tokens = "".join(e["text"] for name, e in events if name == "token" and e["translation"] == 1)
    assert tokens.strip() == doubled("Rain")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"q": None}, MissingParameter),
        ({"q": "Wind", "source": None}, MissingParameter),
        ({"q": "Wind", "format": "xml"}, UnsupportedFormat),
        ({"q": "Wind", "target": "zz"}, UnsupportedLanguagePair),
        ({"q": "Wind", "source": "auto", "target": "zz"}, UnsupportedLanguagePair),
        ({"q": " "}, EmptyText),
    ],
)
def test_errors(registry: Registry, settings: Settings, fields: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        asyncio.run(plan_translation(request(**fields), registry, settings))


def test_log_probabilities_of_tokens_and_confidence_of_words(
    registry: Registry, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"q": "No rainy abc.", "source": "en", "target": "xx", "logprobs": True, "length_penalty": 0}
    answers = [
        asyncio.run(translate(TranslateRequest.model_validate({**body, "attention_unit": unit}), registry, settings))
        for unit in ("token", "word")
    ]
    [tokens, words] = [answer.encode(AS_JSON)["translations"][0]["sentences"][0]["target_tokens"] for answer in answers]
    assert len(words) < len(tokens)
    assert all(token["logprob"] < 0 and "confidence" not in token for token in tokens)
    total = sum(token["logprob"] for token in tokens)
    assert total > answers[0].translations[0].sentences[0].score  # which includes </s>
    assert sum(word["logprob"] for word in words) == pytest.approx(total, abs=1e-5)
    assert all(word["confidence"] == pytest.approx(math.exp(word["logprob"]), abs=1e-5) for word in words)
    calibration = WordCalibration(slope=0.5, intercept=1.0)
    translator = registry.translator("en", "xx", None, None)
    manifest = translator.manifest.model_copy(update={"word_calibration": calibration})
    monkeypatch.setattr(translator, "manifest", manifest)
    calibrated = asyncio.run(
        translate(TranslateRequest.model_validate({**body, "attention_unit": "word"}), registry, settings)
    )
    for word in calibrated.encode(AS_JSON)["translations"][0]["sentences"][0]["target_tokens"]:
        assert word["confidence"] == pytest.approx(confidence(word["logprob"], calibration), abs=1e-5)
    plain = asyncio.run(translate(TranslateRequest.model_validate({**body, "logprobs": False}), registry, settings))
    target_tokens = plain.encode(AS_JSON)["translations"][0]["sentences"][0]["target_tokens"]
    assert all("logprob" not in token for token in target_tokens)
