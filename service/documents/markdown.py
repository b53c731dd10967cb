"""Markdown (CommonMark with tables): paragraphs, headings, list items and cells, with their inline markup.

Code, addresses of links, HTML comments and front matter stay as they are, except title and description in the front
matter. The lines of a paragraph become one line.
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from markdown_it import MarkdownIt
from markdown_it.token import Token

from service.batching import budget
from service.documents import yaml
from service.documents.document import Document, Segment, Slot, TextFile, with_slots
from service.documents.html import slots_of
from service.documents.inline import Inline, restore
from service.errors import InvalidInput

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
FRONT_MATTER = re.compile(r"---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*\r?$", re.MULTILINE | re.DOTALL)
FRONT_TEXT = re.compile(r"^(?:title|description|subtitle|summary):[ \t]+(?P<value>\S[^\r\n]*)", re.MULTILINE)
TASK = re.compile(r"\[[ xX]\][ \t]+")
FOOTNOTE = re.compile(r"\[\^[^\]\s]{1,50}\]:?")
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
LABEL = r"\[(?:[^\[\]\\]|\\.|\[[^\[\]]*\])*\]"
TARGET = (
    r"\]\(\s*(?:<[^<>\n]*>|(?:[^\s()\\]|\\.|\((?:[^\s()\\]|\\.)*\))*)"
    r"(?:\s+(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\((?:[^()\\]|\\.)*\)))?\s*\)"
)
LINK_END = re.compile(rf"{TARGET}|\]{LABEL}|\]", re.DOTALL)
IMAGE = re.compile(rf"!\[(?:[^\[\]\\]|\\.|\[[^\[\]]*\])*(?:{TARGET}|\]{LABEL}|\])", re.DOTALL)
AUTOLINK = re.compile(r"<[^<>\s]+>")
BREAK = re.compile(r"(?:\\| {2,})\n[ \t]*")
SOFT_BREAK = re.compile(r"[ \t]*\n[ \t]*")
HTML_NAME = re.compile(r"</?([A-Za-z][\w-]*)")


def read(content: bytes) -> Document:
    """The texts of a document. Raises InvalidInput if it is nested too deeply."""
    file = TextFile.decode(content)
    front = FRONT_MATTER.match(file.text)
    start = front.end() if front else 0
    slots = _front_slots(front) if front else []
    lines = _Lines(file.text, start)
    try:
        tokens = PARSER.parse(file.text[start:])
    except RecursionError:
        raise InvalidInput("the document is nested too deeply") from None
    in_table = False
    for token in tokens:
        budget.check()
        in_table = token.type == "table_open" or (in_table and token.type != "table_close")
        if token.type == "inline" and token.map:
            slots += lines.slots_of(token, in_table)
        elif token.type == "html_block" and token.map:
            slots += lines.slots_of_html(token)
    return with_slots(file, sorted(slots, key=lambda slot: slot.start))


def _front_slots(front: re.Match[str]) -> list[Slot]:
    offset = front.start("yaml")
    lines = [(match, yaml.read(match[0].encode()).segments) for match in FRONT_TEXT.finditer(front["yaml"])]
    return [
        Slot(offset + match.start("value"), offset + match.end("value"), segments[0], yaml.scalar_like(match["value"]))
        for match, segments in lines
        if len(segments) == 1
    ]


class _Lines:
    """The lines of a document, in which the content of tokens is found again."""

    def __init__(self, text: str, start: int):
        self.text = text
        self._starts = [start, *(match.end() for match in re.compile(r"\r\n?|\n").finditer(text, start)), len(text)]
        self._found: dict[int, int] = {}
        """Line -> the end of the content that was found in it."""

    def slots_of_html(self, token: Token) -> list[Slot]:
        assert token.map
        start, end = self._starts[token.map[0]], self._starts[min(token.map[1], len(self._starts) - 1)]
        raw = self.text[start:end]
        if raw.lstrip().startswith("<!--"):
            return []
        return [Slot(start + slot.start, start + slot.end, slot.segment, slot.render) for slot in slots_of(raw)]

    def slots_of(self, token: Token, in_table: bool) -> list[Slot]:
        """The slot of an inline token; none if its content is not found or has no letter."""
        places = self._places(token)
        task = TASK.match(token.content)
        start = task.end() if task else 0
        if places is None or not any(char.isalpha() for char in token.content[start:]):
            return []
        scan = _Scan(self.text, token.content, places, start)
        first, last = places[start], places[len(token.content)]
        children = token.children or []
        if task and children:
            children = [replace(children[0], content=children[0].content[start:]), *children[1:]]
        if not scan.children(children):
            return [Slot(first, last, Segment(token.content[start:]))] if "\n" not in token.content else []
        escape = scan.escaper("|" if in_table else "")
        raw = self.text[first:last]

        def render(translation: str) -> str:
            found = restore(translation, scan.raws, escape)
            return raw if found is None else found

        return [Slot(first, last, Segment(str(scan.inline), "html"), render)]

    def _places(self, token: Token) -> list[int] | None:
        """The offset in the document of each character of a token's content, and of its end."""
        assert token.map
        places: list[int] = []
        line = token.map[0]
        for part in token.content.split("\n"):
            bounds = max(self._starts[line], self._found.get(line, 0)), self._starts[line + 1]
            place = self.text.find(part, *bounds)
            bar = 1
            if place < 0:
                place = self.text.find(part.replace("|", "\\|"), *bounds)  # a cell of a table
                bar = 2
            if place < 0:
                return None
            for char in part:
                places.append(place)
                place += bar if char == "|" else 1
            places.append(place)
            self._found[line] = place
            line += 1
        return places


