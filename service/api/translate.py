"""POST /translate and GET /languages: a superset of LibreTranslate's."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request

from service.api.body import FORM, JSON, RegistryOf, SettingsOf, parse_body, request_body
from service.api.encoding import FastJSON, attention, rounded, token
from service.api.errors import OF_A_BODY, OF_A_MODEL, OF_TEXTS, responses
from service.api.limits import check_texts
from service.api.schemas import Language, TranslateRequest, TranslateResponse
from service.decoder import Options
from service.errors import MissingParameter, UnsupportedFormat
from service.observability import timed
from service.translator import Sentence, Translation
from service.words import Words, by_words

router = APIRouter(tags=["translate"])

NAMES = {"en": "English", "fr": "French", "de": "German", "cs": "Czech", "ko": "Korean"}


LIBRETRANSLATES = ("missing_parameter", "unsupported_language_pair", "unsupported_format")
ERRORS = responses("/translate", *LIBRETRANSLATES, *OF_A_BODY, *OF_TEXTS, "unsupported_option", *OF_A_MODEL)


@router.post(
    "/translate",
    summary="Translate texts, with the alignment behind each sentence",
    response_class=FastJSON,
    responses={200: {"model": TranslateResponse}, **ERRORS},
    openapi_extra=request_body(TranslateRequest, JSON, FORM),
)
async def translate(request: Request, registry: RegistryOf, settings: SettingsOf) -> FastJSON:
    """The text is split into sentences, each is translated, and they are joined with the white space between them
    kept. Clients of LibreTranslate work unchanged; beside `translatedText` every sentence has its tokens and the
    attention from target to source.
    """
    body = await parse_body(request, TranslateRequest, settings.max_body_bytes, form=True)
    for field in ("q",) if body.model else ("q", "source", "target"):
        if getattr(body, field) is None:
            raise MissingParameter(f"Invalid request: missing {field} parameter")
    assert body.q is not None
    if body.format != "text":
        raise UnsupportedFormat(f"{body.format} format is not supported")
    texts = check_texts("q", body.q, settings)
    translator = registry.translator(body.source, body.target, body.model, body.version)
    options = Options(body.beam_size, body.length_penalty, body.max_length, body.alternatives, body.attention)
    translations = await translator.translate(texts, options, settings.timeout_s)
    await request.app.state.turn()

    if body.attention_unit == "word":
        translations = [in_words(translation, text) for translation, text in zip(translations, texts, strict=True)]

    def like_q(values: list[Any]) -> Any:
        """A string for a string, a list for a list."""
        return values[0] if isinstance(body.q, str) else values

    manifest = translator.manifest
    with timed(manifest.name, "encode"):
        content = {
            "translatedText": like_q([translation.text for translation in translations]),
            "model": manifest.name,
            "version": str(manifest.version),
            "translations": [encode(translation, body.alternatives > 0) for translation in translations],
        }
        if body.alternatives:
            content["alternatives"] = like_q([translation.alternatives for translation in translations])
        return FastJSON(content)


def encode(translation: Translation, alternatives: bool) -> dict[str, Any]:
    sentences = [encode_sentence(sentence, alternatives) for sentence in translation.sentences]
    return {"text": translation.text, "sentences": sentences}


def encode_sentence(sentence: Sentence, alternatives: bool) -> dict[str, Any]:
    encoded = {
        "text": sentence.text,
        "score": rounded(sentence.score),
        "source": {"start": sentence.start, "end": sentence.end},
        "source_tokens": [token(t) for t in sentence.source_tokens],
        "target_tokens": [token(t) for t in sentence.target_tokens],
        "attention": [attention(matrix) for matrix in sentence.attention],
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


@router.get("/languages", summary="Which languages can be translated into which")
async def languages(registry: RegistryOf) -> list[Language]:
    targets: dict[str, list[str]] = {}
    for source, target in sorted(registry.pairs()):
        targets.setdefault(source, []).append(target)
    return [Language(code=code, name=NAMES.get(code, code), targets=to) for code, to in targets.items()]
