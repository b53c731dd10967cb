"""A glossary: source terms with their required translations, and their occurrences in a text.

Words are compared without case. A word of the text may also be an inflected form of the term's word: a plural, or in
German a case (`_bases`). A term in capitals, such as IT, occurs in capitals only.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from service.batching import budget
from service.errors import InvalidInput, excerpt

MAX_TERMS = 20_000
"""Maximum entries of a glossary."""
MAX_TERM = 200
"""Maximum characters of a term and of its translation."""

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+|[^\w\s]|_")
"""A word, a Chinese or Japanese character, or a mark."""
SHORTEST_BASE = 3
"""Minimum letters of a word that has inflected forms."""


@dataclass(frozen=True)
class Occurrence:
    """An occurrence of a term in a text."""

    start: int
    end: int
    """Span in the text."""
    source: str
    """The term, as the glossary has it."""
    target: str
    """Its required translation, as the glossary has it."""
    replaces: bool = True
    """False: the translation stays, and only its place is returned."""


Terms = Mapping[str, str]
"""Source term -> its required translation."""


@dataclass(frozen=True)
class _Entry:
    words: tuple[str, ...]
    source: str
    target: str


class Glossary:
    """Terms of one source language. Raises InvalidInput if there are too many or one is blank or too long."""

    def __init__(self, terms: Terms, language: str):
        if len(terms) > MAX_TERMS:
            raise InvalidInput(f"the glossary has {len(terms)} terms; the limit is {MAX_TERMS}")
        self._bases = BASES.get(language, _no_bases)
        self._entries: dict[str, list[_Entry]] = {}
        """The entries by their first word without case."""
        for source, target in terms.items():
            budget.check()
            source, target = check_term(source), check_term(target)
            words = tuple(WORD.findall(source))
            self._entries.setdefault(words[0].casefold(), []).append(_Entry(words, source, target))

    def occurrences(self, text: str) -> list[Occurrence]:
        """The occurrences of terms in a text, in order and without overlap; longer ones are preferred."""
        if not self._entries:
            return []
        words = list(WORD.finditer(text))
        found = list(self._matches(words))
        taken = [False] * len(words)
        chosen: list[tuple[int, int, _Entry]] = []
        for first, count, _, entry in sorted(found, key=lambda match: (-match[1], not match[2], match[0])):
            budget.check()
            if not any(taken[first : first + count]):
                taken[first : first + count] = [True] * count
                chosen.append((first, count, entry))
        return [
            Occurrence(words[first].start(), words[first + count - 1].end(), entry.source, entry.target)
            for first, count, entry in sorted(chosen, key=lambda match: match[0])
        ]

    def _matches(self, words: list[re.Match[str]]) -> Iterator[tuple[int, int, bool, _Entry]]:
        """Index of the first word, number of words, True if all words are those of the term, and the entry."""
        for first, match in enumerate(words):
            budget.check()
            word = match[0].casefold()
            plural = [word[:-1]] if match[0].endswith("s") and match[0][:-1].isupper() else []
            for base in dict.fromkeys([word, *plural, *self._bases(word)]):
                for entry in self._entries.get(base, ()):
                    count = len(entry.words)
                    present = [other[0] for other in words[first : first + count]]
                    if len(present) == count and all(map(self._is_form, present, entry.words)):
                        exact = [one.casefold() for one in present] == [one.casefold() for one in entry.words]
                        yield first, count, exact, entry

    def _is_form(self, word: str, term: str) -> bool:
        """True if a word of a text is a form of a word of a term."""
        if len(term) > 1 and term.isupper():
            return word.removesuffix("s") == term
        lower, base = word.casefold(), term.casefold()
        return lower == base or base in self._bases(lower)


def check_term(term: str) -> str:
    """A term with single spaces. Raises InvalidInput if it has no visible character or is too long."""
    term = " ".join(term.split())
    if WORD.search(term) is None:
        raise InvalidInput("a term of the glossary is empty")
    if len(term) > MAX_TERM:
        raise InvalidInput(f"a term of the glossary has {len(term)} characters; the limit is {MAX_TERM}")
    if not term.isprintable():
        raise InvalidInput(f"a term of the glossary has a control character: {excerpt(ascii(term))}")
    return term


def _no_bases(word: str) -> list[str]:
    return []


def _english_bases(word: str) -> list[str]:
    """Possible singulars of an English noun.

    >>> _english_bases("boxes"), _english_bases("cities"), _english_bases("glass")
    (['boxe', 'box'], ['citie', 'city'], [])
    """
    if not word.endswith("s") or word.endswith("ss"):
        return []
    bases = [word[:-1]]
    if word.endswith("ies"):
        bases.append(word[:-3] + "y")
    elif word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        bases.append(word[:-2])
    elif word.endswith("ves"):
        bases += [word[:-3] + "f", word[:-3] + "fe"]
    return [base for base in bases if len(base) >= SHORTEST_BASE]


def _french_bases(word: str) -> list[str]:
    """Possible singulars of a French noun.

    >>> _french_bases("chevaux"), _french_bases("chats"), _french_bases("bateaux")
    (['chevau', 'cheval'], ['chat'], ['bateau', 'bateal'])
    """
    if word.endswith("ss") or word[-1] not in "sx":
        return []
    bases = [word[:-1]]
    if word.endswith("aux"):
        bases.append(word[:-2] + "l")
    return [base for base in bases if len(base) >= SHORTEST_BASE]


GERMAN_ENDINGS = ("ern", "en", "er", "es", "em", "n", "e", "s")
WITHOUT_UMLAUT = str.maketrans("\u00e4\u00f6\u00fc", "aou")


def _german_bases(word: str) -> list[str]:
    """Possible base forms of a German noun in another case or number.

    >>> _german_bases("häusern")
    ['häus', 'haus', 'häuser', 'hauser', 'hausern']
    """
    stems = [word[: -len(ending)] for ending in GERMAN_ENDINGS if word.endswith(ending)]
    bases = [form for stem in stems for form in (stem, stem.translate(WITHOUT_UMLAUT))]
    plain = word.translate(WITHOUT_UMLAUT)
    return [base for base in dict.fromkeys([*bases, plain]) if len(base) >= SHORTEST_BASE and base != word]


BASES: dict[str, Callable[[str], list[str]]] = {"en": _english_bases, "fr": _french_bases, "de": _german_bases}
"""Language -> the words, without case, that a word may be a form of. Other languages have exact matches only."""
