"""The Open Inference Protocol, version 2, under /v2: what KServe's and Triton's clients speak.

A text is an element of the input `text`; options are `parameters`, by the names that /classify, /translate and
/generate have for them. Attention and tokens are outputs that have to be asked for: those of several texts are filled
up to one size with zeros, "" and -1, and the sentences of a text stand along the diagonal of its one matrix.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from service import __version__
from service.api import classify as classify_api
from service.api import generate as generate_api
from service.api.access import admit, bearer
from service.api.body import JSON, RegistryOf, SettingsOf, read_body
from service.api.errors import OF_A_CALLER, OF_A_MODEL, OF_TEXTS, describe, responses
from service.api.middleware.limits import check_texts
from service.api.protocols.tensors import (
    HEADER_LENGTH,
    Datatype,
    InferRequest,
    Tensor,
    padded,
    read_request,
    texts_of,
    write_answer,
)
from service.attention import AttentionMatrix
from service.bundle.manifest import Manifest
from service.classification.classifier import Prediction
from service.errors import InvalidInput, ModelNotReady, ServiceError
from service.generation.generator import Generation, TokenLogprob
from service.handlers import translate as question_api
from service.handlers.schemas import ClassifyRequest, GenerateRequest, TranslateRequest
from service.registry.registry import Entry, Registry
from service.settings import Settings
from service.text.tokenizer import Token
from service.translation.translator import Translation

router = APIRouter(prefix="/v2", tags=["inference protocol"])

TEXT = "text"
OWN = {"binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"}
"""Parameters of the protocol's own; all others are options of the model."""

ANSWERS: dict[str, list[tuple[str, Datatype, list[int]]]] = {
    "classification": [("label", "BYTES", [-1]), ("score", "FP32", [-1]), ("scores", "FP32", [-1, -1])],
    "translation": [("translation", "BYTES", [-1]), ("score", "FP32", [-1]), ("alternatives", "BYTES", [-1, -1])],
    "generation": [("text", "BYTES", [-1]), ("finish_reason", "BYTES", [-1]), ("seed", "INT64", [-1])],
}
EVIDENCE: dict[str, list[tuple[str, Datatype, list[int]]]] = {
    "classification": [
        ("attention", "FP32", [-1, -1, -1]),
        ("tokens", "BYTES", [-1, -1]),
        ("token_spans", "INT64", [-1, -1, 2]),
    ],
    "translation": [
        ("attention", "FP32", [-1, -1, -1]),
        ("source_tokens", "BYTES", [-1, -1]),
        ("source_spans", "INT64", [-1, -1, 2]),
        ("target_tokens", "BYTES", [-1, -1]),
        ("target_spans", "INT64", [-1, -1, 2]),
    ],
    "generation": [
        ("attention", "FP32", [-1, -1, -1]),
        ("prompt_tokens", "BYTES", [-1, -1]),
        ("prompt_spans", "INT64", [-1, -1, 2]),
        ("tokens", "BYTES", [-1, -1]),
        ("token_spans", "INT64", [-1, -1, 2]),
        ("logprobs", "FP32", [-1, -1]),
    ],
}
"""Task -> the outputs that are given when none is named, and those that have to be: name, datatype, shape."""


@dataclass
class Statistics:
    """What was asked of one model over this protocol."""

    requests: int = 0
    request_ns: int = 0
    failures: int = 0
    failure_ns: int = 0
    texts: int = 0
    last_ms: int = 0

    def told(self, entry: Entry) -> dict[str, Any]:
        success = {"count": self.requests, "ns": self.request_ns}
        return {
            "name": entry.name,
            "version": str(entry.version),
            "last_inference": self.last_ms,
            "inference_count": self.texts,
            "execution_count": self.requests,
            "inference_stats": {"success": success, "fail": {"count": self.failures, "ns": self.failure_ns}},
        }


@router.get("", summary="The server and what it can do")
async def server() -> dict[str, Any]:
    # The index of models is there too, but not the rest of the extension that it belongs to.
    return {"name": "limelight", "version": __version__, "extensions": ["binary_tensor_data", "statistics"]}


@router.get("/health/live", summary="Is the process alive?", name="v2_live")
async def live() -> dict[str, bool]:
    return {"live": True}


@router.get(
    "/health/ready",
    summary="Can every default model answer?",
    name="v2_ready",
    responses=responses("/v2/health/ready", "model_not_ready"),
)
async def ready(registry: RegistryOf) -> dict[str, bool]:
    if problems := registry.problems():
        raise ModelNotReady("; ".join(f"{model}: {problem}" for model, problem in problems.items()))
    return {"ready": True}


@router.post("/repository/index", summary="Every model, ready or not")
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


@router.get("/models/stats", summary="What was asked of every model over this protocol")
async def all_statistics(request: Request, registry: RegistryOf) -> dict[str, Any]:
    return {"model_stats": [statistics(request, entry).told(entry) for entry in registry.entries()]}


