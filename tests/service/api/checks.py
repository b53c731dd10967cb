"""Checks of answers that hold for every route."""

from http import HTTPStatus
from typing import Any

import numpy as np

REQUESTS: dict[str, dict[str, Any]] = {
    "/classify": {"text": "wind"},
    "/translate": {"q": "wind", "source": "en", "target": "xx"},
    "/generate": {"prompt": "wind", "max_tokens": 3, "seed": 5},
}
"""A good one for each route."""

MODELS = {"/classify": "toy", "/translate": "en-xx", "/generate": "writer"}
"""The fake that answers it."""

MEMBERS = {"type", "title", "status", "detail", "instance", "error", "error_type"}


def check_problem(response: Any, status: int, error_type: str | None = None) -> dict[str, Any]:
    """An error in the one form that all of them have (RFC 9457, and two members for other clients)."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem.keys() == MEMBERS
    assert problem["status"] == status == HTTPStatus(status)
    assert problem["instance"] == response.request.url.path
    assert problem["detail"] and problem["detail"] == problem["error"]
    assert problem["error_type"] == problem["error_type"].lower() != ""
    assert problem["type"] == f"urn:limelight:error:{problem['error_type']}"
    assert problem["title"].lower().replace(" ", "_") == problem["error_type"]
    if error_type is not None:
        assert problem["error_type"] == error_type
    return problem


def check_tokens(tokens: list[dict[str, Any]], text: str) -> None:
    """The span of each token is its text."""
    for token in tokens:
        assert token.keys() - {"special"} == {"text", "start", "end"}
        assert text[token["start"] : token["end"]] == token["text"]
        assert not (token.get("special") and token["text"])


def check_matrix(matrix: dict[str, Any], queries: int, keys: int) -> None:
    """A matrix of that shape; each row sums to 1, and a decoder sees nothing of what is to come."""
    assert matrix.keys() == {"kind", "layer", "head", "weights"}
    weights = np.array(matrix["weights"])
    assert weights.shape == (queries, keys)
    assert (weights >= 0).all()
    assert abs(weights.sum(axis=1) - 1).max() <= 1e-3
    if matrix["kind"] == "decoder_self":
        assert (weights == np.tril(weights)).all()


def kinds(matrices: list[dict[str, Any]]) -> list[tuple[str, int | None, int | None]]:
    return [(matrix["kind"], matrix["layer"], matrix["head"]) for matrix in matrices]
