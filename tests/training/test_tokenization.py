"""The tokenizer: nothing joins a word and its punctuation, and offsets lead back to the text."""

from pathlib import Path
from typing import Literal

import pytest

from service.bundle.conventions import STAND_INS
from service.text.tokenizer import TextTokenizer
from training.recipe import TokenizerRecipe
from training.tokenization import SPECIAL_TOKENS, UNK, extend_tokenizer, train_tokenizer

TEXTS = [f"The cat, number {n}, sat on the mat; didn't it? Yes: \u00e9t\u00e9!" for n in range(50)]


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_words_punctuation_and_spaces(tmp_path: Path, model: Literal["bpe", "unigram"]) -> None:
    tokenizer = train_tokenizer(TEXTS, TokenizerRecipe(model=model, vocabulary=120))
    assert [tokenizer.token_to_id(name) for name in SPECIAL_TOKENS] == [0, 1, 2, 3]
    text = "  The mat,\tnumber 42 "
    encoding = tokenizer.encode(text)
    assert tokenizer.decode(encoding.ids) == "The mat, number 42"
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    served = TextTokenizer((tmp_path / "tokenizer.json").read_bytes())
    pieces = [token.text.strip() for token in served.encode(text).tokens]
    assert "".join(pieces) == "Themat,number42"
    assert {",", "4", "2"} <= set(pieces)


def test_a_rare_character_is_unknown_but_keeps_its_place() -> None:
    tokenizer = train_tokenizer([*TEXTS, "\u6f22"], TokenizerRecipe(vocabulary=120, alphabet=30))
    encoding = tokenizer.encode("a \u6f22 b")
    assert "<unk>" in encoding.tokens
    assert encoding.offsets[encoding.tokens.index("<unk>")] == (2, 3)


def test_lowercase_keeps_the_texts_offsets() -> None:
    tokenizer = train_tokenizer(TEXTS, TokenizerRecipe(vocabulary=120, lowercase=True))
    assert tokenizer.encode("THE CAT").ids == tokenizer.encode("the cat").ids


def test_characters_are_taken_as_they_are(tmp_path: Path) -> None:
    text = "One  line,\n\tand \u00e9 another\u2028\U0001f389!\n"
    tokenizer = train_tokenizer([text * 2], TokenizerRecipe(model="character", vocabulary=200))
    encoding = tokenizer.encode(text)
    assert encoding.tokens == list(text)
    assert tokenizer.decode(encoding.ids) == text
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    served = TextTokenizer((tmp_path / "tokenizer.json").read_bytes())
    assert [token.text for token in served.encode(text).tokens] == list(text)
    speak = served.stream_decoder()
    assert [speak(token_id) for token_id in encoding.ids] == list(text)


def test_a_character_that_is_there_once_is_unknown() -> None:
    tokenizer = train_tokenizer(["aab\u6f22b"], TokenizerRecipe(model="character", vocabulary=200))
    assert tokenizer.encode("a\u6f22z").tokens == ["a", "<unk>", "<unk>"]


OPEN = TokenizerRecipe(vocabulary=400, alphabet=60, normal_form="nfc", byte_fallback=True, stand_ins=16)


@pytest.mark.parametrize(
    "text",
    [
        "The \U0001f389 mat",
        "\u6f22\u5b57, 42 m\u00b2\u2026",
        "(\ue000)",
        "x\ue00f\ue001",
        "a \ue003, b",
        "C++ <b>\ue002</b>",
        "<0x41>",
    ],
)
def test_with_bytes_nothing_is_unknown_and_all_comes_back(tmp_path: Path, text: str) -> None:
    tokenizer = train_tokenizer(TEXTS, OPEN)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    served = TextTokenizer((tmp_path / "tokenizer.json").read_bytes())
    encoded = served.encode(text)
    assert not served.unknown(encoded.ids)
    decoded, tokens = served.decode(encoded.ids)
    assert decoded == text
    assert all(decoded[token.start : token.end] == token.text for token in tokens)
    covered = {place for token in encoded.tokens for place in range(token.start, token.end)}
    assert covered >= {place for place, character in enumerate(text) if not character.isspace()}
    assert all(text[token.start : token.end] == token.text for token in encoded.tokens)


def test_the_bytes_of_a_character_share_its_span() -> None:
    encoding = train_tokenizer(TEXTS, OPEN).encode("a \U0001f389!")
    spans = [span for token, span in zip(encoding.tokens, encoding.offsets, strict=True) if token.startswith("<0x")]
    assert spans == [(2, 3)] * 4


def test_a_stand_in_is_one_token_wherever_it_stands() -> None:
    tokenizer = train_tokenizer(TEXTS, OPEN)
    ids = {tokenizer.token_to_id(mark) for mark in STAND_INS}
    assert None not in ids and len(ids) == 16
    for text in ("\ue000 cat", "cat \ue000", "cat\ue000cat", "(\ue000)", "\ue000\ue000,"):
        tokens = tokenizer.encode(text).tokens
        assert tokens.count("\ue000") == text.count("\ue000") and sum(
            "\ue000" in token for token in tokens
        ) == text.count("\ue000")


def test_the_vocabulary_is_as_large_as_the_recipe_says() -> None:
    texts = [f"{word}{n}" for n in range(300) for word in ("alpha", "beta", "gamma", "delta", "epsilon")]
    made = ["".join(chr(97 + (n * k) % 26) for k in range(1, 9)) for n in range(900)]
    assert train_tokenizer([*texts, *made], OPEN).get_vocab_size() == 400


def test_an_extended_tokenizer_keeps_its_tokens_and_adds_those_of_new_texts() -> None:
    known = train_tokenizer(TEXTS, TokenizerRecipe(vocabulary=200))
    new = ["configuration files, configuration options", "the file \ue001 € 5"] * 20
    extended = extend_tokenizer(known, new, OPEN.model_copy(update={"vocabulary": known.get_vocab_size() + 330}))
    before, after = known.get_vocab(), extended.get_vocab()
    assert {token: after[token] for token in before} == before
    assert sorted(after.values()) == list(range(len(after)))
    assert extended.encode(TEXTS[0]).ids == known.encode(TEXTS[0]).ids
    tokens = extended.encode("configuration \ue001 €!").tokens
    assert "\u2581configuration" in tokens and "\ue001" in tokens and not any(token == UNK for token in tokens)
    assert extended.decode(extended.encode("日本 configuration").ids) == "日本 configuration"


def test_an_extended_tokenizer_can_be_extended_again() -> None:
    known = train_tokenizer(TEXTS, TokenizerRecipe(vocabulary=200))
    room = OPEN.model_copy(update={"vocabulary": known.get_vocab_size() + 300})
    once = extend_tokenizer(known, ["new words"], room)
    assert extend_tokenizer(once, ["new words"], room).get_vocab() == once.get_vocab()


def test_only_byte_pairs_can_be_extended() -> None:
    words = train_tokenizer(TEXTS, TokenizerRecipe(model="word", vocabulary=200))
    with pytest.raises(ValueError, match="only a BPE tokenizer can be extended, not WordLevel"):
        extend_tokenizer(words, TEXTS, OPEN)
