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
RESOLVER = yaml.SafeLoader("")
MAX_DEPTH = 100
STRING = "tag:yaml.org,2002:str"
PROPERTIES = re.compile(r"(?:[&!]\S*+\s++)++")
"""The anchor and the tag of a value."""
UNSAFE = re.compile(r"""^[\s\-?:,\[\]{}#&*!|>'"%@`]|:(?:\s|$)|\s\#|[\[\]{},\n]|\s$""")
"""A text that a plain scalar cannot hold everywhere."""


def read(content: bytes) -> Document:
    """The string scalars of all documents of a file. Raises InvalidInput."""
    file = TextFile.decode(content)
    try:
        events = scalars(file.text)
    except (yaml.YAMLError, ValueError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        raise InvalidInput(f"the file is not valid YAML{'' if line is None else f': line {line + 1}'}") from None
    return with_slots(file, [slot for event in events if (slot := _slot(file.text, event)) is not None])


def scalars(text: str) -> list[Any]:
    """The events of string values, not of keys. Raises YAMLError, or InvalidInput if the nesting is too deep.

    The events come from a parser without recursion: a composer ends the process at deep nesting.
    """
    found = []
    path: list[str] = []
    """The open collections: "list", or the next part of a map, "key" or "value"."""
    for event in yaml.parse(text, Loader=Loader):
        budget.check()
        if isinstance(event, yaml.CollectionEndEvent):
            path.pop()
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        is_key = bool(path) and path[-1] == "key"
        if path and path[-1] != "list":
            path[-1] = "value" if is_key else "key"
        if isinstance(event, yaml.CollectionStartEvent):
            if len(path) == MAX_DEPTH:
                raise InvalidInput(f"the document is nested more than {MAX_DEPTH} levels deep")
            path.append("key" if isinstance(event, yaml.MappingStartEvent) else "list")
        elif isinstance(event, yaml.ScalarEvent) and not is_key and _is_string(event):
            found.append(event)
    return found


def _is_string(event: Any) -> bool:
    """True for a text; False for a number, a date, null, or a blank text."""
    tag = event.tag or RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)
    return tag in (STRING, "!") and bool(event.value.strip())


def scalar_like(raw: str) -> Callable[[str], str]:
    """A function that writes a text in the style of a scalar on one line."""
    return {"'": _single, '"': _double}.get(raw[0], _plain)


def _slot(text: str, node: Any) -> Slot | None:
    start, end = node.start_mark.index, node.end_mark.index
    if node.style in ("|", ">"):
        return _block(text, node, start, end)
    if properties := PROPERTIES.match(text, start, end):
        start = properties.end()
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
