"""Places the translations of glossary terms in a hypothesis: they replace the words that look at the terms' sources.

The articles before a term may have to agree with it. The result is a pattern with their forms, and the network selects
the most probable ones.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from service.decoding.pattern_search import Pattern
from service.markup.alignment import WordAlignment
from service.markup.edits import END_MARKS
from service.text.articles import CHANGE_COST, DEFAULT_COST, alternatives, is_article
from service.text.mapped import Span
from service.text.tokenizer import TextTokenizer, Token
from service.translation.glossary import Occurrence

WORD = re.compile(r"[^\W_]+(?:['\u2019](?=\w))?|[^\w\s]")
"""A word, an elided word with its apostrophe, or a mark."""
LOOKS = 0.3
"""Minimum attention of a word to the source of a term that it translates."""
LOOKS_BESIDE = 0.25
"""Minimum attention of a word next to such a word."""
FIRST_WORD = re.compile(r"(\w+ |\w+['\u2019])")
LINKS = {"de", "d'", "du", "des", "\u00e0", "of", "-", "von", "et", "and"}
"""Words between two words of a term."""
MAX_CANDIDATES = 1_500
"""Maximum candidates per row in the search for a pattern. More take longer, and with fewer the articles are worse."""


@dataclass(frozen=True)
class PlacedTerm:
    """A term in a translation."""

    occurrence: Occurrence
    part: int
    """Its part of the pattern, which ends with it."""
    text: str
    """Its translation."""
    written: str
    """The same in the symbols that the network knows."""
    unaligned: bool
    """True if no word looks at the occurrence."""


@dataclass(frozen=True)
class TermTokens:
    """The tokens of a term in a translation: the first one, and the one behind the last."""

    term: PlacedTerm
    first: int
    end: int


@dataclass(frozen=True)
class Placement:
    """The terms of a hypothesis."""

    parts: list[list[tuple[int, ...]]]
    terms: list[PlacedTerm]
    changed: bool
    """False if the hypothesis has all terms already."""
    missing: int
    """Terms without aligned words, which are put at the end."""

    candidates: int
    """Candidates per row in the search for the pattern."""
    change_cost: float
    """Log-probability that another form of the words before a term costs."""

    @cached_property
    def pattern(self) -> Pattern:
        return Pattern(tuple(map(tuple, self.parts)), self.candidates, self.change_cost)

    def term_tokens(self, token_ids: Sequence[int], tokens: Sequence[Token]) -> list[TermTokens]:
        """The terms in a translation by the pattern."""
        ends = self.pattern.ends(token_ids)
        found = []
        for term in self.terms:
            end = ends[term.part]
            start = tokens[end - 1].end - len(term.written)
            found.append(TermTokens(term, next(i for i in range(end) if tokens[i].end > start), end))
        return found


@dataclass(frozen=True)
class _Change:
    """text[start:end] of the hypothesis becomes the term, and the words before it have one of some forms."""

    start: int
    """Start of the words before the term."""
    noun: int
    """Start of the words that become the term."""
    end: int
    forms: list[str]
    term: str
    occurrence: Occurrence
    kept: bool = False
    """True if the hypothesis has the term already."""


def place_terms(
    occurrences: Sequence[Occurrence],
    words: WordAlignment,
    text: str,
    token_ids: Sequence[int],
    tokens: Sequence[Token],
    tokenizer: TextTokenizer,
    language: str,
) -> Placement:
    """Place terms in a hypothesis.

    occurrences: with spans in the text that the source tokens of `words` refer to.
    text, token_ids, tokens: the hypothesis. language: of the translation.
    """
    spans = aligned_spans(occurrences, words, text)
    changes = []
    missing: list[Occurrence] = []
    for occurrence, span in zip(occurrences, spans, strict=True):
        if span is None:
            missing.append(occurrence)
        else:
            changes.append(_change(occurrence, span, text, language))
    end = len(text.rstrip(END_MARKS))
    changed = any(not change.kept for change in changes)
    changes += [
        _Change(end, end, end, [" " if end else ""], occurrence.target, occurrence)
        for occurrence in missing
        if occurrence.replaces
    ]
    cost = CHANGE_COST.get(language, DEFAULT_COST)
    return _in_tokens(
        sorted(changes, key=lambda c: (c.start, c.end)), text, token_ids, tokens, tokenizer, changed, cost
    )


def aligned_spans(occurrences: Sequence[Occurrence], words: WordAlignment, text: str) -> list[Span | None]:
    """The span of the words that translate each occurrence. None if no word looks at it."""
    units = [match.span() for match in WORD.finditer(text)]
    shares = [[words.attention_between(unit, (o.start, o.end)) for o in occurrences] for unit in units]
    owners = [max(range(len(row)), key=row.__getitem__) if row and max(row) >= LOOKS else None for row in shares]
    found: list[Span | None] = []
    for number in range(len(occurrences)):
        own = [u for u, owner in enumerate(owners) if owner == number and text[units[u][0]].isalnum()]
        if not own:
            found.append(None)
            continue
        looks = [row[number] for row in shares]
        strongest = max(own, key=looks.__getitem__)
        first, last = _run(strongest, [_belongs(u, number, owners, shares, text, units) for u in range(len(units))])
        found.append((units[first][0], units[last][1]))
    return found


def _belongs(
    u: int,
    number: int,
    owners: Sequence[int | None],
    shares: Sequence[Sequence[float]],
    text: str,
    units: Sequence[Span],
) -> bool | None:
    """True if a word translates an occurrence, None if it may stand between two words that do."""
    word = text[slice(*units[u])].lower().replace("\u2019", "'")
    if word[0].isalnum() and (owners[u] == number or (owners[u] is None and shares[u][number] >= LOOKS_BESIDE)):
        return True
    return None if word in LINKS else False


def _run(strongest: int, belongs: Sequence[bool | None]) -> Span:
    """The first and the last word of the run around the strongest one.

    >>> _run(3, [True, False, True, True, None, True, None, False])
    (2, 5)
    """
    first = last = strongest
    while first > 0 and (belongs[first - 1] or (belongs[first - 1] is None and first > 1 and belongs[first - 2])):
        first -= 1
    end = len(belongs)
    while last + 1 < end and (
        belongs[last + 1] or (belongs[last + 1] is None and last + 2 < end and belongs[last + 2])
    ):
        last += 1
    return first, last


def _change(occurrence: Occurrence, span: Span, text: str, language: str) -> _Change:
    start, end = span
    term = occurrence.target
    # Articles look at their noun too.
    while (match := FIRST_WORD.match(text, start, end)) and is_article(match[1], language):
        start = match.end()
    if not occurrence.replaces or text[start:end].casefold() == term.casefold():
        return _Change(start, start, end, [""], text[start:end], occurrence, kept=True)
    words, forms = alternatives(text[:start], term, language)
    if (match := FIRST_WORD.match(term)) and is_article(match[1], language):
        forms = [""]  # the term starts with an article
    if start == len(words) == 0 and text[:1].isupper():
        term = term[0].upper() + term[1:]
    return _Change(start - len(words), start, end, forms or [""], term, occurrence)


def _in_tokens(
    changes: Sequence[_Change],
    text: str,
    token_ids: Sequence[int],
    tokens: Sequence[Token],
    tokenizer: TextTokenizer,
    changed: bool,
    cost: float,
) -> Placement:
    parts: list[list[tuple[int, ...]]] = []
    terms: list[PlacedTerm] = []
    position = 0
    for change in changes:
        first = next((i for i, t in enumerate(tokens) if t.end > change.start), len(tokens))
        last = next((i for i, t in enumerate(tokens) if t.start >= change.end), len(tokens))
        first, last = max(first, position), max(last, position)
        if first > position:
            parts.append([tuple(token_ids[position:first])])
        known = () if change.kept else _encode(tokenizer, change.term)
        if known:
            joined = change.start > 0 and not text[change.start - 1].isspace() and change.forms[0] != " "
            parts.append([_encode(tokenizer, form.lstrip() + change.term, joined) for form in change.forms])
            written = tokenizer.decode(list(known))[0]
        elif last > first:  # the words stay, or are replaced in the finished text
            parts.append([tuple(token_ids[first:last])])
            written = text[change.noun : change.end]
        else:
            continue
        terms.append(PlacedTerm(change.occurrence, len(parts) - 1, change.term, written, change.start == change.end))
        position = last
    if position < len(token_ids):
        parts.append([tuple(token_ids[position:])])
    missing = sum(change.start == change.end for change in changes)
    candidates = min(MAX_CANDIDATES, tokenizer.size)
    return Placement(parts, terms, changed or missing > 0, missing, candidates, cost)


def _encode(tokenizer: TextTokenizer, text: str, joined: bool = False) -> tuple[int, ...]:
    """The tokens of a text, without unknown symbols. `joined`: directly behind an apostrophe or bracket."""
    encoded = tokenizer.encode(f"({text}" if joined else text)
    unknown = set(tokenizer.unknown(encoded.ids))
    least = 1 if joined else 0
    return tuple(
        token_id
        for place, (token_id, token) in enumerate(zip(encoded.ids, encoded.tokens, strict=True))
        if token.special is None and token.end > least and place not in unknown
    )
