"""Splitting of texts into segments, and joining of their translations."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import TooManyTokens
from service.markup.protect import ProtectedText
from service.text.tokenizer import TextTokenizer
from service.translation.engine import Options
from service.translation.job import items_of
from service.translation.results import Translation
from service.translation.segments import Segmenter
from service.translation.translator import Translator
from tests.fakes import MAX_TOKENS, doubled

words = st.lists(st.sampled_from(["wind", "Rain,", "ab", "and", "é"]), min_size=1, max_size=5).map(" ".join)
spaces = st.sampled_from([" ", "  ", "\n", " \r\n\t", "\u2003"])


def translate(translator: Translator, *texts: str, **options: Any) -> list[Translation]:
    return asyncio.run(translator.translate(texts, Options(**options)))


def check_offsets(text: str, translation: Translation) -> None:
    """Sentences and tokens have the right spans, and only what has no letter is left out."""
    end, target_end = 0, 0
    for sentence in translation.sentences:
        assert not any(map(str.isalpha, text[end : sentence.start]))
        end = sentence.end
        for tokens, whole in ((sentence.source_tokens, text), (sentence.target_tokens, translation.text)):
            for token in tokens:
                assert whole[token.start : token.end] == token.text
        covered = {i for token in sentence.source_tokens for i in range(token.start, token.end)}
        assert covered >= {i for i in range(sentence.start, sentence.end) if not text[i].isspace()}
        for token in sentence.target_tokens:
            assert not any(map(str.isalpha, translation.text[target_end : token.start]))
            target_end = token.end
    assert not any(map(str.isalpha, text[end:] + translation.text[target_end:]))


@given(sentences=st.lists(st.tuples(words, st.sampled_from(".!?"), spaces), min_size=1, max_size=4), edge=spaces)
def test_sentences_are_translated_and_their_white_space_kept(
    translator: Translator, sentences: list[tuple[str, str, str]], edge: str
) -> None:
    text = edge + "".join(f"So {words}{end}{space}" for words, end, space in sentences)
    [translation] = translate(translator, text, beam_size=1)
    assert translation.text == doubled(text)
    check_offsets(text, translation)


def pieces(translator: Translator, text: str) -> list[str]:
    [translation] = translate(translator, text, beam_size=1)
    check_offsets(text, translation)
    assert all(len(sentence.source_tokens) <= MAX_TOKENS for sentence in translation.sentences)
    return [text[sentence.start : sentence.end] for sentence in translation.sentences]


def test_a_long_sentence_is_cut_after_punctuation(translator: Translator) -> None:
    found = pieces(translator, "wind and rain and wind, and rain and wind and rain, " * 5 + "and")
    assert len(found) > 3
    assert all(piece.endswith(",") for piece in found[:-1])


def test_a_long_sentence_is_cut_between_words(translator: Translator) -> None:
    text = "wind and rain " * 17 + "\t end"
    found = pieces(translator, text)
    assert len(found) > 2
    assert " ".join(found).split() == text.split()


def test_a_long_word_is_cut_anywhere(translator: Translator) -> None:
    found = pieces(translator, "zq" * 53)
    assert len(found) > 2
    assert "".join(found) == "zq" * 53


def test_white_space_is_kept_where_a_sentence_is_cut(translator: Translator) -> None:
    text = "wind,   rain, \t" * 11 + "wind"
    [translation] = translate(translator, text, beam_size=1)
    expected, position = "", 0
    for sentence in translation.sentences:
        assert sentence.text == doubled(" ".join(text[sentence.start : sentence.end].split()))
        expected += text[position : sentence.start] + sentence.text
        position = sentence.end
    assert translation.text == expected
    assert "\t" in expected


def test_a_cut_at_white_space_leaves_it_between_the_pieces(translator: Translator) -> None:
    """The last token that fits is the space before an unknown word."""
    text = "ü" * (MAX_TOKENS - 2) + " " + "日" * 7
    assert pieces(translator, text) == text.split()
    [translation] = translate(translator, text, beam_size=1)
    assert translation.text.startswith("üü" * (MAX_TOKENS - 2) + " ")


def test_one_character_of_many_tokens(translator: Translator) -> None:
    """U+FDFA is 18 letters to NFKC: more than the limit where there are two, but it cannot be cut in two."""
    assert pieces(translator, "\ufdfa\ufdfa") == ["\ufdfa", "\ufdfa"]


@pytest.mark.parametrize("unit", ["wind and rain ", "q", "z" * (MAX_TOKENS // 2) + ", ", "日本"])
def test_a_very_long_sentence_is_encoded_a_few_times_only(
    translator: Translator, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once for each part: that takes minutes, and a deep recursion."""
    text = (unit * 30_000)[:29_989].strip()
    encoded = 0
    encode = TextTokenizer.encode

    def watched(self: TextTokenizer, text: str, start: int = 0, end: int | None = None) -> Any:
        nonlocal encoded
        encoded += (len(text) if end is None else end) - start
        return encode(self, text, start, end)

    monkeypatch.setattr(TextTokenizer, "encode", watched)
    found = list(translator.segmenter.split(ProtectedText(text)))
    assert encoded < 13 * len(text)
    assert " ".join(text[s.start : s.end] for s in found).replace(" ", "") == text.replace(" ", "")


def test_too_many_tokens_are_refused_before_the_text_is_split_to_its_end(translator: Translator) -> None:
    items = items_of([ProtectedText("wind. rain. wind. ")], translator.segmenter, width=2, max_tokens=9)
    assert len(items) == 3
    segments = (segment for segment in [items[0].segment] * 3 + [None])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Segmenter, "split", lambda self, protected: segments)
        with pytest.raises(TooManyTokens, match="more than 12 tokens in one request, at most 6 are taken"):
            items_of([ProtectedText("")], translator.segmenter, width=2, max_tokens=6)
    assert list(segments) == [None]
