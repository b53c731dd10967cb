"""Translation through a pivot language: two translators, one answer, and one attention matrix for each sentence.

    A = A2 . M . A1     [T2, S1] = [T2, S2] . [S2, T1] . [T1, S1]

A1 and A2 are the summaries of the two steps. M maps the source tokens of the second step to the target tokens of the
first one: both are spans of the text in the pivot language, and a row of M has the shares of overlapping characters.
Every row of A sums to 1.

Legend: S1, T1 source and target tokens of the first step, S2, T2 of the second one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.attention import AttentionDetail, AttentionMatrix
from service.batching import budget
from service.batching.offload import run_in_thread_if_long
from service.handlers.glossaries import finder
from service.markup.protect import Format, ProtectedText
from service.text.tokenizer import Token
from service.translation.engine import Options
from service.translation.glossary import Glossary, Occurrence
from service.translation.results import Sentence, Translation, UsedTerm
from service.translation.translator import Translator

Span = tuple[int, int]
Weights = NDArray[np.floating]


@dataclass(frozen=True)
class PivotTranslation(Translation):
    """A translation in two steps."""

    pivot: str
    """The text in the pivot language."""


async def translate_in_two_steps(
    first: Translator,
    second: Translator,
    texts: Sequence[str],
    options: Options,
    format: Format,
    glossary: Glossary | None = None,
) -> list[PivotTranslation]:
    """Translate texts with one translator, and its translations with another one. Raises as `Translator.translate`.

    The terms of a glossary are found in the texts; their translations in the first step are replaced in the second.
    """
    detail: AttentionDetail = "none" if options.attention == "none" else "summary"
    find_terms = None if glossary is None else finder(glossary, replaces=False)
    options_of_first = replace(options, alternatives=0, attention=detail)
    pivots = await first.translate(texts, options_of_first, format, find_terms=find_terms)
    pivot_texts = [pivot.text for pivot in pivots]
    find_terms = None if glossary is None else lambda index, protected: _terms_of(pivots[index], protected)
    found = await second.translate(pivot_texts, replace(options, attention=detail), format, find_terms=find_terms)
    return await run_in_thread_if_long(
        pivot_texts, lambda: [compose(*steps) for steps in zip(pivots, found, strict=True)]
    )


def _terms_of(pivot: Translation, protected: ProtectedText) -> list[Occurrence]:
    """The terms that the first step has found. protected: its translation."""
    found = []
    for term in (term for sentence in pivot.sentences for term in sentence.terms):
        start, end = protected.inside(term.target_start, term.target_end)
        if start < end:
            found.append(Occurrence(start, end, term.source, term.target))
    return sorted(found, key=lambda occurrence: occurrence.start)


def compose(first: Translation, second: Translation) -> PivotTranslation:
    """Join the sentences of two steps; the source of `second` is the text of `first`.

    The steps may split the text in the pivot language differently. Sentences with overlapping spans become one.
    """
    sentences, spans = [], spans_in(second)
    for ours, theirs in groups(spans_in(first), [(one.start, one.end) for one in second.sentences]):
        budget.check()
        if ours and theirs:
            text = second.text[spans[theirs[0]][0] : spans[theirs[-1]][1]]
            before, after = [first.sentences[i] for i in ours], [second.sentences[j] for j in theirs]
            sentences.append(_compose(text, before, after))
    return PivotTranslation(second.text, sentences, second.alternatives, first.text)


def spans_in(translation: Translation) -> list[Span]:
    """The span of each sentence in the translation: the text between sentences is that of the source."""
    spans, source, target = [], 0, 0
    for sentence in translation.sentences:
        target += sentence.start - source
        spans.append((target, target + len(sentence.text)))
        source, target = sentence.end, target + len(sentence.text)
    return spans


def groups(first: Sequence[Span], second: Sequence[Span]) -> list[tuple[range, range]]:
    """Ranges of spans that overlap each other, directly or through others. Spans of each sequence are in order.

    >>> groups([(0, 4), (5, 9), (10, 12)], [(0, 2), (3, 4), (5, 12)])
    [(range(0, 1), range(0, 2)), (range(1, 3), range(2, 3))]
    """
    found = []
    i = j = 0
    while i < len(first) or j < len(second):
        start_i, start_j = i, j
        end = min(span[0] for span in [*first[i : i + 1], *second[j : j + 1]]) + 1
        while (i < len(first) and first[i][0] < end) or (j < len(second) and second[j][0] < end):
            if i < len(first) and first[i][0] < end:
                end, i = max(end, first[i][1]), i + 1
            else:
                end, j = max(end, second[j][1]), j + 1
        found.append((range(start_i, i), range(start_j, j)))
    return found


def _compose(text: str, before: Sequence[Sentence], after: Sequence[Sentence]) -> Sentence:
    """Join adjacent sentences of both steps to one with the translation `text`."""
    score = float(np.mean([one.score for one in before]) + np.mean([one.score for one in after]))
    alternatives = [(other, score + own - after[0].score) for other, own in after[0].alternatives]
    return Sentence(
        text,
        score,
        before[0].start,
        before[-1].end,
        [token for one in before for token in one.source_tokens],
        [token for one in after for token in one.target_tokens],
        _product(before, after),
        alternatives if len(after) == 1 else [],
        [log_prob for one in after for log_prob in one.log_probs],
        terms=_terms(before, after),
    )


def _terms(before: Sequence[Sentence], after: Sequence[Sentence]) -> list[UsedTerm]:
    """The terms of the second step, with their spans in the source text of the first one."""
    found = []
    for first in (term for one in before for term in one.terms):
        span = first.target_start, first.target_end
        second = next((term for one in after for term in one.terms if _overlap((term.start, term.end), span)), None)
        if second is not None:
            found.append(replace(second, start=first.start, end=first.end))
    return found


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _product(before: Sequence[Sentence], after: Sequence[Sentence]) -> list[AttentionMatrix]:
    """The attention of the second step times that of the first; none if a step has none."""
    if not all(one.attention and one.attention[0].weights.size for one in (*before, *after)):
        return []
    links = overlaps(
        [token for one in after for token in one.source_tokens],
        [token for one in before for token in one.target_tokens],
    )
    weights = _diagonal([one.attention[0].weights for one in after]) @ links
    weights = weights @ _diagonal([one.attention[0].weights for one in before])
    return [AttentionMatrix("cross", None, None, weights.astype(np.float32))]


def _diagonal(blocks: Sequence[Weights]) -> Weights:
    """A block-diagonal matrix."""
    whole = np.zeros((sum(len(b) for b in blocks), sum(b.shape[1] for b in blocks)))
    row = column = 0
    for block in blocks:
        whole[row : row + len(block), column : column + block.shape[1]] = block
        row, column = row + len(block), column + block.shape[1]
    return whole


def overlaps(queries: Sequence[Token], keys: Sequence[Token]) -> Weights:
    """M [queries, keys]: the shares of each query's characters in the keys.

    A query without a common character, such as </s>, belongs to the nearest key before it.
    """
    q, k = (np.array([(t.start, t.end) for t in tokens], dtype=np.float64) for tokens in (queries, keys))
    common = np.minimum(q[:, None, 1], k[None, :, 1]) - np.maximum(q[:, None, 0], k[None, :, 0])
    common = np.maximum(common, 0)
    for row in np.flatnonzero(common.sum(axis=1) == 0):
        common[row, max(0, int(np.searchsorted(k[:, 0], q[row, 0], side="right")) - 1)] = 1
    shares: Weights = common / common.sum(axis=1, keepdims=True)
    return shares
