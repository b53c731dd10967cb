"""Output vocabularies: the tokens that a translator's output layer knows."""

from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from service.bundle.conventions import STAND_INS
from training import output_vocabulary
from training.corpora.corpus import SentencePair
from training.output_vocabulary import frequent_ids
from training.recipe import TranslationRecipe, load_recipe
from training.tokenization import BOS, EOS, PAD, UNK

TOKENS = [PAD, UNK, BOS, EOS, STAND_INS[0], "<0x0A>", "▁", "a", "▁b", "often", "rare", "source"]


@pytest.fixture
def tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(TOKENS)}, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def test_frequent_tokens_characters_and_bytes_are_known(tokenizer: Tokenizer) -> None:
    ids = frequent_ids(tokenizer, ["often often rare", "often rare"], min_count=3)
    assert [TOKENS[token_id] for token_id in ids] == TOKENS[:10]


@pytest.mark.parametrize("pairs", [3, 4])
def test_few_pairs_leave_the_whole_vocabulary(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, pairs: int
) -> None:
    """A network that is trained further on a few own pairs still knows the rest of the language."""
    recipe: Any = load_recipe("en-fr-base")
    assert isinstance(recipe, TranslationRecipe)
    rows = [SentencePair("source", "often " * 5, ())] * pairs
    monkeypatch.setattr(output_vocabulary, "sentence_pairs", lambda corpus, split, data: rows)
    monkeypatch.setattr(output_vocabulary, "MIN_PAIRS", 4 * len(recipe.data.corpora))
    found = output_vocabulary.output_vocabulary(recipe, tokenizer)
    assert (found is None) == (pairs == 3)
    assert found is None or TOKENS.index("often") in found and TOKENS.index("rare") not in found
