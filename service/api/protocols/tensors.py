"""Tensors of the Open Inference Protocol: JSON or, with its binary extension, raw bytes after the JSON.

Legend: B texts.
"""

import math
import struct
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, Field

from service.api.body import BYTE_ORDER_MARK, check_size
from service.batching import budget
from service.errors import AnswerTooLarge, InvalidInput, excerpt
from service.handlers.encoding import dumps, json_array
from service.settings import Settings

HEADER_LENGTH = "Inference-Header-Content-Length"

Datatype = Literal["BYTES", "FP32", "INT64"]
DTYPES: dict[Datatype, Any] = {"FP32": np.dtype("<f4"), "INT64": np.dtype("<i8"), "BYTES": np.dtype(object)}


Parameters = Annotated[dict[str, Any], BeforeValidator(lambda value: {} if value is None else value)]
"""Parameters of a request, an input or an output; null is none."""
MAX_TEXTS = 10_000
"""Maximum texts that are read from bytes."""


class RequestTensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = {}
    data: list[Any] | None = Field(None, description="Flat or nested; absent if the bytes follow the JSON.")


class RequestOutput(BaseModel):
    name: str
    parameters: Parameters = {}


Outputs = Annotated[list[RequestOutput], BeforeValidator(lambda value: [] if value is None else value)]
"""Outputs of a request; null is none."""


class InferRequest(BaseModel):
    """A request of the Open Inference Protocol."""

    id: str | None = None
    parameters: Parameters = Field({}, description="Options by their names in /classify, /translate and /generate.")
    inputs: list[RequestTensor]
    outputs: Outputs = Field([], description="Outputs to return; by default all.")

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
        return flat.tolist() if self.datatype == "BYTES" else json_array(flat)


async def read_request(body: bytes, header_length: str | None, settings: Settings) -> tuple[InferRequest, bytes]:
    """Read a request and the bytes after it. Raises InvalidInput, or pydantic's ValidationError."""
    length = len(body)
    if header_length is not None:
        if not header_length.isdecimal() or len(header_length) > 20 or int(header_length) > length:
            raise InvalidInput(
                f"{HEADER_LENGTH}: {excerpt(header_length)} is not the length of the JSON in {length} bytes"
            )
        length = int(header_length)
    header = body[:length].removeprefix(BYTE_ORDER_MARK)
    await check_size(header, settings)
    return InferRequest.model_validate_json(header, strict=True), body[length:]


def texts_of(request: InferRequest, binary: bytes, name: str) -> list[str]:
    """The texts of the only input. Raises InvalidInput."""
    if [tensor.name for tensor in request.inputs] != [name]:
        raise InvalidInput(f"inputs: the only input is {name!r}")
    [tensor] = request.inputs
    if tensor.datatype != "BYTES":
        raise InvalidInput(f"inputs: {name!r} has the datatype BYTES, not {excerpt(tensor.datatype)}")
    if "binary_data_size" in tensor.parameters:
        if tensor.parameters["binary_data_size"] != len(binary):
            raise InvalidInput(f"inputs: binary_data_size is not {len(binary)}, the number of bytes after the JSON")
        texts = _texts_of_bytes(binary)
    else:
        texts = _flat(tensor.data or [])
    sizes = [size for size in tensor.shape if size != 1]
    if sizes not in ([len(texts)], [] if len(texts) == 1 else [len(texts)]):
        raise InvalidInput(f"inputs: the shape {excerpt(tensor.shape)} does not fit {len(texts)} texts")
    return texts


def _texts_of_bytes(binary: bytes) -> list[str]:
    texts: list[str] = []
    position = 0
    try:
        while position < len(binary):
            if len(texts) == MAX_TEXTS:
                raise InvalidInput(f"inputs: at most {MAX_TEXTS} texts are read")
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
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for tensor in tensors:
        if request.binary(tensor.name):
            raw = tensor.raw()
            outputs.append({**tensor.described(), "parameters": {"binary_data_size": len(raw)}})
            tail.append(raw)
        else:
            outputs.append({**tensor.described(), "data": tensor.data()})
    header_json = dumps({**header, "outputs": outputs})
    if not any("parameters" in output for output in outputs):
        return header_json, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(header_json))}
    return b"".join([header_json, *tail]), headers


def check_values(values: int, limit: int) -> None:
    """Raises AnswerTooLarge if a tensor would have more values than the limit."""
    if values > limit:
        raise AnswerTooLarge(
            f"an output would have {values} values with its padding; the limit is {limit} "
            "(LIMELIGHT_MAX_ANSWER_WEIGHTS); send fewer or shorter texts, or name the outputs that you need"
        )


def padded(rows: list[NDArray[Any]], fill: Any, limit: int) -> NDArray[Any]:
    """Stack arrays with equal numbers of dimensions into one array [B, ...], padded at the ends.

    Raises AnswerTooLarge if it would have more values than the limit.
    """
    sizes = [max(sizes) for sizes in zip(*(row.shape for row in rows), strict=True)]
    check_values(len(rows) * math.prod(sizes), limit)
    whole = np.full((len(rows), *sizes), fill, dtype=rows[0].dtype)
    for one, row in zip(whole, rows, strict=True):
        budget.check()
        one[tuple(slice(size) for size in row.shape)] = row
    return whole
