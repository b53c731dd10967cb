"""Text -> the language it is written in. A model of character sequences inside the package py3langid; no network."""

import functools
from collections.abc import Collection
from dataclasses import dataclass

from py3langid.langid import MODEL_FILE, LanguageIdentifier

LANGUAGES = (
    "ar az bg bn ca cs da de el en eo es et eu fa fi fr ga gl he hi hu id it ja ko ky lt lv ms nl no pl pt ro ru sk sl "
    "sq sr sv th tl tr uk ur vi zh"
).split()
"""What is told apart: LibreTranslate's languages. Rarer ones would only be mistaken for these in short texts."""

READ = 2_000
"""Characters of a text that are looked at; more change nothing."""

DECISIVE = 0.5
"""A probability above which a guess is believed though nothing can be done in that language."""


@dataclass(frozen=True)
class Guess:
    language: str
    confidence: float
    """Its probability among LANGUAGES, from 0 to 1."""


@functools.cache
def _identifier() -> LanguageIdentifier:
    """Loaded at the first use, in 0.6 s, since most services are never asked."""
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)
    return identifier


def detect(text: str) -> list[Guess]:
    """The languages that the text may be in, the likeliest first."""
    return [Guess(language, confidence) for language, confidence in _identifier().rank(text[:READ])]


def detect_among(text: str, languages: Collection[str]) -> Guess:
    """The likeliest of some languages; another one only where the text is decidedly in it.

    A word or two are often as good in one language as in the next; then it is one that something can be done in.
    """
    guesses = detect(text)
    if guesses[0].confidence > DECISIVE:
        return guesses[0]
    return next((guess for guess in guesses if guess.language in languages), guesses[0])
