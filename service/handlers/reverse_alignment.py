"""Links from the reverse direction: its translator reads each translation, and writes the given source sentence.

Legend: S source words, T target words, K tokens that the reverse translator reads, Q tokens that it is given to write.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.attention import outputs_for
from service.batching import budget
from service.batching.offload import run_in_thread_if_long
from service.errors import TextTooLong, UnsupportedOption
from service.handlers.output_scorers import INPUTS_AT_ONCE
from service.handlers.translate import TranslationAnswer
from service.markup.symmetrization import Links
from service.registry.registry import Registry
from service.text.mapped import Span
from service.text.tokenizer import Encoded, Token
from service.text.words import Words
from service.translation.engine import Decoded, Options, TranslationRequest, forced_request
from service.translation.results import Translation
from service.translation.translator import Translator


@dataclass(frozen=True)
class ReversePair:
    """A sentence and its translation, with the tokens of the reverse translator."""

    source_words: list[Span]
    """[S]: spans in the text that is written."""
    target_words: list[Span]
    """[T]: spans in the text that is read."""
    written: Encoded
    """[Q]: the source sentence, without an end symbol."""
    read: Encoded
    """[K]: the translation."""

    def request(self, reverse: Translator) -> TranslationRequest:
        """A request that writes the source sentence."""
        unknown = reverse.manifest.special_ids.unknown
        positions = list(range(len(self.read.ids))) if unknown in self.written.ids else []
        options = Options(1, attention="summary")
        return forced_request(self.read.ids, positions, options, self.written.ids, reverse.target_tokenizer.size)

    def links(self, decoded: Decoded) -> Links:
        """Link each source word to the target word that it gives the highest weight."""
        cross = [matrix.weights for matrix in decoded.attention_of(0) if matrix.kind == "cross"]
        sources = _membership(self.written.tokens, self.source_words)
        targets = _membership(self.read.tokens, self.target_words)
        weights = sources @ np.mean(cross, axis=0) @ targets.T  # [S, T]
        best = weights.argmax(axis=1).tolist()
        return {(source, target) for source, target in enumerate(best) if weights[source, target] > 0}


async def reverse_links(answer: TranslationAnswer, registry: Registry) -> list[Links]:
    """The links of each sentence of all texts, in order: numbers of words as in `Words`.

    Raises UnsupportedOption, TextTooLong, TooManyTokens, Overloaded, InferenceTimeout or InferenceFailed.
    """
    texts = answer.plan.texts
    translated = [place for place, one in enumerate(answer.translations) if one.sentences]
    reverse = {place: reverse_translator(answer.plan.routes[place], registry) for place in translated}

    def read_all() -> list[tuple[Translator, ReversePair | None]]:
        return [
            (reverse[place], pair)
            for place in translated
            for pair in _pairs(texts[place], answer.translations[place], reverse[place])
        ]

    pairs = await run_in_thread_if_long(texts, read_all)
    found: list[Links] = [set() for _ in pairs]
    for translator in dict.fromkeys(reverse.values()):
        own = {place: pair for place, (one, pair) in enumerate(pairs) if one is translator and pair is not None}
        requests = [pair.request(translator) for pair in own.values()]
        results: list[Decoded] = []
        for start in range(0, len(requests), INPUTS_AT_ONCE):
            results += await translator.scheduler.submit(requests[start : start + INPUTS_AT_ONCE])
        for (place, pair), decoded in zip(own.items(), results, strict=True):
            found[place] = pair.links(decoded)
    return found


def reverse_translator(route: Sequence[Translator], registry: Registry) -> Translator:
    """The translator of the opposite direction. Raises UnsupportedOption if there is none with attention."""
    source, target = route[0].source, route[-1].target
    if len(route) > 1:
        raise UnsupportedOption(f"symmetric alignment needs one translator from {source} to {target}")
    if (target, source) not in registry.pairs():
        raise UnsupportedOption(f"symmetric alignment needs a translator from {target} to {source}")
    found = registry.translator(target, source)
    if not outputs_for("summary", found.manifest.attention):
        raise UnsupportedOption(f"{found.manifest.name} has no attention, which symmetric alignment needs")
    return found


def _pairs(text: str, translation: Translation, reverse: Translator) -> list[ReversePair | None]:
    """The sentences of a text for the reverse translator; None for one without words. Raises TextTooLong."""
    found = []
    for sentence in translation.sentences:
        budget.check()
        sources, targets = Words(sentence.source_tokens, text), Words(sentence.target_tokens, translation.text)
        found.append(_pair(sources.tokens, targets.tokens, reverse))
    return found


def _pair(sources: Sequence[Token], targets: Sequence[Token], reverse: Translator) -> ReversePair | None:
    (source, source_words), (target, target_words) = _plain(sources), _plain(targets)
    if not source.strip() or not target.strip():
        return None
    written = reverse.target_tokenizer.encode(source)
    count = sum(token.special is None for token in written.tokens)
    read = reverse.source_tokenizer.encode(target)
    limits, name = reverse.manifest.limits, reverse.manifest.name
    for size, limit, verb in (
        (len(read.ids), limits.max_tokens, "reads"),
        (count, limits.max_target_tokens, "writes"),
    ):
        if size > limit:
            raise TextTooLong(f"symmetric alignment: a sentence has {size} tokens, {name} {verb} up to {limit}")
    return ReversePair(source_words, target_words, Encoded(written.ids[:count], written.tokens[:count]), read)


def _plain(words: Sequence[Token]) -> tuple[str, list[Span]]:
    """The words of a sentence without the markup between them, and their spans in that text.

    >>> _plain([Token("I", 0, 1), Token("see", 5, 8), Token(".", 8, 9)])
    ('I see.', [(0, 1), (2, 5), (5, 6)])
    """
    text, spans, end = "", [], None
    for word in words:
        if end is not None and word.start != end:
            text += " "
        spans.append((len(text), len(text) + len(word.text)))
        text += word.text
        end = word.end
    return text, spans


def _membership(tokens: Sequence[Token], words: Sequence[Span]) -> NDArray[np.float64]:
    """[words, tokens]: 1 where a token overlaps a word, else 0."""
    starts, ends = (np.array([getattr(token, side) for token in tokens]) for side in ("start", "end"))
    return np.array([(starts < end) & (ends > start) & (start < end) for start, end in words], dtype=np.float64)
