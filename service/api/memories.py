"""Routes of stored translation memories: GET /memories, PUT and DELETE /admin/memories/{name}."""

import asyncio

from fastapi import APIRouter, HTTPException, Request

from service.api.access import check_admin, check_operator
from service.api.body import RegistryOf, SettingsOf, read_body
from service.api.errors import responses
from service.errors import excerpt
from service.handlers.memories import StoredMemory
from service.registry import memories as stored

router = APIRouter(tags=["operations"])

TYPES = ("application/x-tmx+xml", "application/xml", "text/xml", "application/octet-stream")
BODY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.get(
    "/memories", summary="Stored translation memories", responses=responses("/memories", "unauthorized", "forbidden")
)
async def list_memories(request: Request, registry: RegistryOf) -> list[StoredMemory]:
    check_operator(request)

    def work() -> list[StoredMemory]:
        return [entry for memory in registry.memories.list() for entry in described(memory)]

    return await asyncio.to_thread(work)


@router.put(
    "/admin/memories/{name}",
    summary="Store a translation memory",
    responses=responses(
        "/admin/memories/ui", "unauthorized", "forbidden", "invalid_input", "payload_too_large", "not_available"
    ),
    openapi_extra={"requestBody": {"required": True, "content": BODY}},
)
async def put_memory(request: Request, registry: RegistryOf, settings: SettingsOf, name: str) -> list[StoredMemory]:
    """The body is a TMX file. It replaces the memory with this name. All processes read the folder again when it
    changes.
    """
    check_admin(request)
    media_type = request.headers.get("content-type", TYPES[0]).split(";")[0].strip().lower()
    if media_type not in TYPES:
        raise HTTPException(415, f"send {', '.join(TYPES)}, not {excerpt(media_type)}")
    body = await read_body(request, max(settings.max_body_bytes, settings.max_document_bytes))
    return await asyncio.to_thread(lambda: described(registry.memories.add(name, body)))


@router.delete(
    "/admin/memories/{name}",
    summary="Remove a translation memory",
    status_code=204,
    responses=responses("/admin/memories/ui", "unauthorized", "forbidden", "memory_not_found", "invalid_input"),
)
async def delete_memory(request: Request, registry: RegistryOf, name: str) -> None:
    check_admin(request)
    await asyncio.to_thread(registry.memories.remove, name)


def described(memory: stored.StoredMemory) -> list[StoredMemory]:
    """One entry for each language pair of a memory."""
    return [
        StoredMemory(name=memory.name, source=source, target=target, units=units)
        for (source, target), units in sorted(memory.sizes().items())
    ]
