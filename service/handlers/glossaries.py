"""The glossary of a request to translate: a map in the request, or the name of a stored one."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, Field, RootModel

from service.batching.offload import run_in_thread
from service.handlers.schemas import TranslateRequest
from service.markup.protect import ProtectedText
from service.registry.registry import Registry
from service.translation.glossary import Glossary, Occurrence
from service.translation.job import TermFinder
from service.translation.results import Translation
from service.translation.translator import Translator


class GlossaryTerms(RootModel[dict[str, str]]):
    """Source terms with their required translations."""


class StoredGlossary(BaseModel):
    """The terms of a stored glossary for a language pair."""

    name: str
    source: str | None = Field(description="Null if the terms are for every pair.")
    target: str | None
    terms: int = Field(description="Number of terms.")


Route = tuple[Translator, ...]
"""The translators of a text: none if it is returned as it is, one, or two through the pivot language."""


async def find_glossaries(
    request: TranslateRequest, routes: Iterable[Route], registry: Registry
) -> dict[Route, Glossary]:
    """The terms of the request's glossary for each route, by the languages of its ends.

    Raises GlossaryNotFound or InvalidInput.
    """
    asked = request.glossary

    def work() -> dict[Route, Glossary]:
        found = {}
        for route in {route for route in routes if route}:
            source, target = route[0].source, route[-1].target
            if isinstance(asked, str):
                found[route] = registry.glossaries.compiled(asked, source, target)
            else:
                found[route] = Glossary(asked or {}, source)
        return found

    return await run_in_thread(work)


def finder(glossary: Glossary, replaces: bool = True) -> TermFinder:
    """A function that finds the terms of a glossary. Without `replaces` their translations stay."""

    def find(index: int, protected: ProtectedText) -> list[Occurrence]:
        found = glossary.occurrences(protected.text)
        return found if replaces else [replace(occurrence, replaces=False) for occurrence in found]

    return find


def used_terms(translation: Translation, text: str) -> list[dict[str, Any]]:
    """The glossary terms in the translation of `text`, in the form of `schemas.UsedTerm`."""
    return [
        {
            "term": term.source,
            "source": _surface(text, term.start, term.end),
            "target": _surface(translation.text, term.target_start, term.target_end),
        }
        for sentence in translation.sentences
        for term in sentence.terms
    ]


def _surface(text: str, start: int, end: int) -> dict[str, Any]:
    return {"text": text[start:end], "start": start, "end": end}
