"""Word pairs from sentence pairs.

A word is linked to the word of the other language that it is most associated with, if that holds both ways (competitive
linking: Melamed 2000, "Models of Translational Equivalence among Words"). Single words are what people try first, and
corpora have the common ones a few times only: equal pairs are stored once.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

WORD = re.compile(r"[^\W\d_]{2,}(?:['’-][^\W\d_]+)*")
MAX_WORDS = 8
"""Longer sources are not counted: their words have many possible translations."""
MIN_COUNT = 15
"""Minimum number of sentences that have a word."""
MIN_SCORE = 0.25
"""Minimum Dice coefficient: twice the sentence pairs that have both words, by the sum of those that have one."""
MIN_PHRASE = 0.6
"""Share of the translations that have the same words beside the linked one, such as `mot` before `de passe`."""
MAX_EXTENSION = 3
"""Maximum number of these words."""
FUNCTION_WORD = 0.02
"""Share of the sentences above which a word is a function word. A translation of several words neither begins nor ends
with one."""

Words = tuple[list[str], list[str]]
"""The words of the source and of the target, in lower case."""


@dataclass(frozen=True)
class Entry:
    """A word and its translation, in lower case."""

    source: str
    target: str
    count: int
    """Number of sentences that have the word."""

    @property
    def repetitions(self) -> int:
        """The more often a word occurs, the more often people send it: 1 for rare words, 6 for the most common."""
        return 1 + round(2 * math.log10(self.count / MIN_COUNT))


def lexicon(pairs: Iterable[tuple[str, str]]) -> list[Entry]:
    """Return the linked words of sentence pairs, sorted."""
    sides = [split for source, target in pairs if len((split := words_of(source, target))[0]) <= MAX_WORDS]
    counts = [Counter(word for pair in sides for word in set(pair[side])) for side in (0, 1)]
    links = linked_words(sides, *counts)
    common = {word for word, count in counts[1].items() if count > FUNCTION_WORD * len(sides)}
    before, after = ({source: Counter[tuple[str, ...]]() for source in links} for _ in range(2))
    for source_words, target_words in sides:
        for source in set(source_words) & links.keys():
            if (target := links[source]) in target_words:
                place = target_words.index(target)
                before[source].update(beginnings(target_words[:place][::-1]))
                after[source].update(beginnings(target_words[place + 1 :]))
    entries = []
    for source, target in sorted(links.items()):
        first, last = (common_beginning(side[source], common) for side in (before, after))
        entries.append(Entry(source, " ".join([*first[::-1], target, *last]), counts[0][source]))
    return entries


def words_of(source: str, target: str) -> Words:
    return WORD.findall(source.lower()), WORD.findall(target.lower())


def linked_words(sides: Sequence[Words], *counts: Counter[str]) -> dict[str, str]:
    """Return source word -> target word. `counts`: the number of sentences with each source and each target word."""
    together = Counter[tuple[str, str]]()
    for pair in sides:
        source, target = ([w for w in set(words) if c[w] >= MIN_COUNT] for c, words in zip(counts, pair, strict=True))
        together.update((s, t) for s in source for t in target)
    best_target, best_source = dict[str, tuple[float, str]](), dict[str, tuple[float, str]]()
    for (s, t), both in together.items():
        score = 2 * both / (counts[0][s] + counts[1][t])
        best_target[s] = max(best_target.get(s, (MIN_SCORE, "")), (score, t))
        best_source[t] = max(best_source.get(t, (MIN_SCORE, "")), (score, s))
    return {s: t for s, (_, t) in best_target.items() if t and best_source[t][1] == s}


def beginnings(words: Sequence[str]) -> list[tuple[str, ...]]:
    """The first 0 to MAX_EXTENSION words."""
    return [tuple(words[:length]) for length in range(min(len(words), MAX_EXTENSION) + 1)]


def common_beginning(counts: Counter[tuple[str, ...]], common: Collection[str]) -> tuple[str, ...]:
    """The longest beginning that most have, without common words at its end. `counts` counts every beginning."""
    enough = [words for words, count in counts.items() if count >= MIN_PHRASE * counts[()]]
    longest = max(map(len, enough), default=0)
    found = next((list(words) for words in enough if len(words) == longest), [])
    while found and found[-1] in common:
        found.pop()
    return tuple(found)
