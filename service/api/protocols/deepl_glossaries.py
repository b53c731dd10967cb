"""Glossaries in DeepL's protocol: one language pair (v2), or several (v3).

The OpenAPI document omits these routes, which DeepL's own document describes.
"""

import asyncio
import csv
import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, model_validator
from starlette.responses import PlainTextResponse, Response

from service.api.access import admit_by_header, caller_of
from service.api.body import RegistryOf, SettingsOf, parse_body
from service.errors import GlossaryNotFound, InvalidInput, MissingParameter
from service.handlers.caller_glossaries import CallerGlossaries, CallerGlossary
from service.handlers.languages import base_language, reachable
from service.registry.glossaries import Pair, as_tsv, parse_terms
from service.registry.registry import Registry
from service.settings import Settings
from service.translation.glossary import Terms

router = APIRouter(tags=["deepl"], include_in_schema=False)
R = TypeVar("R")
FORM_FIELD = re.compile(r"dictionaries\[(\d{1,3})\]\.(\w{1,30})")


class Dictionary(BaseModel):
    """The terms for a language pair."""

    source_lang: str
    target_lang: str
    entries: str
    entries_format: Literal["tsv", "csv"] = "tsv"


class V2Glossary(Dictionary):
    name: str


class Dictionaries(BaseModel):
    dictionaries: list[Dictionary] = Field([], max_length=100)

    @model_validator(mode="before")
    @classmethod
    def _nested(cls, fields: Any) -> Any:
        """deepl-node sends a form with names such as `dictionaries[0].source_lang`."""
        if not isinstance(fields, dict) or "dictionaries" in fields:
            return fields
        found: dict[str, dict[str, Any]] = {}
        for name, value in fields.items():
            if match := FORM_FIELD.fullmatch(name):
                found.setdefault(match[1], {})[match[2]] = value
        return {**fields, "dictionaries": list(found.values())} if found else fields


class V3Glossary(Dictionaries):
    name: str


class Change(Dictionaries):
    name: str | None = None


def pair_of(source: str | None, target: str | None, registry: Registry) -> Pair:
    """A language pair without regions and in lower case. Raises MissingParameter."""
    if not source or not target:
        raise MissingParameter("Invalid request: missing source_lang or target_lang parameter")
    known = {language for pair in registry.pairs() for language in pair}
    return base_language(source, known).lower(), base_language(target, known).lower()


def terms_of(dictionary: Dictionary) -> dict[str, str]:
    """Raises InvalidInput."""
    try:
        return parse_terms(dictionary.entries, "\t" if dictionary.entries_format == "tsv" else ",")
    except csv.Error as error:
        raise InvalidInput(f"the entries cannot be read: {error}") from None


def dictionaries_of(found: list[Dictionary], registry: Registry) -> dict[Pair, Terms]:
    return {pair_of(each.source_lang, each.target_lang, registry): terms_of(each) for each in found}


def entries_of(terms: Terms) -> str:
    """The terms as DeepL returns them: no line break after the last one."""
    return as_tsv(terms).removesuffix("\n")


def described(pair: Pair, terms: Terms) -> dict[str, Any]:
    return {"source_lang": pair[0], "target_lang": pair[1], "entry_count": len(terms)}


def as_v2(found: CallerGlossary) -> dict[str, Any]:
    [(pair, terms)] = [*found.dictionaries.items()][:1]
    head = {"glossary_id": found.id, "name": found.label.name, "ready": True, "creation_time": found.label.created}
    return {**head, **described(pair, terms)}


def as_v3(found: CallerGlossary) -> dict[str, Any]:
    dictionaries = [described(pair, terms) for pair, terms in sorted(found.dictionaries.items())]
    head = {"glossary_id": found.id, "name": found.label.name, "creation_time": found.label.created}
    return {**head, "dictionaries": dictionaries}


async def work(registry: Registry, settings: Settings, function: Callable[[CallerGlossaries], R]) -> R:
    """Run a function over the glossaries of callers in a thread."""
    glossaries = CallerGlossaries(settings.glossaries, registry.glossaries)
    return await asyncio.to_thread(function, glossaries)


@router.get("/v2/glossary-language-pairs")
async def pairs(request: Request, registry: RegistryOf) -> Any:
    admit_by_header(request)
    found = sorted(reachable(registry.pairs()))
    return {"supported_languages": [{"source_lang": source, "target_lang": target} for source, target in found]}


@router.post("/v2/glossaries", status_code=201)
async def create_v2(request: Request, registry: RegistryOf, settings: SettingsOf) -> Any:
    body = await parse_body(request, V2Glossary, settings.max_body_bytes, form=True)
    owner, dictionaries = caller_of(request), dictionaries_of([body], registry)
    return as_v2(await work(registry, settings, lambda found: found.create(owner, body.name, dictionaries)))


