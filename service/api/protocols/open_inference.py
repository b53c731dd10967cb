"""The Open Inference Protocol, version 2, over HTTP, under /v2: the protocol of KServe's and Triton's clients."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.responses import Response

from service.api.access import admit, bearer
from service.api.body import JSON, RegistryOf, SettingsOf, read_body
from service.api.errors import CALLER_ERRORS, MODEL_ERRORS, TEXT_ERRORS, responses
from service.api.health import check_ready
from service.api.protocols import inference
from service.api.protocols.inference import Statistics
from service.api.protocols.tensors import HEADER_LENGTH, InferRequest, read_request, write_answer
from service.api.responses import content_response
from service.registry.entry import Entry
from service.registry.registry import Registry
from service.settings import Settings

router = APIRouter(prefix="/v2", tags=["inference protocol"])


@router.get("", summary="Name, version and extensions of the server")
async def server() -> dict[str, Any]:
    return inference.server_metadata()


@router.get("/health/live", summary="Liveness of the process", name="v2_live")
async def live() -> dict[str, bool]:
    return {"live": True}


@router.get(
    "/health/ready",
    summary="Readiness of the default models",
    name="v2_ready",
    responses=responses("/v2/health/ready", "model_not_ready"),
)
async def ready(registry: RegistryOf) -> dict[str, bool]:
    check_ready(registry)
    return {"ready": True}


@router.post("/repository/index", summary="All models and their states")
async def index(registry: RegistryOf) -> list[dict[str, str]]:
    return [
        {
            "name": entry.name,
            "version": str(entry.version),
            "state": "READY" if entry.ready else "UNAVAILABLE",
            "reason": entry.problem or "",
        }
        for entry in registry.entries()
    ]


@router.get("/models/stats", summary="Statistics of all models over this protocol")
async def all_statistics(request: Request, registry: RegistryOf) -> dict[str, Any]:
    return {"model_stats": [statistics(request, entry).encode(entry) for entry in registry.entries()]}


Version = Annotated[int, Path(ge=1)]
VERSIONED = "/models/{name}/versions/{version}"
NOT_FOUND = responses("/v2/models/nope", "model_not_found", "invalid_input", "model_not_ready")


@router.get("/models/{name}/stats", summary="Statistics of a model", responses=NOT_FOUND)
async def model_statistics(request: Request, registry: RegistryOf, name: str) -> dict[str, Any]:
    return await version_statistics(request, registry, name, registry.entry(name).version)


@router.get(VERSIONED + "/stats", summary="Statistics of a version", responses=NOT_FOUND)
async def version_statistics(request: Request, registry: RegistryOf, name: str, version: Version) -> dict[str, Any]:
    entry = registry.entry(name, version)
    return {"model_stats": [statistics(request, entry).encode(entry)]}


def statistics(request: Request, entry: Entry) -> Statistics:
    return inference.statistics_of(request.app.state, entry)


@router.get("/models/{name}", summary="Inputs and outputs of a model", responses=NOT_FOUND)
async def model_metadata(registry: RegistryOf, name: str) -> dict[str, Any]:
    return await version_metadata(registry, name, registry.entry(name).version)


@router.get(VERSIONED, summary="Inputs and outputs of a version", responses=NOT_FOUND)
async def version_metadata(registry: RegistryOf, name: str, version: Version) -> dict[str, Any]:
    return inference.model_metadata(registry, name, version)


@router.get("/models/{name}/ready", summary="Readiness of a model", responses=NOT_FOUND)
async def model_ready(registry: RegistryOf, name: str) -> dict[str, Any]:
    return await version_ready(registry, name, registry.entry(name).version)


@router.get(VERSIONED + "/ready", summary="Readiness of a version", responses=NOT_FOUND)
async def version_ready(registry: RegistryOf, name: str, version: Version) -> dict[str, Any]:
    inference.check_model_ready(registry, name, version)
    return {"name": name, "ready": True}


def inlined(schema: type[BaseModel]) -> dict[str, Any]:
    """A JSON schema with its references resolved, because the definitions are not in the OpenAPI document."""
    found = schema.model_json_schema()
    definitions = found.pop("$defs", {})

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return definitions[value["$ref"].rsplit("/", 1)[1]]
            return {key: resolve(inner) for key, inner in value.items()}
        return value

    resolved: dict[str, Any] = resolve(found)
    return resolved


INFERENCE: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {"content": {JSON: {"schema": {"type": "object"}}, "application/octet-stream": {}}},
        **responses(
            "/v2/models/nope/infer",
            *CALLER_ERRORS,
            *("payload_too_large", "invalid_input", *TEXT_ERRORS),
            *("unsupported_format", "unsupported_language_pair", "unsupported_option", *MODEL_ERRORS),
        ),
    },
    "openapi_extra": {"requestBody": {"required": True, "content": {JSON: {"schema": inlined(InferRequest)}}}},
}


@router.post("/models/{name}/infer", summary="Call a model", **INFERENCE)
async def infer(request: Request, registry: RegistryOf, settings: SettingsOf, name: str) -> Response:
    """Calls the highest version."""
    return await call(request, registry, settings, name)


@router.post(VERSIONED + "/infer", summary="Call a version", **INFERENCE)
async def infer_version(
    request: Request, registry: RegistryOf, settings: SettingsOf, name: str, version: Version
) -> Response:
    """The answers of /classify, /translate and /generate as tensors. They are binary if
    `Inference-Header-Content-Length` gives the length of the JSON in the request, or if an output has the parameter
    `binary_data`."""
    return await call(request, registry, settings, name, version)


async def call(
    request: Request, registry: Registry, settings: Settings, name: str, version: int | None = None
) -> Response:
    admit(request, bearer(request))
    raw = await read_body(request, settings.max_body_bytes)
    entry = registry.entry(name, version)
    content, headers = await inference.infer(
        lambda: read_request(raw, request.headers.get(HEADER_LENGTH), settings),
        write_answer,
        entry,
        registry,
        settings,
        statistics(request, entry),
    )
    return content_response(content, headers=headers)
