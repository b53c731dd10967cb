"""Outputs of the Open Inference Protocol: answers of each task -> tensors.

The tensors of several texts are padded to one size with zeros, "" and -1. The sentences of a text stand along the
diagonal of its one attention matrix.

Legend: B texts.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.api.protocols.tensors import Datatype, check_values, padded
from service.attention import AttentionMatrix
from service.batching import budget
from service.bundle.manifest import Task
from service.classification.classifier import Prediction
from service.generation.generator import Generation, TokenLogprob
from service.text.tokenizer import Token
from service.translation.results import Translation

OUTPUTS: dict[Task, list[tuple[str, Datatype, list[int]]]] = {
    "classification": [
        ("label", "BYTES", [-1]),
        ("score", "FP32", [-1]),
        ("scores", "FP32", [-1, -1]),
        ("attention", "FP32", [-1, -1, -1]),
        ("tokens", "BYTES", [-1, -1]),
        ("token_spans", "INT64", [-1, -1, 2]),
    ],
    "translation": [
        ("translation", "BYTES", [-1]),
        ("score", "FP32", [-1]),
        ("alternatives", "BYTES", [-1, -1]),
        ("attention", "FP32", [-1, -1, -1]),
        ("source_tokens", "BYTES", [-1, -1]),
        ("source_spans", "INT64", [-1, -1, 2]),
        ("target_tokens", "BYTES", [-1, -1]),
        ("target_spans", "INT64", [-1, -1, 2]),
    ],
    "generation": [
        ("text", "BYTES", [-1]),
        ("finish_reason", "BYTES", [-1]),
        ("seed", "INT64", [-1]),
        ("attention", "FP32", [-1, -1, -1]),
        ("prompt_tokens", "BYTES", [-1, -1]),
        ("prompt_spans", "INT64", [-1, -1, 2]),
        ("tokens", "BYTES", [-1, -1]),
        ("token_spans", "INT64", [-1, -1, 2]),
        ("logprobs", "FP32", [-1, -1]),
    ],
}
"""Task -> name, datatype and shape of each output; -1 is any size."""

Arrays = dict[str, Callable[[], NDArray[Any]]]
"""Output name -> function that makes its array [B, ...]. It raises AnswerTooLarge."""


def prediction_arrays(predictions: Sequence[Prediction], limit: int) -> Arrays:
    """`limit`: maximum values of an array."""
    # An empty text, which a setting may allow, has no scores.
    names = next((list(one.scores) for one in predictions if one.scores), [])
    return {
        "label": lambda: strings([one.label for one in predictions]),
        "score": lambda: np.array([one.score for one in predictions], dtype=np.float32),
        "scores": lambda: np.array([[one.scores.get(n, 0.0) for n in names] for one in predictions], dtype=np.float32),
        "attention": lambda: padded([diagonal([one.attention], limit) for one in predictions], 0.0, limit),
        **token_arrays("tokens", "token_spans", [one.tokens for one in predictions], limit),
    }


def translation_arrays(translations: Sequence[Translation], alternatives: int, limit: int) -> Arrays:
    """`limit`: maximum values of an array."""
    sentences = [translation.sentences for translation in translations]
    sources = [[t for s in of_text for t in s.source_tokens] for of_text in sentences]
    targets = [[t for s in of_text for t in s.target_tokens] for of_text in sentences]

    def others() -> NDArray[Any]:
        texts = np.empty((len(translations), alternatives), dtype=object)
        for row, translation in enumerate(translations):
            texts[row] = translation.alternatives
        return texts

    return {
        "translation": lambda: strings([one.text for one in translations]),
        "score": lambda: np.array([float(np.mean([s.score for s in own] or [0.0])) for own in sentences], np.float32),
        "alternatives": others,
        "attention": lambda: padded([diagonal([s.attention for s in own], limit) for own in sentences], 0.0, limit),
        **token_arrays("source_tokens", "source_spans", sources, limit),
        **token_arrays("target_tokens", "target_spans", targets, limit),
    }


def generation_arrays(generations: Sequence[Generation], limit: int) -> Arrays:
    """`limit`: maximum values of an array."""

    def logprobs() -> list[NDArray[Any]]:
        return [np.array([t.log_prob for t in one.tokens], dtype=np.float32) for one in generations]

    return {
        "text": lambda: strings([one.text for one in generations]),
        "finish_reason": lambda: strings([one.finish_reason for one in generations]),
        "seed": lambda: np.array([one.seed for one in generations], dtype=np.int64),
        "attention": lambda: padded([diagonal([one.attention], limit) for one in generations], 0.0, limit),
        **token_arrays("prompt_tokens", "prompt_spans", [as_tokens(one.prompt_tokens) for one in generations], limit),
        **token_arrays("tokens", "token_spans", [as_tokens(one.tokens) for one in generations], limit),
        "logprobs": lambda: padded(logprobs(), 0.0, limit),
    }


def as_tokens(tokens: Sequence[TokenLogprob]) -> list[Token]:
    return [Token(token.text, token.start, token.end) for token in tokens]


def strings(values: Sequence[str]) -> NDArray[Any]:
    """An array of objects [B]."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def diagonal(sentences: Sequence[Sequence[AttentionMatrix]], limit: int) -> NDArray[np.float32]:
    """Place the first matrix of each sentence along the diagonal of one matrix: block by block, zero elsewhere.

    Raises AnswerTooLarge if it would have more values than the limit.
    """
    found = [matrices[0].weights for matrices in sentences if matrices]
    queries, keys = sum(len(m) for m in found), sum(m.shape[1] for m in found)
    check_values(queries * keys, limit)
    whole = np.zeros((queries, keys), dtype=np.float32)
    row = column = 0
    for weights in found:
        whole[row : row + len(weights), column : column + weights.shape[1]] = weights
        row, column = row + len(weights), column + weights.shape[1]
    return whole


def token_arrays(name: str, spans: str, texts: Sequence[Sequence[Token]], limit: int) -> Arrays:
    """Tokens [B, T] and their spans [B, T, 2]."""

    def names() -> list[NDArray[Any]]:
        return [strings([t.special or t.text for t in tokens]) for tokens in texts]

    def pairs() -> list[NDArray[Any]]:
        budget.check()
        return [np.array([(t.start, t.end) for t in tokens], dtype=np.int64).reshape(-1, 2) for tokens in texts]

    return {name: lambda: padded(names(), "", limit), spans: lambda: padded(pairs(), -1, limit)}
