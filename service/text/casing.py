"""Capitals and title case: the case in which a network knows a word, read from the vocabulary of its tokenizer."""

import functools
import re
from collections.abc import Iterator

from service.batching import budget
from service.text.tokenizer import TextTokenizer

WORD = re.compile(r"[^\W\d_]+")
COMMA = re.compile("[,;]")
SENTENCE_ENDS = ".!?\u2026:"
MAX_TITLE = 200
"""Maximum characters of a heading."""
MANY_TIMES = 4
"""A lower-case word is preferred unless the capitalised one has a token id that is smaller by this factor."""
MAX_WORD = 40
"""Longer words are not looked up."""
CACHED_WORDS = 4_096


def is_upper(text: str) -> bool:
    """True if a text has two capital letters or more, and no lower-case letter."""
    return sum(map(str.isupper, text)) > 1 and not any(map(str.islower, text))


def is_title(text: str) -> bool:
    """True for a heading in title case: each longer word is capitalised, at least two are, and there is no comma and no
    final stop."""
    if len(text) > MAX_TITLE or COMMA.search(text) or text.rstrip()[-1:] in SENTENCE_ENDS:
        return False
    words = WORD.findall(text)
    capitalised = [word[0].isupper() and word[1:].islower() for word in words]
    return sum(capitalised) > 1 and all(yes or len(word) <= 3 for yes, word in zip(capitalised, words, strict=True))


class Truecaser:
    """Gives words in capitals or title case the case that they have within a sentence."""

    def __init__(self, tokenizer: TextTokenizer, language: str):
        self._tokenizer = tokenizer
        self._language = language
        self._ids = functools.lru_cache(CACHED_WORDS)(self._encode)

    def is_emphasised(self, word: str) -> bool:
        """True for a known word in capitals: it is a single token in lower case, and several in capitals."""
        return len(word) <= MAX_WORD and len(self._ids(word.lower())) == 1 < len(self._ids(word.upper()))

    def sentence_case(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, word) for each word of a text that changes; the first word is capitalised. A word of another
        length in lower case stays."""
        after_name = False
        for number, match in enumerate(WORD.finditer(text)):
            budget.check()
            lower, capitalised = match[0].lower(), match[0][:1].upper() + match[0][1:].lower()
            preference = self._preference(lower, capitalised)
            is_name = preference > 0 or (preference == 0 and after_name)
            word = capitalised if is_name or number == 0 else lower
            after_name = is_name
            if word != match[0] and len(word) == len(match[0]):
                yield match.start(), match.end(), word

    def _preference(self, lower: str, capitalised: str) -> int:
        """1 if a word is usually capitalised, -1 if it is usually not, 0 if that is unclear."""
        if self._language == "en" and lower == "i":
            return 1
        if len(lower) > MAX_WORD:
            return 0
        lower_ids, capitalised_ids = self._ids(lower), self._ids(capitalised)
        if len(lower_ids) != len(capitalised_ids):
            return 1 if len(lower_ids) > len(capitalised_ids) else -1
        if len(lower_ids) > 1:
            return 0
        # The ids of a vocabulary are ordered by frequency.
        return 1 if lower_ids[0] > MANY_TIMES * capitalised_ids[0] else -1

    def _encode(self, word: str) -> tuple[int, ...]:
        """Token ids of a word, without those of special tokens."""
        encoded = self._tokenizer.encode(word)
        return tuple(token_id for token_id, token in zip(encoded.ids, encoded.tokens, strict=True) if token.text)