Version = Annotated[int, Path(ge=1)]
VERSIONED = "/models/{name}/versions/{version}"
NOT_FOUND = responses("/v2/models/nope", "model_not_found", "invalid_input", "model_not_ready")


@router.get("/models/{name}/stats", summary="What was asked of a model", responses=NOT_FOUND)
async def model_statistics(request: Request, registry: RegistryOf, name: str) -> dict[str, Any]:
    return await version_statistics(request, registry, name, registry.entry(name).version)


@router.get(VERSIONED + "/stats", summary="What was asked of a version", responses=NOT_FOUND)
async def version_statistics(request: Request, registry: RegistryOf, name: str, version: Version) -> dict[str, Any]:
    entry = registry.entry(name, version)
    return {"model_stats": [statistics(request, entry).told(entry)]}


def statistics(request: Request, entry: Entry) -> Statistics:
    state = request.app.state
    if not hasattr(state, "asked_over_v2"):
        state.asked_over_v2 = {}
    kept: dict[tuple[str, int], Statistics] = state.asked_over_v2
    return kept.setdefault((entry.name, entry.version), Statistics())


@router.get("/models/{name}", summary="A model's inputs and outputs", responses=NOT_FOUND)
async def model_metadata(registry: RegistryOf, name: str) -> dict[str, Any]:
    return await version_metadata(registry, name, registry.entry(name).version)


@router.get(VERSIONED, summary="A version's inputs and outputs", responses=NOT_FOUND)
async def version_metadata(registry: RegistryOf, name: str, version: Version) -> dict[str, Any]:
    manifest = manifest_of(registry.entry(name, version))
    versions = [str(entry.version) for entry in registry.entries() if entry.name == name]
    outputs = [*ANSWERS[manifest.task], *EVIDENCE[manifest.task]]
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


@router.get("/models/{name}/ready", summary="Can a model answer?", responses=NOT_FOUND)
async def model_ready(registry: RegistryOf, name: str) -> dict[str, Any]:
    return await version_ready(registry, name, registry.entry(name).version)


@router.get(VERSIONED + "/ready", summary="Can a version answer?", responses=NOT_FOUND)
async def version_ready(registry: RegistryOf, name: str, version: Version) -> dict[str, Any]:
    entry = registry.entry(name, version)
    if not entry.ready:
        raise ModelNotReady(f"{entry.name}/{entry.version} is not ready: {entry.problem}")
    return {"name": name, "ready": True}


def inlined(schema: type[BaseModel]) -> dict[str, Any]:
    """A JSON schema without references: what they lead to is not in the document's own place for it."""
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
            *OF_A_CALLER,
            *("payload_too_large", "invalid_input", *OF_TEXTS),
            *("unsupported_format", "unsupported_language_pair", "unsupported_option", *OF_A_MODEL),
        ),
    },
    "openapi_extra": {"requestBody": {"required": True, "content": {JSON: {"schema": inlined(InferRequest)}}}},
}


@router.post("/models/{name}/infer", summary="Ask a model", **INFERENCE)
async def infer(request: Request, registry: RegistryOf, settings: SettingsOf, name: str) -> Response:
    """As a version of it; the highest is asked."""
    return await inferred(request, registry, settings, name)


@router.post(VERSIONED + "/infer", summary="Ask a version", **INFERENCE)
async def infer_version(
    request: Request, registry: RegistryOf, settings: SettingsOf, name: str, version: Version
) -> Response:
    """The same answers as /classify, /translate and /generate, as tensors; in binary where
    `Inference-Header-Content-Length` says where the JSON of the request ends, or where an output is asked for with
    `binary_data`."""
    return await inferred(request, registry, settings, name, version)


async def inferred(
    request: Request, registry: Registry, settings: Settings, name: str, version: int | None = None
) -> Response:
    admit(request, bearer(request))
    raw = await read_body(request, settings.max_body_bytes)
    entry = registry.entry(name, version)
    counted, start = statistics(request, entry), time.perf_counter_ns()
    try:
        asked, binary = read_request(raw, request.headers.get(HEADER_LENGTH))
        texts = check_texts(TEXT, texts_of(asked, binary, TEXT), settings)
        tensors = await answered(asked, texts, entry, registry)
    except (ServiceError, ValidationError) as error:
        counted.failures += 1
        counted.failure_ns += time.perf_counter_ns() - start
        if isinstance(error, ValidationError):
            raise InvalidInput(describe(error.errors(include_url=False, include_context=False))) from None
        raise
    counted.requests += 1
    counted.request_ns += time.perf_counter_ns() - start
    counted.texts += len(texts)
    counted.last_ms = time.time_ns() // 1_000_000
    header = {"model_name": entry.name, "model_version": str(entry.version), "id": asked.id or ""}
    content, headers = write_answer(header, tensors, asked)
    return Response(content, headers=headers)


