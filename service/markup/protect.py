"""What a network must not touch: HTML, and placeholders, addresses and code in any text.

    I see <b>{{name}}</b>.  ->  I see Tom.  ->  Je vois Tom.  ->  Je vois <b>{{name}}</b>.

A text is read without its tags, and with a stand-in where something must stay as it is. In the translation every such
piece takes the place of its stand-in, and `service/alignment.py` puts the tags around the words that look at what they
stood around. What finds no place goes to the end of its sentence: nothing is ever lost.
"""

import html
import operator
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from service.bundle.manifest import Manifest
from service.markup.alignment import Alignment, Edits, lay_tags
from service.markup.html import MARKUP, Cell, Tag, read_html, read_text
from service.text.sentences import is_blank
from service.text.tokenizer import Token, run_in_thread_if_long
from service.translation.engine import Options
from service.translation.translator import Sentence, Translation, Translator

Format = Literal["text", "html"]
Span = tuple[int, int]

PROTECTED = re.compile(
    r"""
      \b(?:https?|ftp)://[^\s<>"'`{}]*[^\s<>"'`{}.,;:!?)\]]      # addresses
    | \bwww\.[^\s<>"'`{}]*[^\s<>"'`{}.,;:!?)\]]
    | (?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+
    | (?<![\w@])@\w+                                            # @somebody
    | `[^`\n]+`                                                 # code
    | \{\{[^{}\n]*\}\} | \[\[[^\[\]\n]*\]\]                    # {{name}}, [[name]]
    | [$\#]?\{[^{}\n]*\}                                        # {0}, {}, {name!r}, ${x}, #{x}
    | (?<![\w$])\$[a-z_]\w*                                     # $name
    | %(?:\(\w+\)|\d+\$)?[-+0\#]*\d*(?:\.\d+)?(?:hh|h|ll|l|L|z|j|t)?[sdiufFeEgGxXocpaA@](?!\w)    # %s, %(x)d, %1$s
    | %\w+%                                                     # %name%
    | <[A-Za-z0-9_][^<>\n]*>                                    # <0>, where no </0> follows
    | \ufffc                                                    # an element that is kept whole
    """,
    re.VERBOSE,
)
SIGNS = re.compile(r"[@`{\[$#%<\ufffc]|://|www\.")
"""One of these is in whatever is protected: quick to look for in all the texts that have nothing of it."""

LINE = re.compile(r"[^\n]+")
NAME = "Tom"
"""What stands in for a piece where a network was not taught to copy: of all words, it is names that are kept as they
are. Of 17 sentences en-fr/1 kept this one in 16, `X` in 13 and a number in 12."""

SYMBOL = "\ue000"
"""What stands in where it was taught: a character for private use, which no tokenizer knows, so that it is copied."""


async def translate(
    translator: Translator, texts: Sequence[str], format: Format, options: Options
) -> list[Translation]:
    """As `Translator.translate`, with markup, placeholders and addresses kept; offsets are into the texts as sent.

    A text with nothing to translate but something to keep comes back as it is.
    """
    if format == "text" and not any(map(SIGNS.search, texts)):
        return await translator.translate(texts, options)
    marked = await run_in_thread_if_long(texts, lambda: [protect(translator, text, format) for text in texts])
    if not any(one.is_marked for one in marked):
        return await translator.translate(texts, options)
    asked = [one.text for one in marked if one.has_words]
    answers = iter(await translator.translate(asked, with_alignment(options)) if asked else [])

    def put_back(one: Marked) -> Translation:
        placed = one.placed(next(answers), options, translator.manifest) if one.has_words else []
        return one.joined(placed, options.alternatives)

    return await run_in_thread_if_long(texts, lambda: [put_back(one) for one in marked])


def protect(translator: Translator, text: str, format: Format) -> "Marked":
    """A text as this translator is to read it, and what was taken out of it."""
    special = translator.manifest.special_ids
    stand_in = NAME if special is None or special.unknown is None else SYMBOL
    if format == "html":
        return with_stand_ins(Marked(text, *read_html(text), lambda plain: html.escape(plain, quote=False)), stand_in)
    if SIGNS.search(text) and (PROTECTED.search(text) or MARKUP.search(text)):
        return with_stand_ins(Marked(text, *read_text(text)), stand_in)
    return Marked(text, [], [])


