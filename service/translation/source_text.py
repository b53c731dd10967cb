"""Protected text -> the text that the network reads: placeholders for pieces, known case, no invisible characters."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from service.batching import budget
from service.markup.protect import PIECE, ProtectedText
from service.text.casing import WORD, Truecaser, is_title, is_upper
from service.text.characters import INVISIBLE, has_words
from service.text.mapped import MappedText, Span
from service.text.numbers import NUMBER, localized

NAME_PLACEHOLDER = "Tom"
"""Placeholder for networks that were not trained to copy. Of 17 sentences, en-fr/1 kept this name in 16, `X` in 13, a
number in 12."""

ACRONYM = re.compile(
    r"(?<![\w\u2019'])[A-Z\u00c0-\u00de](?:[A-Z\u00c0-\u00de&]{1,11}+)s?(?![\w\u2019'])(?: \d{1,6}+(?![\w,:/-]|\.\d))?"
)
VOWEL = re.compile("[AEIOUY\u00c0-\u00dd]")
ROMAN = re.compile("M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
NAME_OR_SIGN = re.compile(
    r"(?<![\w\\])(?:[a-z]{1,40}+[A-Z][A-Za-z0-9]{1,40}+|[A-Z][a-z]{1,40}+(?:[A-Z][a-z0-9]{1,40}+){1,8}+)(?!\w)"
    r"|[\u00a9\u00ae\u00b6\u2020-\u2022\u2122\u2190-\u2319\u231c-\u23e8\u23fb-\u25ff\u2900-\u297f\u2b00-\u2b1a]+"
)
"""iPhone, JavaScript, and signs such as an arrow."""
TRANSLATED_ACRONYMS = {"AM", "EU", "NATO", "OK", "PM", "TV", "UK", "UN", "US", "USA", "UE", "ONU", "OTAN", "UNO"}
"""Acronyms that have a form of their own in other languages."""
LATIN_LANGUAGES = set(
    "ca cs da de en eo es et eu fi fr ga gl hu id it lt lv ms nl no pl pt ro sk sl sq sv tl tr vi".split()
)
FOREIGN_WORDS = re.compile(
    r"[\u0370-\u1dff\u1f00-\u1fff\u2c00-\ud7ff\uf900-\ufdff\ufe70-\uff9f]+"
    r"(?: [\u0370-\u1dff\u1f00-\u1fff\u2c00-\ud7ff\uf900-\ufdff\ufe70-\uff9f]+)*"
)
"""Words in another script than Latin."""
MAX_ACRONYM = 4
"""Length of unknown words that are taken as acronyms within a text in capitals."""
TITLE_CASE_LANGUAGES = {"en", "fr"}
"""Languages in which a capital letter within a heading does not make another word."""


@dataclass(frozen=True)
class PlacedPiece:
    """A piece with its placeholder: source[start:end] of the protected text, and its span in the network's text."""

    start: int
    end: int
    raw: str
    """Its text in the translation, without escapes."""
    placeholder: str
    read: Span
    """Span of the placeholder in the text that the network reads."""


@dataclass(frozen=True)
class SourceText:
    """A sentence as the network reads it."""

    text: str
    start: int
    """Start in the protected text. For an unchanged part of it only."""
    changed: MappedText | None = None
    """The text, mapped to the protected text. None if nothing was changed."""
    pieces: Sequence[PlacedPiece] = ()
    """Ordered by place."""
    kept: Sequence[Span] = ()
    """Spans of acronyms, names and signs, which the translation must have too. Ordered by place."""
    capitals: bool = False
    """True for a source in capitals; the translation is written in capitals too."""

    @cached_property
    def mapped(self) -> MappedText:
        """The text, mapped to the protected text."""
        if self.changed is not None:
            return self.changed
        end = self.start + len(self.text)
        return MappedText.from_runs([(self.text, self.start, end)], end)

    def slice(self, start: int, end: int) -> "SourceText":
        """text[start:end], which must not divide a placeholder."""
        kept = [(a - start, b - start) for a, b in self.kept if start <= a and b <= end]
        if self.changed is None:
            return SourceText(self.text[start:end], self.start + start, kept=kept)
        pieces = [
            replace(piece, read=(piece.read[0] - start, piece.read[1] - start))
            for piece in self.pieces
            if start <= piece.read[0] and piece.read[1] <= end
        ]
        return SourceText(self.text[start:end], 0, self.changed.slice(start, end), pieces, kept, self.capitals)

    @property
    def has_words(self) -> bool:
        """True if there is something to translate besides pieces and kept words."""
        position = 0
        copied = sorted([*(piece.read for piece in self.pieces), *self.kept])
        for start, end in [*copied, (len(self.text),) * 2]:
            if has_words(self.text[position:start]):
                return True
            position = end
        return False


CHANGES = re.compile(
    rf"[A-Z\u00c0-\u00de]{{2}}|[a-z][A-Z]|[\u00a9\u00ae\u00b6\u2020-\u2022\u2122\u2190-\u2bff]|\b[A-Z\u00c0-\u00de]\w.{{0,100}}?\s[A-Z\u00c0-\u00de]|{PIECE}|{INVISIBLE.pattern}"
)
"""A sentence without a match is read as it is: it has no pieces, no acronyms, names, signs or headings, and no
invisible characters."""