async def answered(asked: InferRequest, texts: list[str], entry: Entry, registry: Registry) -> list[Tensor]:
    """The outputs that were asked for, from the same questions that /classify, /translate and /generate ask."""
    task = manifest_of(entry).task
    options = {key: value for key, value in asked.parameters.items() if key not in OWN}
    known = {output: dtype for output, dtype, _ in [*ANSWERS[task], *EVIDENCE[task]]}
    wanted = [output.name for output in asked.outputs] or [output for output, _, _ in ANSWERS[task]]
    if unknown := [output for output in wanted if output not in known]:
        raise InvalidInput(f"outputs: there is no {', '.join(unknown)}; {entry.name} has {', '.join(known)}")
    attention = "summary" if "attention" in wanted else "none"
    named = {**options, "model": entry.name, "version": entry.version, "attention": attention}
    if task == "classification":
        body = ClassifyRequest.model_validate({**named, "text": texts}, strict=True)
        classifier = registry.classifier(entry.name, entry.version)
        arrays = of_predictions(await classify_api.answered(classifier, body, texts))
    elif task == "generation":
        wish = GenerateRequest.model_validate({**named, "prompt": texts[0]}, strict=True)
        generator = registry.generator(entry.name, entry.version)
        manner = generate_api.sampling_params(wish)
        arrays = of_generations(await generator.generate_all(texts, manner))
    else:
        if unknown := [option for option in options if option not in TranslateRequest.model_fields]:
            raise InvalidInput(f"parameters: there is no {', '.join(unknown)}")
        question = TranslateRequest.model_validate({**named, "q": texts}, strict=True)
        question_api.required(question)
        found = await question_api.answered(await question_api.asked(question, texts, registry))
        if question.attention_unit == "word":
            found = [question_api.in_words(one, text) for one, text in zip(found, texts, strict=True)]
        arrays = of_translations(found, question.alternatives)
    return [Tensor(output, known[output], arrays[output]) for output in wanted]


def of_predictions(predictions: Sequence[Prediction]) -> dict[str, NDArray[Any]]:
    return {
        "label": np.array([prediction.label for prediction in predictions], dtype=object),
        "score": np.array([prediction.score for prediction in predictions], dtype=np.float32),
        "scores": np.array([list(prediction.scores.values()) for prediction in predictions], dtype=np.float32),
        "attention": padded([diagonal([prediction.attention]) for prediction in predictions], 0.0),
        **of_tokens("tokens", "token_spans", [prediction.tokens for prediction in predictions]),
    }


def of_translations(translations: Sequence[Translation], alternatives: int) -> dict[str, NDArray[Any]]:
    sentences = [translation.sentences for translation in translations]
    others = np.empty((len(translations), alternatives), dtype=object)
    for row, translation in enumerate(translations):
        others[row] = translation.alternatives
    return {
        "translation": np.array([translation.text for translation in translations], dtype=object),
        "score": np.array([float(np.mean([s.score for s in own] or [0.0])) for own in sentences], dtype=np.float32),
        "alternatives": others,
        "attention": padded([diagonal([s.attention for s in own]) for own in sentences], 0.0),
        **of_tokens("source_tokens", "source_spans", [[t for s in own for t in s.source_tokens] for own in sentences]),
        **of_tokens("target_tokens", "target_spans", [[t for s in own for t in s.target_tokens] for own in sentences]),
    }


def of_generations(generations: Sequence[Generation]) -> dict[str, NDArray[Any]]:
    logprobs = [np.array([t.log_prob for t in one.tokens], dtype=np.float32) for one in generations]
    return {
        "text": np.array([one.text for one in generations], dtype=object),
        "finish_reason": np.array([one.finish_reason for one in generations], dtype=object),
        "seed": np.array([one.seed for one in generations], dtype=np.int64),
        "attention": padded([diagonal([one.attention]) for one in generations], 0.0),
        **of_tokens("prompt_tokens", "prompt_spans", [as_tokens(one.prompt_tokens) for one in generations]),
        **of_tokens("tokens", "token_spans", [as_tokens(one.tokens) for one in generations]),
        "logprobs": padded(logprobs, 0.0),
    }


def as_tokens(tokens: Sequence[TokenLogprob]) -> list[Token]:
    return [Token(token.text, token.start, token.end) for token in tokens]


def diagonal(sentences: Sequence[Sequence[AttentionMatrix]]) -> NDArray[np.float32]:
    """The summaries of a text's sentences in one matrix, in which each looks at its own tokens only."""
    found = [matrices[0].weights for matrices in sentences if matrices]
    whole = np.zeros((sum(len(m) for m in found), sum(m.shape[1] for m in found)), dtype=np.float32)
    row = column = 0
    for weights in found:
        whole[row : row + len(weights), column : column + weights.shape[1]] = weights
        row, column = row + len(weights), column + weights.shape[1]
    return whole


def of_tokens(name: str, spans: str, texts: Sequence[Sequence[Token]]) -> dict[str, NDArray[Any]]:
    pairs = [np.array([(t.start, t.end) for t in tokens], dtype=np.int64).reshape(-1, 2) for tokens in texts]
    names = [np.array([t.special or t.text for t in tokens], dtype=object) for tokens in texts]
    return {name: padded(names, ""), spans: padded(pairs, -1)}
