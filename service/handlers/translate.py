"""Translate texts: a request -> translations with their tokens and attention, or events.

Every protocol calls `translate`. Its events are

    token       {"translation": 0, "number": 2, "text": " chien", "weights": [...]}: the next token of sentence 2 of
                text 0 and its row of the summary; with beam_size 1 only, and not of sentences with kept pieces or tags
    sentence    {"translation": 0, "number": 2, "sentence": {...}}: a finished sentence, with target offsets into its
                own text

Sentences come in the order in which they finish.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from service.attention import significant
from service.batching.offload import run_in_thread
from service.bundle.manifest import Manifest
from service.errors import EmptyText, MissingParameter, UnsupportedFormat, UnsupportedLanguagePair
from service.handlers.encoding import AS_JSON, Emit, Encoding, rounded, token
from service.handlers.languages import detection
from service.handlers.schemas import TranslateRequest
from service.handlers.texts import check_texts
from service.markup.protect import Format
from service.registry.registry import Registry
from service.settings import Settings
from service.text.detection import Guess, detect_among
from service.text.sentences import is_blank
from service.text.words import Words, by_words
from service.translation.engine import Options
from service.translation.translator import Sentence, SentenceEvent, TokenEvent, Translation, Translator

AUTO = "auto"


@dataclass(frozen=True)
class TranslationPlan:
    """A checked request: its texts and the translator of each."""

    request: TranslateRequest
    texts: list[str]
    translators: list[Translator | None]
    """One per text; None returns the text as it is."""
    guesses: list[Guess]
    """The detected language of each text; empty unless the source is `auto`."""
    options: Options
    format: Format


@dataclass(frozen=True)
class TranslationAnswer:
    """The answer to a request: one translation per text, in order."""

    plan: TranslationPlan
    translations: list[Translation]

    @property
    def manifest(self) -> Manifest | None:
        """The manifest of the first translator; None if every text is returned as it is."""
        return next((translator.manifest for translator in self.plan.translators if translator is not None), None)

    @property
    def model(self) -> str:
        """The label of the model in metrics."""
        return "none" if self.manifest is None else self.manifest.name

    def encode(self, encoding: Encoding) -> dict[str, Any]:
        request, manifest = self.plan.request, self.manifest
        alternatives = request.alternatives > 0
        guesses = [detection(guess).model_dump() for guess in self.plan.guesses]
        return {
            "translatedText": self._like_q([translation.text for translation in self.translations]),
            **({"detectedLanguage": self._like_q(guesses)} if guesses else {}),
            "model": manifest and manifest.name,
            "version": manifest and str(manifest.version),
            "translations": [encode(translation, alternatives, encoding) for translation in self.translations],
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
        translations = [in_words(one, text) for one, text in zip(translations, plan.texts, strict=True)]
    return TranslationAnswer(plan, translations)


async def plan_translation(request: TranslateRequest, registry: Registry, settings: Settings) -> TranslationPlan:
    """Check a request and find the translator of each text.

    Raises InvalidInput, ModelNotFound or ModelNotReady.
    """
    texts = check_texts(_required(request), settings)
    for number, text in enumerate(texts):
        if is_blank(text):
            raise EmptyText(f"text {number} has no visible character")
    options = Options(
        request.beam_size, request.length_penalty, request.max_length, request.alternatives, request.attention
    )
    format: Format = "html" if request.format == "html" else "text"
    if request.source != AUTO:
        translator = registry.translator(request.source, request.target, request.model, request.version)
        return TranslationPlan(request, texts, [translator] * len(texts), [], options, format)
    sources, target = _candidates(request, registry)
    guesses = await run_in_thread(lambda: [detect_among(text, sources) for text in texts])
    by_language = {
        language: registry.translator(language, target, request.model, request.version)
        for language in {guess.language for guess in guesses} - {target}
    }
    translators = [by_language.get(guess.language) for guess in guesses]
    return TranslationPlan(request, texts, translators, guesses, options, format)


def _required(request: TranslateRequest) -> str | list[str]:
    """The texts of a request. Raises MissingParameter if a required field is missing, or UnsupportedFormat."""
    for field in ("q",) if request.model else ("q", "source", "target"):
        if getattr(request, field) is None:
            raise MissingParameter(f"Invalid request: missing {field} parameter")
    if request.format not in ("text", "html"):
        raise UnsupportedFormat(f"{request.format} format is not supported")
    assert request.q is not None
    return request.q


def _candidates(request: TranslateRequest, registry: Registry) -> tuple[set[str], str | None]:
    """The source languages that can be detected, and the target. Raises UnsupportedLanguagePair or ModelNotFound."""
    if request.model is not None:
        translator = registry.translator(None, request.target, request.model, request.version)
        return {translator.source}, translator.target
    sources = {source for source, target in registry.pairs() if target == request.target}
    if not sources:
        raise UnsupportedLanguagePair(f"{request.target} is not supported")
    return sources, request.target


async def run_plan(plan: TranslationPlan, emit: Emit | None = None) -> list[Translation]:
    """One translation per text. Texts of one translator are one submission; several translators run concurrently."""
    groups = {
        translator: [place for place, own in enumerate(plan.translators) if own is translator]
        for translator in dict.fromkeys(plan.translators)
    }
    if len(groups) == 1:
        [(translator, places)] = groups.items()
        return list(await _translate(plan, translator, places, emit))
    tasks = [asyncio.ensure_future(_translate(plan, *group, emit)) for group in groups.items()]
    try:
        found = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    by_place = dict(zip(chain(*groups.values()), chain(*found), strict=True))
    return [by_place[place] for place in range(len(plan.texts))]


async def _translate(
    plan: TranslationPlan, translator: Translator | None, places: list[int], emit: Emit | None
) -> Sequence[Translation]:
    """The translations of the texts at some places by one translator."""
    texts = [plan.texts[place] for place in places]
    if translator is None:
        return [Translation(text, [], [text] * plan.options.alternatives) for text in texts]
    if emit is None:
        return await translator.translate(texts, plan.options, plan.format)

    def on_token(event: TokenEvent) -> None:
        weights = None if event.weights is None else significant(event.weights)
        emit("token", {**_position(event, places), "text": event.text, "weights": weights})

    def on_sentence(event: SentenceEvent) -> None:
        emit("sentence", {**_position(event, places), "sentence": _encode_alone(event, plan, places)})

    return await translator.translate(texts, plan.options, plan.format, on_token, on_sentence)


def _position(event: TokenEvent | SentenceEvent, places: list[int]) -> dict[str, int]:
    """The text of the request that an event is about, and the number of the sentence in it."""
    return {"translation": places[event.translation], "number": event.number}


def _encode_alone(event: SentenceEvent, plan: TranslationPlan, places: list[int]) -> dict[str, Any]:
    """A sentence as JSON, with target offsets into its own text."""
    translation = Translation(event.sentence.text, [event.sentence], [])
    if plan.request.attention_unit == "word":
        translation = in_words(translation, plan.texts[places[event.translation]])
    return encode_sentence(translation.sentences[0], plan.request.alternatives > 0, AS_JSON)


def encode(translation: Translation, alternatives: bool, encoding: Encoding = AS_JSON) -> dict[str, Any]:
    """A translation in the form of `schemas.Translation`."""
    sentences = [encode_sentence(sentence, alternatives, encoding) for sentence in translation.sentences]
    return {"text": translation.text, "sentences": sentences}


def encode_sentence(sentence: Sentence, alternatives: bool, encoding: Encoding) -> dict[str, Any]:
    """A sentence in the form of `schemas.Sentence`, with its alternatives if they are wanted."""
    encoded = {
        "text": sentence.text,
        "score": rounded(sentence.score),
        "source": {"start": sentence.start, "end": sentence.end},
        "source_tokens": [token(t) for t in sentence.source_tokens],
        "target_tokens": [token(t) for t in sentence.target_tokens],
        "attention": [encoding.attention(matrix) for matrix in sentence.attention],
    }
    if alternatives:
        encoded["alternatives"] = [{"text": t, "score": rounded(score)} for t, score in sentence.alternatives]
    return encoded


def in_words(translation: Translation, text: str) -> Translation:
    """Merge the tokens of a translation of `text` into words, and its attention with them."""
    sentences = []
    for sentence in translation.sentences:
        source, target = Words(sentence.source_tokens, text), Words(sentence.target_tokens, translation.text)
        sides = {"cross": (target, source), "encoder_self": (source, source), "decoder_self": (target, target)}
        matrices = [by_words(matrix, *sides[matrix.kind]) for matrix in sentence.attention]
        sentences.append(
            replace(sentence, source_tokens=source.tokens, target_tokens=target.tokens, attention=matrices)
        )
    return replace(translation, sentences=sentences)
