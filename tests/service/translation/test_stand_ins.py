"""Networks with placeholder tokens: each piece is read as a private-use character."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.batching.scheduler import Limits
from service.bundle.bundle import read_bundle
from service.bundle.conventions import STAND_INS
from service.bundle.files import read_manifest
from service.bundle.manifest import TranslationManifest
from service.runtime import Runtime
from service.translation.engine import Options
from service.translation.results import TokenEvent
from service.translation.translator import Translator
from tests.fakes import change_manifest, read_json, rewrite, write_translator

NUMBER = 4
"""Placeholders of the fake network."""


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Translator]:
    """The fake translator with its tokens of 0, 1, 2 and 3 as placeholders."""
    folder = write_translator(tmp_path_factory.mktemp("stand-ins"))
    for name, copies in (("source_tokenizer.json", 1), ("target_tokenizer.json", 2)):
        content = read_json(folder / name)
        model = json.dumps(content["model"], ensure_ascii=False)
        for digit, stand_in in enumerate(STAND_INS[:NUMBER]):
            model = re.sub(rf'(["\u2581]){digit}{{{copies}}}(?=")', rf"\1{stand_in}", model)
        content["model"] = json.loads(model)
        if copies == 1:
            [split] = [step for step in content["pre_tokenizer"]["pretokenizers"] if step["type"] == "Split"]
            split["pattern"]["Regex"] += f"|[{STAND_INS[0]}-{STAND_INS[-1]}]"
        rewrite(folder, name, json.dumps(content))
    change_manifest(folder, stand_ins=list(STAND_INS[:NUMBER]))
    manifest = read_manifest(folder, TranslationManifest)
    made = Translator(read_bundle(folder, manifest), Runtime("cpu", 1), Limits())
    yield made
    made.close()


def translate(translator: Translator, text: str, **options: Any) -> str:
    [translation] = asyncio.run(translator.translate([text], Options(**options)))
    for sentence in translation.sentences:
        for token in sentence.target_tokens:
            assert translation.text[token.start : token.end] == token.text
        for token in sentence.source_tokens:
            assert text[token.start : token.end] == token.text
    return translation.text


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("detail", ["none", "summary", "full"])
def test_pieces_are_copied(translator: Translator, beam_size: int, detail: str) -> None:
    text = "wind {{x}} rain, %s and\u2764 no. No {y}!"
    assert translate(translator, text, beam_size=beam_size, attention=detail) == (
        "wwiinndd {{x}} rraaiinn,, %s aanndd\u2764 nnoo.. NNoo {y}!!"
    )


def test_more_pieces_than_stand_ins(translator: Translator) -> None:
    text = " and ".join(f"{{x{number}}}" for number in range(3 * NUMBER)) + " no"
    assert translate(translator, text) == text.replace("and", "aanndd").replace("no", "nnoo")


def test_numbers_are_copied(translator: Translator) -> None:
    """The fake network doubles 7. The target language writes a decimal comma."""
    assert translate(translator, "wind 7 and 12.5 rain") == "wwiinndd 7 aanndd 12,5 rraaiinn"


def test_words_in_another_script_are_copied(translator: Translator) -> None:
    assert translate(translator, "wind \u65e5\u672c rain") == "wwiinndd \u65e5\u672c rraaiinn"
    assert translate(translator, "\u65e5\u672c") == "\u65e5\u672c"


def test_no_tokens_of_a_sentence_with_digits(translator: Translator) -> None:
    events: list[TokenEvent] = []
    asyncio.run(translator.translate(["wind 7. Rain!"], Options(beam_size=1), on_token=events.append))
    assert {event.number for event in events} == {1}


def test_an_alternative_has_its_pieces_and_tags(translator: Translator) -> None:
    [translation] = asyncio.run(
        translator.translate(["wind {x} and <b>rain</b>"], Options(alternatives=3, attention="none"))
    )
    assert len(set(translation.alternatives)) > 1
    for text in translation.alternatives:
        assert text.count("{x}") == text.count("<b>") == text.count("</b>") == 1
