"""Outputs of the Open Inference Protocol: answers of each task -> tensors.

The tensors of several texts are padded to one size with zeros, "" and -1. The sentences of a text stand along the
diagonal of its one attention matrix.

Legend: B texts.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.api.protocols.tensors import Datatype, padded
from service.attention import AttentionMatrix
from service.bundle.manifest import Task
from service.classification.classifier import Prediction
from service.generation.generator import Generation, TokenLogprob
from service.text.tokenizer import Token
from service.translation.translator import Translation

Output = tuple[str, Datatype, list[int]]
"""Name, datatype and shape; -1 is any size."""

DEFAULT_OUTPUTS: dict[Task, list[Output]] = {
    "classification": [("label", "BYTES", [-1]), ("score", "FP32", [-1]), ("scores", "FP32", [-1, -1])],
    "translation": [("translation", "BYTES", [-1]), ("score", "FP32", [-1]), ("alternatives", "BYTES", [-1, -1])],
    "generation": [("text", "BYTES", [-1]), ("finish_reason", "BYTES", [-1]), ("seed", "INT64", [-1])],
}
"""Outputs of a request that names none."""
OPTIONAL_OUTPUTS: dict[Task, list[Output]] = {
    "classification": [
        ("attention", "FP32", [-1, -1, -1]),
        ("tokens", "BYTES", [-1, -1]),
        ("token_spans", "INT64", [-1, -1, 2]),
    ],
    "translation": [
        ("attention", "FP32", [-1, -1, -1]),
        ("source_tokens", "BYTES", [-1, -1]),
        ("source_spans", "INT64", [-1, -1, 2]),
        ("target_tokens", "BYTES", [-1, -1]),
        ("target_spans", "INT64", [-1, -1, 2]),
    ],
    "generation": [
        ("attention", "FP32", [-1, -1, -1]),
        ("prompt_tokens", "BYTES", [-1, -1]),
        ("prompt_spans", "INT64", [-1, -1, 2]),
        ("tokens", "BYTES", [-1, -1]),
        ("token_spans", "INT64", [-1, -1, 2]),
        ("logprobs", "FP32", [-1, -1]),
    ],
}
"""Outputs that a request has to name."""


def outputs_of(task: Task) -> list[Output]:
    return [*DEFAULT_OUTPUTS[task], *OPTIONAL_OUTPUTS[task]]


def prediction_arrays(predictions: Sequence[Prediction]) -> dict[str, NDArray[Any]]:
    """Output name -> array [B, ...]."""
    return {
        "label": np.array([prediction.label for prediction in predictions], dtype=object),
        "score": np.array([prediction.score for prediction in predictions], dtype=np.float32),
        "scores": np.array([list(prediction.scores.values()) for prediction in predictions], dtype=np.float32),
        "attention": padded([diagonal([prediction.attention]) for prediction in predictions], 0.0),
        **token_arrays("tokens", "token_spans", [prediction.tokens for prediction in predictions]),
    }


def translation_arrays(translations: Sequence[Translation], alternatives: int) -> dict[str, NDArray[Any]]:
    """Output name -> array [B, ...]."""
    sentences = [translation.sentences for translation in translations]
    sources = [[t for s in of_text for t in s.source_tokens] for of_text in sentences]
    targets = [[t for s in of_text for t in s.target_tokens] for of_text in sentences]
    others = np.empty((len(translations), alternatives), dtype=object)
    for row, translation in enumerate(translations):
        others[row] = translation.alternatives
    return {
        "translation": np.array([translation.text for translation in translations], dtype=object),
        "score": np.array([float(np.mean([s.score for s in own] or [0.0])) for own in sentences], dtype=np.float32),
        "alternatives": others,
        "attention": padded([diagonal([s.attention for s in own]) for own in sentences], 0.0),
        **token_arrays("source_tokens", "source_spans", sources),
        **token_arrays("target_tokens", "target_spans", targets),
    }


def generation_arrays(generations: Sequence[Generation]) -> dict[str, NDArray[Any]]:
    """Output name -> array [B, ...]."""
    logprobs = [np.array([t.log_prob for t in one.tokens], dtype=np.float32) for one in generations]
    return {
        "text": np.array([one.text for one in generations], dtype=object),
        "finish_reason": np.array([one.finish_reason for one in generations], dtype=object),
        "seed": np.array([one.seed for one in generations], dtype=np.int64),
        "attention": padded([diagonal([one.attention]) for one in generations], 0.0),
        **token_arrays("prompt_tokens", "prompt_spans", [as_tokens(one.prompt_tokens) for one in generations]),
        **token_arrays("tokens", "token_spans", [as_tokens(one.tokens) for one in generations]),
        "logprobs": padded(logprobs, 0.0),
    }


def as_tokens(tokens: Sequence[TokenLogprob]) -> list[Token]:
    return [Token(token.text, token.start, token.end) for token in tokens]


def diagonal(sentences: Sequence[Sequence[AttentionMatrix]]) -> NDArray[np.float32]:
    """Place the first matrix of each sentence along the diagonal of one matrix: block by block, zero elsewhere."""
    found = [matrices[0].weights for matrices in sentences if matrices]
    whole = np.zeros((sum(len(m) for m in found), sum(m.shape[1] for m in found)), dtype=np.float32)
    row = column = 0
    for weights in found:
        whole[row : row + len(weights), column : column + weights.shape[1]] = weights
        row, column = row + len(weights), column + weights.shape[1]
    return whole


def token_arrays(name: str, spans: str, texts: Sequence[Sequence[Token]]) -> dict[str, NDArray[Any]]:
    """Tokens [B, T] and their spans [B, T, 2]."""
    pairs = [np.array([(t.start, t.end) for t in tokens], dtype=np.int64).reshape(-1, 2) for tokens in texts]
    names = [np.array([t.special or t.text for t in tokens], dtype=object) for tokens in texts]
    return {name: padded(names, ""), spans: padded(pairs, -1)}
