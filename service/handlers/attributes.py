"""Visible attributes of HTML texts: they are translated first, and the texts then have them in the target language.

All offsets of an answer are into the texts as sent.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from service.batching.offload import run_in_thread_if_long
from service.handlers.glossaries import Route
from service.markup.attributes import ReplacedText, find_attributes
from service.text.tokenizer import Token
from service.translation.results import Sentence, Translation, UsedTerm

Translate = Callable[[list[str], list[Route]], Awaitable[Sequence[Translation]]]
"""Translates texts, each with its own route."""


async def with_attributes(
    texts: Sequence[str], routes: Sequence[Route], translate: Translate
) -> dict[int, ReplacedText]:
    """The texts with translated attributes, by index. Texts without visible attributes are left out."""
    found = await run_in_thread_if_long(
        texts, lambda: [find_attributes(text) if route else [] for text, route in zip(texts, routes, strict=True)]
    )
    pairs = list(
        dict.fromkeys(
            (attribute.text, route) for attributes, route in zip(found, routes, strict=True) for attribute in attributes
        )
    )
    if not pairs:
        return {}
    translations = await translate([text for text, _ in pairs], [route for _, route in pairs])
    by_pair = {pair: translation.text for pair, translation in zip(pairs, translations, strict=True)}
    replaced = {}
    for index, (attributes, route) in enumerate(zip(found, routes, strict=True)):
        edits = [
            (attribute.start, attribute.end, attribute.render(translation))
            for attribute in attributes
            if (translation := by_pair[attribute.text, route]) != attribute.text
        ]
        if edits:
            replaced[index] = ReplacedText.of(texts[index], edits)
    return replaced


def with_original_offsets(sentence: Sentence, replaced: ReplacedText, raw: str) -> Sentence:
    """A sentence with its source offsets in the text as sent, `raw`."""

    def token(one: Token) -> Token:
        start, end = replaced.original(one.start, one.end)
        return one if (start, end) == (one.start, one.end) else Token(raw[start:end], start, end, one.special)

    def term(one: UsedTerm) -> UsedTerm:
        start, end = replaced.original(one.start, one.end)
        return replace(one, start=start, end=end)

    start, end = replaced.original(sentence.start, sentence.end)
    return replace(
        sentence,
        start=start,
        end=end,
        source_tokens=[token(one) for one in sentence.source_tokens],
        terms=[term(one) for one in sentence.terms],
    )
