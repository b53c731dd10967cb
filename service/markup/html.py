"""HTML -> its text and the tags between the characters.

Every character of the document is behind a character of the text, in a tag or between two sentences. The tokenizer
follows the HTML standard (section 13.2.5) as far as the text depends on it. It takes linear time, and accepts anything.
"""

import html
import re
from dataclasses import dataclass

from service.batching import budget
from service.markup.tags import Tag
from service.text.mapped import MappedText

OBJECT = "\ufffc"
"""Unicode's object replacement character: an element that is copied whole."""

BLOCKS = set(
    "address article aside blockquote body br button caption center col colgroup dd details dialog div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li link main menu meta nav "
    "noscript ol optgroup option p pre section select summary table tbody td tfoot th thead title tr ul".split()
)
"""Elements that end a sentence."""

VOID = set("area base col embed hr br img input link meta param source track wbr".split())
RAW_TEXT = set("script style textarea".split())
"""Elements without tags inside."""
HIDDEN = set("script style template textarea svg object iframe canvas audio video map".split())
"""Elements whose content does not belong to the sentence around them."""

COPIED = set("code kbd samp var math ruby".split())
"""Elements that are copied whole, inside of their sentence."""

TOKEN = re.compile(
    r"""
      (?P<data>[^<&]++)
    | (?P<reference>&(?:\#[0-9]++;?|\#[xX][0-9a-fA-F]++;?|[A-Za-z][A-Za-z0-9]{1,31}+;?))
    | (?P<comment><!--(?:-?>)?)
    | (?P<declaration><![A-Za-z][^>]*+>)
    | (?P<other><[!?][^>]*+>|</[^A-Za-z>][^>]*+>|</>)
    | (?P<close></(?P<closed>[A-Za-z][^\s/>]*+)[^>]*+>)
    | (?P<open><(?P<opened>[A-Za-z][^\s/>]*+)(?P<attributes>(?:[^>"'=]++|=\s*+(?:"[^"]*+"|'[^']*+')?+|["'])*+)>)
    | (?P<unclosed><[A-Za-z/!?])
    | (?P<sign>&++(?![A-Za-z\#])|[<&])
    """,
    re.VERBOSE,
)
ATTRIBUTE = re.compile(r"""([^\s"'>/=]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s>"']++))?+""")
LONGEST_REFERENCE = 10
"""Longer numeric references are no characters of Unicode."""
DATA = 4_096
"""Maximum characters of a run of text."""


def read_html(raw: str) -> tuple[MappedText, list[Tag]]:
    """The text of a document, with OBJECT for each element that is copied and a line break for each block, and its
    tags."""
    reader = Reader(raw)
    reader.read()
    return MappedText.from_runs(reader.runs, len(raw)), reader.tags


@dataclass
class _Copied:
    """An open element that is copied, or a nested element of the same name."""

    name: str
    start: int
    in_sentence: bool


class Reader:
    """Collects the text runs and tags of a document."""

    def __init__(self, raw: str):
        self.raw = raw
        self.runs: list[tuple[str, int, int]] = []
        """Text, start and end in the document."""
        self.tags: list[Tag] = []
        self._length = 0
        self._copied: list[_Copied] = []
        self._open_pre = 0

    def read(self) -> None:
        position = 0
        while position < len(self.raw):
            budget.check()
            match = TOKEN.match(self.raw, position)
            assert match is not None and match.lastgroup  # every character is in a token
            position = self._token(match)
        if self._copied:
            self._end_copy(len(self.raw))

    def _token(self, match: re.Match[str]) -> int:
        """Handle a token and return its end."""
        start, end = match.span()
        if match["open"]:
            return self._open(match["opened"].lower(), match["attributes"], start, end)
        if match["close"]:
            self._close(match["closed"].lower(), start, end)
        elif match["comment"]:
            if match[0] == "<!--":
                closed = self.raw.find("-->", end)
                end = closed + 3 if closed >= 0 else len(self.raw)
            self._tag(start, end)
        elif match["declaration"]:
            self._block(start, end)
        elif match["unclosed"]:
            end = len(self.raw)
            self._tag(start, end)
        elif match["other"]:
            self._tag(start, end)
        elif match["reference"]:
            self._reference(match[0], start, end)
        else:
            end = min(end, start + DATA)
            text = self.raw[start:end]
            self._text(text if self._open_pre else re.sub(r"[\n\r\t\f]", " ", text), start, end)
        return end

    def _open(self, name: str, attributes: str, start: int, end: int) -> int:
        alone = attributes.endswith("/") or name in VOID
        if self._copied:
            if name == self._copied[0].name and not alone:
                self._copied.append(_Copied(name, start, False))
            return end
        untranslated = not alone and is_untranslated(attributes)
        self._open_pre += name == "pre" and not alone
        if alone:
            (self._block if name in BLOCKS else self._tag)(start, end)
        elif name in HIDDEN or name in COPIED or untranslated:
            in_sentence = name in COPIED or (untranslated and name not in BLOCKS and name not in HIDDEN)
            self._copied.append(_Copied(name, start, in_sentence))
            if name in RAW_TEXT:
                close = re.compile(rf"</{re.escape(name)}(?=[\s/>])", re.IGNORECASE).search(self.raw, end)
                return close.start() if close else len(self.raw)
        elif name in BLOCKS:
            self._block(start, end)
        else:
            self._tag(start, end, name)
        return end

    def _close(self, name: str, start: int, end: int) -> None:
        if self._copied:
            if name == self._copied[0].name:
                if len(self._copied) == 1:
                    self._end_copy(end)
                else:
                    self._copied.pop()
            return
        if name == "pre":
            self._open_pre = max(self._open_pre - 1, 0)
        if name in BLOCKS:
            self._block(start, end)
        else:
            self._tag(start, end, f"/{name}")

    def _reference(self, part: str, start: int, end: int) -> None:
        text = html.unescape(part) if part[1] != "#" or len(part) <= LONGEST_REFERENCE else ""
        if text:
            self._text(text, start, end)
        else:
            self._tag(start, end)

    def _end_copy(self, end: int) -> None:
        copied = self._copied[0]
        self._copied.clear()
        if copied.in_sentence:
            self._text(OBJECT, copied.start, end)
        elif copied.name in BLOCKS:
            self._block(copied.start, end)
        else:
            self._tag(copied.start, end)

    def _text(self, text: str, start: int, end: int) -> None:
        if not self._copied:
            self.runs.append((text, start, end))
            self._length += len(text)

    def _block(self, start: int, end: int) -> None:
        self._text("\n", start, end)

    def _tag(self, start: int, end: int, name: str = "") -> None:
        if not self._copied:
            self.tags.append(Tag(self._length, self.raw[start:end], name))


def is_untranslated(attributes: str) -> bool:
    """True for translate="no" and class="notranslate"."""
    if "translate" not in attributes.lower():
        return False
    for name, value in ATTRIBUTE.findall(attributes):
        value = value.strip("\"'").lower()
        if name.lower() == "translate" and value == "no":
            return True
        if name.lower() == "class" and "notranslate" in value.split():
            return True
    return False
