"""YAML: the string values. Keys, anchors, comments and the layout stay as they are."""

import json
import re
from collections.abc import Callable
from typing import Any

import yaml

from service.batching import budget
from service.documents.document import Document, Segment, Slot, TextFile, with_slots
from service.errors import InvalidInput

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
STRING = "tag:yaml.org,2002:str"
UNSAFE = re.compile(r"""^[\s\-?:,\[\]{}#&*!|>'"%@`]|:(?:\s|$)|\s\#|[\[\]{},\n]|\s$""")
"""A text that a plain scalar cannot hold everywhere."""


def read(content: bytes) -> Document:
    """The string scalars of all documents of a file. Raises InvalidInput."""
    file = TextFile.decode(content)
    try:
        roots = [*yaml.compose_all(file.text, Loader=Loader)]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        raise InvalidInput(f"the file is not valid YAML{'' if line is None else f': line {line + 1}'}") from None
    slots = [slot for node in scalars(roots) if (slot := _slot(file.text, node)) is not None]
    return with_slots(file, sorted(slots, key=lambda slot: slot.start))


def scalars(roots: list[Any]) -> list[Any]:
    """The string values in some nodes. A node with several aliases is visited once."""
    found, waiting, visited = [], list(roots), set[int]()
    while waiting:
        budget.check()
        node = waiting.pop()
        if id(node) in visited:
            continue
        visited.add(id(node))
        if isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif node is not None and node.tag == STRING and node.value.strip():
            found.append(node)
    return found


def scalar_like(raw: str) -> Callable[[str], str]:
    """A function that writes a text in the style of a scalar on one line."""
    return {"'": _single, '"': _double}.get(raw[0], _plain)


def _slot(text: str, node: Any) -> Slot | None:
    start, end = node.start_mark.index, node.end_mark.index
    if node.style in ("|", ">"):
        return _block(text, node, start, end)
    return Slot(start, end, Segment(node.value), scalar_like(text[start:end]))


def _plain(value: str) -> str:
    is_plain = not UNSAFE.search(value) and yaml.safe_load(value) == value
    return value if is_plain else _double(value)


def _single(value: str) -> str:
    return _double(value) if "\n" in value else "'" + value.replace("'", "''") + "'"


def _double(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _block(text: str, node: Any, start: int, end: int) -> Slot | None:
    """The lines of a block scalar, behind its header and with its indentation."""
    first = text.find("\n", start, end) + 1
    body = text[first:end].rstrip() if first else ""
    indent = re.match(r"(?:[ \t]*\r?\n)*( +)", body)
    if indent is None:
        return None
    newline = "\r\n" if "\r\n" in body else "\n"
    between = newline * (2 if node.style == ">" else 1)

    def render(translation: str) -> str:
        lines = [line.strip("\r") for line in translation.rstrip().split("\n")]
        return between.join(indent[1] + line if line else "" for line in lines)

    return Slot(first, first + len(body), Segment(node.value.rstrip()), render)
