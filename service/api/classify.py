"""POST /classify."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request

from service.api.body import JSON, RegistryOf, SettingsOf, parse_body, request_body
from service.api.encoding import FastJSON, attention, rounded, token
from service.api.errors import OF_A_BODY, OF_A_MODEL, OF_TEXTS, responses
from service.api.limits import check_texts
from service.api.schemas import ClassifyRequest, ClassifyResponse
from service.classifier import Prediction
from service.observability import timed
from service.words import Words, by_words

router = APIRouter(tags=["classify"])


@router.post(
    "/classify",
    summary="Classify texts, with the attention behind each answer",
    response_class=FastJSON,
    responses={200: {"model": ClassifyResponse}, **responses("/classify", *OF_A_BODY, *OF_TEXTS, *OF_A_MODEL)},
    openapi_extra=request_body(ClassifyRequest, JSON),
)
async def classify(request: Request, registry: RegistryOf, settings: SettingsOf) -> FastJSON:
    """Each text gets its label, the probability of every label, its tokens with character offsets, and the
    attention weights: how much each token counted. `summary` is the one row a person would look at, `full` every
    matrix the model has, `none` leaves them out.
    """
    body = await parse_body(request, ClassifyRequest, settings.max_body_bytes)
    texts = check_texts("text", body.text, settings)
    classifier = registry.classifier(body.model, body.version)
    predictions = await classifier.classify(texts, body.attention, body.truncate, settings.timeout_s)
    await request.app.state.turn()
    manifest = classifier.manifest
    with timed(manifest.name, "encode"):
        if body.attention_unit == "word":
            predictions = [in_words(prediction, text) for prediction, text in zip(predictions, texts, strict=True)]
        content = {"model": manifest.name, "version": str(manifest.version)}
        return FastJSON({**content, "predictions": [encode(prediction) for prediction in predictions]})


def encode(prediction: Prediction) -> dict[str, Any]:
    return {
        "label": prediction.label,
        "score": rounded(prediction.score),
        "scores": {label: rounded(score) for label, score in prediction.scores.items()},
        "truncated": prediction.truncated,
        "tokens": [token(t) for t in prediction.tokens],
        "attention": [attention(matrix) for matrix in prediction.attention],
    }


def in_words(prediction: Prediction, text: str) -> Prediction:
    words = Words(prediction.tokens, text)
    matrices = [by_words(m, None if m.kind == "pooling" else words, words) for m in prediction.attention]
    return replace(prediction, tokens=words.tokens, attention=matrices)
