import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.batching.scheduler import Limits, Scheduler
from service.bundle.bundle import read_bundle
from service.bundle.files import read_manifest
from service.bundle.manifest import TranslationManifest
from service.decoding.beam_search import BeamSearch, Hypothesis
from service.errors import InferenceFailed, TooManyTokens, UnsupportedOption
from service.runtime import Runtime, Session
from service.text.tokenizer import Token
from service.translation.engine import Options
from service.translation.results import Sentence, SentenceEvent, TokenEvent, Translation
from service.translation.translator import Translator
from tests.fakes import TEXTS, doubled, source_tokenizer, write_translator
from tests.service import networks

TOKENIZER = source_tokenizer(ends=True)
words = st.lists(st.sampled_from(["wind", "Rain,", "ab", "and", "é"]), min_size=1, max_size=5).map(" ".join)
spaces = st.sampled_from([" ", "  ", "\n", " \r\n\t", "\u2003"])


def translate(translator: Translator, *texts: str, **options: Any) -> list[Translation]:
    return asyncio.run(translator.translate(texts, Options(**options)))


def check_sentence(sentence: Sentence, text: str) -> None:
    """A greedy translation is what numpy computes from the source's ids."""
    ids = TOKENIZER.encode(text[sentence.start : sentence.end]).ids
    found, score, cross = networks.translate(ids)
    assert len(sentence.target_tokens) == len(found)
    assert sentence.score == pytest.approx(score, abs=1e-5)
    [matrix] = sentence.attention
    assert (matrix.kind, matrix.layer, matrix.head) == ("cross", 0, None)
    assert matrix.weights.shape == (len(found), len(ids))
    assert matrix.weights == pytest.approx(cross, abs=1e-5)


@given(batch=st.lists(words, min_size=1, max_size=5))
def test_a_batch_of_any_lengths_is_what_numpy_says_of_each(translator: Translator, batch: list[str]) -> None:
    for text, translation in zip(batch, translate(translator, *batch, beam_size=1), strict=True):
        [sentence] = translation.sentences
        check_sentence(sentence, text)


def test_each_target_token_looks_at_its_source_token(translator: Translator) -> None:
    [translation] = translate(translator, "Wind! No way, rain.", beam_size=3)
    for sentence in translation.sentences:
        looked_at = sentence.attention[0].weights.argmax(axis=1)
        for token, source in zip(sentence.target_tokens, looked_at, strict=True):
            assert token.text == doubled(sentence.source_tokens[source].text)
        assert sentence.source_tokens[-1].special == "</s>"


@pytest.mark.parametrize("beam_size", [1, 3])
def test_full_attention(translator: Translator, beam_size: int) -> None:
    [translation] = translate(translator, TEXTS[0], beam_size=beam_size, attention="full")
    [sentence] = translation.sentences
    target, source = len(sentence.target_tokens), len(sentence.source_tokens)
    shapes = {"cross": (target, source), "encoder_self": (source, source), "decoder_self": (target, target)}
    kinds = [("cross", 0, 0), ("cross", 0, 1), ("cross", 1, None)]
    kinds += [(kind, 0, head) for kind in ("encoder_self", "decoder_self") for head in (0, 1)]
    assert [(m.kind, m.layer, m.head) for m in sentence.attention] == kinds
    for matrix in sentence.attention:
        assert matrix.weights.shape == shapes[matrix.kind]
        assert matrix.weights.sum(axis=1) == pytest.approx(np.ones(len(matrix.weights)), abs=1e-5)
        if matrix.kind == "decoder_self":
            assert np.array_equal(matrix.weights, np.tril(matrix.weights))


def test_beam_search_finds_nothing_worse_than_greedy(translator: Translator) -> None:
    for text in TEXTS:
        found = [translate(translator, text, beam_size=b)[0].sentences[0] for b in (1, 2, 7)]
        scores = [round(sentence.score, 6) for sentence in found]
        assert scores == sorted(scores)


def test_alternatives(translator: Translator) -> None:
    text = "Wind.\n Rain! "
    [translation] = translate(translator, text, beam_size=1, alternatives=3)
    assert translation.text == doubled(text)
    assert len(translation.alternatives) == 3
    first, second = translation.sentences
    for k, alternative in enumerate(translation.alternatives):
        assert alternative == first.alternatives[k][0] + "\n " + second.alternatives[k][0] + " "
    for sentence in (first, second):
        scores = [sentence.score, *(score for _, score in sentence.alternatives)]
        assert scores == sorted(scores, reverse=True)
    [plain] = translate(translator, text, alternatives=0)
    assert plain.alternatives == [] and plain.sentences[0].alternatives == []


