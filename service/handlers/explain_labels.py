"""Explain the score of a label: a request -> a weight per word or token by several methods, with their faithfulness."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.attention import AttentionDetail, outputs_for
from service.batching.offload import run_in_thread_if_long
from service.bundle.manifest import Manifest
from service.classification.classifier import ClassificationRequest, ClassificationResult, Classifier
from service.errors import TextTooLong, TooManyTokens, UnsupportedOption, excerpt
from service.explanation.explainer import Explained, Explanation, ExplanationParams, Method
from service.explanation.explainer import explain as explain_units
from service.explanation.faithfulness import SHARES, Faithfulness
from service.explanation.subsets import Floats, Masks
from service.explanation.units import Units
from service.handlers.encoding import Encoding, rounded, tokens_of
from service.handlers.explain_schemas import ExplainRequest
from service.settings import Settings
from service.text.tokenizer import Encoded, Token

ALL_METHODS: tuple[Method, ...] = ("attention", "contribution", "occlusion", "shapley")


@dataclass(frozen=True)
class ExplanationAnswer:
    """The answer to a request."""

    manifest: Manifest
    target: str
    """Label whose score is explained."""
    unit: str
    tokens: list[Token]
    explained: Explained

    @property
    def model(self) -> str:
        return self.manifest.name

    @property
    def size(self) -> int:
        return len(self.tokens) * (1 + 2 * len(self.explained.explanations))

    def encode(self, encoding: Encoding) -> dict[str, Any]:
        """The answer in the form of `explain_schemas.ExplainResponse`."""
        explained = self.explained
        return {
            "model": self.manifest.name,
            "version": str(self.manifest.version),
            "target": self.target,
            "score": rounded(explained.score),
            "empty_score": None if explained.empty_score is None else rounded(explained.empty_score),
            "unit": self.unit,
            "tokens": tokens_of(self.tokens),
            "explanations": [encode_explanation(one) for one in explained.explanations],
            "random": None if explained.random is None else encode_faithfulness(explained.random),
            "evaluations": explained.evaluations,
        }


def encode_explanation(explanation: Explanation) -> dict[str, Any]:
    """The weights of one method in the form of `explain_schemas.MethodExplanation`."""
    errors, correlation = explanation.errors, explanation.correlation
    return {
        "method": explanation.method,
        "weights": _rounded_all(explanation.weights),
        "errors": None if errors is None else _rounded_all(errors),
        "faithfulness": encode_faithfulness(explanation.faithfulness),
        "occlusion_correlation": None if correlation is None else round(correlation, 4),
    }


def encode_faithfulness(measured: Faithfulness) -> dict[str, Any]:
    """Changes of the score in the form of `explain_schemas.FaithfulnessOfOrder`."""
    rows = zip(SHARES, _rounded_all(measured.comprehensiveness), _rounded_all(measured.sufficiency), strict=True)
    return {
        "comprehensiveness": rounded(float(measured.comprehensiveness.mean())),
        "sufficiency": rounded(float(measured.sufficiency.mean())),
        "shares": [
            {"share": share, "comprehensiveness": without, "sufficiency": alone} for share, without, alone in rows
        ],
    }


def _rounded_all(values: Floats) -> list[float]:
    return [rounded(value) for value in values.tolist()]


async def explain_label(request: ExplainRequest, classifier: Classifier, settings: Settings) -> ExplanationAnswer:
    """Explain the score of a label for a text.

    Raises the errors of `explain.explain`.
    """
    text = request.text
    if request.output is not None:
        raise UnsupportedOption(f"{classifier.manifest.name} is a classifier and has no output; name a target")
    unit = request.unit or "word"
    methods = methods_of(request, classifier)
    if request.target is not None and request.target not in classifier.labels:
        raise UnsupportedOption(
            f"{classifier.manifest.name} has no label {excerpt(request.target)!r}, only {', '.join(classifier.labels)}"
        )
    [(encoded, _)] = await run_in_thread_if_long([text], lambda: classifier.encode([text]))
    units = Units(text, encoded, classifier.tokenizer, unit, request.removal)
    scorer = TextScorer(classifier, text, units, detail_for(methods), request.target, settings.max_request_tokens)
    params = ExplanationParams(
        methods, request.evaluations, settings.max_explain_evaluations, request.random_orders, request.seed
    )
    own: dict[Method, Callable[[], Floats]] = {
        "attention": scorer.attention,
        "contribution": scorer.contribution,
    }
    explained = await explain_units(len(units.tokens), own, scorer.evaluate, params)
    return ExplanationAnswer(classifier.manifest, scorer.target, unit, units.tokens, explained)


class TextScorer:
    """Scores the changed texts of one request. The first one is the whole text, which chooses the label."""

    def __init__(
        self,
        classifier: Classifier,
        text: str,
        units: Units,
        detail: AttentionDetail,
        target: str | None,
        max_tokens: int,
    ):
        """
        detail: attention of the whole text that the methods need
        max_tokens: maximum tokens of all texts in one call of `evaluate`
        """
        self._classifier = classifier
        self._text = text
        self._units = units
        self._detail = detail
        self._target = target
        self._max_tokens = max_tokens
        self._whole: ClassificationResult | None = None

    @property
    def whole(self) -> ClassificationResult:
        """The result of the whole text."""
        assert self._whole is not None, "evaluate comes first"
        return self._whole

    @property
    def target(self) -> str:
        """Label whose score is explained: by default the most likely one of the whole text."""
        scores = self.whole.scores
        return self._target if self._target is not None else max(scores, key=scores.__getitem__)

    def attention(self) -> Floats:
        """Attention that each unit gets, [U]. With several summary matrices it is that of the first."""
        return self._units.attention(self.whole.attention[0])

    def contribution(self) -> Floats:
        """Contribution of each unit to the logit of the target, relative to the mean of all labels [U].

        The probabilities of a softmax depend on differences of logits only.
        """
        of_labels = [matrix.weights for matrix in self.whole.attention if matrix.kind == "contribution"]
        sums = self._units.sums(np.concatenate(of_labels).astype(np.float64))
        difference: Floats = sums[self._classifier.labels.index(self.target)] - sums.mean(axis=0)
        return difference

    async def evaluate(self, masks: Masks) -> Floats:
        """Sets of kept units [R, U] -> scores [R], in one request to the scheduler.

        Raises TooManyTokens, TextTooLong, Overloaded, InferenceTimeout or InferenceFailed.
        """
        if (tokens := int((masks @ self._units.sizes).sum())) > self._max_tokens:
            raise TooManyTokens(
                f"{len(masks)} changed texts with {tokens} tokens; the limit is {self._max_tokens} "
                "(LIMELIGHT_MAX_REQUEST_TOKENS); send a shorter text, or fewer evaluations, methods or random orders"
            )
        texts = [self._text] * len(masks)
        rows = await run_in_thread_if_long(texts, lambda: self._units.keep(masks))
        if (longest := max(map(len, rows))) > (limit := self._classifier.manifest.limits.max_tokens):
            raise TextTooLong(f"the text without some words has {longest} tokens; the limit is {limit}")
        requests = [ClassificationRequest(Encoded(ids, []), "none") for ids in rows]
        if self._whole is None:
            requests[0].attention = self._detail
        results = await self._classifier.scheduler.submit(requests)
        if self._whole is None:
            self._whole = results[0]
        return np.array([result.scores[self.target] for result in results])


def methods_of(request: ExplainRequest, classifier: Classifier) -> list[Method]:
    """The requested methods, each once; by default all that the model has. Raises UnsupportedOption."""
    outputs = classifier.manifest.attention
    missing: set[Method] = set()
    if not outputs_for("summary", outputs):
        missing.add("attention")
    if all(output.kind != "contribution" for output in outputs):
        missing.add("contribution")
    available = [method for method in ALL_METHODS if method not in missing]
    if request.methods is None:
        return available
    if refused := missing.intersection(request.methods):
        raise UnsupportedOption(
            f"{classifier.manifest.name} has no {' and no '.join(sorted(refused))}; its methods are "
            + ", ".join(available)
        )
    return list(dict.fromkeys(request.methods))


def detail_for(methods: Sequence[Method]) -> AttentionDetail:
    """The attention that methods of the network itself need."""
    if "contribution" in methods:
        return "full"
    return "summary" if "attention" in methods else "none"
