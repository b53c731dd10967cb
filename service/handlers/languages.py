"""Languages: which pairs are served, and the language of a text."""

from service.batching.offload import run_in_thread
from service.errors import MissingParameter
from service.handlers.schemas import Detection, DetectRequest, Language
from service.handlers.texts import check_texts
from service.registry.registry import Registry
from service.settings import Settings
from service.text.detection import Guess, detect

NAMES = {"en": "English", "fr": "French", "de": "German", "cs": "Czech", "ko": "Korean"}

GUESSES = 3
"""Languages per text in an answer to /detect."""


def name_of(code: str) -> str:
    return NAMES.get(code, code)


def languages(registry: Registry) -> list[Language]:
    """Source languages with their targets, by code."""
    targets: dict[str, list[str]] = {}
    for source, target in sorted(registry.pairs()):
        targets.setdefault(source, []).append(target)
    return [Language(code=code, name=name_of(code), targets=to) for code, to in targets.items()]


async def detect_languages(request: DetectRequest, settings: Settings) -> list[Detection] | list[list[Detection]]:
    """The likeliest languages of `q`, best first; for a list, those of each text.

    Raises MissingParameter or InvalidInput.
    """
    if request.q is None:
        raise MissingParameter("Invalid request: missing q parameter")
    texts = check_texts(request.q, settings)
    guesses = await run_in_thread(lambda: [detect(text)[:GUESSES] for text in texts])
    found = [[detection(guess) for guess in of_text] for of_text in guesses]
    return found[0] if isinstance(request.q, str) else found


def detection(guess: Guess) -> Detection:
    return Detection(language=guess.language, confidence=round(100 * guess.confidence, 1))