def with_alignment(options: Options) -> Options:
    """Options under which a translation says what its words came from."""
    return replace(options, attention="summary") if options.attention == "none" else options


@dataclass(frozen=True)
class Piece:
    """Something to keep, for which text[start:end] stands in."""

    start: int
    end: int
    raw: str


@dataclass
class Marked:
    """A text as a network reads it, and what was taken out of the text as sent."""

    raw: str
    cells: list[Cell]
    """Of its text. Empty where nothing was taken out: then `raw` is the text."""
    tags: list[Tag]
    escape: Callable[[str], str] = str
    pieces: list[Piece] = field(default_factory=list)
    stand_in: str = NAME

    def __post_init__(self) -> None:
        self.text = "".join(cell.character for cell in self.cells) if self.is_marked else self.raw

    @property
    def is_marked(self) -> bool:
        return bool(self.cells or self.tags)

    @property
    def has_words(self) -> bool:
        """Whether there is something to translate; what is blank as sent is the translator's to refuse."""
        return not is_blank(self.text) or is_blank(self.raw)

    def span(self, start: int, end: int) -> Span:
        """Where text[start:end] is in the text as sent."""
        if not self.cells:
            return start, end
        if start == end:
            place = self.cells[start].start if start < len(self.cells) else len(self.raw)
            return place, place
        return self.cells[start].start, self.cells[end - 1].end

    def placed(self, translation: Translation, options: Options, manifest: Manifest, at: int = 0) -> list[Sentence]:
        """The sentences of the translation of text[at:] with their markup. Their spans and source tokens are into the
        text as sent, their target tokens into each one's own text."""
        sentences = []
        position = base = 0
        for sentence in translation.sentences:
            base += sentence.start - position
            position = sentence.end
            sentences.append(self._placed(sentence, at, base, options, manifest))
            base += len(sentence.text)
        return sentences

    def _placed(self, sentence: Sentence, at: int, base: int, options: Options, manifest: Manifest) -> Sentence:
        start, end = sentence.start + at, sentence.end + at
        starts, places = operator.attrgetter("start"), operator.attrgetter("place")
        pieces = self.pieces[bisect_left(self.pieces, start, key=starts) : bisect_left(self.pieces, end, key=starts)]
        tags = self.tags[bisect_left(self.tags, start + 1, key=places) : bisect_left(self.tags, end, key=places)]
        sources = [replace(token, start=token.start + at, end=token.end + at) for token in sentence.source_tokens]
        targets = [replace(token, start=token.start - base, end=token.end - base) for token in sentence.target_tokens]
        edits = Edits(sentence.text, self.escape)
        if pieces or tags:
            summaries = {(output.kind, output.layer) for output in manifest.attention if output.summary}
            matrices = [matrix for matrix in sentence.attention if (matrix.kind, matrix.layer) in summaries]
            alignment = Alignment(sources, targets, sentence.text, matrices)
            self._put_back(pieces, start, end, sentence.text, alignment, edits)
            lay_tags([self._spaced(tag) for tag in tags], (start, end), alignment, edits)
        edits.apply()
        raw_start, raw_end = self.span(start, end)
        others = sentence.alternatives if not tags else []  # these come without their alignment
        return replace(
            sentence,
            text=edits.result,
            start=raw_start,
            end=raw_end,
            source_tokens=[_moved(token, self.span(token.start, token.end), self.raw) for token in sources],
            target_tokens=[_moved(token, edits.span(token.start, token.end), edits.result) for token in targets],
            attention=sentence.attention if options.attention != "none" else [],
            alternatives=[(self._by_order(text, pieces, start, end), score) for text, score in others],
        )

    def _spaced(self, tag: Tag) -> Tag:
        """A tag that stands for itself between two spaces, of which a translation has one, with the other."""
        apart = not tag.name and self.text[tag.place - 1].isspace() and self.text[tag.place].isspace()
        return replace(tag, raw=f"{tag.raw} ") if apart else tag

    def _put_back(
        self, pieces: list[Piece], start: int, end: int, text: str, alignment: Alignment, edits: Edits
    ) -> None:
        """Each piece for the stand-in that looks at its own; else for the word that was made from it; else at the end.

        A stand-in that was a word of the source already is let be; one that came from nowhere goes.
        """
        own = self._stand_ins(start, end)
        claims = {piece.start: piece for piece in pieces}
        found = [match.span() for match in re.finditer(re.escape(self.stand_in), text)]
        looks = [
            (alignment.chars(span, (place, place + len(self.stand_in))), -n, -m)
            for n, span in enumerate(found)
            for m, place in enumerate(own)
        ]
        given: dict[int, int] = {}  # which of `own` each of `found` is
        for _, n, m in sorted(looks, reverse=True):
            if -n not in given and -m not in given.values():
                given[-n] = -m
        for n, span in enumerate(found):
            piece = claims.get(own[given[n]]) if n in given else None
            if n not in given:
                edits.drop(span)
            elif piece is not None:
                edits.replace(span, piece.raw)
        placed = {own[m] for m in given.values()}
        for piece in pieces:
            if piece.start not in placed:
                made = alignment.made_from((piece.start, piece.end))
                if made is not None and made[0] < made[1] and not edits.touched(made):
                    edits.replace(made, piece.raw)
                else:
                    edits.append(piece.raw)

    def _by_order(self, text: str, pieces: list[Piece], start: int, end: int) -> str:
        """An alternative, whose pieces stand as those of text[start:end] do: it comes without its alignment."""
        claims = {piece.start: piece.raw for piece in pieces}
        raws = [claims.pop(place, self.stand_in) for place in self._stand_ins(start, end)]
        parts = [self.escape(part) for part in text.split(self.stand_in)] if pieces else [self.escape(text)]
        joined = parts[0]
        for part in parts[1:]:
            joined += (raws.pop(0) if raws else "") + part
        return " ".join([joined, *(raw for raw in raws if raw != self.stand_in)]) if pieces else joined

    def _stand_ins(self, start: int, end: int) -> list[int]:
        """Where text[start:end] has the stand-in, be it one or a word of its own."""
        return [start + match.start() for match in re.finditer(re.escape(self.stand_in), self.text[start:end])]

    def joined(self, sentences: Iterable[Sentence], alternatives: int) -> Translation:
        """What `placed` made, with everything that stands between: white space, blocks, scripts."""
        found: list[Sentence] = []
        text, others = "", [""] * alternatives
        position = 0
        for sentence in sentences:
            between, position = self.raw[position : sentence.start], sentence.end
            text += between
            shift = len(text)
            tokens = [replace(t, start=t.start + shift, end=t.end + shift) for t in sentence.target_tokens]
            for k in range(alternatives):
                own = sentence.alternatives
                others[k] += between + (own[k][0] if k < len(own) else sentence.text)
            text += sentence.text
            found.append(replace(sentence, target_tokens=tokens))
        tail = self.raw[position:]
        return Translation(text + tail, found, [other + tail for other in others])