class SourceReader:
    """Prepares sentences for the network of one bundle."""

    def __init__(
        self,
        placeholders: Sequence[str],
        truecaser: Truecaser,
        source: str,
        target: str,
        has_placeholder_tokens: bool = False,
    ):
        """placeholders: one for each piece of a sentence; all may be the same.

        has_placeholder_tokens: the network was trained on placeholders, capitals and bytes of unknown characters. Words
            in another script are pieces, because it does not copy unknown symbols.
        """
        self._copies_foreign = has_placeholder_tokens and source in LATIN_LANGUAGES
        self._knows_capitals = has_placeholder_tokens
        self.placeholders = placeholders
        self._truecaser = truecaser
        self._source = source
        self._target = target

    def read(self, protected: ProtectedText, start: int, end: int) -> SourceText:
        """The sentence protected.text[start:end]. Placeholders are used in turn, from the first on."""
        text = protected.text[start:end]
        foreign = [match.span() for match in FOREIGN_WORDS.finditer(text)] if self._copies_foreign else []
        if not foreign and CHANGES.search(text) is None:
            return SourceText(text, start)
        capitals = is_upper(text)
        pieces = [
            (piece.place - start, piece.place - start + 1, piece.raw) for piece in protected.pieces_in(start, end)
        ]
        pieces = sorted([*pieces, *((a, b, protected.escape(text[a:b])) for a, b in foreign)])
        kept, emphasised = self._kept(text, capitals)
        changes = [(*match.span(), "") for match in INVISIBLE.finditer(text)]
        if capitals or (self._source in TITLE_CASE_LANGUAGES and is_title(text)):
            taken = {place for span in kept for place in range(*span)}
            changes += [edit for edit in self._truecaser.sentence_case(text) if edit[0] not in taken]
        else:
            changes += emphasised
        return self._replaced(SourceText(text, start, kept=kept, capitals=capitals), pieces, changes)

    def with_words_protected(self, source: SourceText, escape: Callable[[str], str]) -> SourceText | None:
        """The same sentence with a placeholder for each number and kept word, while there are unused ones.

        None if there is nothing to protect.
        """
        text = source.text
        used = {piece.placeholder for piece in source.pieces}
        free = [p for p in self.placeholders if p not in used or len(set(self.placeholders)) == 1]
        inside = {place for span in (*(p.read for p in source.pieces), *source.kept) for place in range(*span)}
        numbers = [m.span() for m in NUMBER.finditer(text) if inside.isdisjoint(range(*m.span()))]
        count = min(len(free), len(self.placeholders) - len(source.pieces))
        spans = sorted([*numbers, *source.kept])[: max(0, count)]
        if not spans:
            return None
        mapped, places = source.mapped.replace([(*span, mark) for span, mark in zip(spans, free, strict=False)])
        pieces = [replace(p, read=(int(places[p.read[0]]), int(places[p.read[1]]))) for p in source.pieces]
        for (start, end), placeholder in zip(spans, free, strict=False):
            raw = escape(localized(text[start:end], self._source, self._target))
            read = (int(places[start]), int(places[end]))
            pieces.append(PlacedPiece(*source.mapped.span(start, end), raw, placeholder, read))
        pieces.sort(key=lambda piece: piece.read)
        return SourceText(mapped.text, 0, mapped, pieces, (), source.capitals)

    def _kept(self, text: str, capitals: bool) -> tuple[list[Span], list[tuple[int, int, str]]]:
        """Spans of acronyms, names and signs, and emphasised words with their lower-case form."""
        words = WORD.finditer(text)
        first, second = next(words, None), next(words, None)
        kept = [match.span() for match in NAME_OR_SIGN.finditer(text)]
        emphasised: list[tuple[int, int, str]] = []
        for match in ACRONYM.finditer(text):
            budget.check()
            word = match[0].split()[0]
            known = self._truecaser.is_emphasised(word) and not ROMAN.fullmatch(word)
            if known:
                starts = first is not None and first.start() == match.start()
                end = match.start() + len(word)
                emphasised.append((match.start(), end, word.capitalize() if starts else word.lower()))
            elif not capitals:
                if word not in TRANSLATED_ACRONYMS:
                    kept.append(match.span())
            elif len(word) <= MAX_ACRONYM and (second is None or not VOWEL.search(word)):
                kept.append(match.span())
        return sorted(kept), [] if self._knows_capitals else emphasised

    def _replaced(
        self, source: SourceText, pieces: Sequence[tuple[int, int, str]], changes: Sequence[tuple[int, int, str]]
    ) -> SourceText:
        """Replace pieces by placeholders, and apply the changes that do not overlap them."""
        placeholders = [self.placeholders[number % len(self.placeholders)] for number in range(len(pieces))]
        edits = [(a, b, placeholder) for (a, b, _), placeholder in zip(pieces, placeholders, strict=True)]
        inside = {place for first, last, _ in pieces for place in range(first, last)}
        edits += [edit for edit in changes if edit[0] not in inside]
        if not edits:
            return source
        mapped = source.mapped
        replaced, places = mapped.replace(sorted(edits))
        placed = [
            PlacedPiece(*mapped.span(a, b), raw, placeholder, (int(places[a]), int(places[b])))
            for (a, b, raw), placeholder in zip(pieces, placeholders, strict=True)
        ]
        kept = [(int(places[a]), int(places[b])) for a, b in source.kept]
        return SourceText(replaced.text, 0, replaced, placed, kept, source.capitals)
