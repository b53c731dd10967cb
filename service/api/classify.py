"""POST /classify."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api.body import JSON, parse_body, request_body
from service.api.errors import OF_A_BODY, OF_A_MODEL, OF_TEXTS, responses
from service.api.middleware.limits import check_texts
from service.classification.classifier import Classifier, Prediction
from service.handlers.encoding import AS_JSON, Encoding, FastJSON, documented, encoding_of, rounded, token
from service.handlers.schemas import ClassifyRequest, ClassifyResponse
from service.observability import timed
from service.registry.registry import Registry
from service.settings import Settings
from service.text.words import Words, by_words

router = APIRouter(tags=["classify"])


@router.post(
    "/classify",
    summary="Classify texts, with the attention behind each answer",
    response_class=FastJSON,
    responses={
        200: {"model": ClassifyResponse, "content": documented("ClassifyResponse")},
        **responses("/classify", *OF_A_BODY, *OF_TEXTS, *OF_A_MODEL),
    },
    openapi_extra=request_body(ClassifyRequest, JSON),
)
async def classify(request: Request) -> Response:
    """Each text gets its label, the probability of every label, its tokens with character offsets, and the
    attention weights: how much each token counted. `summary` is the one row a person would look at, `full` every
    matrix the model has, `none` leaves them out.
    """
    settings: Settings = request.app.state.settings
    registry: Registry = request.app.state.registry
    body = await parse_body(request, ClassifyRequest, settings.max_body_bytes)
    encoding = encoding_of(request)
    texts = check_texts("text", body.text, settings)
    classifier = registry.classifier(body.model, body.version)
    predictions = await answered(classifier, body, texts)
    await request.app.state.turn()
    manifest = classifier.manifest
    with timed(manifest.name, "encode"):
        content = {"model": manifest.name, "version": str(manifest.version)}
        return encoding.response({**content, "predictions": [encode(one, encoding) for one in predictions]})


async def answered(classifier: Classifier, body: ClassifyRequest, texts: list[str]) -> list[Prediction]:
    """One prediction for each text, as the request wants it."""
    predictions = await classifier.classify(texts, body.attention, body.truncate)
    if body.attention_unit == "word":
        predictions = [in_words(prediction, text) for prediction, text in zip(predictions, texts, strict=True)]
    return predictions


def encode(prediction: Prediction, encoding: Encoding = AS_JSON) -> dict[str, Any]:
    return {
        "label": prediction.label,
        "score": rounded(prediction.score),
        "scores": {label: rounded(score) for label, score in prediction.scores.items()},
        "truncated": prediction.truncated,
        "tokens": [token(t) for t in prediction.tokens],
        "attention": [encoding.attention(matrix) for matrix in prediction.attention],
    }


def in_words(prediction: Prediction, text: str) -> Prediction:
    words = Words(prediction.tokens, text)
    matrices = [by_words(m, None if m.kind == "pooling" else words, words) for m in prediction.attention]
    return replace(prediction, tokens=words.tokens, attention=matrices)
