"""Restores the pieces, the tags and the case of a source segment in its translation, and joins sentences to a text.

A piece replaces its placeholder. Without a placeholder it replaces the words that are aligned with it, or is appended.
A tag is inserted around the words that are aligned with its content.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from service.attention import AttentionMatrix
from service.batching import budget
from service.bundle.conventions import STAND_INS
from service.markup.alignment import WordAlignment
from service.markup.edits import TextEdits
from service.markup.protect import ProtectedText
from service.markup.tags import Tag, place_tags
from service.text.mapped import Span
from service.text.tokenizer import Token
from service.translation.results import Sentence, Translation, UsedTerm
from service.translation.segments import Segment
from service.translation.source_text import PlacedPiece

FOREIGN_PLACEHOLDER = re.compile(f"[{STAND_INS[0]}-{STAND_INS[-1]}]")


def restore(
    protected: ProtectedText,
    segment: Segment,
    text: str,
    tokens: Sequence[Token],
    alignment: Sequence[AttentionMatrix],
    spelled: Sequence[tuple[Span, str]] = (),
) -> tuple[str, list[Token]]:
    """Restore pieces, tags and case in the translation of a segment, and escape it for the format of the text.

    tokens: of the translation, with spans in `text`; those of the result are in the result.
    alignment: the attention matrices that align target tokens with source tokens.
    spelled: spans of the translation with their replacements.
    """
    escape = protected.escape
    edits = TextEdits(text, (lambda part: escape(part.upper())) if segment.source.capitals else escape)
    for span, replacement in spelled:
        edits.replace(span, escape(replacement))
    if not segment.is_plain:
        words = WordAlignment(segment.encoded.tokens, list(tokens), text, alignment)
        _place_pieces(segment, text, words, edits)
        tags = [_with_space(tag, protected.text) for tag in segment.tags]
        place_tags(tags, (segment.start, segment.end), words, edits)
    result = edits.apply()
    return result, [moved(token, edits.span(token.start, token.end), result) for token in tokens]


def moved(token: Token, span: Span, text: str) -> Token:
    """A token with another span."""
    return Token(text[slice(*span)], *span, token.special)


def shifted(term: UsedTerm, shift: int) -> UsedTerm:
    """A term whose span in the translation is moved."""
    return replace(term, target_start=term.target_start + shift, target_end=term.target_end + shift)


def _with_space(tag: Tag, text: str) -> Tag:
    """A tag that stands alone between two spaces, with one of them: the translation has a single space there."""
    apart = not tag.name and text[tag.place - 1].isspace() and text[tag.place].isspace()
    return replace(tag, raw=f"{tag.raw} ") if apart else tag


def _place_pieces(segment: Segment, text: str, words: WordAlignment, edits: TextEdits) -> None:
    """Replace each placeholder by its piece, and remove placeholders without a piece."""
    source = segment.source
    missing: list[PlacedPiece] = []
    ordered = sorted(source.pieces, key=lambda piece: piece.placeholder)
    for placeholder, group in groupby(ordered, key=lambda piece: piece.placeholder):
        missing += _place_group(segment, placeholder, list(group), text, words, edits)
    known = {piece.placeholder for piece in source.pieces}
    for match in FOREIGN_PLACEHOLDER.finditer(text):
        if match[0] not in known:
            edits.drop(match.span())
    for piece in sorted(missing, key=lambda piece: piece.start):
        _place_without_placeholder(piece, words, edits)


def _place_group(
    segment: Segment,
    placeholder: str,
    pieces: Sequence[PlacedPiece],
    text: str,
    words: WordAlignment,
    edits: TextEdits,
) -> list[PlacedPiece]:
    """Place the pieces of one placeholder. Returns those whose placeholder is missing.

    A placeholder can be a word of the source text too; its translation stays.
    """
    source = segment.source
    by_read = {piece.read: piece for piece in pieces}
    sources = [match.span() for match in re.finditer(re.escape(placeholder), source.text)]
    targets = [match.span() for match in re.finditer(re.escape(placeholder), text)]
    if len(sources) == len(targets) == 1:
        source_of = {0: 0}
    else:
        source_of = _match_placeholders(targets, [source.mapped.span(*span) for span in sources], words)
    for number, span in enumerate(targets):
        if number not in source_of:
            edits.drop(span)
        elif (piece := by_read.get(sources[source_of[number]])) is not None:
            edits.replace(span, piece.raw)
    placed = {sources[place] for place in source_of.values()}
    return [piece for piece in pieces if piece.read not in placed]


def _match_placeholders(targets: Sequence[Span], sources: Sequence[Span], words: WordAlignment) -> dict[int, int]:
    """Target placeholder -> source placeholder, by index. Pairs with the strongest attention are matched first."""
    pairs = [
        (words.attention_between(target, source), -number, -place)
        for number, target in enumerate(targets)
        for place, source in enumerate(sources)
    ]
    source_of: dict[int, int] = {}
    used: set[int] = set()
    for _, number, place in sorted(pairs, reverse=True):
        if -number not in source_of and -place not in used:
            source_of[-number] = -place
            used.add(-place)
    return source_of


def _place_without_placeholder(piece: PlacedPiece, words: WordAlignment, edits: TextEdits) -> None:
    span = words.translation_of((piece.start, piece.end))
    if span is not None and span[0] < span[1] and not edits.overlaps(span):
        edits.replace(span, piece.raw)
    else:
        edits.append(piece.raw)


def join(raw: str, sentences: Iterable[Sentence], alternatives: int) -> Translation:
    """A text with its sentences replaced by their translations. The text between them stays."""
    found: list[Sentence] = []
    parts: list[str] = []
    others: list[list[str]] = [[] for _ in range(alternatives)]
    position = shift = 0
    for sentence in sentences:
        budget.check()
        between, position = raw[position : sentence.start], sentence.end
        parts += [between, sentence.text]
        shift += len(between)
        own = sentence.alternatives
        for k in range(alternatives):
            others[k] += [between, own[k][0] if k < len(own) else sentence.text]
        length = len(sentence.text)
        if shift:
            tokens = [Token(t.text, t.start + shift, t.end + shift, t.special) for t in sentence.target_tokens]
            sentence = replace(sentence, target_tokens=tokens, terms=[shifted(term, shift) for term in sentence.terms])
        shift += length
        found.append(sentence)
    tail = raw[position:]
    return Translation("".join([*parts, tail]), found, ["".join([*other, tail]) for other in others])
