"""HTML -> its text and the tags between the characters.

Every character of the document is behind a character of the text, in a tag or between two sentences.
"""

import html
import re
from html.parser import HTMLParser

from service.markup.tags import Tag
from service.text.mapped import MappedText

OBJECT = "\ufffc"
"""Unicode's object replacement character."""

BLOCKS = set(
    "address article aside blockquote body br button caption center col colgroup dd details dialog div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li link main menu meta nav "
    "noscript ol optgroup option p pre section select summary table tbody td tfoot th thead title tr ul".split()
)
"""Elements that end a sentence."""

VOID = set("area base col embed hr br img input link meta param source track wbr".split())
HIDDEN = set("script style template textarea svg object iframe canvas audio video map".split())
"""Elements whose content does not belong to the sentence around them."""

KEPT = set("code kbd samp var math".split())
"""Elements that are copied whole, inside of their sentence."""


def read_html(raw: str) -> tuple[MappedText, list[Tag]]:
    """HTML as Python's parser reads it: its text, with OBJECT for each element of KEPT, and its tags."""
    # An unclosed tag or comment reaches to the end. Python's parser would search for its end at every place.
    unclosed = raw.find("<!--", raw.rfind("-->") + 1)
    closed = raw.rfind(">", 0, unclosed if unclosed >= 0 else None) + 1
    match = UNCLOSED.search(raw, closed)
    end = match.start() if match else len(raw)
    reader = HtmlReader(raw[:end])
    reader.feed(raw[:end])
    reader.close()
    reader.end()
    text = MappedText.from_runs(reader.runs, len(raw))
    return text, reader.tags + [Tag(len(text.text), raw[end:])] * bool(match)


UNCLOSED = re.compile("<[A-Za-z/!?]")


class HtmlReader(HTMLParser):
    """Collects the text runs and tags of a document. Each part reaches to the start of the next one."""

    def __init__(self, raw: str):
        super().__init__(convert_charrefs=False)
        self.raw = raw
        self.runs: list[tuple[str, int, int]] = []
        """Text, start and end in the document."""
        self.tags: list[Tag] = []
        self._length = 0
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", raw))]
        self._last: tuple[str, int, str] | None = None
        self._kept: list[tuple[str, int, bool]] = []
        """Open elements that are copied: name, start, and True if they belong to a sentence."""
        self._open_pre = 0

    def _add_text(self, text: str, start: int, end: int) -> None:
        self.runs.append((text, start, end))
        self._length += len(text)

    def _part(self, kind: str, name: str = "") -> None:
        """Start a part at the parser's position, and finish the one before it."""
        line, column = self.getpos()
        start = self._line_starts[line - 1] + column
        self._finish(start)
        self._last = (kind, start, name)

    def end(self) -> None:
        self._finish(len(self.raw))
        if self._kept:  # unclosed
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
            self._add_text(text, start, end)
        elif kind == "reference":
            self._add_text(html.unescape(part), start, end)
        elif kind == "block":
            self._add_text("\n", start, end)
        else:
            self.tags.append(Tag(self._length, part, {"open": name, "close": "/" + name}.get(kind, "")))

    def _keep(self, end: int) -> None:
        name, start, in_sentence = self._kept[0]
        self._kept.clear()
        if in_sentence:
            self._add_text(OBJECT, start, end)
        elif name in BLOCKS:
            self._add_text("\n", start, end)
        else:
            self.tags.append(Tag(self._length, self.raw[start:end]))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        classes = (given.get("class") or "").split()
        untranslated = given.get("translate") == "no" or "notranslate" in classes
        self._open_pre += tag == "pre"
        if tag in VOID:
            self._part("block" if tag in BLOCKS else "alone")
        elif tag in HIDDEN or (untranslated and tag in BLOCKS):
            self._part("hide", tag)
        elif tag in KEPT or untranslated:
            self._part("keep", tag)
        else:
            self._part("block" if tag in BLOCKS and not self._inside() else "open", tag)

    def _inside(self) -> bool:
        """True inside of a copied element, where blocks end no sentence."""
        return bool(self._kept) or (self._last is not None and self._last[0] in ("keep", "hide"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._part("block" if tag in BLOCKS else "alone")

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._open_pre = max(self._open_pre - 1, 0)
        self._part("block" if tag in BLOCKS and not self._inside() else "close", tag)

    def handle_data(self, data: str) -> None:
        self._part("preformatted" if self._open_pre else "data")

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
