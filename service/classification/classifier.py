"""The classifier: texts -> predictions, each with the tokens and the attention behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from service import observability
from service.attention import AttentionDetail, AttentionMatrix, matrices, outputs_for
from service.batching.engine import SinglePassEngine
from service.batching.scheduler import Limits, Scheduler
from service.bundle.manifest import Manifest
from service.errors import EmptyText, TextTooLong
from service.runtime import Runtime
from service.text.sentences import is_blank
from service.text.tokenizer import Encoded, TextTokenizer, Token, run_in_thread_if_long


@dataclass(slots=True)
class Prediction:
    label: str
    score: float
    scores: dict[str, float]
    """Label -> probability."""
    truncated: bool
    tokens: list[Token]
    attention: list[AttentionMatrix]


Result = tuple[tuple[str, float, dict[str, float]], list[AttentionMatrix]]


@dataclass(slots=True)
class ClassifierWork:
    encoded: Encoded
    attention: AttentionDetail

    @property
    def length(self) -> int:
        return len(self.encoded.ids)


class Classifier:
    """A loaded classification bundle. Raises BundleError where it cannot be loaded."""

    def __init__(self, folder: Path, manifest: Manifest, runtime: Runtime, limits: Limits):
        assert manifest.labels is not None  # the manifest checked itself
        self.manifest = manifest
        self.labels = manifest.labels
        self._tokenizer = TextTokenizer(folder / manifest.tokenizers["text"])
        self._session = runtime.open(folder, manifest, "classify")
        self.precision = self._session.graph.precision
        engines = [SinglePassEngine(self._run) for _ in range(self._session.at_once)]
        self.scheduler = Scheduler(manifest.name, engines, limits)

    def close(self) -> None:
        self.scheduler.close()

    async def classify(
        self,
        texts: Sequence[str],
        attention: AttentionDetail = "summary",
        truncate: bool = False,
    ) -> list[Prediction]:
        """One prediction per text, in order.

        Raises EmptyText, TextTooLong, Overloaded or InferenceFailed; nothing runs unless
        every text can.
        """
        with observability.timed(self.manifest.name, "tokenise"):
            encodings = await run_in_thread_if_long(texts, lambda: self._encode(texts, truncate))
        work = [ClassifierWork(encoded, attention) for encoded, _ in encodings]
        predictions = await self.scheduler.submit(work)
        return [
            Prediction(*prediction, truncated, encoded.tokens, found)
            for (prediction, found), (encoded, truncated) in zip(predictions, encodings, strict=True)
        ]

    def _encode(self, texts: Sequence[str], truncate: bool) -> list[tuple[Encoded, bool]]:
        """Each text's tokens, and whether they were cut to the limit."""
        limit = self.manifest.limits.max_tokens
        encodings = []
        for index, text in enumerate(texts):
            encoded = self._tokenizer.encode(text)
            if is_blank(text) or not encoded.ids:
                raise EmptyText(f"text {index} has no visible character")
            too_long = len(encoded.ids) > limit
            if too_long and not truncate:
                raise TextTooLong(
                    f"text {index} has {len(encoded.ids)} tokens, {self.manifest.name} reads up to {limit}; "
                    'shorten it, or allow it to be cut with "truncate": true'
                )
            if too_long:
                encoded = Encoded(encoded.ids[:limit], encoded.tokens[:limit])
            encodings.append((encoded, too_long))
        return encodings

    def _run(self, batch: Sequence[ClassifierWork]) -> list[Result]:
        lengths = np.array([item.length for item in batch], dtype=np.int64)
        ids = np.zeros((len(batch), lengths.max()), dtype=np.int64)
        for row, item in enumerate(batch):
            ids[row, : item.length] = item.encoded.ids
        wanted = {detail: outputs_for(detail, self.manifest.attention) for detail in {item.attention for item in batch}}
        fetched = dict.fromkeys(output.output for outputs in wanted.values() for output in outputs)
        outputs = self._session.run({"ids": ids, "lengths": lengths}, ["probabilities", *fetched])
        results: list[Result] = []
        for row, (item, probabilities) in enumerate(zip(batch, outputs["probabilities"].tolist(), strict=True)):
            scores = dict(zip(self.labels, probabilities, strict=True))
            label = max(scores, key=scores.__getitem__)
            # Queries are either one (pooling) or as many as the tokens (self-attention): both are cropped.
            length = item.length
            cropped = [(w, outputs[w.output][row][..., :length, :length]) for w in wanted[item.attention]]
            results.append(((label, scores[label], scores), matrices(item.attention, cropped)))
        return results

    async def golden(self, case: dict[str, Any]) -> dict[str, Any]:
        """This bundle's answer to a golden case, in the form golden.json holds it."""
        [prediction] = await self.classify([case["text"]])
        weights = [matrix.weights.tolist() for matrix in prediction.attention]
        return {"scores": prediction.scores, "attention": weights[0] if weights else None}
