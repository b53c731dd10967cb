"""Markup in plain text: <0>the link</0>, <br/>, {% if x %}, [b]bold[/b]."""

import re

from service.batching import budget
from service.markup.tags import Tag
from service.text.mapped import MappedText

INLINE_TAG = re.compile(
    r"</?(?P<name>[A-Za-z0-9_][\w.:-]{0,100}+)[^<>\n]{0,2000}+>"
    r"|\{%[^{}\n]{0,500}+%\}"
    r"|\[/?(?P<code>b|i|u|s|url|img|color|quote|code|size|center|list|li|em|strong|spoiler|email|font)(?:=[^\[\]\n]{0,300}+)?\]"
)


def read_text(raw: str) -> tuple[MappedText, list[Tag]]:
    """The text without its tags, and the tags. <0>words</0> are two tags; <0> without </0> stays in the text."""
    matches = []
    for match in INLINE_TAG.finditer(raw):
        budget.check()
        matches.append(match)
    closed = {_element(match) for match in matches if _closes(match)}
    opened = {_element(match) for match in matches if not _closes(match)}
    runs: list[tuple[str, int, int]] = []
    tags: list[Tag] = []
    position = length = 0
    for match in matches:
        name = _element(match)
        if _closes(match):
            name = "/" + name
        elif match[0].endswith("/>"):
            name = ""
        elif name and name not in closed & opened:
            continue
        if match["code"] and name.removeprefix("/") not in closed & opened:
            continue
        runs.append((raw[position : match.start()], position, match.start()))
        length += match.start() - position
        tags.append(Tag(length, match[0], name))
        position = match.end()
    runs.append((raw[position:], position, len(raw)))
    return MappedText.from_runs(runs, len(raw)), tags


def _element(match: re.Match[str]) -> str:
    return match["name"] or (f"[{match['code']}" if match["code"] else "")


def _closes(match: re.Match[str]) -> bool:
    return match[0].startswith(("</", "[/"))