def _moved(token: Token, span: Span, text: str) -> Token:
    return Token(text[slice(*span)], *span, token.special)


def with_stand_ins(marked: Marked, stand_in: str) -> Marked:
    """The same with a stand-in for everything that `PROTECTED` finds and no tag divides.

    Where a line has no letter besides, there is nothing to translate in it: white space is left of it.
    """
    divided = {tag.place for tag in marked.tags}
    found = [match.span() for match in PROTECTED.finditer(marked.text)]
    found = [(start, end) for start, end in found if divided.isdisjoint(range(start + 1, end))]
    old = list(marked.cells)
    spans: list[Span] = []
    for line in LINE.finditer(marked.text):
        first, last = line.span()
        own = found[bisect_left(found, (first, 0)) : bisect_left(found, (last, 0))]
        besides = set(range(first, last)).difference(*(range(*span) for span in own))
        if own and not any(marked.text[i].isalpha() for i in besides):
            old[first:last] = [replace(cell, character=" ") for cell in old[first:last]]
        else:
            spans += own
    cells: list[Cell] = []
    pieces: list[Piece] = []
    moved: list[int] = []  # where each old cell is now
    position = 0
    for start, end in [*spans, (len(old), len(old))]:
        moved += range(len(cells), len(cells) + start - position)
        cells += old[position:start]
        moved += [len(cells)] * (end - start)
        if start < end:
            first, last = old[start].start, old[end - 1].end
            pieces.append(Piece(len(cells), len(cells) + len(stand_in), marked.raw[first:last]))
            cells += [Cell(character, first, last) for character in stand_in]
        position = end
    moved.append(len(cells))
    tags = [replace(tag, place=moved[tag.place]) for tag in marked.tags]
    return Marked(marked.raw, cells, tags, marked.escape, pieces, stand_in)
