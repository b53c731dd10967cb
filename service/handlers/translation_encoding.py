"""Translations -> the form of an answer: tokens or words, scores, attention, the steps through the pivot language."""

from dataclasses import replace
from typing import Any

from service.batching import budget
from service.handlers.encoding import AS_JSON, Encoding, rounded, tokens_of
from service.handlers.glossaries import Route
from service.handlers.memories import encode_match
from service.handlers.pivot import PivotTranslation
from service.text.words import Words, by_words
from service.translation.confidence import confidence
from service.translation.results import Sentence, Translation
from service.translation.translator import Translator


def steps(translation: Translation, route: Route) -> dict[str, Any]:
    """The steps of a translation through the pivot language, in the form of `schemas.Step`."""
    if not isinstance(translation, PivotTranslation):
        return {}
    texts = (translation.pivot, translation.text)
    return {"steps": [_step(translator, text) for translator, text in zip(route, texts, strict=True)]}


def _step(translator: Translator, text: str) -> dict[str, str]:
    manifest = translator.manifest
    model = {"model": manifest.name, "version": str(manifest.version)}
    return {**model, "source": translator.source, "target": translator.target, "text": text}


def encode(translation: Translation, alternatives: bool, encoding: Encoding = AS_JSON) -> dict[str, Any]:
    """A translation in the form of `schemas.Translation`."""
    sentences = [encode_sentence(sentence, alternatives, encoding) for sentence in translation.sentences]
    return {"text": translation.text, "sentences": sentences}


def encode_sentence(sentence: Sentence, alternatives: bool, encoding: Encoding) -> dict[str, Any]:
    """A sentence in the form of `schemas.Sentence`, with its alternatives if they are wanted."""
    budget.check()
    encoded: dict[str, Any] = {
        "text": sentence.text,
        "score": rounded(sentence.score),
        "source": {"start": sentence.start, "end": sentence.end},
        "source_tokens": tokens_of(sentence.source_tokens),
        "target_tokens": tokens_of(sentence.target_tokens),
        "attention": [encoding.attention(matrix) for matrix in sentence.attention],
    }
    for target, log_prob in zip(encoded["target_tokens"], sentence.log_probs, strict=False):
        target["logprob"] = rounded(log_prob)
    for target, probability in zip(encoded["target_tokens"], sentence.confidences, strict=False):
        target["confidence"] = rounded(probability)
    if sentence.match is not None:
        encoded["match"] = encode_match(sentence.match)
    if alternatives:
        encoded["alternatives"] = [{"text": t, "score": rounded(score)} for t, score in sentence.alternatives]
    return encoded


def in_words(translation: Translation, text: str, route: Route) -> Translation:
    """Merge the tokens of a translation of `text` into words, and its attention with them. route: its translators."""
    calibration = route[-1].manifest.word_calibration if route else None
    sentences = []
    for sentence in translation.sentences:
        budget.check()
        source, target = Words(sentence.source_tokens, text), Words(sentence.target_tokens, translation.text)
        sides = {"cross": (target, source), "encoder_self": (source, source), "decoder_self": (target, target)}
        matrices = [by_words(matrix, *sides[matrix.kind]) for matrix in sentence.attention]
        log_probs = target.sums(sentence.log_probs) if sentence.log_probs else ()
        sentences.append(
            replace(
                sentence,
                source_tokens=source.tokens,
                target_tokens=target.tokens,
                attention=matrices,
                log_probs=log_probs,
                confidences=[confidence(log_prob, calibration) for log_prob in log_probs],
            )
        )
    return replace(translation, sentences=sentences)
