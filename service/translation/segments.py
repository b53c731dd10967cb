"""Text -> segments: sentences, or parts of long ones, that the network translates one by one."""

from collections.abc import Iterator
from dataclasses import dataclass

from service.markup.protect import Piece, ProtectedText
from service.markup.tags import Tag
from service.text.sentences import sentences
from service.text.tokenizer import Encoded, TextTokenizer

CLAUSE_ENDS = ",;:.!?-\u2013\u2014)"


@dataclass(frozen=True)
class Segment:
    """A span of a protected text, with what the network reads of it."""

    start: int
    end: int
    encoded: Encoded
    """Source tokens with spans in the protected text."""
    pieces: list[Piece]
    tags: list[Tag]

    @property
    def is_plain(self) -> bool:
        """True if there is nothing to restore in its translation."""
        return not (self.pieces or self.tags)


class Segmenter:
    """Splits texts into segments of at most `max_tokens` tokens."""

    def __init__(self, tokenizer: TextTokenizer, language: str, max_tokens: int):
        self._tokenizer = tokenizer
        self._language = language
        self._max_tokens = max_tokens

    def split(self, protected: ProtectedText) -> list[Segment]:
        """The segments of a text, in order. Between them is white space only."""
        return [
            Segment(start, end, encoded, protected.pieces_in(start, end), protected.tags_in(start, end))
            for first, last in sentences(protected.text, self._language)
            for start, end, encoded in self._split_sentence(protected.text, first, last)
        ]

    def _split_sentence(self, text: str, start: int, end: int) -> Iterator[tuple[int, int, Encoded]]:
        """Split a sentence over the limit after punctuation, else between words, else anywhere."""
        limit = self._max_tokens
        while True:
            reach, encoded = self._encode_beginning(text, start, end)
            if len(encoded.ids) <= limit or end - start == 1:
                yield start, end, encoded
                return
            # Only starts of tokens in the second half of the limit, so that parts stay long.
            starts = [token.start for token in encoded.tokens[limit // 2 : limit - 1] if start < token.start < end]
            between_words = [place for place in starts if text[place - 1].isspace()]
            after_clauses = [place for place in between_words if text[start:place].rstrip()[-1] in CLAUSE_ENDS]
            cut = (after_clauses or between_words or starts or [(start + reach) // 2])[-1]
            yield from self._split_sentence(text, start, start + len(text[start:cut].rstrip()))
            start = end - len(text[cut:end].lstrip())

    def _encode_beginning(self, text: str, start: int, end: int) -> tuple[int, Encoded]:
        """Encode as much of text[start:end] as exceeds the limit, and return where that ends.

        A long text is not encoded again for each of its parts.
        """
        reach = min(start + self._max_tokens, end)
        while True:
            encoded = self._tokenizer.encode(text, start, reach)
            if len(encoded.ids) > self._max_tokens or reach == end:
                return reach, encoded
            reach = min(2 * reach - start, end)
