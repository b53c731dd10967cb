"""Markup in plain text: <0>the link</0>, <br/>, {% if x %}."""

import re

from service.markup.tags import Tag
from service.text.mapped import MappedText

INLINE_TAG = re.compile(r"</?(?P<name>[A-Za-z0-9_][\w.:-]*+)[^<>\n]*+>|\{%[^{}\n]*+%\}")


def read_text(raw: str) -> tuple[MappedText, list[Tag]]:
    """The text without its tags, and the tags. <0>words</0> are two tags; <0> without </0> stays in the text."""
    matches = list(INLINE_TAG.finditer(raw))
    closed = {match["name"] for match in matches if match[0].startswith("</")}
    opened = {match["name"] for match in matches if not match[0].startswith("</")}
    runs: list[tuple[str, int, int]] = []
    tags: list[Tag] = []
    position = length = 0
    for match in matches:
        name: str = match["name"] or ""
        if match[0].startswith("</"):
            name = "/" + name
        elif match[0].endswith("/>"):
            name = ""
        elif name and name not in closed & opened:
            continue
        runs.append((raw[position : match.start()], position, match.start()))
        length += match.start() - position
        tags.append(Tag(length, match[0], name))
        position = match.end()
    runs.append((raw[position:], position, len(raw)))
    return MappedText.from_runs(runs, len(raw)), tags
