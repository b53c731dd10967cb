"""The translation memory of a request to translate.

A text with an exact match is not translated. Its sentences are compared too: those with an exact match are not decoded.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, Field

from service.batching import budget
from service.batching.offload import run_in_thread
from service.handlers.glossaries import Route
from service.handlers.schemas import TranslateRequest
from service.markup.protect import Format
from service.registry.registry import Registry
from service.translation.memory import TranslationMemory
from service.translation.results import Match, Translation


class StoredMemory(BaseModel):
    """The units of a stored translation memory for a language pair."""

    name: str
    source: str
    target: str
    units: int = Field(description="Number of units with both languages.")


@dataclass(frozen=True)
class RequestedMemory:
    """The memory of a request for the texts of a route."""

    memory: TranslationMemory
    threshold: float
    format: Format

    def find_sentence(self, sentence: str, text: str) -> Match | None:
        """The match of a sentence of a text. One that is the whole text has none: the text has been compared."""
        if sentence.strip() == text.strip():
            return None
        return self.memory.find(sentence, self.threshold, self.format)

    async def find(self, texts: Sequence[str]) -> list[Match | None]:
        """The match of each text."""

        def work() -> list[Match | None]:
            found = []
            for text in texts:
                budget.check()
                found.append(self.memory.find(text, self.threshold, self.format))
            return found

        return await run_in_thread(work)


async def find_memories(
    request: TranslateRequest, routes: Iterable[Route], registry: Registry
) -> dict[Route, RequestedMemory]:
    """The memory of the request for each route, by the languages of its ends. Empty without a memory.

    Raises MemoryNotFound.
    """
    name = request.memory
    if name is None:
        return {}
    different = {route for route in routes if route}
    format: Format = "html" if request.format == "html" else "text"

    def work() -> dict[Route, RequestedMemory]:
        return {
            route: RequestedMemory(
                registry.memories.compiled(name, route[0].source, route[-1].target), request.memory_threshold, format
            )
            for route in different
        }

    return await run_in_thread(work)


async def with_matches(
    memory: RequestedMemory,
    texts: Sequence[str],
    translate: Callable[[Sequence[int]], Awaitable[Sequence[Translation]]],
) -> list[Translation]:
    """The translations of some texts, with their matches. `translate` translates the texts at some indices."""
    matches = await memory.find(texts)
    rest = [index for index, match in enumerate(matches) if match is None or not match.is_exact]
    translated = iter(await translate(rest) if rest else ())
    return [
        Translation(match.target, [], [], match=match)
        if match is not None and match.is_exact
        else replace(next(translated), match=match)
        for match in matches
    ]


def encode_match(match: Match | None) -> dict[str, Any] | None:
    """A match in the form of `schemas.MemoryMatch`."""
    if match is None:
        return None
    return {"score": match.score, "used": match.is_exact, "source": match.source, "target": match.target}
