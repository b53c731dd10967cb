"""Classification without HTTP."""

import asyncio

import pytest

from service.errors import BatchTooLarge, ModelNotFound
from service.handlers.classify import classify
from service.handlers.encoding import AS_JSON
from service.handlers.schemas import ClassifyRequest, ClassifyResponse
from service.registry.registry import Registry
from service.settings import Settings
from tests.fakes import LABELS


def test_one_prediction_per_text(registry: Registry, settings: Settings) -> None:
    answer = asyncio.run(classify(ClassifyRequest(text=["wind", "no rain"]), registry, settings))
    assert answer.manifest.name == "toy"
    assert [one.label in LABELS for one in answer.predictions] == [True, True]
    encoded = answer.encode(AS_JSON)
    assert [len(one["tokens"]) for one in encoded["predictions"]] == [len(one.tokens) for one in answer.predictions]
    encoded["predictions"][0]["attention"] = encoded["predictions"][1]["attention"] = []
    assert ClassifyResponse.model_validate(encoded).model == "toy"


def test_words(registry: Registry, settings: Settings) -> None:
    request = ClassifyRequest(text="don't rain", attention_unit="word")
    [prediction] = asyncio.run(classify(request, registry, settings)).predictions
    assert [token.text for token in prediction.tokens] == ["don't", "rain"]
    assert prediction.attention[0].weights.shape == (1, 2)


def test_errors(registry: Registry, settings: Settings) -> None:
    with pytest.raises(BatchTooLarge):
        asyncio.run(classify(ClassifyRequest(text=["wind"] * 4), registry, settings))
    with pytest.raises(ModelNotFound):
        asyncio.run(classify(ClassifyRequest(text="wind", model="en-xx"), registry, settings))
