"""Results without attention matrices: explanations, documents, glossaries, languages and models."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limelight_client.results import Token, TokenLogprob


@dataclass(frozen=True)
class ShareOfUnits:
    """Faithfulness for a share of the units."""

    share: float
    comprehensiveness: float
    sufficiency: float


@dataclass(frozen=True)
class Faithfulness:
    """Faithfulness of an order of the units (DeYoung et al. 2020)."""

    comprehensiveness: float
    """Fall of the score without the first units, averaged over the shares. Higher is better."""
    sufficiency: float
    """Fall of the score with the first units alone, averaged over the shares. Lower is better."""
    shares: list[ShareOfUnits]


@dataclass(frozen=True, eq=False)
class MethodExplanation:
    """The weights of one method."""

    method: str
    weights: NDArray[np.float64]
    """Attention weights, or changes of the score: [units] for a label, [output tokens, units] for an output."""
    errors: NDArray[np.float64] | None
    """Standard errors of sampled Shapley values [units]."""
    faithfulness: Faithfulness
    occlusion_correlation: float | None
    """Spearman's rank correlation with the weights of occlusion."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The words (or tokens) that the score of a label depends on, or each word of an output."""

    model: str
    version: str
    unit: str
    tokens: list[Token]
    """Words or tokens of the text; for a language model also those of the output but the last."""
    explanations: list[MethodExplanation]
    random: Faithfulness | None
    """Mean of random orders, for comparison."""
    evaluations: int
    """Number of changed texts that were scored."""
    target: str | None = None
    """Label whose score is explained. None for translators and language models."""
    score: float | None = None
    """Score of the label."""
    empty_score: float | None = None
    """Score of the label for a text of one unknown symbol. The Shapley values sum to the difference."""
    output: str | None = None
    """Translation or continuation that is explained. None for classifiers."""
    output_tokens: list[TokenLogprob] = field(default_factory=list)
    """Words or tokens of the output."""

    def weights(self, method: str) -> NDArray[np.float64]:
        """Return the weights of a method. Raises KeyError if the result does not have the method."""
        return {found.method: found.weights for found in self.explanations}[method]


@dataclass(frozen=True)
class Document:
    """A translated document."""

    name: str
    """File name."""
    content: bytes


@dataclass(frozen=True)
class StoredGlossary:
    """The terms of a stored glossary for a language pair; for every pair if both languages are None."""

    name: str
    source: str | None
    target: str | None
    terms: int
    """Number of terms."""


@dataclass(frozen=True)
class Detection:
    """A language that a text may have."""

    language: str
    confidence: float
    """From 0 to 100."""


@dataclass(frozen=True)
class Language:
    """A source or target language."""

    code: str
    name: str
    targets: list[str]
    """Codes of the languages into which it is translated; empty for a target only."""


@dataclass(frozen=True)
class Model:
    """A served model. The last six fields are None in a list of models."""

    name: str
    version: str
    ready: bool
    problem: str | None = None
    """Reason why the model is not ready."""
    task: str | None = None
    """`classification`, `translation` or `generation`."""
    description: str | None = None
    architecture: dict[str, Any] | None = None
    default: bool | None = None
    """True if the model answers requests without a model name."""
    precision: str | None = None
    labels: list[str] | None = None
    source: str | None = None
    target: str | None = None
    limits: dict[str, int | None] | None = None
    attention: list[dict[str, Any]] | None = None
    """Kinds of matrices with their numbers of layers and heads."""
    metrics: list[dict[str, Any]] | None = None
    data: list[dict[str, Any]] | None = None
    training: dict[str, Any] | None = None
    pictures: list[dict[str, str]] | None = None
