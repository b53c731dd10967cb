import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.attention import AttentionDetail
from service.batching.engine import SinglePassEngine
from service.batching.scheduler import Limits
from service.bundle.bundle import read_bundle
from service.bundle.files import read_manifest
from service.bundle.golden import ClassificationAnswer, ClassificationCase
from service.bundle.manifest import ClassificationManifest
from service.classification.classifier import TEXTS_PER_RUN, Classifier, Prediction
from service.errors import EmptyText, InferenceFailed, TextTooLong
from service.runtime import Runtime, Session
from tests.fakes import LABELS, MAX_TOKENS, TEXTS, change_manifest, source_tokenizer
from tests.service import networks

TOKENIZER = source_tokenizer(ends=False)
texts = st.lists(st.sampled_from(["wind", "rain,", "Ab", "7", "日", "and"]), min_size=1, max_size=7).map(" ".join)


def open_classifier(folder: Path, threads: int = 1, limits: Limits | None = None) -> Classifier:
    manifest = read_manifest(folder)
    assert isinstance(manifest, ClassificationManifest)
    return Classifier(read_bundle(folder, manifest), Runtime("cpu", threads=threads), limits or Limits())


@pytest.fixture(scope="module")
def classifier(models: Path) -> Iterator[Classifier]:
    made = open_classifier(models / "toy" / "1", limits=Limits(batch_tokens=31))
    yield made
    made.close()


