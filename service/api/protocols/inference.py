"""The Open Inference Protocol without a transport: metadata, statistics, and calls of models with tensors.

Its transports are `open_inference.py` (HTTP) and `service/api/grpc/` (gRPC). A text is an element of the input `text`.
Options are `parameters`, by their names in /classify, /translate and /generate.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.datastructures import State

from service import __version__
from service.api.errors import describe
from service.api.protocols.outputs import OUTPUTS, Arrays, generation_arrays, prediction_arrays, translation_arrays
from service.api.protocols.tensors import InferRequest, Tensor, texts_of
from service.api.responses import LARGE
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

R = TypeVar("R")

TEXT = "text"
PROTOCOL_PARAMETERS = {"binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout"}
"""Parameters of the protocol."""
MLSERVER_PARAMETERS = {"content_type", "headers"}
"""Parameters of MLServer, which do not matter here. All others are options of the model."""

Read = Callable[[], Awaitable[tuple[InferRequest, bytes]]]
"""Reads a request and the bytes of its tensor."""
Write = Callable[[dict[str, Any], list[Tensor], InferRequest], R]
"""Writes an answer: its model_name, model_version and id, its tensors, and the request."""


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


def statistics_of(state: State, entry: Entry) -> Statistics:
    """The statistics of a version, in the state of the app."""
    if not hasattr(state, "statistics"):
        state.statistics = {}
    by_version: dict[tuple[str, int], Statistics] = state.statistics
    return by_version.setdefault((entry.name, entry.version), Statistics())


def server_metadata() -> dict[str, Any]:
    # The model index is part of an extension that is not supported otherwise.
    return {"name": "limelight", "version": __version__, "extensions": ["binary_tensor_data", "statistics"]}


def model_metadata(registry: Registry, name: str, version: int | None) -> dict[str, Any]:
    """Inputs and outputs of a version, by default of the highest. Raises ModelNotFound or ModelNotReady."""
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


def check_model_ready(registry: Registry, name: str, version: int | None) -> None:
    """Raises ModelNotFound or ModelNotReady."""
    entry = registry.entry(name, version)
    if not entry.ready:
        raise ModelNotReady(f"{entry.name}/{entry.version} is not ready: {entry.problem}")


async def infer(
    read: Read, write: Write[R], entry: Entry, registry: Registry, settings: Settings, counted: Statistics
) -> R:
    """Read a request, call the model, write the answer, and count the request.

    Raises InvalidInput, AnswerTooLarge, and the errors of the handlers.
    """
    start = time.perf_counter_ns()
    try:
        request, binary = await read()
        texts = texts_of(request, binary, TEXT)
        answer = await infer_texts(request, texts, write, entry, registry, settings)
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
    return answer


async def infer_texts(
    request: InferRequest, texts: list[str], write: Write[R], entry: Entry, registry: Registry, settings: Settings
) -> R:
    """Raises InvalidInput, AnswerTooLarge, pydantic's ValidationError, and the errors of the handlers."""
    known = {output: datatype for output, datatype, _ in OUTPUTS[manifest_of(entry).task]}
    wanted = [output.name for output in request.outputs] or list(known)
    if unknown := [output for output in wanted if output not in known]:
        raise InvalidInput(f"outputs: there is no {excerpt(', '.join(unknown))}; {entry.name} has {', '.join(known)}")
    size, arrays = await call(request, texts, entry, "attention" in wanted, registry, settings)
    header = {"model_name": entry.name, "model_version": str(entry.version), "id": request.id or ""}

    def write_tensors() -> R:
        return write(header, [Tensor(name, known[name], arrays[name]()) for name in wanted], request)

    return write_tensors() if size <= LARGE else await run_in_thread(write_tensors)


async def call(
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
