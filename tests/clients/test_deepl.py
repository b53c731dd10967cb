"""The official client of DeepL, unchanged."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deepl
import pytest
from starlette.testclient import TestClient

from tests.fakes import doubled
from tests.service.api.checks import check_problem


@pytest.fixture
def translator(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[deepl.Translator]:
    sleep = time.sleep  # the client waits for 5 s between two questions
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))
    client = deepl.DeepLClient("any", server_url=address)
    yield client
    client.close()


def test_texts(translator: deepl.Translator) -> None:
    one = translator.translate_text("Wind and rain!", source_lang="EN", target_lang="XX")
    assert isinstance(one, deepl.TextResult)
    assert (one.text, one.detected_source_lang) == (doubled("Wind and rain!"), "EN")
    assert one.billed_characters == len("Wind and rain!")
    several = translator.translate_text(["Wind", "", "The wind is cold."], target_lang="XX", formality="more")
    assert isinstance(several, list)
    assert [each.text for each in several] == [doubled("Wind"), "", doubled("The wind is cold.")]
    assert several[2].detected_source_lang == "EN"


def test_tags(translator: deepl.Translator) -> None:
    options: dict[str, Any] = {"source_lang": "EN", "target_lang": "XX"}
    text = "<p>Wind &amp; <keep>rain</keep> <b>and</b></p>"
    found = translator.translate_text(text, tag_handling="xml", ignore_tags=["keep"], **options)
    assert isinstance(found, deepl.TextResult)
    assert found.text.count("<keep>rain</keep>") == 1 and "<p>" in found.text and "<b>" in found.text
    joined = translator.translate_text("Wind\nand rain", split_sentences="nonewlines", **options)
    assert isinstance(joined, deepl.TextResult) and joined.text == doubled("Wind and rain")


def test_languages_and_usage(translator: deepl.Translator) -> None:
    assert [str(language) for language in translator.get_source_languages()] == ["EN"]
    assert [(language.code, language.name) for language in translator.get_target_languages()] == [("XX", "xx")]
    before = translator.get_usage().character
    translator.translate_text("Wind", source_lang="EN", target_lang="XX")
    after = translator.get_usage().character
    assert after.count == (before.count or 0) + 4 and not after.limit_reached


def test_documents(translator: deepl.Translator, tmp_path: Path) -> None:
    source, target = tmp_path / "a.txt", tmp_path / "b.txt"
    source.write_text("Wind and rain!\n")
    status = translator.translate_document_from_filepath(source, target, source_lang="EN", target_lang="XX")
    assert status.done and status.billed_characters == len("Wind and rain!")
    assert target.read_text() == doubled("Wind and rain!") + "\n"


def test_a_document_is_fetched_once(translator: deepl.Translator) -> None:
    handle = translator.translate_document_upload(b"Wind", filename="a.txt", target_lang="XX", source_lang="EN")
    assert translator.translate_document_wait_until_done(handle).done
    content = io.BytesIO()
    translator.translate_document_download(handle, content)
    assert content.getvalue().decode() == doubled("Wind")
    with pytest.raises(deepl.DeepLException, match="no such document"):
        translator.translate_document_get_status(handle)


def test_errors(translator: deepl.Translator) -> None:
    with pytest.raises(deepl.DeepLException, match="ZZ is not supported"):
        translator.translate_text("Wind", target_lang="zz", source_lang="EN")
    with pytest.raises(deepl.DeepLException, match="exe files are not supported"):
        translator.translate_document_upload(b"Wind", filename="a.exe", target_lang="XX")
    handle = translator.translate_document_upload(b"{", filename="a.json", target_lang="XX", source_lang="EN")
    status = translator.translate_document_wait_until_done(handle)
    assert not status.ok and "not valid JSON" in str(status.error_message)
    with pytest.raises(deepl.DeepLException, match="no such document"):
        translator.translate_document_get_status(deepl.DocumentHandle(handle.document_id, "x"))


def test_forms(client: TestClient) -> None:
    form = {"text": ["Wind", "rain"], "target_lang": "XX", "source_lang": "EN", "tag_handling": ""}
    answer = client.post("/v2/translate", data=form, headers={"Authorization": "DeepL-Auth-Key x"})
    assert [each["text"] for each in answer.json()["translations"]] == [doubled("Wind"), doubled("rain")]
    check_problem(client.post("/v2/translate", json={"text": ["Wind"]}), 400, "missing_parameter")
    body = {"text": ["Wind"], "target_lang": "XX", "source_lang": "EN", "tag_handling": "latex"}
    check_problem(client.post("/v2/translate", content=json.dumps(body)), 400, "unsupported_format")
    check_problem(client.post("/v2/document/x", json={}), 400, "missing_parameter")
