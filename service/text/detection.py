"""Language identification with the character model of py3langid (Lui and Baldwin 2012), without network access."""

import functools
from dataclasses import dataclass

from py3langid.langid import MODEL_FILE, LanguageIdentifier

LANGUAGES = (
    "ar az bg bn ca cs da de el en eo es et eu fa fi fr ga gl he hi hu id it ja ko ky lt lv ms nl no pl pt ro ru sk sl "
    "sq sr sv th tl tr uk ur vi zh"
).split()
"""The languages of LibreTranslate. Short texts in these would be mistaken for rarer ones."""

MAX_CHARACTERS = 2_000
"""Characters of a text that are read. More do not change the result."""


@dataclass(frozen=True)
class Guess:
    """A language that a text may be in."""

    language: str
    confidence: float
    """Probability among LANGUAGES, from 0 to 1."""


@functools.cache
def _identifier() -> LanguageIdentifier:
    """The model, loaded at the first use: that takes 0.6 s."""
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)
    # Drop the columns of all other languages, which are 28 MB.
    identifier._full_model = identifier.nb_ptc, identifier.nb_pc, identifier.nb_classes
    return identifier


def load() -> None:
    """Load the model before its first use: loading holds the GIL."""
    _identifier()


def detect(text: str) -> list[Guess]:
    """The languages that a text may be in, most likely first."""
    return [Guess(language, confidence) for language, confidence in _identifier().rank(text[:MAX_CHARACTERS])]
