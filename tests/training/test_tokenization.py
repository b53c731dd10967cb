"""The tokenizer: nothing joins a word and its punctuation, and offsets lead back to the text."""

from pathlib import Path
from typing import Literal

import pytest

from service.text.tokenizer import TextTokenizer
from training.recipe import TokenizerRecipe
from training.tokenization import SPECIAL_TOKENS, train_tokenizer

TEXTS = [f"The cat, number {n}, sat on the mat; didn't it? Yes: \u00e9t\u00e9!" for n in range(50)]


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_words_punctuation_and_spaces(tmp_path: Path, model: Literal["bpe", "unigram"]) -> None:
    tokenizer = train_tokenizer(TEXTS, TokenizerRecipe(model=model, vocabulary=120))
    assert [tokenizer.token_to_id(name) for name in SPECIAL_TOKENS] == [0, 1, 2, 3]
    text = "  The mat,\tnumber 42 "
    encoding = tokenizer.encode(text)
    assert tokenizer.decode(encoding.ids) == "The mat, number 42"
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    pieces = [token.text.strip() for token in TextTokenizer(tmp_path / "tokenizer.json").encode(text).tokens]
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
    served = TextTokenizer(tmp_path / "tokenizer.json")
    assert [token.text for token in served.encode(text).tokens] == list(text)
    speak = served.speaker()
    assert [speak(token_id) for token_id in encoding.ids] == list(text)


def test_a_character_that_is_there_once_is_unknown() -> None:
    tokenizer = train_tokenizer(["aab\u6f22b"], TokenizerRecipe(model="character", vocabulary=200))
    assert tokenizer.encode("a\u6f22z").tokens == ["a", "<unk>", "<unk>"]
