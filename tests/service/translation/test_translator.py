import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.batching.scheduler import Limits
from service.bundle.manifest import read_manifest
from service.decoding.beam_search import Search
from service.decoding.onnx_step import OnnxState, OnnxStep
from service.decoding.step import Hypothesis
from service.errors import EmptyText, InferenceFailed, UnsupportedOption
from service.runtime import Runtime, Session
from service.text.tokenizer import Token
from service.translation.engine import Decoder, Options
from service.translation.translator import Sentence, TokenEvent, Translation, Translator
from tests.fakes import TEXTS, doubled, source_tokenizer, write_translator
from tests.service import networks

TOKENIZER = source_tokenizer(ends=True)
words = st.lists(st.sampled_from(["wind", "Rain,", "ab", "7", "and", "é"]), min_size=1, max_size=5).map(" ".join)
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
    """Where search found too few, the best takes the place of those that are missing."""
    advance = Search.advance
    monkeypatch.setattr(Search, "advance", lambda search: [(key, found[:2]) for key, found in advance(search)])
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


@pytest.mark.parametrize(
    ("option", "value"), [("beam_size", 8), ("alternatives", 7), ("max_length", 32), ("beam_size", 10**30)]
)
def test_options_over_the_limits(translator: Translator, option: str, value: int) -> None:
    with pytest.raises(UnsupportedOption, match=f"{option} parameter must be <= .* for en-xx"):
        translate(translator, "wind", **{option: value})


@pytest.mark.parametrize("text", ["", " \n", "\u200b"])
def test_a_blank_text_is_refused(translator: Translator, text: str) -> None:
    with pytest.raises(EmptyText, match="text 1 has no visible character"):
        translate(translator, "wind", text)


def test_unknown_characters_are_translated_somehow(translator: Translator) -> None:
    [translation] = translate(translator, "日本", attention="full")
    [sentence] = translation.sentences
    assert Token("日", 0, 1) in sentence.source_tokens
    assert "<unk>" not in translation.text
    for matrix in sentence.attention:
        assert matrix.weights.sum(axis=-1) == pytest.approx(np.ones(len(matrix.weights)), abs=1e-5)


def test_the_state_before_the_first_step(models: Path, translator: Translator) -> None:
    """From encode where it has an output of that name; else zeros, of no length where the length is not fixed."""
    folder = models / "en-xx" / "1"
    manifest = read_manifest(folder)
    step = OnnxStep(Runtime("cpu", threads=1).open(folder, manifest, "step"))
    mood = np.ones((3, networks.D), dtype=np.float32)
    wishes = np.ones((3, 7, networks.V), dtype=np.float32)
    state = step.start({"mood": mood, "wishes": wishes, "source_mask": np.ones((3, 7), dtype=bool)}, 3)
    assert state.source.keys() == {"wishes", "source_mask"}
    assert state.past.keys() == {"mood", "clock", "past"}
    assert np.array_equal(state.past["mood"].numpy(), mood)
    assert state.past["clock"].numpy().tolist() == [[0.0]] * 3
    assert state.past["past"].shape == [3, 0, networks.D]

    ids, parents, lengths = np.array([2, 5, 7]), np.array([0, 1, 2]), np.zeros(3, np.int64)
    names = frozenset({"cross_0", "decoder_self_0"})
    candidates, after, attention = step(ids, parents, lengths, state, networks.V, names)
    assert np.exp(candidates.log_probs).sum(axis=1) == pytest.approx(np.ones(3))
    assert (np.diff(candidates.log_probs, axis=1) <= 0).all()
    at_end = candidates.log_probs[candidates.token_ids == networks.EOS]
    assert candidates.end == pytest.approx(at_end)
    few, _, _ = step(ids, parents, lengths, state, 5, names)
    assert np.array_equal(few.token_ids, candidates.token_ids[:, :5])
    assert after.past["clock"].numpy().tolist() == [[1.0]] * 3
    assert after.past["past"].shape == [3, 1, networks.D]
    assert attention.keys() == names


