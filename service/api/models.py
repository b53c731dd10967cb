"""GET /models and GET /models/{name}."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from service.api.body import RegistryOf
from service.api.errors import responses
from service.api.pictures import pictures
from service.batching.offload import ThreadPool, run_in_thread
from service.bundle.manifest import Manifest
from service.handlers.model_schemas import AttentionKinds, Model, ModelDetail, ModelList

router = APIRouter(tags=["models"])

FILE_POOL = ThreadPool("files", max_threads=2)
"""Threads that read cards."""


@router.get("/models", summary="All models", response_model_exclude_unset=True)
async def list_models(registry: RegistryOf) -> ModelList:
    return ModelList(models=[Model(**registry.describe(entry)) for entry in registry.entries()])


@router.get(
    "/models/{name}",
    summary="A model with its limits, metrics, data and licences",
    response_model_exclude_unset=True,
    responses=responses("/models/nope", "model_not_found", "invalid_input"),
)
async def get_model(
    registry: RegistryOf,
    name: str,
    version: Annotated[int | None, Query(ge=1, description="Version; the highest by default.")] = None,
) -> ModelDetail:
    entry = registry.entry(name, version)
    described = registry.describe(entry)
    if entry.manifest is None:
        return ModelDetail(**described)
    shown = await run_in_thread(lambda: pictures(entry), FILE_POOL)
    return ModelDetail(**described, **details(entry.manifest), pictures=shown)


def details(manifest: Manifest) -> dict[str, Any]:
    return {
        "limits": manifest.limits.model_dump(),
        "attention": attention_kinds(manifest),
        "metrics": [metric.model_dump() for metric in manifest.metrics],
        "data": [source.model_dump() for source in manifest.data],
        "training": manifest.training.model_dump(),
    }


def attention_kinds(manifest: Manifest) -> list[AttentionKinds]:
    """The kinds of matrices in `full`, with their numbers of layers and heads."""
    kinds: dict[str, AttentionKinds] = {}
    for output in manifest.attention:
        kind = kinds.setdefault(output.kind, AttentionKinds(kind=output.kind, layers=None, heads=output.heads))
        if output.layer is not None:
            kind.layers = max(kind.layers or 0, output.layer + 1)
    return list(kinds.values())
