"""Restores the pieces and tags of a source segment in its translation, and joins sentences to a text.

A piece replaces its stand-in. Without a stand-in it replaces the words that are aligned with it, or is appended. A tag
is inserted around the words that are aligned with its content.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from service.attention import AttentionMatrix
from service.markup.alignment import WordAlignment
from service.markup.edits import TextEdits
from service.markup.protect import Piece, ProtectedText
from service.markup.tags import Tag, place_tags
from service.text.mapped import Span
from service.text.tokenizer import Token
from service.translation.results import Sentence, Translation
from service.translation.segments import Segment


def restore(
    protected: ProtectedText, segment: Segment, sentence: Sentence, alignment: Sequence[AttentionMatrix]
) -> Sentence:
    """Restore the pieces and tags of a segment in its translation.

    sentence: with source offsets into the protected text and target offsets into its own text. The source offsets of
        the result are into the text as sent.
    alignment: the attention matrices that align target tokens with source tokens.
    """
    sources, targets = sentence.source_tokens, sentence.target_tokens
    edits = TextEdits(sentence.text, protected.escape)
    if not segment.is_plain:
        words = WordAlignment(sources, targets, sentence.text, alignment)
        _place_pieces(protected, segment, sentence.text, words, edits)
        tags = [_with_space(tag, protected.text) for tag in segment.tags]
        place_tags(tags, (segment.start, segment.end), words, edits)
    edits.apply()
    start, end = protected.span(segment.start, segment.end)
    others = sentence.alternatives if not segment.tags else []  # an alternative has no alignment
    return replace(
        sentence,
        text=edits.result,
        start=start,
        end=end,
        source_tokens=[_moved(token, protected.span(token.start, token.end), protected.raw) for token in sources],
        target_tokens=[_moved(token, edits.span(token.start, token.end), edits.result) for token in targets],
        alternatives=[(_with_pieces_in_order(protected, segment, text), score) for text, score in others],
    )


def _moved(token: Token, span: Span, text: str) -> Token:
    return Token(text[slice(*span)], *span, token.special)


def _with_space(tag: Tag, text: str) -> Tag:
    """A tag that stands alone between two spaces, with one of them: the translation has a single space there."""
    apart = not tag.name and text[tag.place - 1].isspace() and text[tag.place].isspace()
    return replace(tag, raw=f"{tag.raw} ") if apart else tag


def _place_pieces(
    protected: ProtectedText, segment: Segment, text: str, words: WordAlignment, edits: TextEdits
) -> None:
    """Replace stand-ins by pieces, aligned by attention.

    The stand-in can be a word of the source text too; its translation stays. Surplus stand-ins are removed.
    """
    sources = protected.stand_ins_in(segment.start, segment.end)
    pieces = {piece.start: piece for piece in segment.pieces}
    targets = [match.span() for match in re.finditer(re.escape(protected.stand_in), text)]
    source_of = _match_stand_ins(targets, sources, len(protected.stand_in), words)
    for number, span in enumerate(targets):
        if number not in source_of:
            edits.drop(span)
        elif (piece := pieces.get(sources[source_of[number]])) is not None:
            edits.replace(span, piece.raw)
    placed = {sources[place] for place in source_of.values()}
    for piece in segment.pieces:
        if piece.start not in placed:
            _place_without_stand_in(piece, words, edits)


def _match_stand_ins(targets: list[Span], sources: list[int], length: int, words: WordAlignment) -> dict[int, int]:
    """Target stand-in -> source stand-in, by index. Pairs with the strongest attention are matched first."""
    pairs = [
        (words.attention_between(target, (start, start + length)), -number, -place)
        for number, target in enumerate(targets)
        for place, start in enumerate(sources)
    ]
    source_of: dict[int, int] = {}
    used: set[int] = set()
    for _, number, place in sorted(pairs, reverse=True):
        if -number not in source_of and -place not in used:
            source_of[-number] = -place
            used.add(-place)
    return source_of


def _place_without_stand_in(piece: Piece, words: WordAlignment, edits: TextEdits) -> None:
    span = words.translation_of((piece.start, piece.end))
    if span is not None and span[0] < span[1] and not edits.overlaps(span):
        edits.replace(span, piece.raw)
    else:
        edits.append(piece.raw)


def _with_pieces_in_order(protected: ProtectedText, segment: Segment, text: str) -> str:
    """An alternative with its pieces in the order of the source: it has no alignment."""
    if not segment.pieces:
        return protected.escape(text)
    stand_in = protected.stand_in
    pieces = {piece.start: piece.raw for piece in segment.pieces}
    raws = [pieces.get(place, stand_in) for place in protected.stand_ins_in(segment.start, segment.end)]
    first, *rest = (protected.escape(part) for part in text.split(stand_in))
    joined, used = first, 0
    for part in rest:
        joined += (raws[used] if used < len(raws) else "") + part
        used += 1
    return " ".join([joined, *(raw for raw in raws[used:] if raw != stand_in)])


def join(raw: str, sentences: Sequence[Sentence], alternatives: int) -> Translation:
    """A text with its sentences replaced by their translations; what is between them stays."""
    found: list[Sentence] = []
    text, others = "", [""] * alternatives
    position = 0
    for sentence in sentences:
        between, position = raw[position : sentence.start], sentence.end
        text += between
        shift = len(text)
        for k in range(alternatives):
            own = sentence.alternatives
            others[k] += between + (own[k][0] if k < len(own) else sentence.text)
        text += sentence.text
        if shift:
            tokens = [Token(t.text, t.start + shift, t.end + shift, t.special) for t in sentence.target_tokens]
            sentence = replace(sentence, target_tokens=tokens)
        found.append(sentence)
    tail = raw[position:]
    return Translation(text + tail, found, [other + tail for other in others])
