"""Generation without HTTP."""

import asyncio
from typing import Any

import pytest

from service.errors import EmptyText, UnsupportedOption
from service.handlers.encoding import AS_JSON
from service.handlers.generate import generate, generate_all
from service.handlers.schemas import GenerateRequest
from service.registry.registry import Registry
from service.settings import Settings


def test_events_are_the_tokens_of_the_answer(registry: Registry, settings: Settings) -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    request = GenerateRequest(prompt="The wind", max_tokens=7, seed=3)
    answer = asyncio.run(generate(request, registry, settings, lambda name, event: events.append((name, event))))  # type: ignore[arg-type]
    encoded = answer.encode(AS_JSON)
    assert {name for name, _ in events} == {"token"}
    assert [event["text"] for _, event in events] == [token["text"] for token in encoded["tokens"]]
    assert [event["logprob"] for _, event in events] == [token["logprob"] for token in encoded["tokens"]]
    assert "".join(event["text"] for _, event in events) == encoded["text"]


def test_several_prompts(registry: Registry, settings: Settings) -> None:
    request = GenerateRequest(prompt="", max_tokens=5, temperature=0)
    found = asyncio.run(generate_all(["The wind", "no rain"], request, registry, settings))
    alone = [
        asyncio.run(generate(request.model_copy(update={"prompt": prompt}), registry, settings)).generation.text
        for prompt in ("The wind", "no rain")
    ]
    assert [one.text for one in found] == alone


def test_errors(registry: Registry, settings: Settings) -> None:
    with pytest.raises(EmptyText):
        asyncio.run(generate(GenerateRequest(prompt=""), registry, settings))
    with pytest.raises(UnsupportedOption):
        asyncio.run(generate(GenerateRequest(prompt="wind", max_tokens=999), registry, settings))
