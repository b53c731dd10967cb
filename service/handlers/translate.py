"""A request to translate, checked, and the answer to it: what every protocol that translates asks by.

/translate, its stream of events and the Open Inference Protocol have their own forms; this is what they share.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from service.api.protocols.libretranslate import told
from service.errors import EmptyText, MissingParameter, UnsupportedFormat, UnsupportedLanguagePair
from service.handlers.encoding import AS_JSON, Encoding, rounded, token
from service.handlers.schemas import TranslateRequest
from service.markup import protect
from service.registry.registry import Registry
from service.text.detection import Guess, detect_among
from service.text.sentences import is_blank
from service.text.words import Words, by_words
from service.translation.engine import Options
from service.translation.translator import Sentence, Translation, Translator

AUTO = "auto"


@dataclass(frozen=True)
class TranslationPlan:
    """A request that has been checked: its texts, and who translates each."""

    texts: list[str]
    translators: list[Translator | None]
    """None: the text is in the target language already."""
    guesses: list[Guess]
    """Where the language was to be found: of each text."""
    options: Options
    body: TranslateRequest
    format: protect.Format

    @property
    def model(self) -> str:
        """Who translates, by the first text that needs it."""
        return next((t.manifest.name for t in self.translators if t is not None), "none")

    def answer(self, translations: Sequence[Translation], encoding: Encoding) -> dict[str, Any]:
        body, guesses = self.body, [told(guess).model_dump() for guess in self.guesses]
        first = next((t.manifest for t in self.translators if t is not None), None)
        content = {
            "translatedText": self._like_q([translation.text for translation in translations]),
            **({"detectedLanguage": self._like_q(guesses)} if guesses else {}),
            "model": first and first.name,
            "version": first and str(first.version),
            "translations": [self.encode(n, translation, encoding) for n, translation in enumerate(translations)],
        }
        if body.alternatives:
            content["alternatives"] = self._like_q([translation.alternatives for translation in translations])
        return content

    def encode(self, number: int, translation: Translation, encoding: Encoding) -> dict[str, Any]:
        """The translation of texts[number], or of a sentence of it, as the request wants it."""
        if self.body.attention_unit == "word":
            translation = in_words(translation, self.texts[number])
        return encode(translation, self.body.alternatives > 0, encoding)

    def _like_q(self, values: list[Any]) -> Any:
        """A string for a string, a list for a list."""
        return values[0] if isinstance(self.body.q, str) else values


def required(body: TranslateRequest) -> str | list[str]:
    """`q`, where everything is there that has to be. Raises MissingParameter or UnsupportedFormat."""
    for field in ("q",) if body.model else ("q", "source", "target"):
        if getattr(body, field) is None:
            raise MissingParameter(f"Invalid request: missing {field} parameter")
    if body.format not in ("text", "html"):
        raise UnsupportedFormat(f"{body.format} format is not supported")
    assert body.q is not None
    return body.q


async def asked(body: TranslateRequest, texts: list[str], registry: Registry) -> TranslationPlan:
    """Raises EmptyText, UnsupportedLanguagePair, ModelNotFound or ModelNotReady."""
    for number, text in enumerate(texts):
        if is_blank(text):  # said here, where it still has its number
            raise EmptyText(f"text {number} has no visible character")
    options = Options(body.beam_size, body.length_penalty, body.max_length, body.alternatives, body.attention)
    format: protect.Format = "html" if body.format == "html" else "text"
    if body.source != AUTO:
        translator = registry.translator(body.source, body.target, body.model, body.version)
        return TranslationPlan(texts, [translator] * len(texts), [], options, body, format)
    if body.model is None:
        target = body.target
        sources = {source for source, to in registry.pairs() if to == target}
        if not sources:
            raise UnsupportedLanguagePair(f"{target} is not supported")
    else:
        named = registry.translator(None, body.target, body.model, body.version)
        sources, target = {named.source}, named.target
    guesses = await asyncio.to_thread(lambda: [detect_among(text, sources) for text in texts])
    translators = {
        language: registry.translator(language, target, body.model, body.version)
        for language in {guess.language for guess in guesses} - {target}
    }
    return TranslationPlan(
        texts, [translators.get(guess.language) for guess in guesses], guesses, options, body, format
    )


async def answered(question: TranslationPlan) -> list[Translation]:
    """One translation for each text, those of one translator together."""
    found: dict[int, Translation] = {}
    for translator in dict.fromkeys(question.translators):
        places = [i for i, own in enumerate(question.translators) if own is translator]
        texts = [question.texts[i] for i in places]
        if translator is None:
            translations = [Translation(text, [], [text] * question.options.alternatives) for text in texts]
        else:
            translations = await protect.translate(translator, texts, question.format, question.options)
        found.update(zip(places, translations, strict=True))
    return [found[place] for place in range(len(question.texts))]


def encode(translation: Translation, alternatives: bool, encoding: Encoding = AS_JSON) -> dict[str, Any]:
    sentences = [encode_sentence(sentence, alternatives, encoding) for sentence in translation.sentences]
    return {"text": translation.text, "sentences": sentences}


def encode_sentence(sentence: Sentence, alternatives: bool, encoding: Encoding) -> dict[str, Any]:
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
    sentences = []
    for sentence in translation.sentences:
        source, target = Words(sentence.source_tokens, text), Words(sentence.target_tokens, translation.text)
        sides = {"cross": (target, source), "encoder_self": (source, source), "decoder_self": (target, target)}
        matrices = [by_words(matrix, *sides[matrix.kind]) for matrix in sentence.attention]
        sentences.append(
            replace(sentence, source_tokens=source.tokens, target_tokens=target.tokens, attention=matrices)
        )
    return replace(translation, sentences=sentences)