@router.post("/v3/glossaries", status_code=201)
async def create_v3(request: Request, registry: RegistryOf, settings: SettingsOf) -> Any:
    body = await parse_body(request, V3Glossary, settings.max_body_bytes, form=True)
    owner, dictionaries = caller_of(request), dictionaries_of(body.dictionaries, registry)
    return as_v3(await work(registry, settings, lambda found: found.create(owner, body.name, dictionaries)))


@router.get("/v2/glossaries")
@router.get("/v3/glossaries")
async def list_glossaries(request: Request, registry: RegistryOf, settings: SettingsOf) -> Any:
    owner = admitted(request)
    found = await work(registry, settings, lambda glossaries: glossaries.list(owner))
    if is_v3(request):
        return {"glossaries": [as_v3(each) for each in found]}
    return {"glossaries": [as_v2(each) for each in found if len(each.dictionaries) == 1]}


@router.get("/v2/glossaries/{glossary_id}")
@router.get("/v3/glossaries/{glossary_id}")
async def get_glossary(request: Request, glossary_id: str, registry: RegistryOf, settings: SettingsOf) -> Any:
    owner = admitted(request)
    found = await work(registry, settings, lambda glossaries: glossaries.get(glossary_id, owner))
    return as_v3(found) if is_v3(request) else as_v2(found)


@router.delete("/v2/glossaries/{glossary_id}", status_code=204)
@router.delete("/v3/glossaries/{glossary_id}", status_code=204)
async def delete_glossary(request: Request, glossary_id: str, registry: RegistryOf, settings: SettingsOf) -> None:
    owner = admitted(request)
    await work(registry, settings, lambda glossaries: glossaries.remove(glossary_id, owner))


@router.get("/v2/glossaries/{glossary_id}/entries", response_class=PlainTextResponse)
async def get_entries_v2(request: Request, glossary_id: str, registry: RegistryOf, settings: SettingsOf) -> Response:
    owner = admitted(request)
    found = await work(registry, settings, lambda glossaries: glossaries.get(glossary_id, owner))
    [terms] = [*found.dictionaries.values()][:1]
    return PlainTextResponse(entries_of(terms), media_type="text/tab-separated-values; charset=utf-8")


@router.get("/v3/glossaries/{glossary_id}/entries")
async def get_entries_v3(
    request: Request,
    glossary_id: str,
    registry: RegistryOf,
    settings: SettingsOf,
    source_lang: str | None = None,
    target_lang: str | None = None,
) -> Any:
    owner, pair = admitted(request), pair_of(source_lang, target_lang, registry)
    found = await work(registry, settings, lambda glossaries: glossaries.get(glossary_id, owner))
    if pair not in found.dictionaries:
        raise GlossaryNotFound("the glossary has no terms for this pair")
    entries = entries_of(found.dictionaries[pair])
    dictionary = {"source_lang": pair[0], "target_lang": pair[1], "entries": entries, "entries_format": "tsv"}
    return {"dictionaries": [dictionary]}


@router.patch("/v3/glossaries/{glossary_id}")
async def change(request: Request, glossary_id: str, registry: RegistryOf, settings: SettingsOf) -> Any:
    """Rename a glossary, and add terms to its dictionaries."""
    body = await parse_body(request, Change, settings.max_body_bytes, form=True)
    owner, added = caller_of(request), dictionaries_of(body.dictionaries, registry)

    def act(glossaries: CallerGlossaries) -> CallerGlossary:
        found = glossaries.get(glossary_id, owner)
        if body.name is not None:
            glossaries.rename(glossary_id, owner, body.name)
        for pair, terms in added.items():
            glossaries.put(glossary_id, owner, pair, {**found.dictionaries.get(pair, {}), **terms})
        return glossaries.get(glossary_id, owner)

    return as_v3(await work(registry, settings, act))


@router.put("/v3/glossaries/{glossary_id}/dictionaries")
async def replace_dictionary(request: Request, glossary_id: str, registry: RegistryOf, settings: SettingsOf) -> Any:
    body = await parse_body(request, Dictionary, settings.max_body_bytes, form=True)
    owner, terms = caller_of(request), terms_of(body)
    pair = pair_of(body.source_lang, body.target_lang, registry)
    await work(registry, settings, lambda glossaries: glossaries.put(glossary_id, owner, pair, terms))
    return described(pair, terms)


@router.delete("/v3/glossaries/{glossary_id}/dictionaries", status_code=204)
async def delete_dictionary(
    request: Request,
    glossary_id: str,
    registry: RegistryOf,
    settings: SettingsOf,
    source_lang: str | None = None,
    target_lang: str | None = None,
) -> None:
    owner, pair = admitted(request), pair_of(source_lang, target_lang, registry)
    await work(registry, settings, lambda glossaries: glossaries.remove(glossary_id, owner, pair))


def admitted(request: Request) -> str:
    """Admit a caller, and return its name. Raises Unauthorized, Forbidden or RateLimited."""
    admit_by_header(request)
    return caller_of(request)


def is_v3(request: Request) -> bool:
    path: str = request.scope["route"].path
    return path.startswith("/v3/")
