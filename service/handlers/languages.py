"""Languages: which pairs are served, codes with a region, and the language of a text."""

from collections.abc import Collection, Sequence

from service.batching import budget
from service.batching.offload import run_in_thread
from service.errors import MissingParameter, UnsupportedLanguagePair, excerpt
from service.handlers.schemas import Detection, DetectRequest, Language, TranslateRequest
from service.handlers.texts import check_texts
from service.registry.registry import Registry
from service.settings import Settings
from service.text.detection import Guess, detect
from service.text.sentences import is_blank

NAMES = {"en": "English", "fr": "French", "de": "German", "cs": "Czech", "ko": "Korean"}

PIVOT = "en"
"""The language between two translators, for a pair without a translator."""

GUESSES = 3
"""Languages per text in an answer to /detect."""

PRIOR = 4.0
"""Prior odds of a language with a translator against another one: a word or two are possible in several languages."""

PLAUSIBLE = 0.25
"""Probability of a source language relative to the most likely language, from which it is used instead."""
SHORT = 20
"""Characters of a text up to which a source language is always used: it is too short to exclude one."""

Pairs = Collection[tuple[str, str]]


def name_of(code: str) -> str:
    return NAMES.get(code, code)


def reachable(pairs: Pairs) -> set[tuple[str, str]]:
    """The pairs with a translator, and those with two translators through the pivot language."""
    into = {source for source, target in pairs if target == PIVOT}
    out_of = {target for source, target in pairs if source == PIVOT}
    return {*pairs, *((source, target) for source in into for target in out_of if source != target)}


def languages(registry: Registry) -> list[Language]:
    """All languages with the targets of their translators, by code. A language that is only a target has none."""
    pairs = sorted(registry.pairs())
    targets: dict[str, list[str]] = {language: [] for language in sorted({code for pair in pairs for code in pair})}
    for source, target in pairs:
        targets[source].append(target)
    return [Language(code=code, name=name_of(code), targets=to) for code, to in targets.items()]


def base_language(code: str, known: Collection[str]) -> str:
    """A known language for a code in any case and with a region or script; else the code as it is.

    >>> [base_language(code, {"en", "zh", "pt-BR"}) for code in ("en-US", "EN", "zh_Hans", "pt-br", "xx-YY")]
    ['en', 'en', 'zh', 'pt-BR', 'xx-YY']
    """
    by_lower = {language.lower(): language for language in known}
    lower = code.lower().replace("_", "-")
    return by_lower.get(lower) or by_lower.get(lower.split("-")[0]) or code


async def detect_languages(
    request: DetectRequest, registry: Registry, settings: Settings
) -> list[Detection] | list[list[Detection]]:
    """The likeliest languages of `q`, best first; for a list, those of each text.

    Raises MissingParameter or InvalidInput.
    """
    if not request.q and not isinstance(request.q, list):
        raise MissingParameter("Invalid request: missing q parameter")
    texts = check_texts(request.q, settings)
    served = {language for pair in registry.pairs() for language in pair}
    found = [[detection(guess) for guess in ranked[:GUESSES]] for ranked in await rank_all(texts, served)]
    return found[0] if isinstance(request.q, str) else found


def source_languages(target: str | None, registry: Registry) -> set[str]:
    """The languages from which texts can be translated into `target`, and `target` itself."""
    found = {source for source, to in reachable(registry.pairs()) if to == target}
    return found | {target} if found and target else found


async def detect_sources(
    texts: list[str], target: str | None, request: TranslateRequest, registry: Registry
) -> list[Guess]:
    """The language of each text: the most likely of the source languages and the target. If that is implausible, the
    most likely of all languages, except for a short text.

    Raises UnsupportedLanguagePair or ModelNotFound.
    """
    if request.model is not None:
        sources = {registry.translator(None, target, request.model, request.version).source}
    else:
        sources = source_languages(target, registry) - {target}
    if not sources:
        raise UnsupportedLanguagePair(f"{excerpt(target)} is not supported")
    usable = sources | ({target} if target else set())
    guesses = []
    for text, ranked in zip(texts, await rank_all(texts, usable), strict=True):
        best = next((guess for guess in ranked if guess.language in usable), ranked[0])
        plausible = best.confidence >= PLAUSIBLE * ranked[0].confidence or len(text.strip()) <= SHORT
        guesses.append(best if plausible else ranked[0])
    return guesses


async def rank_all(texts: Sequence[str], preferred: Collection[str]) -> list[list[Guess]]:
    """The possible languages of each text, best first; see `rank`."""

    def work() -> list[list[Guess]]:
        ranked = []
        for text in texts:
            budget.check()
            ranked.append(rank(text, preferred))
        return ranked

    return await run_in_thread(work)


def rank(text: str, preferred: Collection[str]) -> list[Guess]:
    """The possible languages of a text, best first. The prior odds of preferred languages are PRIOR : 1."""
    if is_blank(text):
        return [Guess(PIVOT, 0.0)]
    weighed = [(guess.confidence * (PRIOR if guess.language in preferred else 1.0), guess) for guess in detect(text)]
    total = sum(weight for weight, _ in weighed)
    guesses = [Guess(guess.language, weight / total) for weight, guess in weighed]
    return sorted(guesses, key=lambda guess: (-guess.confidence, guess.language != PIVOT))


def detection(guess: Guess) -> Detection:
    return Detection(language=guess.language, confidence=round(100 * guess.confidence, 1))
