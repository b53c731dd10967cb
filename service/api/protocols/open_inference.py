"""The Open Inference Protocol, version 2, under /v2: the protocol of KServe's and Triton's clients.

A text is an element of the input `text`. Options are `parameters`, by their names in /classify, /translate and
/generate.
"""

import time
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from service import __version__
from service.api.access import admit, bearer
from service.api.body import JSON, RegistryOf, SettingsOf, read_body
from service.api.errors import CALLER_ERRORS, MODEL_ERRORS, TEXT_ERRORS, describe, responses
from service.api.health import check_ready
from service.api.protocols.outputs import OUTPUTS, Arrays, generation_arrays, prediction_arrays, translation_arrays
from service.api.protocols.tensors import HEADER_LENGTH, InferRequest, Tensor, read_request, texts_of, write_answer
from service.api.responses import LARGE, content_response
from service.batching.offload import run_in_thread
from service.bundle.manifest import Manifest
from service.errors import InvalidInput, ModelNotReady, ServiceError, excerpt
from service.handlers.classify import classify
from service.handlers.encoding import weights_in
from service.handlers.generate import generate_all
from service.handlers.schemas import ClassifyRequest, GenerateRequest, TranslateRequest
from service.handlers.translate import translate
from service.registry.entry import Entry
from service.registry.registry import Registry
from service.settings import Settings

router = APIRouter(prefix="/v2", tags=["inference protocol"])

TEXT = "text"
PROTOCOL_PARAMETERS = {"binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"}
"""Parameters of the protocol."""
MLSERVER_PARAMETERS = {"content_type", "headers"}
"""Parameters of MLServer, which do not matter here. All others are options of the model."""


@dataclass
class Statistics:
    """Requests for one version of a model over this protocol."""

    requests: int = 0
    request_ns: int = 0
    failures: int = 0
    failure_ns: int = 0
    texts: int = 0
    last_ms: int = 0

    def encode(self, entry: Entry) -> dict[str, Any]:
        success = {"count": self.requests, "ns": self.request_ns}
        return {
            "name": entry.name,
            "version": str(entry.version),
            "last_inference": self.last_ms,
            "inference_count": self.texts,
            "execution_count": self.requests,
            "inference_stats": {"success": success, "fail": {"count": self.failures, "ns": self.failure_ns}},
        }


@router.get("", summary="Name, version and extensions of the server")
async def server() -> dict[str, Any]:
    # The model index is part of an extension that is not supported otherwise.
    return {"name": "limelight", "version": __version__, "extensions": ["binary_tensor_data", "statistics"]}


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
    state = request.app.state
    if not hasattr(state, "statistics"):
        state.statistics = {}
    by_version: dict[tuple[str, int], Statistics] = state.statistics
    return by_version.setdefault((entry.name, entry.version), Statistics())


@router.get("/models/{name}", summary="Inputs and outputs of a model", responses=NOT_FOUND)
async def model_metadata(registry: RegistryOf, name: str) -> dict[str, Any]:
    return await version_metadata(registry, name, registry.entry(name).version)