@pytest.fixture(scope="module")
def three_workers(models: Path) -> Iterator[Classifier]:
    """A classifier that divides every batch between three workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SinglePassEngine, "min_tokens_per_worker", 1)
        made = open_classifier(models / "toy" / "1", threads=3)
        yield made
        made.close()


def classify(
    classifier: Classifier, texts: list[str], attention: AttentionDetail = "summary", truncate: bool = False
) -> list[Prediction]:
    return asyncio.run(classifier.classify(texts, attention, truncate))


def check(prediction: Prediction, ids: list[int], detail: AttentionDetail) -> None:
    """Compare a prediction with numpy."""
    probabilities, pooling, self_attention = networks.classify(ids)
    assert list(prediction.scores) == LABELS
    assert list(prediction.scores.values()) == pytest.approx(probabilities, abs=1e-5)
    assert prediction.label == LABELS[int(probabilities.argmax())]
    assert prediction.score == prediction.scores[prediction.label]
    assert len(prediction.tokens) == len(ids)
    found: list[tuple[str, int | None, int | None, Any]] = [("pooling", None, None, pooling)]
    found += [("self", 0, head, weights) for head, weights in enumerate(self_attention)]
    expected = found[: {"none": 0, "summary": 1, "full": len(found)}[detail]]
    assert len(prediction.attention) == len(expected)
    for matrix, (kind, layer, head, weights) in zip(prediction.attention, expected, strict=True):
        assert (matrix.kind, matrix.layer, matrix.head) == (kind, layer, head)
        assert matrix.weights.shape == weights.shape
        assert matrix.weights == pytest.approx(weights, abs=1e-5)


@given(batch=st.lists(texts, min_size=1, max_size=5), detail=st.sampled_from(["none", "summary", "full"]))
def test_a_batch_of_any_lengths_equals_numpy(classifier: Classifier, batch: list[str], detail: AttentionDetail) -> None:
    predictions = classify(classifier, batch, detail)
    for text, prediction in zip(batch, predictions, strict=True):
        assert not prediction.truncated
        check(prediction, TOKENIZER.encode(text).ids, detail)


def test_more_texts_than_a_run_takes(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = Session.run

    def counted(self: Session, inputs: Any, outputs: Any = None) -> Any:
        sizes.append(len(inputs["ids"]))
        return run(self, inputs, outputs)

    monkeypatch.setattr(Session, "run", counted)
    made = open_classifier(models / "toy" / "1")
    batch = ["wind", "wind and rain"] * TEXTS_PER_RUN
    for text, prediction in zip(batch, classify(made, batch), strict=True):
        check(prediction, TOKENIZER.encode(text).ids, "summary")
    made.close()
    assert sum(sizes) == len(batch)
    assert max(sizes) == TEXTS_PER_RUN


def test_a_long_text_is_refused_or_truncated(classifier: Classifier) -> None:
    long = "wind " * (MAX_TOKENS + 2)
    with pytest.raises(TextTooLong, match=f'text 1 has {MAX_TOKENS + 2} tokens.*up to {MAX_TOKENS}.*"truncate": true'):
        classify(classifier, [TEXTS[0], long])
    short, cut = classify(classifier, [TEXTS[0], long], "full", truncate=True)
    assert (short.truncated, cut.truncated) == (False, True)
    check(cut, TOKENIZER.encode(long).ids[:MAX_TOKENS], "full")
    [whole] = classify(classifier, ["wind " * MAX_TOKENS], truncate=True)
    assert not whole.truncated


@pytest.mark.parametrize("text", ["", "  ", "\n", "\u200b"])
def test_a_blank_text_is_refused_before_anything_runs(
    classifier: Classifier, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "run", lambda *args: pytest.fail("the network ran"))
    with pytest.raises(EmptyText, match="text 1 has no visible character"):
        classify(classifier, ["wind", text])


def test_no_texts(classifier: Classifier) -> None:
    assert classify(classifier, []) == []


def test_only_requested_attention_is_computed(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[list[str] | None] = []
    run = Session.run

    def watched(session: Session, inputs: dict, outputs: list[str] | None = None) -> dict:
        fetched.append(outputs)
        return run(session, inputs, outputs)

    monkeypatch.setattr(Session, "run", watched)
    for detail in ("none", "summary", "full"):
        classify(classifier, ["wind"], detail)
    assert fetched == [["probabilities"], ["probabilities", "pooling"], ["probabilities", "pooling", "self_0"]]


def test_a_network_that_fails(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Session, "run", lambda *args: {"probabilities": np.zeros((1, 2))})  # 2 of 3 labels
        with pytest.raises(InferenceFailed):
            classify(classifier, ["wind"], "none")
    assert classify(classifier, ["wind"])


def test_a_classifier_without_attention(models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models / "toy", tmp_path / "toy")) / "1"
    change_manifest(folder, attention=[])
    plain = open_classifier(folder)
    for detail in ("none", "summary", "full"):
        [prediction] = classify(plain, ["wind"], detail)
        assert prediction.attention == []
    expected = ClassificationAnswer(scores=prediction.scores, attention=None)
    assert asyncio.run(plain.golden(ClassificationCase(text="wind", answer=expected))) == expected
    plain.close()


@given(st.lists(texts, min_size=1, max_size=11))
def test_a_batch_divided_between_workers(three_workers: Classifier, batch: list[str]) -> None:
    for text, prediction in zip(batch, classify(three_workers, batch, "full"), strict=True):
        check(prediction, TOKENIZER.encode(text).ids, "full")


def test_a_failing_worker_fails_the_request(three_workers: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Session.run

    def failing(self: Session, inputs: dict[str, Any], outputs: list[str]) -> Any:
        if inputs["lengths"].max() > 5:
            raise RuntimeError("too much")
        return run(self, inputs, outputs)

    monkeypatch.setattr(Session, "run", failing)
    with pytest.raises(InferenceFailed, match="RuntimeError"):
        classify(three_workers, ["wind", "rain", "wind " * 7])
    assert len(classify(three_workers, ["wind", "rain", "wind"])) == 3


def test_scores_are_calibrated_unless_raw(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "toy" / "1", tmp_path / "toy" / "1")
    change_manifest(tmp_path / "toy" / "1", temperature=2.0)
    opened = open_classifier(tmp_path / "toy" / "1")
    try:
        [raw] = asyncio.run(opened.classify(["No rain"], raw=True))
        [calibrated] = classify(opened, ["No rain"])
        answer = asyncio.run(opened.golden(ClassificationCase(text="No rain", answer=_answer(raw))))
    finally:
        opened.close()
    expected = np.sqrt(networks.classify(TOKENIZER.encode("No rain").ids)[0])
    np.testing.assert_allclose(list(calibrated.scores.values()), expected / expected.sum(), atol=1e-5)
    np.testing.assert_allclose(list(raw.scores.values()), expected**2, atol=1e-5)
    assert answer.scores == raw.scores
    assert calibrated.label == raw.label and calibrated.score == max(calibrated.scores.values())


def _answer(prediction: Prediction) -> ClassificationAnswer:
    return ClassificationAnswer(scores=prediction.scores, attention=None)
