"""Glossary terms in translations: the share in place, and BLEU of the rest of the text.

200 sentences with three terms each, for each pair with English, with beam size 4. The terms of a sentence are masked in
the translation and in the reference, and BLEU compares the rest. Sentences with terms of another gender than the usual
words are a group of their own: the articles of their references differ too.

    python -m bench.glossary [en-fr ...]
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from sacrebleu.metrics import BLEU

from bench.clients import MODELS
from bench.glossary_cases import Case, cases
from service.batching.scheduler import Limits
from service.registry.registry import Registry
from service.runtime import Runtime
from service.translation.glossary import Glossary
from service.translation.results import Translation
from service.translation.translator import Translator

PAIRS = ("en-fr", "en-de", "fr-en", "de-en")
MASK = "TERM"


def masked(text: str, terms: Iterable[str]) -> str:
    """The text with each term replaced by a mark."""
    for term in sorted(terms, key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(term)}\b", MASK, text, flags=re.IGNORECASE)
    return text


def bleu(found: Sequence[str], references: Sequence[str]) -> float:
    return round(BLEU().corpus_score(list(found), [list(references)]).score, 2)


async def measure(translator: Translator, all_cases: list[Case]) -> dict[str, Any]:
    glossaries = [Glossary(case.glossary, translator.source) for case in all_cases]
    sources = [case.source for case in all_cases]
    since = time.perf_counter()
    plain = await translator.translate(sources)
    between = time.perf_counter()
    found = await translator.translate(sources, find_terms=lambda place, text: glossaries[place].occurrences(text.text))
    until = time.perf_counter()
    results: dict[str, Any] = {"seconds": round(between - since, 2), "seconds_with_glossary": round(until - between, 2)}
    placed = [in_place(case, one) for case, one in zip(all_cases, found, strict=True)]
    results["in_place"] = round(sum(placed) / sum(len(case.glossary) for case in all_cases), 4)
    others = await translator.translate(
        sources, find_terms=lambda place, text: glossaries[place - 100].occurrences(text.text)
    )
    results["terms_that_the_source_lacks"] = sum(
        term.casefold() in other.text.casefold() and source_term.casefold() not in source.casefold()
        for place, (source, other, one) in enumerate(zip(sources, others, plain, strict=True))
        for source_term, term in all_cases[place - 100].glossary.items()
        if term.casefold() not in one.text.casefold()
    )
    for name, same in (("same gender", True), ("another gender", False)):
        chosen = [place for place, case in enumerate(all_cases) if case.same_gender is same]
        if chosen:
            group = [all_cases[place] for place in chosen]
            results[name] = {
                "sentences": len(chosen),
                "without": bleu(
                    [masked(plain[place].text, all_cases[place].usual_terms) for place in chosen],
                    [masked(case.usual, case.usual_terms) for case in group],
                ),
                "with": bleu(
                    [masked(found[place].text, all_cases[place].glossary.values()) for place in chosen],
                    [masked(case.required, case.glossary.values()) for case in group],
                ),
            }
    return results


def in_place(case: Case, translation: Translation) -> int:
    """The number of terms that the answer lists, each with its required text, at the aligned words."""
    terms = [term for sentence in translation.sentences for term in sentence.terms]
    right = 0
    for term in terms:
        text = translation.text[term.target_start : term.target_end]
        right += text.casefold() == case.glossary[term.source].casefold() and not term.unaligned
    return right


def main() -> None:
    results = {}
    for pair in sys.argv[1:] or PAIRS:
        registry = Registry(MODELS, Runtime("cpu", 1), Limits())
        registry.load(pair)
        source, target = pair.split("-")
        translator = registry.translator(source, target, pair)
        results[pair] = asyncio.run(measure(translator, cases(source, target)))
        registry.close()
        print(f"{pair}: {results[pair]}", flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
