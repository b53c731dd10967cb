"""The translation engine over the fake translator."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.attention import AttentionDetail
from service.batching.scheduler import Limits, Scheduler
from service.bundle.bundle import read_bundle
from service.bundle.files import read_manifest, sha256_of, update_manifest
from service.bundle.manifest import TranslationManifest
from service.decoding.beam_search import BeamSearch
from service.decoding.onnx_step import OnnxStep
from service.decoding.pattern_search import Pattern
from service.errors import InferenceFailed
from service.runtime import Runtime, Session
from service.translation.engine import Decoded, Options, TranslationEngine, TranslationRequest
from tests.fakes import TEXTS, source_tokenizer
from tests.service import networks

TOKENIZER = source_tokenizer(ends=True)
Engines = Scheduler[TranslationRequest, Decoded]


def open_engine(folder: Path, stand_ins: dict[int, int] | None = None) -> TranslationEngine:
    manifest, runtime = read_manifest(folder, TranslationManifest), Runtime("cpu", threads=1)
    bundle = read_bundle(folder, manifest)
    return TranslationEngine(manifest, runtime.open(bundle, "encode"), runtime.open(bundle, "step"), stand_ins)


@pytest.fixture(scope="module")
def engine(models: Path) -> TranslationEngine:
    return open_engine(models / "en-xx" / "1")


@pytest.fixture(scope="module")
def scheduler(engine: TranslationEngine) -> Iterator[Engines]:
    made: Engines = Scheduler("en-xx", [engine], Limits(batch_tokens=101))
    yield made
    made.close()


def request(text: str, streams: bool = False, **options: Any) -> TranslationRequest:
    return TranslationRequest(TOKENIZER.encode(text).ids, [], Options(**options), streams)


def run(engine: TranslationEngine, *requests: TranslationRequest) -> list[Any]:
    """Return the results of requests that start together, in order."""
    engine.start(list(enumerate(requests)))
    found: dict[int, Any] = {}
    while len(found) < len(requests):
        found |= dict(engine.advance())
    return [found[key] for key in range(len(requests))]


def check_same(one: Decoded, other: Decoded) -> None:
    assert [h.token_ids for h in one.hypotheses] == [h.token_ids for h in other.hypotheses]
    scores = [[hypothesis.score for hypothesis in decoded.hypotheses] for decoded in (one, other)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert one.copied == other.copied
    for index in range(len(one.hypotheses)):
        for matrix, expected in zip(one.attention_of(index), other.attention_of(index), strict=True):
            assert (matrix.kind, matrix.layer, matrix.head) == (expected.kind, expected.layer, expected.head)
            assert matrix.weights == pytest.approx(expected.weights, abs=1e-5)


@pytest.mark.parametrize("text", TEXTS)
def test_greedy_search_equals_numpy(engine: TranslationEngine, text: str) -> None:
    found, score, cross = networks.translate(TOKENIZER.encode(text).ids)
    [decoded] = run(engine, request(text, beam_size=1))
    [hypothesis] = decoded.hypotheses
    assert hypothesis.token_ids == found
    assert hypothesis.score == pytest.approx(score, abs=1e-5)
    [matrix] = decoded.attention_of(0)
    assert matrix.weights == pytest.approx(cross, abs=1e-5)


@pytest.mark.parametrize("detail", ["summary", "full"])
def test_every_hypothesis_has_its_attention(engine: TranslationEngine, detail: AttentionDetail) -> None:
    """The fake network's attention depends on the position only, so that hypotheses share rows."""
    one = request(TEXTS[0], beam_size=3, attention=detail)
    [decoded] = run(engine, one)
    assert len(decoded.hypotheses) == 3
    summaries = []
    for index, hypothesis in enumerate(decoded.hypotheses):
        target, source = len(hypothesis.token_ids), len(one.source_ids)
        shapes = {"cross": (target, source), "encoder_self": (source, source), "decoder_self": (target, target)}
        matrices = decoded.attention_of(index)
        assert len(matrices) == {"summary": 1, "full": 7}[detail]
        for matrix in matrices:
            assert matrix.weights.shape == shapes[matrix.kind]
            assert matrix.weights.sum(axis=1) == pytest.approx(np.ones(len(matrix.weights)), abs=1e-5)
        summaries.append(matrices[0].weights)
    shortest = min(map(len, summaries))
    for weights in summaries[1:]:
        assert weights[:shortest] == pytest.approx(summaries[0][:shortest], abs=1e-6)