@router.get(VERSIONED, summary="Inputs and outputs of a version", responses=NOT_FOUND)
async def version_metadata(registry: RegistryOf, name: str, version: Version) -> dict[str, Any]:
    manifest = manifest_of(registry.entry(name, version))
    versions = [str(entry.version) for entry in registry.entries() if entry.name == name]
    outputs = OUTPUTS[manifest.task]
    return {
        "name": name,
        "versions": versions,
        "platform": "onnx_onnxv1",
        "inputs": [{"name": TEXT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": output, "datatype": dtype, "shape": shape} for output, dtype, shape in outputs],
    }


def manifest_of(entry: Entry) -> Manifest:
    if entry.manifest is None:
        raise ModelNotReady(f"{entry.name}/{entry.version} is not ready: {entry.problem}")
    return entry.manifest


@router.get("/models/{name}/ready", summary="Readiness of a model", responses=NOT_FOUND)
async def model_ready(registry: RegistryOf, name: str) -> dict[str, Any]:
    return await version_ready(registry, name, registry.entry(name).version)


@router.get(VERSIONED + "/ready", summary="Readiness of a version", responses=NOT_FOUND)
async def version_ready(registry: RegistryOf, name: str, version: Version) -> dict[str, Any]:
    entry = registry.entry(name, version)
    if not entry.ready:
        raise ModelNotReady(f"{entry.name}/{entry.version} is not ready: {entry.problem}")
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
    counted, start = statistics(request, entry), time.perf_counter_ns()
    try:
        inference, binary = await read_request(raw, request.headers.get(HEADER_LENGTH), settings)
        texts = texts_of(inference, binary, TEXT)
        content, headers = await infer_texts(inference, texts, entry, registry, settings)
    except (ServiceError, ValidationError) as error:
        counted.failures += 1
        counted.failure_ns += time.perf_counter_ns() - start
        if isinstance(error, ValidationError):
            raise InvalidInput(describe(error)) from None
        raise
    counted.requests += 1
    counted.request_ns += time.perf_counter_ns() - start
    counted.texts += len(texts)
    counted.last_ms = time.time_ns() // 1_000_000
    return content_response(content, headers=headers)


async def infer_texts(
    request: InferRequest, texts: list[str], entry: Entry, registry: Registry, settings: Settings
) -> tuple[bytes, dict[str, str]]:
    """The body of the answer and its headers.

    Raises InvalidInput, AnswerTooLarge, pydantic's ValidationError, and the errors of the handlers.
    """
    known = {output: datatype for output, datatype, _ in OUTPUTS[manifest_of(entry).task]}
    wanted = [output.name for output in request.outputs] or list(known)
    if unknown := [output for output in wanted if output not in known]:
        raise InvalidInput(f"outputs: there is no {excerpt(', '.join(unknown))}; {entry.name} has {', '.join(known)}")
    size, arrays = await answer(request, texts, entry, "attention" in wanted, registry, settings)
    header = {"model_name": entry.name, "model_version": str(entry.version), "id": request.id or ""}

    def write() -> tuple[bytes, dict[str, str]]:
        return write_answer(header, [Tensor(name, known[name], arrays[name]()) for name in wanted], request)

    return write() if size <= LARGE else await run_in_thread(write)


async def answer(
    request: InferRequest, texts: list[str], entry: Entry, attention: bool, registry: Registry, settings: Settings
) -> tuple[int, Arrays]:
    """The tokens and weights of the answer, and its outputs."""
    task, limit = manifest_of(entry).task, settings.max_answer_weights
    options = {k: v for k, v in request.parameters.items() if k not in PROTOCOL_PARAMETERS | MLSERVER_PARAMETERS}
    detail = "summary" if attention else "none"
    fields = {**options, "model": entry.name, "version": entry.version, "attention": detail}
    if task == "classification":
        classification = ClassifyRequest.model_validate({**fields, "text": texts}, strict=True)
        classified = await classify(classification, registry, settings)
        return classified.size, prediction_arrays(classified.predictions, limit)
    if task == "generation":
        generation = GenerateRequest.model_validate({**fields, "prompt": ""}, strict=True)
        generated = await generate_all(texts, generation, registry, settings)
        size = sum(len(one.tokens) + weights_in(one.attention) for one in generated)
        return size, generation_arrays(generated, limit)
    if unknown := [option for option in options if option not in TranslateRequest.model_fields]:
        raise InvalidInput(f"parameters: there is no {excerpt(', '.join(unknown))}")
    translation = TranslateRequest.model_validate({**fields, "q": texts}, strict=True)
    translated = await translate(translation, registry, settings)
    return translated.size, translation_arrays(translated.translations, translation.alternatives, limit)
