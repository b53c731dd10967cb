"""Words: what belongs together, and that no attention is lost when it does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.attention import AttentionMatrix
from service.text.tokenizer import TextTokenizer, Token
from service.text.words import Words, by_words
from tests.fakes import source_tokenizer


def tokens_of(*pieces: str, special: bool = False) -> tuple[list[Token], str]:
    """Pieces end to end; a leading space is white space before the token."""
    tokens, text = [], ""
    for piece in pieces:
        text += piece
        tokens.append(Token(piece.lstrip(), len(text) - len(piece.lstrip()), len(text)))
    if special:
        tokens.append(Token("", len(text), len(text), "</s>"))
    return tokens, text


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (["B", "on", "jour", ",", " Tom"], ["Bonjour", ",", "Tom"]),
        (["don", "'", "t", "!"], ["don't", "!"]),
        (["l", "\u2019", "homme"], ["l\u2019homme"]),
        (["'", "quoted", "'"], ["'", "quoted", "'"]),
        (["rock", "'", " n", "'", " roll"], ["rock", "'", "n", "'", "roll"]),
        ([" 8", "0", "0", "8", "6", "."], ["80086", "."]),
        (["", "\u2764", " x"], ["\u2764", "x"]),
        (["e", "\u0301", "t"], ["e\u0301t"]),
        (["a", "-", "b"], ["a", "-", "b"]),
        ([], []),
    ],
)
def test_pieces_become_words(pieces: list[str], words: list[str]) -> None:
    tokens, text = tokens_of(*pieces, special=True)
    found = Words(tokens, text).tokens
    assert [token.text for token in found] == [*words, ""]
    assert found[-1].special == "</s>"
    assert all(text[token.start : token.end] == token.text for token in found)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    source_tokenizer(ends=True).save(str(path))
    return TextTokenizer(path.read_bytes())


@given(text=st.text(st.sampled_from("wind rain'7.-\u2764\u0301 \n"), min_size=1, max_size=30), data=st.data())
def test_rows_still_sum_to_one(tokenizer: TextTokenizer, text: str, data: st.DataObject) -> None:
    encoded = tokenizer.encode(text)
    if not encoded.tokens:
        return
    words = Words(encoded.tokens, text)
    size = len(encoded.tokens)
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    weights = random.dirichlet(np.ones(size), size=size)
    for kind, queries in (("self", words), ("pooling", None)):
        matrix = AttentionMatrix(kind, None, None, weights if queries else weights[:1])  # type: ignore[arg-type]
        merged = by_words(matrix, queries, words).weights
        assert merged.shape == (len(words.tokens) if queries else 1, len(words.tokens))
        np.testing.assert_allclose(merged.sum(axis=1), 1)
    assert sum(words.sizes) == size


def test_keys_are_summed_and_queries_averaged() -> None:
    source = Words(*tokens_of("wi", "nd", " x"))
    target = Words(*tokens_of("ve", "nt"))
    cross = AttentionMatrix("cross", 0, 1, np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]))
    merged = by_words(cross, target, source)
    assert (merged.kind, merged.layer, merged.head) == ("cross", 0, 1)
    np.testing.assert_allclose(merged.weights, [[0.55, 0.45]])


def test_decoder_self_has_a_column_for_the_start() -> None:
    words = Words(*tokens_of("a", " be", "e"))
    steps = np.array([[1.0, 0, 0], [0.25, 0.75, 0], [0.2, 0.3, 0.5]])
    merged = by_words(AttentionMatrix("decoder_self", 0, None, steps), words, words)
    # a: <s>. bee: half of (<s> .25, a .75) and half of (<s> .2, a .3, be .5).
    np.testing.assert_allclose(merged.weights, np.array([[1, 0, 0], [0.225, 0.525, 0.25]]))


def test_an_empty_translation_looks_at_nothing() -> None:
    nothing = AttentionMatrix("cross", 0, None, np.zeros((0, 0)))
    assert by_words(nothing, Words([], ""), Words(*tokens_of("a"))) is nothing
