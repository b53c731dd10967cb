"""Further merges of byte-pair encoding, after those that a tokenizer already has."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from itertools import pairwise

Pair = tuple[str, str]


class PairCounts:
    """Frequencies of neighbouring tokens in words, and the words that have them."""

    def __init__(self, pieces: dict[str, list[str]], words: Counter[str], excluded: str):
        """`pieces`: the tokens of each word. `words`: their frequencies. `excluded`: a token that is never merged."""
        self.pieces = dict(pieces)
        self.words = words
        self.excluded = excluded
        self.frequency: Counter[Pair] = Counter()
        self.places: defaultdict[Pair, set[str]] = defaultdict(set)
        for word, tokens in pieces.items():
            self._count(word, tokens, 1)
        # An entry may be out of date; `next` compares it with the frequency.
        self._heap = [(-times, pair) for pair, times in self.frequency.items()]
        heapify(self._heap)

    def _count(self, word: str, tokens: list[str], sign: int) -> Iterable[Pair]:
        found = [pair for pair in pairwise(tokens) if self.excluded not in pair]
        for pair in found:
            self.frequency[pair] += sign * self.words[word]
            if sign > 0:
                self.places[pair].add(word)
        return found

    def next(self) -> Pair | None:
        """The most frequent pair; None if there is none."""
        while self._heap:
            times, pair = heappop(self._heap)
            if -times == self.frequency[pair] > 0:
                return pair
            if self.frequency[pair] > 0:
                heappush(self._heap, (-self.frequency[pair], pair))
        return None

    def merge(self, pair: Pair) -> None:
        """Replace the pair by one token in all words."""
        changed: set[Pair] = set()
        for word in self.places.pop(pair):
            self._count(word, self.pieces[word], -1)
            self.pieces[word] = merged(self.pieces[word], pair)
            changed.update(self._count(word, self.pieces[word], 1))
        del self.frequency[pair]
        for other in changed:
            heappush(self._heap, (-self.frequency[other], other))


def frequent_merges(pieces: dict[str, list[str]], words: Counter[str], count: int, excluded: str) -> list[Pair]:
    """Up to `count` merges: repeatedly the most frequent pair of neighbouring tokens becomes one token (Sennrich et al.
    2016, algorithm 1). Arguments as those of PairCounts.

    >>> frequent_merges({"abc": ["a", "b", "c"], "ab": ["a", "b"]}, Counter({"abc": 1, "ab": 2}), 9, "<unk>")
    [('a', 'b'), ('ab', 'c')]
    """
    pairs = PairCounts(pieces, words, excluded)
    merges: list[Pair] = []
    while len(merges) < count and (best := pairs.next()) is not None:
        merges.append(best)
        pairs.merge(best)
    return merges


def merged(tokens: list[str], pair: Pair) -> list[str]:
    """Replace each occurrence of a pair of neighbours by one token.

    >>> merged(["a", "b", "a", "b"], ("a", "b"))
    ['ab', 'ab']
    """
    found: list[str] = []
    for token in tokens:
        if found and (found[-1], token) == pair:
            found[-1] += token
        else:
            found.append(token)
    return found
