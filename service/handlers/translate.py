"""Translate texts: a request -> translations with their tokens and attention, or events.

Every protocol calls `translate`. Its events are

    token       {"translation": 0, "number": 2, "text": " chien", "weights": [...]}: the next token of sentence 2 of
                text 0 and its row of the summary; with beam_size 1 only, and not of sentences with kept pieces or tags
    sentence    {"translation": 0, "number": 2, "sentence": {...}}: a finished sentence, with target offsets into its
                own text

Sentences come in the order in which they finish.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import Any

from service.attention import significant
from service.batching.offload import run_in_thread_if_long
from service.bundle.manifest import TranslationManifest
from service.errors import EmptyText, MissingParameter, UnsupportedFormat, UnsupportedLanguagePair, excerpt
from service.handlers.encoding import AS_JSON, Emit, Encoding, weights_in
from service.handlers.glossaries import Route, find_glossaries, finder, used_terms
from service.handlers.languages import PIVOT, base_language, detection, rank_all, reachable
from service.handlers.pivot import spans_in, translate_in_two_steps
from service.handlers.schemas import TranslateRequest
from service.handlers.texts import check_texts
from service.handlers.translation_encoding import encode, encode_sentence, in_words, steps
from service.markup.protect import Format
from service.registry.registry import Registry
from service.settings import Settings
from service.text.detection import Guess
from service.text.sentences import is_blank
from service.translation.engine import Options
from service.translation.glossary import Glossary
from service.translation.results import SentenceEvent, TokenEvent, Translation

AUTO = "auto"

PLAUSIBLE = 0.25
"""Probability of a source language relative to the most likely language, from which it is used instead."""
SHORT = 20
"""Characters of a text up to which a source language is always used: it is too short to exclude one."""


@dataclass(frozen=True)
class TranslationPlan:
    """A checked request: its texts and the translator of each."""

    request: TranslateRequest
    texts: list[str]
    routes: list[Route]
    """One per text."""
    guesses: list[Guess]
    """The detected language of each text; empty unless the source is `auto`."""
    options: Options
    format: Format
    glossaries: Mapping[Route, Glossary] = field(default_factory=dict)
    """The terms for the texts of each route; empty without a glossary."""


@dataclass(frozen=True)
class TranslationAnswer:
    """The answer to a request: one translation per text, in order."""

    plan: TranslationPlan
    translations: list[Translation]

    @property
    def route(self) -> Route:
        """The first route with a translator."""
        return next((route for route in self.plan.routes if route), ())

    @property
    def model(self) -> str:
        """The label of the model in metrics."""
        return self.route[-1].manifest.name if self.route else "none"

    @property
    def size(self) -> int:
        sentences = [sentence for translation in self.translations for sentence in translation.sentences]
        return sum(len(s.source_tokens) + len(s.target_tokens) + weights_in(s.attention) for s in sentences)

    def encode(self, encoding: Encoding) -> dict[str, Any]:
        manifests = [translator.manifest for translator in self.route]
        alternatives = self.plan.request.alternatives > 0
        words = self.plan.request.attention_unit == "word"
        guesses = [detection(guess).model_dump() for guess in self.plan.guesses]
        texts = self.plan.texts if self.plan.request.glossary else []
        terms = [{"glossary": used_terms(*pair)} for pair in zip(self.translations, texts, strict=False)]
        return {
            "translatedText": self._like_q([translation.text for translation in self.translations]),
            **({"detectedLanguage": self._like_q(guesses)} if guesses else {}),
            "model": "+".join(manifest.name for manifest in manifests) or None,
            "version": "+".join(str(manifest.version) for manifest in manifests) or None,
            "translations": [
                {**encode(translation, alternatives, encoding, words), **used, **steps(translation, route)}
                for translation, route, used in zip(
                    self.translations, self.plan.routes, terms or repeat({}), strict=False
                )
            ],
            **({"alternatives": self._like_q([t.alternatives for t in self.translations])} if alternatives else {}),
        }

    def _like_q(self, values: list[Any]) -> Any:
        """A single value if `q` is a string, else the list."""
        return values[0] if isinstance(self.plan.request.q, str) else values


async def translate(
    request: TranslateRequest, registry: Registry, settings: Settings, emit: Emit | None = None
) -> TranslationAnswer:
    """Translate the texts of a request. `emit` is called with `token` and `sentence` events meanwhile.

    Raises InvalidInput, ModelNotFound, ModelNotReady, Overloaded or InferenceFailed.
    """
    plan = await plan_translation(request, registry, settings)
    translations = await run_plan(plan, emit)
    if request.attention_unit == "word":
        in_tokens = translations
        translations = await run_in_thread_if_long(
            plan.texts, lambda: [in_words(one, text) for one, text in zip(in_tokens, plan.texts, strict=True)]
        )
    return TranslationAnswer(plan, translations)


async def plan_translation(request: TranslateRequest, registry: Registry, settings: Settings) -> TranslationPlan:
    """Check a request and find the translators of each text.

    A blank text is refused; in a list it is returned as it is.

    Raises InvalidInput, ModelNotFound or ModelNotReady.
    """
    q = _required(request)
    texts = check_texts(q, settings)
    if isinstance(q, str) and is_blank(q):
        raise EmptyText("text 0 has no visible character")
    options = Options(
        request.beam_size,
        request.length_penalty,
        request.max_length,
        request.alternatives,
        request.attention,
        request.logprobs,
    )
    format: Format = "html" if request.format == "html" else "text"
    source, target = _languages(request, registry)
    if source != AUTO:
        route = find_route(source, target, request, registry)
        glossaries = await find_glossaries(request, [route], registry) if request.glossary else {}
        return TranslationPlan(request, texts, [route] * len(texts), [], options, format, glossaries)
    guesses = await detect_sources(texts, target, request, registry)
    found = {guess.language: find_route(guess.language, target, request, registry) for guess in guesses}
    routes = [found[guess.language] for guess in guesses]
    glossaries = await find_glossaries(request, found.values(), registry) if request.glossary else {}
    return TranslationPlan(request, texts, routes, guesses, options, format, glossaries)


def _languages(request: TranslateRequest, registry: Registry) -> tuple[str | None, str | None]:
    """Source and target without regions; None is that of the named model. Raises ModelNotFound."""
    if request.model is None:
        known = {language for pair in registry.pairs() for language in pair}
    else:
        manifest = registry.entry(request.model, request.version).manifest
        known = {manifest.source, manifest.target} if isinstance(manifest, TranslationManifest) else set()
    source, target = (code and base_language(code, known) for code in (request.source, request.target))
    return source, target


def find_route(source: str | None, target: str | None, request: TranslateRequest, registry: Registry) -> Route:
    """The translators from a source to a target language.

    Raises UnsupportedLanguagePair, ModelNotFound or ModelNotReady.
    """
    if request.model is not None:
        return (registry.translator(source, target, request.model, request.version),)
    pairs = registry.pairs()
    if source == target:
        if not any(source in pair for pair in pairs):
            raise UnsupportedLanguagePair(f"{excerpt(source)} is not supported")
        return ()
    if (source, target) not in pairs and (source, PIVOT) in pairs and (PIVOT, target) in pairs:
        return registry.translator(source, PIVOT), registry.translator(PIVOT, target)
    return (registry.translator(source, target, None, request.version),)


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
        sources = {source for source, to in reachable(registry.pairs()) if to == target}
    if not sources:
        raise UnsupportedLanguagePair(f"{excerpt(target)} is not supported")
    usable = sources | ({target} if target else set())
    guesses = []
    for text, ranked in zip(texts, await rank_all(texts, usable), strict=True):
        best = next((guess for guess in ranked if guess.language in usable), ranked[0])
        plausible = best.confidence >= PLAUSIBLE * ranked[0].confidence or len(text.strip()) <= SHORT
        guesses.append(best if plausible else ranked[0])
    return guesses


def _required(request: TranslateRequest) -> str | list[str]:
    """The texts of a request. Raises MissingParameter if a required field is missing, or UnsupportedFormat."""
    for name in ("q",) if request.model else ("q", "source", "target"):
        if getattr(request, name) is None:
            raise MissingParameter(f"Invalid request: missing {name} parameter")
    if request.format not in ("text", "html"):
        raise UnsupportedFormat(f"{excerpt(request.format)} format is not supported")
    assert request.q is not None
    return request.q


async def run_plan(plan: TranslationPlan, emit: Emit | None = None) -> list[Translation]:
    """One translation per text. Texts of one route are one submission; several routes run concurrently."""
    groups: dict[Route, list[int]] = {}
    for place, route in enumerate(plan.routes):
        groups.setdefault(route, []).append(place)
    if len(groups) == 1:
        [(route, places)] = groups.items()
        return list(await _translate(plan, route, places, emit))
    tasks = [asyncio.ensure_future(_translate(plan, *group, emit)) for group in groups.items()]
    try:
        found = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    by_place = dict(zip(chain(*groups.values()), chain(*found), strict=True))
    return [by_place[place] for place in range(len(plan.texts))]


async def _translate(
    plan: TranslationPlan, route: Route, places: list[int], emit: Emit | None
) -> Sequence[Translation]:
    """The translations of the texts at some places, which have the same route."""
    texts = [plan.texts[place] for place in places]
    glossary = plan.glossaries.get(route)
    if not route:
        return [Translation(text, [], [text] * plan.options.alternatives) for text in texts]
    if len(route) == 2:
        found = await translate_in_two_steps(*route, texts, plan.options, plan.format, glossary)
        if emit is not None:
            for event in _sentence_events(found):
                _emit_sentence(event, plan, places, emit)
        return found
    [translator] = route
    find_terms = None if glossary is None else finder(glossary)
    if emit is None:
        return await translator.translate(texts, plan.options, plan.format, find_terms=find_terms)

    def on_token(event: TokenEvent) -> None:
        weights = None if event.weights is None else significant(event.weights)
        emit("token", {**_position(event, places), "text": event.text, "weights": weights})

    def on_sentence(event: SentenceEvent) -> None:
        _emit_sentence(event, plan, places, emit)

    return await translator.translate(texts, plan.options, plan.format, on_token, on_sentence, find_terms=find_terms)


def _sentence_events(translations: Sequence[Translation]) -> Iterator[SentenceEvent]:
    """The sentences of finished translations, with target spans in each one's own text."""
    for index, translation in enumerate(translations):
        for number, (sentence, (start, _)) in enumerate(zip(translation.sentences, spans_in(translation), strict=True)):
            tokens = [
                replace(token, start=token.start - start, end=token.end - start) for token in sentence.target_tokens
            ]
            yield SentenceEvent(index, number, replace(sentence, target_tokens=tokens))


def _position(event: TokenEvent | SentenceEvent, places: list[int]) -> dict[str, int]:
    """The text of the request that an event is about, and the number of the sentence in it."""
    return {"translation": places[event.translation], "number": event.number}


def _emit_sentence(event: SentenceEvent, plan: TranslationPlan, places: list[int], emit: Emit) -> None:
    def content() -> dict[str, Any]:
        translation = Translation(event.sentence.text, [event.sentence], [])
        words = plan.request.attention_unit == "word"
        if words:
            translation = in_words(translation, plan.texts[places[event.translation]])
        sentence = encode_sentence(translation.sentences[0], plan.request.alternatives > 0, AS_JSON, words)
        return {**_position(event, places), "sentence": sentence}

    # A batch ends for many sentences together. Encoding waits until the event is sent.
    emit("sentence", content)