def test_states_join_and_leave(models: Path, translator: Translator) -> None:
    """Sources are padded on the right, what was decoded on the left."""
    folder = models / "en-xx" / "1"
    step = OnnxStep(Runtime("cpu", threads=1).open(folder, read_manifest(folder), "step"))

    def start(count: int, length: int) -> OnnxState:
        mood = np.full((count, networks.D), count, dtype=np.float32)
        wishes = np.ones((count, length, networks.V), dtype=np.float32)
        source = {"mood": mood, "wishes": wishes, "source_mask": np.ones((count, length), dtype=bool)}
        return step.start(source, count)

    nothing: frozenset[str] = frozenset()
    ids, parents, lengths = np.array([2, 5]), np.array([0, 1]), np.zeros(2, np.int64)
    _, one, _ = step(ids, parents, lengths, start(2, 3), 1, nothing)
    both = step.join(one, start(1, 5))
    assert both.source["source_mask"].tolist() == [[True] * 3 + [False] * 2] * 2 + [[True] * 5]
    assert both.past["clock"].numpy().tolist() == [[1.0], [1.0], [0.0]]
    history = both.past["past"].numpy()
    assert np.array_equal(history[:2, 0], networks.EMBEDDING[[2, 5]]) and not history[2].any()
    left = step.keep(both, np.array([2]), longest=0)
    assert left.source["source_mask"].tolist() == [[True] * 5]
    assert left.past["past"].shape == [3, 0, networks.D]  # the parents of the next step choose among the rows


