"""Classify texts: a request -> predictions with their tokens and attention."""

from dataclasses import dataclass, replace
from typing import Any

from service.bundle.manifest import Manifest
from service.classification.classifier import Prediction
from service.handlers.encoding import AS_JSON, Encoding, rounded, token
from service.handlers.schemas import ClassifyRequest
from service.handlers.texts import check_texts
from service.registry.registry import Registry
from service.settings import Settings
from service.text.words import Words, by_words


@dataclass(frozen=True)
class Classification:
    """The answer to a request: one prediction per text, in order."""

    manifest: Manifest
    predictions: list[Prediction]

    def encode(self, encoding: Encoding) -> dict[str, Any]:
        content = {"model": self.manifest.name, "version": str(self.manifest.version)}
        return {**content, "predictions": [encode(prediction, encoding) for prediction in self.predictions]}


async def classify(request: ClassifyRequest, registry: Registry, settings: Settings) -> Classification:
    """Classify the texts of a request.

    Raises InvalidInput, ModelNotFound, ModelNotReady, Overloaded or InferenceFailed.
    """
    texts = check_texts(request.text, settings)
    classifier = registry.classifier(request.model, request.version)
    predictions = await classifier.classify(texts, request.attention, request.truncate)
    if request.attention_unit == "word":
        predictions = [in_words(prediction, text) for prediction, text in zip(predictions, texts, strict=True)]
    return Classification(classifier.manifest, predictions)


def encode(prediction: Prediction, encoding: Encoding = AS_JSON) -> dict[str, Any]:
    """A prediction in the form of `schemas.Prediction`."""
    return {
        "label": prediction.label,
        "score": rounded(prediction.score),
        "scores": {label: rounded(score) for label, score in prediction.scores.items()},
        "truncated": prediction.truncated,
        "tokens": [token(t) for t in prediction.tokens],
        "attention": [encoding.attention(matrix) for matrix in prediction.attention],
    }


def in_words(prediction: Prediction, text: str) -> Prediction:
    """Merge the tokens of a prediction into words, and its attention with them."""
    words = Words(prediction.tokens, text)
    matrices = [by_words(m, None if m.kind == "pooling" else words, words) for m in prediction.attention]
    return replace(prediction, tokens=words.tokens, attention=matrices)
