"""Routes of stored glossaries: GET /glossaries, PUT and DELETE /admin/glossaries/{name}."""

import asyncio
import csv
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import ValidationError

from service.api.access import check_admin, check_operator
from service.api.body import RegistryOf, SettingsOf, read_body
from service.api.errors import describe, responses
from service.errors import InvalidInput, excerpt
from service.handlers.glossaries import GlossaryTerms, StoredGlossary
from service.registry import glossaries as stored
from service.registry.glossaries import Pair, parse_terms

router = APIRouter(tags=["operations"])

TSV, CSV, JSON = "text/tab-separated-values", "text/csv", "application/json"
BODY = {
    JSON: {"schema": GlossaryTerms.model_json_schema()},
    TSV: {"schema": {"type": "string", "examples": ["dog\ttoutou\n"]}},
    CSV: {"schema": {"type": "string", "examples": ["dog,toutou\n"]}},
}

Language = Annotated[str | None, Query(pattern="^[a-z]{2,3}$", description="Language code; both or none.")]


@router.get("/glossaries", summary="Stored glossaries", responses=responses("/glossaries", "unauthorized", "forbidden"))
async def list_glossaries(request: Request, registry: RegistryOf) -> list[StoredGlossary]:
    check_operator(request)
    found = await asyncio.to_thread(registry.glossaries.list)
    return [entry for glossary in found for entry in described(glossary)]


@router.put(
    "/admin/glossaries/{name}",
    summary="Store a glossary",
    responses=responses("/admin/glossaries/it", "unauthorized", "forbidden", "invalid_input", "payload_too_large"),
    openapi_extra={"requestBody": {"required": True, "content": BODY}},
)
async def put_glossary(
    request: Request,
    registry: RegistryOf,
    settings: SettingsOf,
    name: str,
    source: Language = None,
    target: Language = None,
) -> list[StoredGlossary]:
    """The body has the terms as JSON, as TSV or as CSV. They replace those that the glossary has for the same pair.
    Without languages they are for every pair. All processes read the folder again when it changes.
    """
    check_admin(request)
    media_type = request.headers.get("content-type", JSON).split(";")[0].strip().lower()
    if media_type not in BODY:
        raise HTTPException(415, f"send {', '.join(BODY)}, not {excerpt(media_type)}")
    body = await read_body(request, settings.max_body_bytes)

    def work() -> stored.StoredGlossary:
        return registry.glossaries.add(name, terms_of(body, media_type), pair_of(source, target))

    return described(await asyncio.to_thread(work))


@router.delete(
    "/admin/glossaries/{name}",
    summary="Remove a glossary",
    status_code=204,
    responses=responses("/admin/glossaries/it", "unauthorized", "forbidden", "glossary_not_found", "invalid_input"),
)
async def delete_glossary(
    request: Request, registry: RegistryOf, name: str, source: Language = None, target: Language = None
) -> None:
    """Removes all terms of the glossary, or those for a language pair."""
    check_admin(request)
    await asyncio.to_thread(registry.glossaries.remove, name, pair_of(source, target))


def pair_of(source: str | None, target: str | None) -> Pair | None:
    """Raises InvalidInput if only one language is given."""
    if source and target:
        return source, target
    if source or target:
        raise InvalidInput("give both source and target, or none of them")
    return None


def terms_of(body: bytes, media_type: str) -> dict[str, str]:
    """Raises InvalidInput."""
    try:
        if media_type == JSON:
            return GlossaryTerms.model_validate_json(body, strict=True).root
        return parse_terms(body.decode("utf-8-sig"), "\t" if media_type == TSV else ",")
    except ValidationError as error:
        raise InvalidInput(describe(error)) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"the terms cannot be read: {error}") from None


def described(glossary: stored.StoredGlossary) -> list[StoredGlossary]:
    """One entry for each pair of a glossary."""
    return [
        StoredGlossary(name=glossary.name, source=pair and pair[0], target=pair and pair[1], terms=len(terms))
        for pair, terms in sorted(glossary.dictionaries.items(), key=lambda item: item[0] or ("", ""))
    ]
