"""Chooses among the hypotheses of a segment: the translation must keep placeholders, numbers and acronyms."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.text.numbers import same_numbers
from service.text.tokenizer import TextTokenizer, Token
from service.translation.engine import Decoded
from service.translation.segments import Segment


@dataclass(frozen=True)
class Candidate:
    """A hypothesis as text."""

    index: int
    """Index among the hypotheses."""
    text: str
    tokens: list[Token]
    """Tokens with spans in `text`."""
    score: float
    lost: int
    """Placeholders of the source that are missing."""
    keeps_words: bool
    """True if it has the numbers and the kept words of the source, no more and no fewer."""

    @property
    def faults(self) -> tuple[int, bool]:
        return self.lost, not self.keeps_words


def candidate(tokenizer: TextTokenizer, segment: Segment, decoded: Decoded, index: int) -> Candidate:
    """A hypothesis as text, compared with the source."""
    hypothesis = decoded.hypotheses[index]
    copied = {place: segment.encoded.tokens[source].text for place, source in decoded.copied[index].items()}
    text, tokens = tokenizer.decode(hypothesis.token_ids, copied=copied)
    source = segment.source.text
    lost = sum(
        max(0, source.count(placeholder) - text.count(placeholder))
        for placeholder in {piece.placeholder for piece in segment.source.pieces}
    )
    keeps_words = same_numbers(source, text) and _has_kept_words(segment, text)
    return Candidate(index, text, tokens, hypothesis.score, lost, keeps_words)


def _has_kept_words(segment: Segment, text: str) -> bool:
    """True if a translation has the kept words of its source as often, plurals of acronyms without their s."""
    words = [segment.source.text[start:end] for start, end in segment.source.kept]
    words = [word.removesuffix("s") if word[:-1].isupper() else word for word in words]
    return all(text.count(word) == words.count(word) for word in set(words))


def choose(tokenizer: TextTokenizer, segment: Segment, decoded: Decoded) -> Candidate:
    """The best hypothesis that keeps all, else the one with the fewest faults."""
    best = candidate(tokenizer, segment, decoded, 0)
    for index in range(1, len(decoded.hypotheses)):
        if best.faults == (0, False):
            break
        other = candidate(tokenizer, segment, decoded, index)
        if other.faults < best.faults:
            best = other
    return best


def others(tokenizer: TextTokenizer, segment: Segment, decoded: Decoded, best: int, count: int) -> Sequence[Candidate]:
    """The first hypotheses besides the chosen one."""
    indices = [index for index in range(len(decoded.hypotheses)) if index != best]
    return [candidate(tokenizer, segment, decoded, index) for index in indices[:count]]
