"""Links for guided alignment (Garg et al. 2019): tokens that both sides of a pair share."""

from collections.abc import Iterator

from tokenizers import Tokenizer

MIN_LETTERS = 5
"""Minimum letters of a linkable word. Shorter words of equal spelling often differ in meaning."""


def linkable_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids of tokens that are aligned if both sides have them: long words, digits, signs, stand-ins."""

    def is_linkable(token: str) -> bool:
        text = token.removeprefix("\u2581")
        return bool(text) and (len(text) >= MIN_LETTERS or not text.isalpha())

    return frozenset(number for token, number in tokenizer.get_vocab().items() if is_linkable(token))


def sure_links(source: list[int], target: list[int], linkable: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Yield (target position, source position) of linkable tokens that occur once on each side.

    >>> list(sure_links([7, 8, 9, 8], [9, 5, 7, 8], frozenset({7, 8, 9})))
    [(0, 2), (2, 0)]
    """
    positions: dict[int, int | None] = {}
    for position, token in enumerate(source):
        positions[token] = None if token in positions else position
    for position, token in enumerate(target):
        if token in linkable and (found := positions.get(token)) is not None and target.count(token) == 1:
            yield position, found
