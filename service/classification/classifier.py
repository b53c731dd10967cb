"""The classifier: texts -> predictions, with the tokens and attention of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service import observability
from service.attention import AttentionDetail, AttentionMatrix, check_weights, count_weights, matrices, outputs_for
from service.batching import budget
from service.batching.engine import SinglePassEngine
from service.batching.offload import run_in_thread_if_long
from service.batching.scheduler import Limits, Scheduler
from service.bundle.bundle import Bundle
from service.bundle.golden import ClassificationAnswer, ClassificationCase
from service.bundle.manifest import ClassificationManifest
from service.classification.calibration import calibrated
from service.errors import EmptyText, TextTooLong
from service.runtime import Runtime
from service.text.sentences import is_blank
from service.text.tokenizer import Encoded, TextTokenizer, Token, token_count


@dataclass(slots=True)
class Prediction:
    """The labels of one text."""

    label: str
    """The most likely label."""
    score: float
    """Probability of `label`."""
    scores: dict[str, float]
    """Label -> probability."""
    truncated: bool
    """True if tokens beyond the limit were dropped."""
    tokens: list[Token]
    attention: list[AttentionMatrix]


@dataclass(slots=True)
class ClassificationRequest:
    """One text to classify."""

    encoded: Encoded
    attention: AttentionDetail
    raw: bool = False
    """Return the probabilities of the network, without calibration."""

    @property
    def length(self) -> int:
        """Tokens of the text."""
        return len(self.encoded.ids)


@dataclass(slots=True)
class ClassificationResult:
    """The result of a ClassificationRequest."""

    scores: dict[str, float]
    """Label -> probability."""
    attention: list[AttentionMatrix]


TEXTS_PER_RUN = 32
"""Maximum texts in one run of the network on a CPU. With 128 short texts the intermediate arrays exceed the caches, and
a token takes 1.3 to 1.5 times as long."""


def _prediction(encoded: Encoded, truncated: bool, result: ClassificationResult) -> Prediction:
    label = max(result.scores, key=result.scores.__getitem__)
    return Prediction(label, result.scores[label], result.scores, truncated, encoded.tokens, result.attention)


class Classifier:
    """A loaded text classifier. Raises BundleError if it cannot be loaded."""

    def __init__(self, bundle: Bundle[ClassificationManifest], runtime: Runtime, limits: Limits):
        manifest = bundle.manifest
        self.manifest = manifest
        self.labels = manifest.labels
        self._temperature = manifest.temperature
        self.tokenizer = TextTokenizer(bundle.files[manifest.tokenizers["text"]])
        self._session = runtime.open(bundle, "classify")
        self.precision = self._session.graph.precision
        inline = not self._session.on_cuda
        engines = [SinglePassEngine(self._run, inline) for _ in range(self._session.concurrency)]
        self._answer_weights = limits.answer_weights
        self.scheduler = Scheduler(manifest.name, engines, limits)

    def close(self) -> None:
        """Stop the workers."""
        self.scheduler.close()

    async def classify(
        self,
        texts: Sequence[str],
        attention: AttentionDetail = "summary",
        truncate: bool = False,
        raw: bool = False,
    ) -> list[Prediction]:
        """Return one prediction per text, in order.

        raw: with the probabilities of the network, without calibration

        Raises EmptyText, TextTooLong, AnswerTooLarge, Overloaded or InferenceFailed; none is run if one is invalid.
        """
        with observability.timed(self.manifest.name, "tokenise"):
            encodings = await run_in_thread_if_long(texts, lambda: self.encode(texts, truncate))
        lengths = [len(encoded.ids) for encoded, _ in encodings]
        check_weights(count_weights(attention, self.manifest.attention, lengths), self._answer_weights)
        requests = [ClassificationRequest(encoded, attention, raw) for encoded, _ in encodings]
        results = await self.scheduler.submit(requests)
        return [
            _prediction(encoded, truncated, result)
            for (encoded, truncated), result in zip(encodings, results, strict=True)
        ]

    def encode(self, texts: Sequence[str], truncate: bool = False) -> list[tuple[Encoded, bool]]:
        """Return the tokens of each text and whether they were truncated. Raises EmptyText or TextTooLong."""
        limit = self.manifest.limits.max_tokens
        encodings = []
        for index, text in enumerate(texts):
            budget.check()
            encoded = self.tokenizer.encode_beginning(text, limit)
            if is_blank(text) or not encoded.ids:
                raise EmptyText(f"text {index} has no visible character")
            too_long = len(encoded.ids) > limit
            if too_long and not truncate:
                raise TextTooLong(
                    f"text {index} has {token_count(encoded, limit)} tokens, {self.manifest.name} reads up to {limit}; "
                    'shorten it, or allow it to be cut with "truncate": true'
                )
            if too_long:
                encoded = Encoded(encoded.ids[:limit], encoded.tokens[:limit])
            encodings.append((encoded, too_long))
        return encodings

    def _run(self, batch: Sequence[ClassificationRequest]) -> list[ClassificationResult]:
        """Run the network on a batch, which is in the order of lengths, in parts on a CPU."""
        size = len(batch) if self._session.on_cuda else TEXTS_PER_RUN
        parts = [batch[start : start + size] for start in range(0, len(batch), size)]
        return [result for part in parts for result in self._run_padded(part)]

    def _run_padded(self, batch: Sequence[ClassificationRequest]) -> list[ClassificationResult]:
        """Run the network on a padded batch."""
        lengths = np.array([request.length for request in batch], dtype=np.int64)
        ids = np.zeros((len(batch), lengths.max()), dtype=np.int64)
        for row, request in enumerate(batch):
            ids[row, : request.length] = request.encoded.ids
        needed = {detail: outputs_for(detail, self.manifest.attention) for detail in {r.attention for r in batch}}
        names = dict.fromkeys(output.output for outputs in needed.values() for output in outputs)
        arrays = self._session.run({"ids": ids, "lengths": lengths}, ["probabilities", *names])
        results: list[ClassificationResult] = []
        for row, (request, probabilities) in enumerate(zip(batch, arrays["probabilities"].tolist(), strict=True)):
            # Pooling has one query, which the slice keeps.
            length = request.length
            cropped = [(o, arrays[o.output][row][..., :length, :length]) for o in needed[request.attention]]
            if self._temperature != 1 and not request.raw:
                probabilities = calibrated(probabilities, self._temperature)
            scores = dict(zip(self.labels, probabilities, strict=True))
            results.append(ClassificationResult(scores, matrices(request.attention, cropped)))
        return results

    async def golden(self, case: ClassificationCase) -> ClassificationAnswer:
        """Return the answer of the network to a case of golden.json, in the same form, without calibration."""
        [prediction] = await self.classify([case.text], raw=True)
        weights = [matrix.weights.tolist() for matrix in prediction.attention]
        return ClassificationAnswer(scores=prediction.scores, attention=weights[0] if weights else None)
