import functools
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BundleCorrupt
from service.text.sentences import is_blank, sentences
from service.text.tokenizer import Encoded, TextTokenizer, Token, token_count
from tests.fakes import SPECIAL, source_tokenizer, target_tokenizer

REAL = Path(__file__).parents[3] / "models"
ODD = (
    "aé \t\n\u00a0\u2009日本가각ﬁ①½﷽ＡßǅİΣ👨🏽🇫🇷.,!?'\"-0123456789</s>\u2581\u0301\u0327\u200b\u200d\u1100\u1161\u0000"
)
"""Characters that have been trouble: composed, decomposed, joined, widened, invisible, special to tokenizers."""
texts = st.text(st.one_of(st.sampled_from(ODD), st.characters(codec="utf-8")), max_size=30)


@pytest.fixture(scope="module", params=["fake", "sms-spam", "en-fr"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    """One that is trained here, and the committed ones."""
    [*_, path] = [Path(), *sorted((REAL / request.param).glob("*/tokenizer.json"))]
    if request.param == "fake":
        path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
        source_tokenizer(ends=True).save(str(path))
    return TextTokenizer(path.read_bytes())


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    path = tmp_path_factory.mktemp("fake") / "tokenizer.json"
    source_tokenizer(ends=True).save(str(path))
    return TextTokenizer(path.read_bytes())


@functools.cache
def committed(name: str) -> TextTokenizer:
    return TextTokenizer((REAL / name / "1" / "tokenizer.json").read_bytes())


def visible(text: str) -> list[int]:
    """The places of the characters that a reader can see."""
    return [i for i, character in enumerate(text) if not character.isspace() and not is_blank(character)]


def check_spans(encoded: Encoded, text: str, start: int = 0, end: int | None = None) -> None:
    end = len(text) if end is None else end
    assert len(encoded.ids) == len(encoded.tokens)
    covered: set[int] = set()
    position = start
    for token in encoded.tokens:
        assert start <= token.start <= token.end <= end
        assert text[token.start : token.end] == token.text
        assert token.start >= position  # in order; pieces of one character may share it
        assert not (token.special and token.text)
        position = token.start
        covered.update(range(token.start, token.end))
    assert covered >= {i for i in visible(text) if start <= i < end}


@given(text=texts)
def test_spans_cover_what_is_visible(tokenizer: TextTokenizer, text: str) -> None:
    check_spans(tokenizer.encode(text), text)


WORDS = [
    "wind",
    "and",
    "rain,",
    "don't",
    "2,5",
    "\u2581",
    "a\u0301",
    "\u0301",
    "\u00b4",
    "日本",
    "\n",
    "\u00a0",
    "",
    "</s>",
    "Σ",
]
changed_texts = st.one_of(texts, st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join))


@pytest.mark.parametrize("name", ["sms-spam", "imdb", "nsmc", "fr-en"])
@given(batches=st.lists(st.lists(changed_texts, max_size=4), max_size=3))
def test_ids_without_tokens(name: str, batches: list[list[str]]) -> None:
    tokenizer = committed(name)
    known: dict[str, list[int]] = {}
    for batch in batches:
        assert tokenizer.ids_of(batch, known) == [tokenizer.encode(text).ids for text in batch]


def test_known_words_are_not_tokenised_again() -> None:
    tokenizer, known = committed("sms-spam"), dict[str, list[int]]()
    tokenizer.ids_of(["wind and rain", "wind rain"], known)
    assert sorted(known) == ["and", "rain", "wind"]
    known["rain"] = [7]
    assert tokenizer.ids_of(["wind rain"], known) == [[*known["wind"], 7]]


@given(text=texts, bounds=st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted))
def test_a_part_of_a_text_keeps_the_offsets_of_the_whole(
    tokenizer: TextTokenizer, text: str, bounds: list[int]
) -> None:
    start, end = (min(bound, len(text)) for bound in bounds)
    encoded = tokenizer.encode(text, start, end)
    check_spans(encoded, text, start, end)
    assert encoded.ids == tokenizer.encode(text[start:end]).ids


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("wind and rain", ["wind", "and", "rain"]),
        ("  wind \t and\n\nrain ", ["wind", "and", "rain"]),
        ("wind, 42!", ["wind", ",", "4", "2", "!"]),
        ("日本 wind", ["日", "本", "wind"]),
        ("👩‍👩‍👧 wind", ["👩", "\u200d", "👩", "\u200d", "👧", "wind"]),
        ("e\u0301 wind", ["e\u0301", "wind"]),  # an accent goes with its letter
        ("q\u0301", ["q", "\u0301"]),  # unless there is no such letter
        ("\u1100\u1161\u11a8", ["\u1100\u1161\u11a8"]),
        ("\u2581 wind", ["\u2581", "wind"]),
        ("ﬁ wind", ["ﬁ", "ﬁ", "wind"]),  # two letters of one character: both stand for the whole of it
        ("①", ["①"]),
    ],
)
def test_surfaces(fake: TextTokenizer, text: str, spans: list[str]) -> None:
    assert [token.text for token in fake.encode(text).tokens if token.text] == spans


