"""Finds the files that an ONNX graph takes weights from. A graph can name any path of the machine.

The parser follows the fields that lead to a tensor's `external_data`: in initializers, in attributes of nodes, in
nested graphs and in functions. Field numbers: onnx/onnx.proto of the ONNX repository. Wire format:
https://protobuf.dev/programming-guides/encoding/.
"""

from collections.abc import Iterator

LOCATION = b"location"
VARINT, I64, LEN, I32 = 0, 1, 2, 5
MAX_DEPTH = 64
"""Maximum nesting of messages. Real graphs nest a few levels."""

# Message -> field number -> message in that field.
FIELDS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
}


def locations(model: bytes) -> set[str]:
    """Return the names of the external data files. Raises ValueError if the bytes are no ONNX graph."""
    return set(_locations(memoryview(model), "Model", 0))


def _locations(message: memoryview, kind: str, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} messages")
    if kind == "Entry":
        fields = {number: bytes(value) for number, value in _fields(message)}
        if fields.get(1) == LOCATION:
            yield fields.get(2, b"").decode()
        return
    for number, value in _fields(message):
        if number in FIELDS[kind]:
            yield from _locations(value, FIELDS[kind][number], depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of the length-delimited fields of a message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            _, at = _varint(message, at)
        elif wire in (I64, I32):
            at += 8 if wire == I64 else 4
        elif wire == LEN:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("a field ends after its message")
            yield number, message[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {wire} is not known")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Read a varint: seven bits per byte, the lowest first. Returns its value and its end."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("a number ends after its message")
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number is longer than ten bytes")
