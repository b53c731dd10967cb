"""The methods of the Open Inference Protocol: messages -> answers of `service/api/protocols/inference.py`."""

from typing import Any

from grpc import GenericRpcHandler, method_handlers_generic_handler
from starlette.datastructures import State

from service.api.body import SMALL
from service.api.grpc import messages
from service.api.grpc.calls import Calls
from service.api.grpc.messages import SERVICE, parse
from service.api.protocols import inference
from service.api.protocols.tensors import MAX_TEXTS, Datatype, InferRequest, RequestOutput, RequestTensor, Tensor
from service.batching.offload import run_in_thread
from service.errors import InvalidInput, ModelNotReady, excerpt
from service.registry.registry import Registry
from service.settings import Settings

MAX_ITEMS = 1_000
"""Maximum inputs, outputs, parameters and sizes of a message."""
RAW = "binary_data_size"
"""Parameter of an input whose bytes are in `raw_input_contents`, as in the binary extension of HTTP."""
CONTENTS: dict[Datatype, str] = {"BYTES": "bytes_contents", "FP32": "fp32_contents", "INT64": "int64_contents"}
"""Datatype -> field of InferTensorContents."""


def methods(state: State) -> GenericRpcHandler:
    """The methods of the service. `state` is that of the app."""
    calls, service = Calls(state), OpenInference(state)
    return method_handlers_generic_handler(
        SERVICE,
        {
            "ServerLive": calls.handler("ServerLive", service.server_live),
            "ServerReady": calls.handler("ServerReady", service.server_ready),
            "ModelReady": calls.handler("ModelReady", service.model_ready),
            "ServerMetadata": calls.handler("ServerMetadata", service.server_metadata),
            "ModelMetadata": calls.handler("ModelMetadata", service.model_metadata),
            "ModelInfer": calls.handler("ModelInfer", service.model_infer, limited=True),
        },
    )


class OpenInference:
    """A message of a request -> a message of an answer, both in bytes."""

    def __init__(self, state: State):
        self._state = state
        self._registry: Registry = state.registry
        self._settings: Settings = state.settings

    async def server_live(self, raw: bytes) -> bytes:
        return _to_bytes(messages.ServerLiveResponse(live=True))

    async def server_ready(self, raw: bytes) -> bytes:
        return _to_bytes(messages.ServerReadyResponse(ready=not self._registry.problems()))

    async def model_ready(self, raw: bytes) -> bytes:
        """Raises InvalidInput or ModelNotFound."""
        message = parse(messages.ModelReadyRequest, raw)
        try:
            inference.check_model_ready(self._registry, message.name, version_of(message.version))
        except ModelNotReady:
            return _to_bytes(messages.ModelReadyResponse(ready=False))
        return _to_bytes(messages.ModelReadyResponse(ready=True))

    async def server_metadata(self, raw: bytes) -> bytes:
        return _to_bytes(messages.ServerMetadataResponse(**inference.server_metadata()))

    async def model_metadata(self, raw: bytes) -> bytes:
        """Raises InvalidInput, ModelNotFound or ModelNotReady."""
        message = parse(messages.ModelMetadataRequest, raw)
        found = inference.model_metadata(self._registry, message.name, version_of(message.version))
        return _to_bytes(messages.ModelMetadataResponse(**found))

    async def model_infer(self, raw: bytes) -> bytes:
        """Raises InvalidInput, AnswerTooLarge, and the errors of the handlers."""
        message = parse(messages.ModelInferRequest, raw)
        entry = self._registry.entry(message.model_name, version_of(message.model_version))

        async def read() -> tuple[InferRequest, bytes]:
            return read_message(message) if len(raw) <= SMALL else await run_in_thread(lambda: read_message(message))

        counted = inference.statistics_of(self._state, entry)
        return await inference.infer(read, write_message, entry, self._registry, self._settings, counted)


def _to_bytes(message: Any) -> bytes:
    serialized: bytes = message.SerializeToString()
    return serialized


def version_of(text: str) -> int | None:
    """The version of a model; empty is the highest one. Raises InvalidInput."""
    if not text:
        return None
    if not text.isdecimal() or len(text) > 20:
        raise InvalidInput(f"version: {excerpt(text)} is not a whole number")
    return int(text)


def read_message(message: Any) -> tuple[InferRequest, bytes]:
    """A ModelInferRequest as a request, and the bytes of its tensor. Raises InvalidInput."""
    for field in ("inputs", "outputs", "parameters", "raw_input_contents"):
        _check_count(field, len(getattr(message, field)))
    raw = list(message.raw_input_contents)
    if raw and len(raw) != len(message.inputs):
        raise InvalidInput(f"raw_input_contents: {len(raw)} for {len(message.inputs)} inputs")
    request = InferRequest(
        id=message.id,
        parameters=_parameters(message.parameters),
        inputs=[_input(tensor, raw[n] if raw else None) for n, tensor in enumerate(message.inputs)],
        outputs=[RequestOutput(name=output.name) for output in message.outputs],
    )
    return request, b"".join(raw)


def _input(tensor: Any, raw: bytes | None) -> RequestTensor:
    _check_count(f"shape of {excerpt(tensor.name)}", len(tensor.shape))
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None
    if raw is not None:
        parameters[RAW] = len(raw)
    else:
        if len(tensor.contents.bytes_contents) > MAX_TEXTS:
            raise InvalidInput(f"inputs: at most {MAX_TEXTS} texts are read")
        try:
            data = [text.decode() for text in tensor.contents.bytes_contents]
        except UnicodeDecodeError as error:
            raise InvalidInput(f"inputs: the bytes are not valid: {error}") from None
    return RequestTensor(
        name=tensor.name, shape=list(tensor.shape), datatype=tensor.datatype, parameters=parameters, data=data
    )


def _parameters(found: Any) -> dict[str, Any]:
    """Name -> value; None if it has none."""
    values = {}
    for name, parameter in found.items():
        choice = parameter.WhichOneof("parameter_choice")
        values[name] = None if choice is None else getattr(parameter, choice)
    return values


def _check_count(name: str, count: int) -> None:
    if count > MAX_ITEMS:
        raise InvalidInput(f"{name}: {count} items; the limit is {MAX_ITEMS}")


def write_message(header: dict[str, Any], tensors: list[Tensor], request: InferRequest) -> bytes:
    """A ModelInferResponse. Its contents are raw if those of the request are."""
    message = messages.ModelInferResponse(**header)
    raw = any(RAW in tensor.parameters for tensor in request.inputs)
    for tensor in tensors:
        output = message.outputs.add(**tensor.described())
        if raw:
            message.raw_output_contents.append(tensor.raw())
        else:
            values = tensor.array.ravel().tolist()
            if tensor.datatype == "BYTES":
                values = [text.encode() for text in values]
            getattr(output.contents, CONTENTS[tensor.datatype]).extend(values)
    return _to_bytes(message)