@dataclass
class _Scan:
    """Walks through the inline tokens of a content, and finds the syntax of each in the document."""

    text: str
    content: str
    places: list[int]
    position: int
    inline: Inline = field(default_factory=Inline)
    raws: list[tuple[str, str]] = field(default_factory=list)
    escaped: set[str] = field(default_factory=set)
    """The characters that the content escapes."""

    def escaper(self, characters: str) -> Callable[[str], str]:
        escaped = re.escape("".join(sorted(self.escaped | set(characters) | {"\\"})))
        pattern = re.compile(rf"([{escaped}]|&(?=#?\w{{1,31}};))")
        return lambda text: pattern.sub(r"\\\1", text)

    def children(self, tokens: list[Token]) -> bool:
        """Add tokens. False if one is not found in the content."""
        opened: list[int] = []
        pairs = _pairs(tokens)
        closings = set(pairs.values())
        in_address = False
        for index, token in enumerate(tokens):
            if in_address:
                in_address = token.type != "link_close"
            elif index in closings:
                end = self._end(token)
                if end is None or not opened:
                    return False
                number = opened.pop()
                self.raws[number] = (self.raws[number][0], self._take(end))
                self.inline.close(number)
            elif index in pairs:
                end = self._end(token)
                if end is None:
                    return False
                self.raws.append((self._take(end), ""))
                opened.append(self.inline.open())
            elif not self._single(token):
                return False
            else:
                in_address = token.type == "link_open"  # <https://example.org> is one element
        return not opened and not self.content[self.position :].strip()

    def _end(self, token: Token) -> int | None:
        """The end of an opening or closing token at the position."""
        if token.type == "link_open":
            return self._match(re.compile(r"\["))
        if token.type == "link_close":
            return self._match(LINK_END)
        syntax = token.content if token.type == "html_inline" else token.markup
        return self._match(re.compile(re.escape(syntax)))

    def _match(self, pattern: re.Pattern[str]) -> int | None:
        match = pattern.match(self.content, self.position)
        return match.end() if match else None

    def _take(self, end: int) -> str:
        """The syntax in the document up to an offset of the content."""
        raw = self.text[self.places[self.position] : self.places[end]]
        self.position = end
        return raw

    def _single(self, token: Token) -> bool:
        """Add a token without a partner."""
        if token.type in ("text", "text_special"):
            return self._text(token.content)
        if token.type == "softbreak":
            end = self._match(SOFT_BREAK)
            self.position = end or self.position
            self.inline.text(" ")
            return end is not None
        patterns = {
            "hardbreak": (BREAK, self.inline.line_break),
            "image": (IMAGE, self.inline.mark),
            "link_open": (AUTOLINK, self.inline.word),
            "code_inline": (
                re.compile(rf"{token.markup}(?!`).*?(?<!`){token.markup}(?!`)", re.DOTALL),
                self.inline.word,
            ),
            "html_inline": (re.compile(re.escape(token.content)), self.inline.mark),
        }
        if token.type not in patterns:
            return False
        pattern, add = patterns[token.type]
        end = self._match(pattern)
        if end is None:
            return False
        self.raws.append((self._take(end), ""))
        add()
        return True

    def _text(self, text: str) -> bool:
        """Add a text. False if it does not stand at the position."""
        start = 0
        for note in FOOTNOTE.finditer(text):
            if not self._plain(text[start : note.start()]):
                return False
            end = self._match(re.compile(re.escape(note[0])))
            if end is None:
                return False
            self.raws.append((self._take(end), ""))
            self.inline.mark()
            start = note.end()
        return self._plain(text[start:])

    def _plain(self, text: str) -> bool:
        place = 0
        while place < len(text):
            char = text[place]
            entity = ENTITY.match(self.content, self.position)
            shown = html.unescape(entity[0]) if entity else ""
            if entity and text.startswith(shown, place):
                self.position = entity.end()
                self.escaped |= {char} & set("<>*_[]`|")
                place += len(shown)
                continue
            if self.content.startswith("\\" + char, self.position):
                self.escaped.add(char)
                self.position += 1
            if not self.content.startswith(char, self.position):
                return False
            self.position += 1
            place += 1
        self.inline.text(text)
        return True


def _pairs(tokens: list[Token]) -> dict[int, int]:
    """Opening token -> its closing token: emphasis, links and HTML elements that are nested."""
    found: dict[int, int] = {}
    path: list[tuple[str, int]] = []
    last: dict[str, int] = {}
    """The last closing tag of each name."""
    for index, token in enumerate(tokens):
        if token.content.startswith("</") and (name := HTML_NAME.match(token.content)):
            last[f"html {name[1].lower()}"] = index
    for index, token in enumerate(tokens):
        if token.info == "auto":
            continue
        if token.type == "html_inline" and (name := HTML_NAME.match(token.content)):
            kind = f"html {name[1].lower()}"
            if token.content.startswith("</"):
                if path and path[-1][0] == kind:
                    found[path.pop()[1]] = index
            elif last.get(kind, -1) > index:
                path.append((kind, index))
        elif token.nesting == 1:
            path.append((token.type.removesuffix("_open"), index))
        elif token.nesting == -1:
            kind = token.type.removesuffix("_close")
            while path and path[-1][0] != kind:
                path.pop()
            if path:
                found[path.pop()[1]] = index
    return found
