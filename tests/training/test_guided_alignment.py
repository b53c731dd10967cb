"""Links for guided alignment."""

from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from training.guided_alignment import linkable_ids, sure_links


def test_shared_tokens_are_linked_if_they_occur_once() -> None:
    tokenizer = Tokenizer(
        WordLevel({"\u2581animal": 0, "\u2581chat": 1, "\u2581NASA": 2, "7": 3, "\ue000": 4, "\u2581": 5, ".": 6})
    )
    linkable = linkable_ids(tokenizer)
    assert linkable == {0, 3, 4, 6}
    assert list(sure_links([0, 1, 3, 3, 4, 6], [4, 0, 1, 3, 6], linkable)) == [(0, 4), (1, 0), (4, 5)]
    assert list(sure_links([0, 6], [0, 0, 6], linkable)) == [(2, 1)]
