"""Inline elements of a segment as tags of HTML, which the translator places by alignment.

Each element has a number: `See <g1>the station</g1><x2/>.` A translation has the same tags in its own order.
"""

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

TAG = re.compile(r"<(?P<close>/?)(?P<kind>[gx]|br |code )(?P<number>\d{1,6})(?:></code>|/?>)")

SOFT_HYPHEN = "\xad"


@dataclass
class Inline:
    """Builds the text of a segment from its runs and elements."""

    parts: list[str] = field(default_factory=list)
    count: int = 0
    """Number of elements."""

    def text(self, text: str) -> None:
        """Add a text, without its soft hyphens: a translation has other syllables."""
        self.parts.append(html.escape(text.replace(SOFT_HYPHEN, ""), quote=False))

    def open(self) -> int:
        """Open an element around the next parts. Returns its number."""
        number = self._next()
        self.parts.append(f"<g{number}>")
        return number

    def close(self, number: int) -> None:
        self.parts.append(f"</g{number}>")

    def mark(self) -> int:
        """An element without text that moves with the words around it, such as a footnote."""
        number = self._next()
        self.parts.append(f"<x{number}/>")
        return number

    def word(self) -> int:
        """An element that is copied and takes the place of a word, such as code."""
        number = self._next()
        self.parts.append(f"<code {number}></code>")
        return number

    def line_break(self) -> int:
        """An element that ends a sentence, such as a tab. It keeps its place."""
        number = self._next()
        self.parts.append(f"<br {number}/>")
        return number

    def _next(self) -> int:
        self.count += 1
        return self.count - 1

    def __str__(self) -> str:
        return "".join(self.parts)


@dataclass
class Node:
    """An element of a translated segment, with texts and elements inside."""

    number: int
    children: list["str | Node"] = field(default_factory=list)


def parse(translation: str, count: int) -> Node | None:
    """The tree of a translation with `count` elements; its root has the number -1.

    None if the tags are not nested, or if an element is missing or repeated.
    """
    root = Node(-1)
    path = [root]
    numbers = []
    position = 0
    for match in TAG.finditer(translation):
        _add_text(path[-1], translation[position : match.start()])
        position = match.end()
        number = int(match["number"])
        if match["close"]:
            if path.pop().number != number or not path:
                return None
            continue
        numbers.append(number)
        node = Node(number)
        path[-1].children.append(node)
        if match["kind"] == "g":
            path.append(node)
    _add_text(path[-1], translation[position:])
    return root if len(path) == 1 and sorted(numbers) == [*range(count)] else None


def _add_text(node: Node, text: str) -> None:
    if text:
        node.children.append(html.unescape(text))


def plain(translation: str) -> str:
    """The text of a translation without its elements."""
    return html.unescape(TAG.sub("", translation))


def restore(translation: str, raws: Sequence[tuple[str, str]], escape: Callable[[str], str]) -> str | None:
    """A translation with the opening and closing syntax of each element instead of its tags.

    `escape` writes a text in the syntax of the file. None if an element is missing or repeated.
    """
    root = parse(translation, len(raws))
    if root is None:
        return None
    parts: list[str] = []

    def add(node: Node) -> None:
        for child in node.children:
            if isinstance(child, str):
                parts.append(escape(child))
            else:
                parts.append(raws[child.number][0])
                add(child)
                parts.append(raws[child.number][1])

    add(root)
    return "".join(parts)