def test_no_attention_is_computed_that_is_not_asked_for(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: set[str] = set()
    run, run_keeping = Session.run, Session.run_keeping

    def watched(session: Session, inputs: dict, outputs: list[str]) -> dict:
        fetched.update(outputs)
        return run(session, inputs, outputs)

    def watched_keeping(session: Session, inputs: dict, outputs: list[str], kept: list[str]) -> Any:
        fetched.update(outputs)
        return run_keeping(session, inputs, outputs, kept)

    monkeypatch.setattr(Session, "run", watched)
    monkeypatch.setattr(Session, "run_keeping", watched_keeping)
    translate(translator, "wind", attention="none")
    assert not fetched & {"cross_0", "cross_1", "decoder_self_0", "encoder_self_0"}
    translate(translator, "wind", attention="summary")
    assert fetched & {"cross_0", "cross_1", "decoder_self_0", "encoder_self_0"} == {"cross_0"}


def test_a_network_that_fails(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Session, "run", lambda *args: {})
        with pytest.raises(InferenceFailed):
            translate(translator, "wind")
    assert translate(translator, "wind")[0].text == "wwiinndd"


def test_a_sentence_that_nothing_can_be_said_of(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where its numbers overflow: those beside it have their translations."""
    call = OnnxStep.__call__

    def overflowing(self: OnnxStep, *args: Any) -> Any:
        candidates, state, attention = call(self, *args)
        odd = state.source["source_mask"].sum(axis=1) == len(TOKENIZER.encode("wind rain").ids)
        candidates.log_probs[np.repeat(odd, len(candidates.log_probs) // len(odd))] = np.nan
        return candidates, state, attention

    async def callers() -> list[Any]:
        asked = [translator.translate([text]) for text in ("wind", "wind rain", "rain")]
        return await asyncio.gather(*asked, return_exceptions=True)

    monkeypatch.setattr(OnnxStep, "__call__", overflowing)
    first, failed, last = asyncio.run(callers())
    assert isinstance(failed, InferenceFailed) and "no token of this sentence" in str(failed)
    assert (first[0].text, last[0].text) == ("wwiinndd", "rraaiinn")


@pytest.mark.parametrize("detail", ["none", "summary", "full"])
def test_an_empty_translation(translator: Translator, monkeypatch: pytest.MonkeyPatch, detail: str) -> None:
    """Nothing was said, so nothing was looked at, but by the encoder."""
    advance, nothing = Search.advance, Hypothesis([], -1.5, {})
    monkeypatch.setattr(Search, "advance", lambda search: [(key, [nothing]) for key, _ in advance(search)])
    [translation] = translate(translator, " Wind\n", beam_size=1, attention=detail)
    assert translation.text == " \n"
    [sentence] = translation.sentences
    assert (sentence.text, sentence.score, sentence.target_tokens) == ("", -1.5, [])
    for matrix in sentence.attention:
        size = len(sentence.source_tokens) if matrix.kind == "encoder_self" else 0
        assert matrix.weights.shape == (size, size)


def test_options_of_all_kinds_run_side_by_side(translator: Translator) -> None:
    """Each as alone: one batch holds what others asked for otherwise."""
    wanted = [
        Options(beam_size=1, attention="none"),
        Options(beam_size=3, attention="full", length_penalty=0.0),
        Options(beam_size=3, attention="summary"),
        Options(beam_size=2, alternatives=2, max_length=3),
        Options(beam_size=1, attention="full"),
    ]

    async def together() -> list[list[Translation]]:
        return await asyncio.gather(*(translator.translate(TEXTS, options) for options in wanted))

    for options, found in zip(wanted, asyncio.run(together()), strict=True):
        for text, translation in zip(TEXTS, found, strict=True):
            [alone] = asyncio.run(translator.translate([text], options))
            assert translation.text == alone.text and translation.alternatives == alone.alternatives
            for sentence, other in zip(translation.sentences, alone.sentences, strict=True):
                assert sentence.score == pytest.approx(other.score, abs=1e-5)
                for matrix, expected in zip(sentence.attention, other.attention, strict=True):
                    assert matrix.weights == pytest.approx(expected.weights, abs=1e-5)


@pytest.mark.parametrize("padding", [0, 10**9])
@pytest.mark.parametrize("few_rows", [0, 10**9])
def test_who_comes_later_gets_what_they_get_alone(
    translator: Translator, monkeypatch: pytest.MonkeyPatch, padding: int, few_rows: int
) -> None:
    """Whether they wait or start at once, in a search of their own or with others."""
    monkeypatch.setattr("service.translation.engine.PADDING", padding)
    monkeypatch.setattr("service.translation.engine.FEW_ROWS", few_rows)

    async def one_after_the_other() -> list[list[Translation]]:
        begun, tasks = asyncio.Event(), []
        for number, text in enumerate(TEXTS):
            begun.clear()
            options = Options(beam_size=1, alternatives=number % 2)
            heard = None if number % 2 else lambda spoken: begun.set()
            tasks.append(asyncio.create_task(translator.translate([text], options, heard=heard)))
            if heard is not None:
                await begun.wait()
        return await asyncio.gather(*tasks)

    found = asyncio.run(one_after_the_other())
    for number, (text, [translation]) in enumerate(zip(TEXTS, found, strict=True)):
        [alone] = translate(translator, text, beam_size=1, alternatives=number % 2)
        assert translation.text == alone.text and translation.alternatives == alone.alternatives
        for sentence, other in zip(translation.sentences, alone.sentences, strict=True):
            assert sentence.attention[0].weights == pytest.approx(other.attention[0].weights, abs=1e-5)


def test_a_search_takes_newcomers_while_that_costs_little(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence joins others that have said 32 tokens, two do not."""
    [worker] = translator._scheduler._lanes
    decoder = worker.engine
    assert isinstance(decoder, Decoder)
    search = decoder._search(4, 1)
    assert decoder._search(4, 32) is search  # nothing has been said in it
    monkeypatch.setattr(Search, "longest", 32)
    assert decoder._search(4, 1) is search
    assert decoder._search(2, 1) is not search
    assert decoder._search(4, 2) is not search
    decoder._searches.clear()


def test_a_greedy_translation_can_be_listened_to(translator: Translator) -> None:
    heard: list[TokenEvent] = []
    options = Options(beam_size=1)
    found = asyncio.run(translator.translate(TEXTS, options, heard=heard.append))
    for number, translation in enumerate(found):
        for place, sentence in enumerate(translation.sentences):
            own = [spoken for spoken in heard if (spoken.translation, spoken.sentence) == (number, place)]
            assert "".join(spoken.text for spoken in own) == sentence.text
            rows = [spoken.weights for spoken in own]
            assert np.stack(rows) == pytest.approx(sentence.attention[0].weights, abs=1e-6)  # type: ignore[arg-type]
    heard.clear()
    asyncio.run(translator.translate(TEXTS, Options(beam_size=1, attention="none"), heard=heard.append))
    assert heard and all(spoken.weights is None for spoken in heard)
    heard.clear()
    asyncio.run(translator.translate(TEXTS, Options(beam_size=2), heard=heard.append))
    assert not heard  # what was said may be taken back


def test_no_texts(translator: Translator) -> None:
    assert translate(translator) == []


@pytest.fixture(scope="module")
def copying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Translator]:
    """The fake translator, allowed to say that something is unknown."""
    special_ids = {"bos": networks.BOS, "eos": networks.EOS, "never": [networks.PAD, networks.BOS]}
    special_ids["unknown"] = networks.UNK
    folder = write_translator(tmp_path_factory.mktemp("copying"), special_ids=special_ids)
    translator = Translator(folder, read_manifest(folder), Runtime("cpu", 1), Limits())
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


def test_copies_are_heard(copying: Translator) -> None:
    heard: list[TokenEvent] = []
    [translation] = asyncio.run(
        copying.translate(["wind \u2764 rain \u96e8!"], Options(beam_size=1), heard=heard.append)
    )
    assert "".join(spoken.text for spoken in heard) == translation.text == "wwiinndd \u2764 rraaiinn \u96e8!!"


def test_alternatives_copy_too(copying: Translator) -> None:
    [translation] = translate(copying, "wind \u2764 rain", alternatives=6)
    assert all("<unk>" not in alternative for alternative in translation.alternatives)
    assert any("\u2764" in alternative for alternative in translation.alternatives)