def test_alternatives_run_out(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    """If search finds too few, the best translation replaces the missing ones."""
    advance = BeamSearch.advance
    monkeypatch.setattr(BeamSearch, "advance", lambda search: [(key, found[:2]) for key, found in advance(search)])
    [translation] = translate(translator, "Wind. ", alternatives=3)
    [sentence] = translation.sentences
    assert len(sentence.alternatives) == 1
    assert translation.alternatives == [sentence.alternatives[0][0] + " ", *[translation.text] * 2]


def test_max_length(translator: Translator) -> None:
    [translation] = translate(translator, "wind and rain", max_length=2)
    assert translation.text == "wwiinndd aanndd"
    assert len(translation.sentences[0].target_tokens) == 2


def test_length_penalty_changes_scores(translator: Translator) -> None:
    [summed], [mean] = (translate(translator, "wind and rain", length_penalty=a) for a in (0.0, 1.0))
    assert summed.sentences[0].score == pytest.approx(4 * mean.sentences[0].score)


def test_the_sentences_of_a_request_are_bounded(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.translation.job.MAX_SENTENCES", 3)
    assert len(translate(translator, "wind\nwind\nwind")[0].sentences) == 3
    with pytest.raises(TooManyTokens, match="more than 3 sentences and lines in one request, at most 3 are taken"):
        translate(translator, "wind\nwind", "wind\nwind")


@pytest.mark.parametrize(
    ("option", "value"), [("beam_size", 8), ("alternatives", 7), ("max_length", 32), ("beam_size", 10**30)]
)
def test_options_over_the_limits(translator: Translator, option: str, value: int) -> None:
    with pytest.raises(UnsupportedOption, match=f"{option} parameter must be <= .* for en-xx"):
        translate(translator, "wind", **{option: value})


@pytest.mark.parametrize("text", ["", " \n", "\u200b"])
def test_a_blank_text_comes_back(translator: Translator, text: str) -> None:
    first, blank = translate(translator, "wind", text, alternatives=2)
    assert first.text == "wwiinndd"
    assert blank == Translation(text, [], [text, text])


def test_unknown_characters_are_translated_somehow(translator: Translator) -> None:
    [translation] = translate(translator, "日本", attention="full")
    [sentence] = translation.sentences
    assert Token("日", 0, 1) in sentence.source_tokens
    assert "<unk>" not in translation.text
    for matrix in sentence.attention:
        assert matrix.weights.sum(axis=-1) == pytest.approx(np.ones(len(matrix.weights)), abs=1e-5)


def test_a_network_that_fails(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Session, "run", lambda *args: {})
        with pytest.raises(InferenceFailed):
            translate(translator, "wind")
    assert translate(translator, "wind")[0].text == "wwiinndd"


@pytest.mark.parametrize("detail", ["none", "summary", "full"])
def test_an_empty_translation(translator: Translator, monkeypatch: pytest.MonkeyPatch, detail: str) -> None:
    """An empty translation has no attention, except of the encoder."""
    advance, nothing = BeamSearch.advance, Hypothesis([], -1.5, {})
    monkeypatch.setattr(BeamSearch, "advance", lambda search: [(key, [nothing]) for key, _ in advance(search)])
    [translation] = translate(translator, " Wind\n", beam_size=1, attention=detail)
    assert translation.text == " \n"
    [sentence] = translation.sentences
    assert (sentence.text, sentence.score, sentence.target_tokens) == ("", -1.5, [])
    for matrix in sentence.attention:
        size = len(sentence.source_tokens) if matrix.kind == "encoder_self" else 0
        assert matrix.weights.shape == (size, size)


def test_tokens_of_a_greedy_translation(translator: Translator) -> None:
    events: list[TokenEvent] = []
    options = Options(beam_size=1)
    found = asyncio.run(translator.translate(TEXTS, options, on_token=events.append))
    for number, translation in enumerate(found):
        for place, sentence in enumerate(translation.sentences):
            own = [event for event in events if (event.translation, event.number) == (number, place)]
            assert "".join(event.text for event in own) == sentence.text
            rows = [event.weights for event in own]
            assert np.stack(rows) == pytest.approx(sentence.attention[0].weights, abs=1e-6)  # type: ignore[arg-type]
    events.clear()
    asyncio.run(translator.translate(TEXTS, Options(beam_size=1, attention="none"), on_token=events.append))
    assert events and all(event.weights is None for event in events)
    events.clear()
    asyncio.run(translator.translate(TEXTS, Options(beam_size=2), on_token=events.append))
    assert not events  # beam search may drop a token again


def test_each_sentence_as_it_is_finished(translator: Translator) -> None:
    events: list[SentenceEvent] = []
    texts = ["Wind {{x}}. No way!", "", "<b>Rain</b>."]
    found = asyncio.run(translator.translate(texts, Options(alternatives=1), on_sentence=events.append))
    assert [t.text for t in found] == ["WWiinndd {{x}}.. NNoo wwaayy!!", "", "<b>RRaaiinn</b>.."]
    assert sorted((e.translation, e.number) for e in events) == [(0, 0), (0, 1), (2, 0)]
    for event in events:
        whole = found[event.translation].sentences[event.number]
        assert event.sentence.text == whole.text and event.sentence.start == whole.start
        assert event.sentence.alternatives == whole.alternatives
        for token in event.sentence.target_tokens:
            assert event.sentence.text[token.start : token.end] == token.text


def test_no_tokens_of_a_sentence_with_something_to_restore(copying: Translator) -> None:
    events: list[TokenEvent] = []
    text = "Wind {{x}}. No way & rain! <b>Rain</b>."
    asyncio.run(copying.translate([text], Options(beam_size=1), "html", on_token=events.append))
    assert {event.number for event in events} == {1}
    assert "".join(event.text for event in events) == "NNoo wwaayy &amp; rraaiinn!!"


def test_a_request_is_one_submission(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on the tokens of a request counts all its sentences, with events too."""
    submit, sizes = Scheduler.submit, []

    async def counted(self: Scheduler, work: Any, *callbacks: Any) -> Any:
        sizes.append(len(work))
        return await submit(self, work, *callbacks)

    monkeypatch.setattr(Scheduler, "submit", counted)
    asyncio.run(translator.translate(["Wind. Rain.", "No!"], on_sentence=lambda event: None))
    assert sizes == [3]


def test_no_texts(translator: Translator) -> None:
    assert translate(translator) == []


@pytest.fixture(scope="module")
def copying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Translator]:
    """The fake translator with permission to produce <unk>."""
    special_ids = {"bos": networks.BOS, "eos": networks.EOS, "never": [networks.PAD, networks.BOS]}
    special_ids["unknown"] = networks.UNK
    folder = write_translator(tmp_path_factory.mktemp("copying"), special_ids=special_ids)
    translator = Translator(
        read_bundle(folder, read_manifest(folder, TranslationManifest)), Runtime("cpu", 1), Limits()
    )
    yield translator
    translator.close()


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("attention", ["none", "summary", "full"])
def test_unknown_symbols_are_copied_from_where_it_looks(copying: Translator, beam_size: int, attention: str) -> None:
    texts = ["wind \u2764 rain \u96e8!", "no \ud55c", "wind"]
    found = translate(copying, *texts, beam_size=beam_size, attention=attention)
    assert [t.text for t in found] == ["wwiinndd \u2764 rraaiinn \u96e8!!", "nnoo \ud55c", "wwiinndd"]
    for translation in found:
        for token in translation.sentences[0].target_tokens:
            assert translation.text[token.start : token.end] == token.text


def test_copied_tokens_are_reported(copying: Translator) -> None:
    events: list[TokenEvent] = []
    [translation] = asyncio.run(
        copying.translate(["wind \u96e8 rain \u96e8!"], Options(beam_size=1), on_token=events.append)
    )
    assert "".join(event.text for event in events) == translation.text == "wwiinndd \u96e8 rraaiinn \u96e8!!"


def test_alternatives_copy_too(copying: Translator) -> None:
    [translation] = translate(copying, "wind \u2764 rain", alternatives=6)
    assert all("<unk>" not in alternative for alternative in translation.alternatives)
    assert any("\u2764" in alternative for alternative in translation.alternatives)
