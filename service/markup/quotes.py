"""Typographic quotation marks in pairs, which are placed around their words as tags are."""

import re
from collections import deque
from dataclasses import replace

from service.batching import budget
from service.markup.tags import Tag
from service.text.mapped import MappedText, Offsets

QUOTED = re.compile(
    r"(?P<open>\u201c)[^\u201c\u201d\u201e\n]{1,500}+(?P<close>\u201d)"
    r"|(?P<low_open>\u201e)[^\u201c\u201d\u201e\n]{1,500}+(?P<low_close>[\u201c\u201d])"
    r"|(?P<angle_open>\u00ab[ \u00a0\u202f]?)[^\u00ab\u00bb\n]{1,500}?(?P<angle_close>[ \u00a0\u202f]?\u00bb)"
    r"|(?P<alone>[\u201c-\u201e\u00ab\u00bb]++)"
)
"""A quotation mark, or a quotation in \u201c \u201d, \u201e \u201c or \u00ab \u00bb."""


def quotes_as_tags(mapped: MappedText, tags: list[Tag]) -> tuple[MappedText, list[Tag]]:
    """Take quotation marks out of a text, and add them to its tags."""
    marks: list[tuple[int, int, str]] = []
    for match in QUOTED.finditer(mapped.text):
        budget.check()
        found = [name for name, group in match.groupdict().items() if group is not None]
        names = ["quote", "/quote"] if len(found) == 2 else [""]
        marks += [(*match.span(group), name) for group, name in zip(found, names, strict=True)]
    if not marks:
        return mapped, tags
    replaced, places = mapped.replace([(start, end, "") for start, end, _ in marks])
    merged: list[Tag] = []
    waiting = deque(tags)
    for start, end, name in marks:
        while waiting and waiting[0].place <= start:
            merged.append(_moved(waiting.popleft(), places))
        raw = mapped.text[start:end]
        merged.append(Tag(int(places[start]), raw, name))
    return replaced, [*merged, *(_moved(tag, places) for tag in waiting)]


def _moved(tag: Tag, places: Offsets) -> Tag:
    return replace(tag, place=int(places[tag.place]))
