"""Classify texts: a request -> predictions with their tokens and attention."""

from dataclasses import dataclass, replace
from typing import Any

from service.batching import budget
from service.batching.offload import run_in_thread_if_long
from service.bundle.manifest import ONE_QUERY, Manifest
from service.classification.classifier import Prediction
from service.handlers.encoding import AS_JSON, Encoding, rounded, tokens_of, weights_in
from service.handlers.schemas import ClassifyRequest
from service.handlers.texts import check_texts
from service.registry.registry import Registry
from service.settings import Settings
from service.text.sentences import is_blank
from service.text.words import Words, by_words

NO_PREDICTION = Prediction(label="", score=0.0, scores={}, truncated=False, tokens=[], attention=[])
"""The prediction for an empty text, if settings allow it."""


@dataclass(frozen=True)
class Classification:
    """The answer to a request: one prediction per text, in order."""

    manifest: Manifest
    predictions: list[Prediction]

    @property
    def model(self) -> str:
        return self.manifest.name

    @property
    def size(self) -> int:
        return sum(len(one.tokens) + weights_in(one.attention) for one in self.predictions)

    def encode(self, encoding: Encoding) -> dict[str, Any]:
        content = {"model": self.manifest.name, "version": str(self.manifest.version)}
        return {**content, "predictions": [encode(prediction, encoding) for prediction in self.predictions]}


async def classify(request: ClassifyRequest, registry: Registry, settings: Settings) -> Classification:
    """Classify the texts of a request.

    Raises InvalidInput, ModelNotFound, ModelNotReady, Overloaded or InferenceFailed.
    """
    texts = check_texts(request.text, settings)
    classifier = registry.classifier(request.model, request.version)
    # The classifier refuses a blank text by its number.
    kept = [text for text in texts if not is_blank(text)] if settings.allow_empty_texts else texts
    classified = iter(await classifier.classify(kept, request.attention, request.truncate, request.raw) if kept else [])
    predictions = [
        NO_PREDICTION if settings.allow_empty_texts and is_blank(text) else next(classified) for text in texts
    ]
    if request.attention_unit == "word":
        in_tokens = predictions
        predictions = await run_in_thread_if_long(
            texts, lambda: [in_words(one, text) for one, text in zip(in_tokens, texts, strict=True)]
        )
    return Classification(classifier.manifest, predictions)


def encode(prediction: Prediction, encoding: Encoding = AS_JSON) -> dict[str, Any]:
    """A prediction in the form of `schemas.Prediction`."""
    budget.check()
    return {
        "label": prediction.label,
        "score": rounded(prediction.score),
        "scores": {label: rounded(score) for label, score in prediction.scores.items()},
        "truncated": prediction.truncated,
        "tokens": tokens_of(prediction.tokens),
        "attention": [encoding.attention(matrix) for matrix in prediction.attention],
    }


def in_words(prediction: Prediction, text: str) -> Prediction:
    """Merge the tokens of a prediction into words, and its attention with them."""
    budget.check()
    words = Words(prediction.tokens, text)
    matrices = [by_words(m, None if m.kind in ONE_QUERY else words, words) for m in prediction.attention]
    return replace(prediction, tokens=words.tokens, attention=matrices)
