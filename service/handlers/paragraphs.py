"""Paragraphs of a text in several languages: each is translated from its own language, and the results are joined."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from service.batching import budget
from service.batching.offload import run_in_thread
from service.handlers.languages import rank
from service.text.detection import Guess
from service.text.tokenizer import Token
from service.translation.results import Sentence, Translation

LONG = 200
"""Characters of a text from which its paragraphs are looked at."""
LEAST = 40
"""Characters of a paragraph with a language of its own."""
CERTAIN = 0.9
"""Probability from which the language of a paragraph is used instead of that of the text."""
BREAK = re.compile(r"\n[^\S\n]*+\n\s*+")
"""A blank line."""


@dataclass(frozen=True)
class Part:
    """Paragraphs of one language: text[start:end], the white space behind them included."""

    start: int
    end: int
    language: str


async def find_parts(texts: Sequence[str], guesses: Sequence[Guess], usable: Collection[str]) -> dict[int, list[Part]]:
    """The parts of the texts whose paragraphs are in several languages, by index.

    guesses: the language of each text. usable: the languages that a paragraph may have.
    """
    long = [index for index, text in enumerate(texts) if len(text) >= LONG and BREAK.search(text)]
    if not long:
        return {}

    def work() -> dict[int, list[Part]]:
        found = {index: parts_of(texts[index], guesses[index].language, usable) for index in long}
        return {index: parts for index, parts in found.items() if len(parts) > 1}

    return await run_in_thread(work)


def parts_of(text: str, language: str, usable: Collection[str]) -> list[Part]:
    """The parts of a text, in order. Short and doubtful paragraphs have the language of the text."""
    ends = [match.end() for match in BREAK.finditer(text)]
    parts: list[Part] = []
    for start, end in pairwise(dict.fromkeys([0, *ends, len(text)])):
        budget.check()
        own = language
        paragraph = text[start:end].strip()
        if len(paragraph) >= LEAST:
            best = rank(paragraph, usable)[0]
            if best.language in usable and best.confidence >= CERTAIN:
                own = best.language
        if parts and parts[-1].language == own:
            parts[-1] = replace(parts[-1], end=end)
        else:
            parts.append(Part(start, end, own))
    return parts


def join_parts(parts: Sequence[Part], translations: Sequence[Translation]) -> Translation:
    """The translation of a text from those of its parts."""
    sentences: list[Sentence] = []
    length = 0
    for part, translation in zip(parts, translations, strict=True):
        sentences += [_moved(sentence, part.start, length) for sentence in translation.sentences]
        length += len(translation.text)
    count = max(len(translation.alternatives) for translation in translations)
    alternatives = [
        "".join(t.alternatives[k] if k < len(t.alternatives) else t.text for t in translations) for k in range(count)
    ]
    return Translation("".join(translation.text for translation in translations), sentences, alternatives)


def _moved(sentence: Sentence, source: int, target: int) -> Sentence:
    """A sentence with its offsets moved in the source text and in the translation."""

    def moved(token: Token, shift: int) -> Token:
        return Token(token.text, token.start + shift, token.end + shift, token.special)

    terms = [
        replace(
            term,
            start=term.start + source,
            end=term.end + source,
            target_start=term.target_start + target,
            target_end=term.target_end + target,
        )
        for term in sentence.terms
    ]
    return replace(
        sentence,
        start=sentence.start + source,
        end=sentence.end + source,
        source_tokens=[moved(token, source) for token in sentence.source_tokens],
        target_tokens=[moved(token, target) for token in sentence.target_tokens],
        terms=terms,
    )