def test_only_requested_attention_is_computed(engine: TranslationEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: set[str] = set()
    run_session, run_keeping = Session.run, Session.run_keeping

    def watched(session: Session, inputs: dict, outputs: list[str]) -> dict:
        fetched.update(outputs)
        return run_session(session, inputs, outputs)

    def watched_keeping(session: Session, inputs: dict, outputs: list[str], kept: list[str]) -> Any:
        fetched.update(outputs)
        return run_keeping(session, inputs, outputs, kept)

    monkeypatch.setattr(Session, "run", watched)
    monkeypatch.setattr(Session, "run_keeping", watched_keeping)
    run(engine, request("wind", attention="none"))
    assert not fetched & {"cross_0", "cross_1", "decoder_self_0", "encoder_self_0"}
    run(engine, request("wind", attention="summary"))
    assert fetched & {"cross_0", "cross_1", "decoder_self_0", "encoder_self_0"} == {"cross_0"}


def test_a_sentence_without_any_finite_probability(engine: TranslationEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An overflow in one sentence fails its own request. The others of the batch have their translations."""
    call = OnnxStep.__call__

    def overflowing(self: OnnxStep, *args: Any) -> Any:
        candidates, state, attention = call(self, *args)
        odd = state.source["source_mask"].sum(axis=1) == len(TOKENIZER.encode("wind rain").ids)
        candidates.log_probs[np.repeat(odd, len(candidates.log_probs) // len(odd))] = np.nan
        return candidates, state, attention

    texts = ["wind", "wind rain", "rain"]
    expected = [run(engine, request(text))[0] for text in texts]
    monkeypatch.setattr(OnnxStep, "__call__", overflowing)
    first, failed, last = run(engine, *map(request, texts))
    assert isinstance(failed, InferenceFailed) and "no token of this sentence" in str(failed)
    check_same(first, expected[0])
    check_same(last, expected[2])


def test_different_options_in_one_batch(engine: TranslationEngine) -> None:
    """Each request has the result that it has alone."""
    options: list[dict[str, Any]] = [
        {"beam_size": 1, "attention": "none"},
        {"beam_size": 3, "attention": "full", "length_penalty": 0.0},
        {"beam_size": 3, "attention": "summary"},
        {"beam_size": 2, "alternatives": 2, "max_length": 3},
        {"beam_size": 1, "attention": "full"},
    ]
    requests = [request(text, **own) for own in options for text in TEXTS]
    for one, found in zip(requests, run(engine, *requests), strict=True):
        [alone] = run(engine, one)
        check_same(found, alone)


@pytest.mark.parametrize("max_join_padding", [0, 10**9])
@pytest.mark.parametrize("admission_rows", [0, 10**9])
def test_sentences_that_arrive_later(
    engine: TranslationEngine,
    scheduler: Engines,
    monkeypatch: pytest.MonkeyPatch,
    max_join_padding: int,
    admission_rows: int,
) -> None:
    """A sentence has the result that it has alone, if it waits, joins a search or starts another."""
    monkeypatch.setattr("service.translation.engine.MAX_JOIN_PADDING", max_join_padding)
    monkeypatch.setattr("service.translation.engine.ADMISSION_ROWS", admission_rows)
    requests = [request(text, n % 2 == 0, beam_size=1, alternatives=n % 2) for n, text in enumerate(TEXTS)]

    async def staggered() -> list[list[Decoded]]:
        started, tasks = asyncio.Event(), []
        for one in requests:
            started.clear()
            tasks.append(asyncio.create_task(scheduler.submit([one], lambda index, new: started.set())))
            if one.streams:
                await started.wait()
        return await asyncio.gather(*tasks)

    for one, [found] in zip(requests, asyncio.run(staggered()), strict=True):
        [alone] = run(engine, one)
        check_same(found, alone)


def test_sentences_join_a_search_while_the_padding_is_small(
    engine: TranslationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence of beam size 4 joins a search that has generated 32 tokens. Two sentences do not."""
    calls: list[int] = []
    call = OnnxStep.__call__

    def counted(self: OnnxStep, token_ids: Any, *args: Any) -> Any:
        calls.append(len(token_ids))
        return call(self, token_ids, *args)

    def num_searches() -> int:
        calls.clear()
        engine.advance()
        return len(calls)

    monkeypatch.setattr(OnnxStep, "__call__", counted)
    long = request("wind and rain " * 5)
    engine.start([(0, long)])
    engine.start([(key, long) for key in range(1, 33)])  # no tokens yet: no padding
    assert num_searches() == 1
    engine.drop(range(1, 33))
    monkeypatch.setattr(BeamSearch, "longest", 32)
    engine.start([(33, long)])
    assert num_searches() == 1
    engine.start([(34, request("wind and rain " * 5, beam_size=2))])
    assert num_searches() == 2
    engine.start([(35, long), (36, long)])
    assert num_searches() == 3
    engine.drop(range(37))
    assert engine.advance() == []


@pytest.mark.parametrize("beam_size", [1, 7])
def test_stand_ins_are_produced_as_often_as_in_the_source(models: Path, beam_size: int) -> None:
    """The tokens of "wind" and "rain" are the stand-ins. In sources without them they are forbidden."""
    [wind, rain] = [TOKENIZER.encode(word).ids[0] for word in ("wind", "rain")]
    engine = open_engine(models / "en-xx" / "1", {wind: wind, rain: rain})
    requests = [request(text, beam_size=beam_size) for text in ("wind and wind", "wind and rain", "and and", "7, 8")]
    for one, decoded in zip(requests, run(engine, *requests), strict=True):
        for hypothesis in decoded.hypotheses:
            for token in (wind, rain):
                assert hypothesis.token_ids.count(token) <= one.source_ids.count(token)
        [alone] = run(engine, one)
        check_same(decoded, alone)
    [decoded] = run(engine, requests[1])
    assert decoded.hypotheses[0].token_ids.count(wind) == decoded.hypotheses[0].token_ids.count(rain) == 1


@pytest.fixture(scope="module")
def restricted(models: Path, tmp_path_factory: pytest.TempPathFactory) -> TranslationEngine:
    """The engine of a step graph whose output layer knows a part of the vocabulary."""
    folder = Path(shutil.copytree(models / "en-xx" / "1", tmp_path_factory.mktemp("restricted") / "en-xx" / "1"))
    manifest = read_manifest(folder, TranslationManifest)
    graphs = [networks.write_graph(folder, name) for name in ("encode", "restricted_step")]
    graphs[1] = graphs[1].model_copy(update={"role": "step"})
    files = manifest.files | {graph.file: sha256_of(folder / graph.file) for graph in graphs}
    update_manifest(folder, graphs=graphs, files=files)
    return open_engine(folder)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_an_output_layer_that_knows_a_part_of_the_vocabulary(restricted: TranslationEngine, beam_size: int) -> None:
    requests = [request(text, beam_size=beam_size) for text in TEXTS]
    for one, decoded in zip(requests, run(restricted, *requests), strict=True):
        assert all(set(hypothesis.token_ids) <= set(networks.OUTPUTS) for hypothesis in decoded.hypotheses)
        [alone] = run(restricted, one)
        check_same(decoded, alone)


def test_a_pattern_can_have_tokens_that_the_output_layer_does_not_know(restricted: TranslationEngine) -> None:
    known = next(token for token in networks.OUTPUTS if token != networks.EOS)
    other = next(token for token in range(networks.V - 1, 0, -1) if token not in networks.OUTPUTS)
    pattern = Pattern((((known,),), ((other, known),)), networks.V)
    one = TranslationRequest(TOKENIZER.encode(TEXTS[0]).ids, [], Options(), pattern=pattern)
    [decoded] = run(restricted, one)
    assert decoded.hypotheses[0].token_ids == [known, other, known]


@pytest.mark.parametrize("detail", ["none", "summary"])
def test_streamed_tokens(engine: TranslationEngine, detail: AttentionDetail) -> None:
    engine.start([(0, request(TEXTS[0], True, beam_size=1, attention=detail)), (1, request(TEXTS[2], beam_size=1))])
    streamed: list[tuple[int, Any]] = []
    finished: dict[int, Any] = {}
    while len(finished) < 2:
        finished |= dict(engine.advance())
        streamed += engine.new_tokens()
    assert {key for key, _ in streamed} == {0}
    assert [new.token_id for _, new in streamed] == finished[0].hypotheses[0].token_ids
    weights = [new.weights for _, new in streamed]
    if detail == "none":
        assert weights == [None] * len(weights)
    else:
        assert np.stack(weights) == pytest.approx(finished[0].attention_of(0)[0].weights, abs=1e-6)
