"""KServe's protocol, version 1, under /v1: predictions and explanations of a list of instances.

An instance is a text. Options are `parameters`, by their names in /classify, /translate, /generate and /explain.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.responses import Response

from service.api.body import JSON, RegistryOf, SettingsOf, parse_body, request_body
from service.api.errors import BODY_ERRORS, MODEL_ERRORS, TEXT_ERRORS, describe, responses
from service.api.responses import FastJSON, respond
from service.errors import InvalidInput, ModelNotReady, excerpt
from service.handlers.classify import classify
from service.handlers.encoding import AS_JSON, Answer, Encoding
from service.handlers.explain import explain
from service.handlers.explain_schemas import ExplainRequest
from service.handlers.generate import GenerationAnswer, generate_all
from service.handlers.schemas import ClassifyRequest, GenerateRequest, TranslateRequest
from service.handlers.texts import check_texts
from service.handlers.translate import translate
from service.registry.registry import Registry
from service.settings import Settings

router = APIRouter(prefix="/v1", tags=["inference protocol"])

R = TypeVar("R", bound=BaseModel)
FIELDS = {"model", "version", "text", "q", "prompt"}
"""Fields of the requests that are no parameters."""


class WithoutColon(StringConvertor):
    """A path segment without a colon, which separates a model from `predict` and `explain`."""

    regex = "[^/:]+"


register_url_convertor("without_colon", WithoutColon())


class InstancesRequest(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"instances": ["FREE entry!"], "parameters": {}}]})

    instances: list[str] = Field(min_length=1, description="Texts.")
    parameters: dict[str, Any] = Field({}, description="Options of /classify, /translate, /generate or /explain.")


@dataclass(frozen=True)
class InstanceAnswers:
    """The answers to all instances of a request, in order."""

    key: str
    """Name of their list in the answer."""
    answers: list[Answer]

    @property
    def model(self) -> str:
        return self.answers[0].model

    @property
    def size(self) -> int:
        return sum(answer.size for answer in self.answers)

    def encode(self, encoding: Encoding) -> dict[str, Any]:
        encoded: list[Any] = [answer.encode(encoding) for answer in self.answers]
        # The answers of /classify and /translate have one element per text already.
        if self.key == "predictions" and self.key in encoded[0]:
            return {self.key: encoded[0]["predictions"]}
        if self.key == "predictions" and "translations" in encoded[0]:
            return {self.key: encoded[0]["translations"]}
        return {self.key: encoded}


@router.get("/models", summary="Names of all models", name="v1_models")
async def models(registry: RegistryOf) -> dict[str, list[str]]:
    return {"models": sorted({entry.name for entry in registry.entries()})}


@router.get(
    "/models/{name:without_colon}",
    summary="Readiness of a model",
    name="v1_model",
    responses=responses("/v1/models/nope", "model_not_found", "invalid_input", "model_not_ready"),
)
async def model(registry: RegistryOf, name: str) -> dict[str, Any]:
    entry = registry.entry(name)
    if not entry.ready:
        raise ModelNotReady(f"{entry} is not ready: {entry.problem}")
    return {"name": name, "ready": True}


OPTION_ERRORS = ("unsupported_format", "unsupported_language_pair", "unsupported_option")


def documentation(key: str) -> dict[str, Any]:
    """The documentation of a route that answers with a list."""
    schema = {"type": "object", "required": [key], "properties": {key: {"type": "array", "items": {"type": "object"}}}}
    return {
        "response_class": FastJSON,
        "responses": {
            200: {"content": {JSON: {"schema": schema}}},
            **responses("/v1/models/nope", *BODY_ERRORS, *TEXT_ERRORS, *OPTION_ERRORS, *MODEL_ERRORS),
        },
        "openapi_extra": request_body(InstancesRequest, JSON),
    }


@router.post("/models/{name}:predict", summary="Call a model", name="v1_predict", **documentation("predictions"))
async def predict(request: Request, registry: RegistryOf, settings: SettingsOf, name: str) -> Response:
    """The predictions of /classify, the translations of /translate, or the answers of /generate. They have no
    attention unless the parameters ask for it.
    """
    body = await parse_body(request, InstancesRequest, settings.max_body_bytes)
    answers = await predictions(name, body, registry, settings)
    return await respond(request, InstanceAnswers("predictions", answers), AS_JSON)


@router.post("/models/{name}:explain", summary="Explain texts", name="v1_explain", **documentation("explanations"))
async def explain_instances(request: Request, registry: RegistryOf, settings: SettingsOf, name: str) -> Response:
    """An answer of /explain for each text."""
    body = await parse_body(request, InstancesRequest, settings.max_body_bytes)
    check_texts(body.instances, settings)
    answers: list[Answer] = []
    for text in body.instances:
        explained = options(ExplainRequest, body, {"text": text, "model": name})
        answers.append(await explain(explained, registry, settings))
    return await respond(request, InstanceAnswers("explanations", answers), AS_JSON)


async def predictions(name: str, body: InstancesRequest, registry: Registry, settings: Settings) -> list[Answer]:
    """The answers of the handlers. Raises InvalidInput and the errors of the handlers."""
    texts, manifest = body.instances, registry.entry(name).manifest
    if manifest is not None and manifest.task == "translation":
        return [await translate(options(TranslateRequest, body, {"q": texts, "model": name}), registry, settings)]
    if manifest is not None and manifest.task == "generation":
        generation = options(GenerateRequest, body, {"prompt": "", "model": name})
        found = await generate_all(texts, generation, registry, settings)
        return [GenerationAnswer(manifest, one) for one in found]
    return [await classify(options(ClassifyRequest, body, {"text": texts, "model": name}), registry, settings)]


def options(schema: type[R], body: InstancesRequest, fields: dict[str, Any]) -> R:
    """A request of a handler. Raises InvalidInput for a parameter that it does not have."""
    known = set(schema.model_fields) - FIELDS
    if unknown := [name for name in body.parameters if name not in known]:
        raise InvalidInput(f"parameters: there is no {excerpt(', '.join(unknown))}, only {', '.join(sorted(known))}")
    defaults = {"attention": "none"} if "attention" in known else {}
    try:
        return schema.model_validate({**defaults, **body.parameters, **fields}, strict=True)
    except ValidationError as error:
        raise InvalidInput(describe(error)) from None
