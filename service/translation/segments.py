"""Text -> segments: sentences, or parts of long ones, that the network translates one by one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from service.batching import budget
from service.markup.protect import ProtectedText
from service.markup.tags import Tag
from service.text.characters import has_words
from service.text.numbers import has_digits
from service.text.sentences import sentences
from service.text.tokenizer import Encoded, TextTokenizer, Token
from service.translation.source_text import SourceReader, SourceText

CLAUSE_ENDS = ",;:.!?-\u2013\u2014)"
LIST_MARK = re.compile(r"(?:[-\u2013\u2014*\u2022\u00b7\u2023\u25aa\u25e6>+]|\(?\d{1,3}[.)]|[a-zA-Z]\))\s+")
"""The start of a list item, a quoted line or a line of dialogue."""


@dataclass(frozen=True)
class Segment:
    """A span of a protected text, with what the network reads of it."""

    start: int
    end: int
    source: SourceText
    encoded: Encoded
    """Source tokens: their texts are in the network's text, their spans in the protected text."""
    tags: list[Tag]

    @property
    def is_plain(self) -> bool:
        """True if its translation needs no alignment."""
        return not (self.source.pieces or self.tags)

    @property
    def is_final(self) -> bool:
        """True if the translation is used as the network writes it: nothing is restored or checked."""
        source = self.source
        return self.is_plain and not (source.capitals or source.kept or has_digits(source.text))


class Segmenter:
    """Splits texts into segments of at most `max_tokens` tokens and as many pieces as there are placeholders."""

    def __init__(self, tokenizer: TextTokenizer, reader: SourceReader, language: str, max_tokens: int):
        self._tokenizer = tokenizer
        self._reader = reader
        self._language = language
        self._max_tokens = max_tokens

    def split(self, protected: ProtectedText) -> Iterator[Segment]:
        """The segments of a text, in order. Between them is nothing to translate."""
        text = protected.text
        for first, last in sentences(text, self._language):
            budget.check()
            first = _without_list_marks(text, first, last)
            if not has_words(text[first:last]):
                continue
            source = self._reader.read(protected, first, last)
            for low, high in self._parts(source):
                for start, end, encoded in self._split_sentence(source, low, high):
                    part = source.slice(start, end)
                    if part.has_words:
                        yield self._segment(protected, part, encoded, start)

    def with_words_protected(self, protected: ProtectedText, segment: Segment) -> Segment | None:
        """The segment with placeholders for its numbers and kept words. None if there are none, or no placeholder is
        left."""
        source = self._reader.with_words_protected(segment.source, protected.escape)
        if source is None:
            return None
        encoded = self._tokenizer.encode(source.text)
        if len(encoded.ids) > self._max_tokens:
            return None
        changed = self._segment(protected, source, encoded, 0)
        return replace(changed, start=segment.start, end=segment.end)

    def _segment(self, protected: ProtectedText, source: SourceText, encoded: Encoded, shift: int) -> Segment:
        """encoded: with spans in the network's text, `shift` characters before those of `source`."""
        if source.changed is None:
            return self._plain_segment(protected, source, encoded, source.start - shift)
        mapped = source.changed
        tokens = [
            Token(token.text, *mapped.span(token.start - shift, token.end - shift), token.special)
            for token in encoded.tokens
        ]
        start, end = mapped.span(0, len(source.text))
        return Segment(start, end, source, Encoded(encoded.ids, tokens), protected.tags_in(start, end))

    def _plain_segment(self, protected: ProtectedText, source: SourceText, encoded: Encoded, shift: int) -> Segment:
        """encoded: with spans `shift` characters before those in the protected text."""
        end = source.start + len(source.text)
        tokens = [Token(token.text, token.start + shift, token.end + shift, token.special) for token in encoded.tokens]
        return Segment(source.start, end, source, Encoded(encoded.ids, tokens), protected.tags_in(source.start, end))

    def _parts(self, source: SourceText) -> Iterator[tuple[int, int]]:
        """Spans of a sentence with no more pieces than there are placeholders."""
        limit, start = len(self._reader.placeholders), 0
        text = source.text
        for piece in source.pieces[limit::limit]:
            cut = start + len(text[start : piece.read[0]].rstrip())
            yield start, cut
            start = piece.read[0]
        yield start, len(text)

    def _split_sentence(self, source: SourceText, start: int, end: int) -> Iterator[tuple[int, int, Encoded]]:
        """Split a sentence over the limit after punctuation, else between words, else anywhere but in a placeholder."""
        text, limit = source.text, self._max_tokens
        size = limit
        inside = {place for piece in source.pieces for place in range(piece.read[0] + 1, piece.read[1])}
        while True:
            budget.check()
            reach, encoded = self._encode_beginning(text, start, end, size)
            if len(encoded.ids) <= limit or end - start == 1:
                yield start, end, encoded
                return
            # Only starts of tokens in the second half of the limit, so that parts stay long.
            starts = [token.start for token in encoded.tokens[limit // 2 : limit - 1] if start < token.start < end]
            starts = [place for place in starts if place not in inside]
            between_words = [place for place in starts if text[place - 1].isspace()]
            after_clauses = [place for place in between_words if text[start:place].rstrip()[-1] in CLAUSE_ENDS]
            middle = (start + reach) // 2
            while middle in inside:
                middle += 1
            cut = (after_clauses or between_words or starts or [middle])[-1]
            if cut == end:
                yield start, end, encoded
                return
            yield from self._split_sentence(source, start, start + len(text[start:cut].rstrip()))
            size = 2 * (cut - start)
            start = end - len(text[cut:end].lstrip())

    def _encode_beginning(self, text: str, start: int, end: int, size: int) -> tuple[int, Encoded]:
        """Encode as much of text[start:end] as exceeds the limit, from `size` characters on, and return where that
        ends.

        A long text is not encoded again for each of its parts.
        """
        reach = min(start + size, end)
        while True:
            encoded = self._tokenizer.encode(text, start, reach)
            if len(encoded.ids) > self._max_tokens or reach == end:
                return reach, encoded
            reach = min(2 * reach - start, end)


def _without_list_marks(text: str, start: int, end: int) -> int:
    """The start of the text behind the marks of a list item."""
    for _ in range(3):
        match = LIST_MARK.match(text, start, end)
        if match is None or match.end() == end:
            break
        start = match.end()
    return start
