"""Word alignment of translations: hard links between the words of a source and those of its translation.

Each word of a translation is linked to the source word with the highest weight in the summary attention. This is the
rule whose error rate is in the card of a translator (`training/alignment.py`). Symmetric links combine this direction
with the reverse one.

Legend: S source words, T target words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np

from service.bundle.manifest import AttentionOutput
from service.handlers.encoding import Emit, Encoding
from service.handlers.reverse_alignment import reverse_links
from service.handlers.schemas import TranslateRequest
from service.handlers.translate import TranslationAnswer, translate
from service.markup.symmetrization import Links, grow_diag_final_and
from service.registry.registry import Registry
from service.settings import Settings
from service.text.tokenizer import Token
from service.text.words import Words, by_words
from service.translation.results import Sentence


@dataclass(frozen=True)
class Link:
    """Two aligned words."""

    source: int
    """Number of the source word in its sentence."""
    target: int
    """Number of the target word in its sentence."""
    source_word: Token
    target_word: Token


@dataclass(frozen=True)
class AlignedAnswer:
    """An answer with links."""

    answer: TranslationAnswer
    with_attention: bool
    """Return the attention too."""
    reverse: Sequence[Links] | None = None
    """Links of the reverse direction for each sentence of all texts, if the alignment is symmetric."""

    @property
    def model(self) -> str:
        return self.answer.model

    @property
    def size(self) -> int:
        return self.answer.size

    def encode(self, encoding: Encoding) -> dict[str, Any]:
        """The answer in the form of `schemas.TranslateResponse`, with `alignment` in each sentence."""
        encoded = self.answer.encode(encoding)
        sentences = [sentence for translation in encoded["translations"] for sentence in translation["sentences"]]
        for sentence, links in zip(sentences, self.links(), strict=True):
            sentence["alignment"] = [
                {"source": _span(link.source_word), "target": _span(link.target_word)} for link in links
            ]
            if not self.with_attention:
                sentence["attention"] = []
        return encoded

    def links(self) -> Iterator[list[Link]]:
        """The links of each sentence of all texts, in order."""
        layers = [_summary_layer(route[-1].manifest.attention) if route else None for route in self.answer.plan.routes]
        reverse = repeat(None) if self.reverse is None else iter(self.reverse)
        for translation, text, layer in zip(self.answer.translations, self.answer.plan.texts, layers, strict=True):
            for sentence in translation.sentences:
                yield word_links(sentence, text, translation.text, layer, next(reverse))

    def pharaoh(self) -> str:
        """Links in Pharaoh format: a line per sentence, `source-target` with the numbers of the words from 0."""
        lines = (" ".join(f"{link.source}-{link.target}" for link in links) for links in self.links())
        return "".join(f"{line}\n" for line in lines)


async def translate_with_alignment(
    request: TranslateRequest, registry: Registry, settings: Settings, emit: Emit | None = None
) -> AlignedAnswer:
    """Translate the texts of a request, with links. Raises as `translate.translate`."""
    with_attention = request.attention != "none"
    needed = request if with_attention else request.model_copy(update={"attention": "summary"})
    aligned = AlignedAnswer(await translate(needed, registry, settings, emit), with_attention)
    if request.alignment != "symmetric":
        return aligned
    return replace(aligned, reverse=await reverse_links(aligned.answer, registry))


def word_links(
    sentence: Sentence, text: str, translation: str, layer: int | None, reverse: Links | None = None
) -> list[Link]:
    """The links of a sentence, by the number of the target word; none without attention.

    text: the whole text that the source tokens are in
    translation: the whole text that the target tokens are in
    layer: layer of the summary; the matrices of a `full` answer have several
    reverse: links of the reverse direction, for symmetric links
    """
    cross = [matrix for matrix in sentence.attention if matrix.kind == "cross"]
    matrices = [matrix for matrix in cross if matrix.layer == layer] or cross
    if not matrices or not matrices[0].weights.size:
        return []
    sources, targets = Words(sentence.source_tokens, text), Words(sentence.target_tokens, translation)
    weights = np.mean([by_words(matrix, targets, sources).weights for matrix in matrices], axis=0)  # [T, S]
    weights = weights * [word.text.strip() != "" for word in sources.tokens]
    links = {
        (source, target)
        for target, (source, word) in enumerate(zip(weights.argmax(axis=1).tolist(), targets.tokens, strict=True))
        if word.text.strip() and weights[target, source] > 0
    }
    if reverse is not None:
        links = grow_diag_final_and(links, reverse)
    by_target = sorted(links, key=lambda link: (link[1], link[0]))
    return [Link(source, target, sources.tokens[source], targets.tokens[target]) for source, target in by_target]


def _summary_layer(outputs: list[AttentionOutput]) -> int | None:
    return next((output.layer for output in outputs if output.summary), None)


def _span(word: Token) -> dict[str, Any]:
    return {"text": word.text, "start": word.start, "end": word.end}
