"""Tensors of the Open Inference Protocol: JSON or, with its binary extension, raw bytes after the JSON.

Legend: B texts.
"""

import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.errors import InvalidInput

HEADER_LENGTH = "Inference-Header-Content-Length"

Datatype = Literal["BYTES", "FP32", "INT64"]
DTYPES: dict[Datatype, Any] = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8"), "BYTES": np.dtype(object)}


class RequestTensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = Field(None, description="Flat or nested; absent if the bytes follow the JSON.")


class RequestOutput(BaseModel):
    name: str
    parameters: dict[str, Any] = {}


class InferRequest(BaseModel):
    """A request of the Open Inference Protocol."""

    id: str | None = None
    parameters: dict[str, Any] = Field({}, description="Options by their names in /classify, /translate and /generate.")
    inputs: list[RequestTensor]
    outputs: list[RequestOutput] = Field([], description="Outputs to return; by default all but attention and tokens.")

    def binary(self, output: str) -> bool:
        """True if the request wants an output as bytes."""
        default = bool(self.parameters.get("binary_data_output", False))
        parameters = next((wanted.parameters for wanted in self.outputs if wanted.name == output), {})
        return bool(parameters.get("binary_data", default))


@dataclass(frozen=True)
class Tensor:
    """A named output."""

    name: str
    datatype: Datatype
    array: NDArray[Any]

    def described(self) -> dict[str, Any]:
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.array.shape)}

    def raw(self) -> bytes:
        if self.datatype != "BYTES":
            return np.ascontiguousarray(self.array, DTYPES[self.datatype]).tobytes()
        encoded = [str(text).encode() for text in self.array.ravel()]
        return b"".join(struct.pack("<I", len(text)) + text for text in encoded)

    def data(self) -> Any:
        flat = np.ascontiguousarray(self.array).ravel()
        return flat.tolist() if self.datatype == "BYTES" else flat


def read_request(body: bytes, header_length: str | None) -> tuple[InferRequest, bytes]:
    """Read a request and the bytes after it. Raises InvalidInput, or pydantic's ValidationError."""
    if header_length is None:
        return InferRequest.model_validate_json(body, strict=True), b""
    if not header_length.isdecimal() or int(header_length) > len(body):
        raise InvalidInput(f"{HEADER_LENGTH}: {header_length} is not the length of the JSON in {len(body)} bytes")
    length = int(header_length)
    return InferRequest.model_validate_json(body[:length], strict=True), body[length:]


def texts_of(request: InferRequest, binary: bytes, name: str) -> list[str]:
    """The texts of the only input. Raises InvalidInput."""
    if [tensor.name for tensor in request.inputs] != [name]:
        raise InvalidInput(f"inputs: the only input is {name!r}")
    [tensor] = request.inputs
    if tensor.datatype != "BYTES":
        raise InvalidInput(f"inputs: {name!r} has the datatype BYTES, not {tensor.datatype}")
    if "binary_data_size" in tensor.parameters:
        if tensor.parameters["binary_data_size"] != len(binary):
            raise InvalidInput(f"inputs: binary_data_size is not {len(binary)}, the number of bytes after the JSON")
        texts = _texts_of_bytes(binary)
    else:
        texts = _flat(tensor.data or [])
    sizes = [size for size in tensor.shape if size != 1]
    if sizes not in ([len(texts)], [] if len(texts) == 1 else [len(texts)]):
        raise InvalidInput(f"inputs: the shape {tensor.shape} does not fit {len(texts)} texts")
    return texts


def _texts_of_bytes(binary: bytes) -> list[str]:
    texts, position = [], 0
    try:
        while position < len(binary):
            (length,) = struct.unpack_from("<I", binary, position)
            position += 4 + length
            if position > len(binary):
                raise InvalidInput("inputs: a text is longer than the bytes after the JSON")
            texts.append(binary[position - length : position].decode())
    except (struct.error, UnicodeDecodeError) as error:
        raise InvalidInput(f"inputs: the bytes are not valid: {error}") from None
    return texts


def _flat(data: list[Any]) -> list[str]:
    """Texts, or lists of one text each."""
    texts = [item[0] if isinstance(item, list) and len(item) == 1 else item for item in data]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidInput("inputs: data must be strings")
    return texts


def write_answer(header: dict[str, Any], tensors: list[Tensor], request: InferRequest) -> tuple[bytes, dict[str, str]]:
    """Write the body. Returns it with its headers."""
    outputs, tail = [], b""
    for tensor in tensors:
        if request.binary(tensor.name):
            raw = tensor.raw()
            outputs.append({**tensor.described(), "parameters": {"binary_data_size": len(raw)}})
            tail += raw
        else:
            outputs.append({**tensor.described(), "data": tensor.data()})
    header_json = orjson.dumps({**header, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    if not any("parameters" in output for output in outputs):
        return header_json, {"Content-Type": "application/json"}
    return header_json + tail, {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(header_json))}


def padded(rows: list[NDArray[Any]], fill: Any) -> NDArray[Any]:
    """Stack arrays with equal numbers of dimensions into one array [B, ...], padded at the ends."""
    sizes = [max(sizes) for sizes in zip(*(row.shape for row in rows), strict=True)]
    whole = np.full((len(rows), *sizes), fill, dtype=rows[0].dtype)
    for one, row in zip(whole, rows, strict=True):
        one[tuple(slice(size) for size in row.shape)] = row
    return whole
