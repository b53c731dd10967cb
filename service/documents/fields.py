"""Fields of Word: runs that begin, separate and end a field. Between `separate` and `end` is its shown result."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.documents.parts import Xml
from service.errors import InvalidInput

Item = tuple[Any, str]
"""A part of a paragraph: a run and its text; or an element without text, or a field, and ""."""

TEXT_FIELDS = frozenset(("FILLIN", "FORMTEXT", "HYPERLINK", "INDEX", "QUOTE", "REF", "STYLEREF", "TOC"))
"""Fields whose result is text of the document. Other results, such as numbers of pages, are copied."""
MAX_NESTED = 20
"""Maximum fields inside of each other."""


@dataclass
class Field:
    """A field in one paragraph."""

    opening: list[Xml]
    """Runs up to the result."""
    result: list[Item]
    closing: list[Xml]
    has_text: bool

    def runs(self) -> list[Xml]:
        """All runs in order."""
        return [*self.opening, *_runs(self.result), *self.closing]


@dataclass
class _Open:
    """The items of a field so far."""

    items: list[Item] = field(default_factory=list)
    separate: int = -1
    """Number of items up to the result; -1 before it."""

    def close(self, end: Xml, code: str) -> Field:
        opening = _runs(self.items[: self.separate] if self.separate >= 0 else self.items)
        result = self.items[self.separate :] if self.separate >= 0 else []
        text = "".join(element.text or "" for run in opening for element in run.iter(code))
        return Field(opening, result, [end], bool(result) and has_text(text))


def _runs(items: Iterable[Item]) -> list[Xml]:
    found: list[Xml] = []
    for item, _ in items:
        found += item.runs() if isinstance(item, Field) else [item]
    return found


def has_text(code: str) -> bool:
    """True if a field with this code shows text of the document.

    >>> has_text(' HYPERLINK "https://example.org" '), has_text("PAGE")
    (True, False)
    """
    words = code.split(maxsplit=1)
    return bool(words) and words[0].upper() in TEXT_FIELDS


def join_fields(items: Sequence[Item], part: str, type_of: str, code: str) -> list[Item]:
    """The items with each field that begins and ends among them as one item. Raises InvalidInput.

    part, type_of, code: names of the element and the attribute that mark the parts of a field, and of its code.
    """
    path = [_Open()]
    for item, text in items:
        mark = None if text or isinstance(item, Field) else item.find(part)
        kind = None if mark is None else mark.get(type_of)
        if kind == "begin":
            if len(path) > MAX_NESTED:
                raise InvalidInput(f"the document has more than {MAX_NESTED} nested fields")
            path.append(_Open())
        elif kind == "end" and len(path) > 1:
            closed = path.pop().close(item, code)
            path[-1].items.append((closed, ""))
            continue
        path[-1].items.append((item, text))
        if kind == "separate" and path[-1].separate < 0:
            path[-1].separate = len(path[-1].items)
    return [item for opened in path for item in opened.items]
