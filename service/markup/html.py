"""Texts with markup -> the characters that a network is to read, and the tags between them.

Every character of the text as sent is in a cell, in a tag or between two sentences, so that none can be lost.
"""

import html
import re
from dataclasses import dataclass
from html.parser import HTMLParser


@dataclass(frozen=True)
class Cell:
    """A character as a network reads it, and what of the text as sent it was made from: raw[start:end]."""

    character: str
    start: int
    end: int


@dataclass(frozen=True)
class Tag:
    """Something that stands between two characters: before text[place]."""

    place: int
    raw: str
    name: str = ""
    """Of its element; a closing tag's begins with a slash. Empty: it stands for itself, as a comment does."""


OBJECT = "\ufffc"
"""What Unicode has for an object that stands in a text."""

MARKUP = re.compile(r"</?(?P<name>[A-Za-z0-9_][\w.:-]*)[^<>\n]*>|\{%[^{}\n]*%\}")
"""Markup in a plain text, such as <0>the link</0> or {% if x %}."""


def cells_of(raw: str, start: int = 0) -> list[Cell]:
    return [Cell(character, start + i, start + i + 1) for i, character in enumerate(raw)]


def read_text(raw: str) -> tuple[list[Cell], list[Tag]]:
    """A plain text; <0>words</0> in it are tags, a single <0> is not."""
    matches = list(MARKUP.finditer(raw))
    closed = {match["name"] for match in matches if match[0].startswith("</")}
    opened = {match["name"] for match in matches if not match[0].startswith("</")}
    cells: list[Cell] = []
    tags: list[Tag] = []
    position = 0
    for match in matches:
        name: str = match["name"] or ""
        if match[0].startswith("</"):
            name = "/" + name
        elif match[0].endswith("/>"):
            name = ""
        elif name and name not in closed & opened:
            continue
        cells += cells_of(raw[position : match.start()], position)
        tags.append(Tag(len(cells), match[0], name))
        position = match.end()
    return cells + cells_of(raw[position:], position), tags


BLOCKS = set(
    "address article aside blockquote body br button caption center col colgroup dd details dialog div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li link main menu meta nav "
    "noscript ol optgroup option p pre section select summary table tbody td tfoot th thead title tr ul".split()
)
"""Elements that end a sentence."""

VOID = set("area base col embed hr br img input link meta param source track wbr".split())
HIDDEN = set("script style template textarea svg object iframe canvas audio video map".split())
"""Elements whose content is no part of the sentence they stand in."""

KEPT = set("code kbd samp var math".split())
"""Elements that stand in their sentence as a name does, and are kept whole."""


def read_html(raw: str) -> tuple[list[Cell], list[Tag]]:
    """HTML, as Python's own parser reads it; what is no text is kept to the letter."""
    # What is never closed reaches to the end. Python's parser would look for its end again and again.
    unclosed = raw.find("<!--", raw.rfind("-->") + 1)
    closed = raw.rfind(">", 0, unclosed if unclosed >= 0 else None) + 1
    match = UNCLOSED.search(raw, closed)
    end = match.start() if match else len(raw)
    reader = HtmlReader(raw[:end])
    reader.feed(raw[:end])
    reader.close()
    reader.end()
    return reader.cells, reader.tags + [Tag(len(reader.cells), raw[end:])] * bool(match)


UNCLOSED = re.compile("<[A-Za-z/!?]")


class HtmlReader(HTMLParser):
    """Takes HTML apart. Each part reaches to the beginning of the next, so that nothing falls between them."""

    def __init__(self, raw: str):
        super().__init__(convert_charrefs=False)
        self.raw = raw
        self.cells: list[Cell] = []
        self.tags: list[Tag] = []
        self._lines = [0, *(match.end() for match in re.finditer("\n", raw))]
        self._last: tuple[str, int, str] | None = None
        self._kept: list[tuple[str, int, bool]] = []  # open elements whose content is kept: name, start, of a sentence?
        self._pre = 0

    def _part(self, kind: str, name: str = "") -> None:
        """A part begins here: the one before it ends."""
        line, column = self.getpos()
        start = self._lines[line - 1] + column
        self._finish(start)
        self._last = (kind, start, name)

    def end(self) -> None:
        self._finish(len(self.raw))
        if self._kept:  # never closed
            self._keep(len(self.raw))

    def _finish(self, end: int) -> None:
        if self._last is None:
            return
        kind, start, name = self._last
        part = self.raw[start:end]
        if self._kept:
            if kind in ("open", "keep", "hide") and name == self._kept[-1][0]:
                self._kept.append((name, start, False))
            elif kind == "close" and name == self._kept[-1][0]:
                if len(self._kept) == 1:
                    self._keep(end)
                else:
                    self._kept.pop()
        elif kind in ("keep", "hide"):
            self._kept.append((name, start, kind == "keep"))
        elif kind in ("data", "preformatted"):
            text = part if kind == "preformatted" else re.sub(r"[\n\r\t\f]", " ", part)
            self.cells += cells_of(text, start)
        elif kind == "reference":
            for i, character in enumerate(html.unescape(part)):
                self.cells.append(Cell(character, start if i == 0 else end, end))
        elif kind == "block":
            self.cells.append(Cell("\n", start, end))
        else:
            self.tags.append(Tag(len(self.cells), part, {"open": name, "close": "/" + name}.get(kind, "")))

    def _keep(self, end: int) -> None:
        name, start, in_sentence = self._kept[0]
        self._kept.clear()
        if in_sentence:
            self.cells.append(Cell(OBJECT, start, end))
        elif name in BLOCKS:
            self.cells.append(Cell("\n", start, end))
        else:
            self.tags.append(Tag(len(self.cells), self.raw[start:end]))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        classes = (given.get("class") or "").split()
        untranslated = given.get("translate") == "no" or "notranslate" in classes
        self._pre += tag == "pre"
        if tag in VOID:
            self._part("block" if tag in BLOCKS else "alone")
        elif tag in HIDDEN or (untranslated and tag in BLOCKS):
            self._part("hide", tag)
        elif tag in KEPT or untranslated:
            self._part("keep", tag)
        else:
            self._part("block" if tag in BLOCKS and not self._inside() else "open", tag)

    def _inside(self) -> bool:
        """Whether the element before this part is one that is kept, in which blocks count for nothing."""
        return bool(self._kept) or (self._last is not None and self._last[0] in ("keep", "hide"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._part("block" if tag in BLOCKS else "alone")

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._pre = max(self._pre - 1, 0)
        self._part("block" if tag in BLOCKS and not self._inside() else "close", tag)

    def handle_data(self, data: str) -> None:
        self._part("preformatted" if self._pre else "data")

    def handle_entityref(self, name: str) -> None:
        self._part("reference")

    def handle_charref(self, name: str) -> None:
        self._part("reference")

    def handle_comment(self, data: str) -> None:
        self._part("alone")

    def handle_decl(self, decl: str) -> None:
        self._part("block")

    def handle_pi(self, data: str) -> None:
        self._part("alone")

    def unknown_decl(self, data: str) -> None:
        self._part("alone")
