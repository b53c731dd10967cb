"""Translate texts: a request -> translations with their tokens and attention, or events.

Every protocol calls `translate`. Its events are

    token       {"translation": 0, "number": 2, "text": " chien", "weights": [...]}: the next token of sentence 2 of
                text 0 and its row of the summary; with beam_size 1 only, and not of sentences with kept pieces or tags
    sentence    {"translation": 0, "number": 2, "sentence": {...}}: a finished sentence, with target offsets into its
                own text

Sentences come in the order in which they finish.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain, islice, repeat
from typing import Any

from service.attention import significant
from service.batching.offload import run_in_thread_if_long
from service.bundle.manifest import TranslationManifest
from service.errors import EmptyText, MissingParameter, UnsupportedFormat, UnsupportedLanguagePair, excerpt
from service.handlers.attributes import with_attributes, with_original_offsets
from service.handlers.encoding import AS_JSON, Emit, Encoding, weights_in
from service.handlers.glossaries import Route, find_glossaries, finder, used_terms
from service.handlers.languages import PIVOT, base_language, detect_sources, detection, source_languages
from service.handlers.memories import encode_match, find_memories, with_matches
from service.handlers.paragraphs import Part, find_parts, join_parts
from service.handlers.pivot import spans_in, translate_in_two_steps
from service.handlers.schemas import TranslateRequest
from service.handlers.texts import check_texts
from service.handlers.translation_encoding import encode, encode_sentence, in_words, steps
from service.handlers.translation_plan import TranslationPlan
from service.markup.protect import Format
from service.registry.registry import Registry
from service.settings import Settings
from service.text.sentences import is_blank
from service.translation.engine import Options
from service.translation.results import Sentence, SentenceEvent, TokenEvent, Translation

AUTO = "auto"


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
        guesses = [detection(guess).model_dump() for guess in self.plan.guesses]
        texts = self.plan.texts if self.plan.request.glossary else []
        terms = [{"glossary": used_terms(*pair)} for pair in zip(self.translations, texts, strict=False)]
        languages = [_languages_of(self.plan.parts.get(index, [])) for index in range(len(self.translations))]
        matches = [{"match": encode_match(t.match)} for t in self.translations] if self.plan.request.memory else []
        return {
            "translatedText": self._like_q([translation.text for translation in self.translations]),
            **({"detectedLanguage": self._like_q(guesses)} if guesses else {}),
            "model": "+".join(manifest.name for manifest in manifests) or None,
            "version": "+".join(str(manifest.version) for manifest in manifests) or None,
            "translations": [
                {
                    **encode(translation, alternatives, encoding),
                    **used,
                    **match,
                    **parts,
                    **steps(translation, route),
                }
                for translation, route, used, match, parts in zip(
                    *(self.translations, self.plan.routes, terms or repeat({}), matches or repeat({}), languages),
                    strict=False,
                )
            ],
            **({"alternatives": self._like_q([t.alternatives for t in self.translations])} if alternatives else {}),
        }

    def _like_q(self, values: list[Any]) -> Any:
        """A single value if `q` is a string, else the list."""
        return values[0] if isinstance(self.plan.request.q, str) else values


def _languages_of(parts: Sequence[Part]) -> dict[str, Any]:
    """The parts of a text, in the form of `schemas.Translation`."""
    return {"languages": [asdict(part) for part in parts]} if parts else {}


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
            plan.texts, lambda: [in_words(*each) for each in zip(in_tokens, plan.texts, plan.routes, strict=True)]
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
        memories = await find_memories(request, [route], registry)
        return TranslationPlan(request, texts, [route] * len(texts), [], options, format, glossaries, memories)
    guesses = await detect_sources(texts, target, request, registry)
    found = {guess.language: find_route(guess.language, target, request, registry) for guess in guesses}
    parts = {}
    if request.model is None and format == "text":
        parts = await find_parts(texts, guesses, source_languages(target, registry))
        for language in {part.language for each in parts.values() for part in each} - found.keys():
            found[language] = find_route(language, target, request, registry)
    routes = [found[guess.language] for guess in guesses]
    glossaries = await find_glossaries(request, found.values(), registry) if request.glossary else {}
    memories = await find_memories(request, found.values(), registry)
    return TranslationPlan(request, texts, routes, guesses, options, format, glossaries, memories, parts, found)


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
    """One translation per text. Texts of one route are one submission; several routes run concurrently.

    Visible attributes of HTML are translated before.
    """
    if plan.format == "html":
        plan = replace(plan, replaced=await with_attributes(plan.texts, plan.routes, partial(_run_as_text, plan)))
    if plan.parts:
        return await _run_in_parts(plan)
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


async def _run_in_parts(plan: TranslationPlan) -> list[Translation]:
    """One translation per text, without events. Each part of a text is translated from its own language."""
    whole = [[Part(0, len(text), guess.language)] for text, guess in zip(plan.texts, plan.guesses, strict=True)]
    parts = [plan.parts.get(index, alone) for index, alone in enumerate(whole)]
    texts = [text[part.start : part.end] for text, each in zip(plan.texts, parts, strict=True) for part in each]
    routes = [plan.part_routes[part.language] for each in parts for part in each]
    found = iter(await run_plan(replace(plan, texts=texts, routes=routes, parts={})))
    joined = []
    for each in parts:
        translations = list(islice(found, len(each)))
        joined.append(translations[0] if len(each) == 1 else join_parts(each, translations))
    return joined


async def _run_as_text(plan: TranslationPlan, texts: list[str], routes: list[Route]) -> list[Translation]:
    """The translations of texts without markup, with the options of a plan."""
    options = replace(plan.options, attention="none", alternatives=0, log_probs=False)
    memories = {route: replace(memory, format="text") for route, memory in plan.memories.items()}
    as_text = replace(plan, texts=texts, routes=routes, options=options, format="text", memories=memories)
    return await run_plan(as_text)


async def _translate(
    plan: TranslationPlan, route: Route, places: list[int], emit: Emit | None
) -> Sequence[Translation]:
    """The translations of the texts at some places, which have the same route; those in the memory are used."""
    memory = plan.memories.get(route)
    if memory is None:
        return await _decode(plan, route, places, emit)
    texts = [plan.texts[place] for place in places]
    return await with_matches(memory, texts, lambda rest: _decode(plan, route, [places[index] for index in rest], emit))


async def _decode(plan: TranslationPlan, route: Route, places: list[int], emit: Emit | None) -> Sequence[Translation]:
    """The translations by the networks of the texts at some places, which have the same route."""
    found = await _decode_replaced(plan, route, places, emit)
    if not plan.replaced:
        return found
    return [
        replace(one, sentences=[_as_sent(sentence, place, plan) for sentence in one.sentences])
        for place, one in zip(places, found, strict=True)
    ]


def _as_sent(sentence: Sentence, place: int, plan: TranslationPlan) -> Sentence:
    """A sentence of the text at a place, with its source offsets in the text as sent."""
    replaced = plan.replaced.get(place)
    return sentence if replaced is None else with_original_offsets(sentence, replaced, plan.texts[place])


async def _decode_replaced(
    plan: TranslationPlan, route: Route, places: list[int], emit: Emit | None
) -> Sequence[Translation]:
    """The translations of the texts at some places. Source offsets are in texts with translated attributes."""
    replaced = plan.replaced
    texts = [replaced[place].text if place in replaced else plan.texts[place] for place in places]
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
    memory = plan.memories.get(route)
    find_match = None if memory is None else memory.find_sentence
    if emit is None:
        return await translator.translate(
            texts, plan.options, plan.format, find_terms=find_terms, find_match=find_match
        )

    def on_token(event: TokenEvent) -> None:
        weights = None if event.weights is None else significant(event.weights)
        emit("token", {**_position(event, places), "text": event.text, "weights": weights})

    def on_sentence(event: SentenceEvent) -> None:
        _emit_sentence(event, plan, places, emit)

    return await translator.translate(
        texts, plan.options, plan.format, on_token, on_sentence, find_terms=find_terms, find_match=find_match
    )


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
        place = places[event.translation]
        sentence = _as_sent(event.sentence, place, plan)
        translation = Translation(sentence.text, [sentence], [])
        if plan.request.attention_unit == "word":
            translation = in_words(translation, plan.texts[place], plan.routes[place])
        encoded = encode_sentence(translation.sentences[0], plan.request.alternatives > 0, AS_JSON)
        return {**_position(event, places), "sentence": encoded}

    # A batch ends for many sentences together. Encoding waits until the event is sent.
    emit("sentence", content)