def test_special_tokens_are_named_and_stand_for_nothing(fake: TextTokenizer) -> None:
    assert fake.encode(" wind ").tokens == [Token("wind", 1, 5), Token("", 5, 5, "</s>")]
    assert fake.encode("").tokens == [Token("", 0, 0, "</s>")]


@pytest.mark.parametrize("name", SPECIAL)
def test_special_tokens_cannot_be_sent_as_text(fake: TextTokenizer, name: str) -> None:
    *ids, last = fake.encode(f"wind {name} rain").ids
    assert last == SPECIAL.index("</s>")
    assert not {SPECIAL.index(s) for s in ("<pad>", "<s>", "</s>")} & set(ids)


@given(data=st.data(), start=st.integers(0, 7))
def test_decoded_tokens_lie_end_to_end(tokenizer: TextTokenizer, data: st.DataObject, start: int) -> None:
    known = st.sampled_from(range(len(SPECIAL), 149))
    ids = data.draw(st.lists(known, max_size=11))
    spelt, tokens = tokenizer.decode(ids, start)
    text = " " * start + spelt
    assert len(tokens) == len(ids)
    position = start
    for token in tokens:
        assert text[token.start : token.end] == token.text
        assert text[position : token.start].strip() == ""
        assert token.text == token.text.lstrip()  # the space before a word is not the word's
        position = token.end
    assert position == len(text)


def test_decode_of_special_tokens(fake: TextTokenizer) -> None:
    wind = fake.encode("wind").ids[0]
    assert fake.decode([wind, SPECIAL.index("</s>")]) == ("wind", [Token("wind", 0, 4), Token("", 4, 4)])


def test_every_letter_twice(tmp_path: Path, fake: TextTokenizer) -> None:
    target_tokenizer().save(str(tmp_path / "tokenizer.json"))
    ids = fake.encode("No wind!").ids[:-1]
    assert TextTokenizer((tmp_path / "tokenizer.json").read_bytes()).decode(ids)[0] == "NNoo wwiinndd!!"


@pytest.mark.parametrize("length", [0, 1, 6, 13, 14, 15, 400])
def test_the_beginning_of_a_text(fake: TextTokenizer, length: int) -> None:
    text = "wind and rain, " * length
    whole, beginning = fake.encode(text), fake.encode_beginning(text, 7)
    assert beginning.tokens[:7] == whole.tokens[:7]
    assert len(beginning.ids) == len(whole.ids) or 14 < len(beginning.ids) < 64
    count = token_count(beginning, 7)
    assert count == (str(len(whole.ids)) if len(beginning.ids) <= 14 else "more than 14")


def test_token_id(fake: TextTokenizer) -> None:
    assert fake.encode("wind").ids[0] == fake.token_id("\u2581wind")
    with pytest.raises(BundleCorrupt, match=r"no token '\\ue000'"):
        fake.token_id("\ue000")


@pytest.mark.parametrize("content", ["", "{}", "[1]", "no json"])
def test_what_is_no_tokenizer(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(BundleCorrupt, match=r"tokenizer\.json is not a tokenizer"):
        TextTokenizer((tmp_path / "tokenizer.json").read_bytes())


@pytest.mark.parametrize("text", ["", " ", "\t\r\n", "\u00a0\u2003", "\u200b\u200d", "\x00\x1b", "\ufeff"])
def test_blank(text: str) -> None:
    assert is_blank(text)


def test_invisible_characters_are_blank() -> None:
    """Every character alone, and between blanks."""
    for code in range(0, sys.maxunicode + 1, 7):
        blank = unicodedata.category(chr(code)) in {"Cc", "Cf", "Zs", "Zl", "Zp"}
        assert is_blank(chr(code)) == is_blank(f" \u200b{chr(code)}\n") == blank


@pytest.mark.parametrize("text", ["a", " . ", "\u200b日", "👧", "\u0301", "\U0001fae8", "\U0010ffff"])
def test_not_blank(text: str) -> None:
    """Also what this Python does not know (yet): it may well be an emoji."""
    assert not is_blank(text)


@given(text=texts, language=st.sampled_from(["en", "fr", "xx"]))
def test_between_sentences_is_white_space(text: str, language: str) -> None:
    position = 0
    for start, end in sentences(text, language):
        assert position <= start < end
        assert text[position:start].strip() == ""
        assert text[start:end] == text[start:end].strip()
        assert not set(text[start:end]) & set("\r\n\v\f\x85\u2028\u2029")
        position = end
    assert text[position:].strip() == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two!  Three?", ["One.", "Two!", "Three?"]),
        ("one\ntwo\r\n\n three ", ["one", "two", "three"]),
        ("Mr. Smith has 3.5 cats.", ["Mr. Smith has 3.5 cats."]),
        ("  日本。 ", ["日本。"]),
        (" \n ", []),
        ("Same. Same.", ["Same.", "Same."]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text, "en")] == expected


def test_sentences_that_are_the_same_lie_apart() -> None:
    assert list(sentences("No. No.  No.", "en")) == [(0, 3), (4, 7), (9, 12)]
