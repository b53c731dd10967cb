"""Translations of texts and of their sentences, and the events of a translation that is running."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from service.attention import AttentionMatrix
from service.text.tokenizer import Token


@dataclass(frozen=True)
class UsedTerm:
    """A glossary term in a translation."""

    source: str
    """The term, as the glossary has it."""
    target: str
    """Its required translation, as the glossary has it."""
    start: int
    end: int
    """Span in the source text."""
    target_start: int
    target_end: int
    """Span in the translation of the whole text."""
    unaligned: bool = False
    """True if no word of the translation looks at the term, which stands at the end of its sentence then."""


@dataclass(frozen=True)
class Match:
    """A text of a translation memory that is the same or similar."""

    score: float
    """From 0 to 1. An exact match has 1."""
    source: str
    target: str
    """The translation in the memory."""

    @property
    def is_exact(self) -> bool:
        return self.score == 1


@dataclass(frozen=True)
class Sentence:
    """A translated sentence."""

    text: str
    score: float
    """Log-probability of the translation, normalised by length."""
    start: int
    end: int
    """Span in the source text."""
    source_tokens: list[Token]
    target_tokens: list[Token]
    """Tokens with spans in the translation of the whole text."""
    attention: list[AttentionMatrix]
    alternatives: list[tuple[str, float]]
    """Other hypotheses with their scores, best first."""
    log_probs: Sequence[float] = ()
    """Log-probability of each target token, if requested; of each word, if tokens are merged into words."""
    confidences: Sequence[float] = ()
    """Probability that each word is right, if tokens are merged into words and log-probabilities are requested."""
    terms: Sequence[UsedTerm] = ()
    """Terms of the glossary, in the order of the source."""
    match: Match | None = None
    """The best match in the memory, for a sentence that is not the whole text."""


@dataclass(frozen=True)
class Translation:
    """A translated text."""

    text: str
    sentences: list[Sentence]
    alternatives: list[str]
    """Other translations of the whole text: the k-th joins the k-th alternative of each sentence."""
    match: Match | None = field(default=None, kw_only=True)
    """The best match of the whole text in the memory."""


@dataclass(frozen=True)
class TokenEvent:
    """A new token of a sentence."""

    translation: int
    """Index of the text."""
    number: int
    """Index of the sentence among the text's sentences."""
    text: str
    """Text that the token adds, white space before it included."""
    weights: NDArray[Any] | None
    """[source tokens]: the token's row of the summary matrix; None without attention."""


@dataclass(frozen=True)
class SentenceEvent:
    """A finished sentence."""

    translation: int
    """Index of the text."""
    number: int
    """Index of the sentence among the text's sentences."""
    sentence: Sentence
    """The sentence; spans of its target tokens are in its own text."""
