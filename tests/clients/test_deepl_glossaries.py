"""Glossaries of the official client of DeepL."""

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import deepl
import httpx
import pytest
from deepl.api_data import MultilingualGlossaryDictionaryEntries

from service.access import new_key
from service.handlers import caller_glossaries
from tests.fakes import doubled
from tests.listening import listening

PAIR: Any = {"source_lang": "EN", "target_lang": "XX"}
KEYS = [new_key(name) for name in ("anna", "otto")]


@pytest.fixture(scope="module")
def address(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("glossaries") / "new"
    with listening(models, glossaries=folder, api_keys=" ".join(line for _, line in KEYS)) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[deepl.DeepLClient]:
    with closing(deepl.DeepLClient(KEYS[0][0], server_url=address)) as client:
        yield client


def test_glossaries_of_one_pair(client: deepl.DeepLClient) -> None:
    made = client.create_glossary("My terms", entries={"wind": "vent", "rain": "la pluie"}, **PAIR)
    assert (made.name, made.entry_count, made.source_lang, made.target_lang) == ("My terms", 2, "EN", "XX")
    assert client.get_glossary(made.glossary_id).name == "My terms"
    assert [each.glossary_id for each in client.list_glossaries()] == [made.glossary_id]
    assert client.get_glossary_entries(made) == {"wind": "vent", "rain": "la pluie"}
    found = client.translate_text("No rain and wind", glossary=made, **PAIR)
    assert isinstance(found, deepl.TextResult)
    assert "la pluie" in found.text and "vent" in found.text and doubled("rain") not in found.text
    client.delete_glossary(made)
    with pytest.raises(deepl.GlossaryNotFoundException):
        client.get_glossary(made.glossary_id)
    with pytest.raises(deepl.DeepLException, match="no glossary"):
        client.translate_text("Wind", glossary=made, **PAIR)


def test_glossaries_of_several_pairs(client: deepl.DeepLClient) -> None:
    dictionary = MultilingualGlossaryDictionaryEntries
    made = client.create_multilingual_glossary("Terms", [dictionary("EN", "XX", {"wind": "vent"})])
    assert [(each.source_lang, each.entry_count) for each in made.dictionaries] == [("EN", 1)]
    changed = client.update_multilingual_glossary_dictionary(made, dictionary("EN", "XX", {"rain": "pluie"}))
    assert changed.dictionaries[0].entry_count == 2
    client.update_multilingual_glossary_name(made, "Other")
    replaced = client.replace_multilingual_glossary_dictionary(made, dictionary("XX", "EN", {"vent": "wind"}))
    assert replaced.entry_count == 1
    found = client.get_multilingual_glossary(made.glossary_id)
    assert found.name == "Other" and len(found.dictionaries) == 2
    assert [each.name for each in client.list_multilingual_glossaries()] == ["Other"]
    assert client.list_glossaries() == []  # it has two pairs
    entries: object = client.get_multilingual_glossary_entries(made, "EN", "XX").dictionaries[0].entries
    assert entries == "wind\tvent\nrain\tpluie"
    client.delete_multilingual_glossary_dictionary(made, source_lang="XX", target_lang="EN")
    with pytest.raises(deepl.DeepLException):
        client.get_multilingual_glossary_entries(made, "XX", "EN")
    handle = client.translate_document_upload(b"No rain", filename="a.txt", glossary=made, **PAIR)
    status = client.translate_document_get_status(handle)
    while not status.done:
        status = client.translate_document_get_status(handle)
    content = io.BytesIO()
    client.translate_document_download(handle, content)
    assert content.getvalue() == b"NNoo pluie"
    client.delete_multilingual_glossary(made)
    assert client.list_multilingual_glossaries() == []


def test_forms(address: str) -> None:
    """deepl-node sends forms."""
    headers = {"Authorization": f"DeepL-Auth-Key {KEYS[0][0]}"}
    pair = {"dictionaries[0].source_lang": "en", "dictionaries[0].target_lang": "xx"}
    form = {"name": "Form", **pair, "dictionaries[0].entries": "wind\tvent", "dictionaries[0].entries_format": "tsv"}
    made = httpx.post(f"{address}/v3/glossaries", data=form, headers=headers)
    assert made.status_code == 201
    assert made.json()["dictionaries"] == [{"source_lang": "en", "target_lang": "xx", "entry_count": 1}]
    place = f"{address}/v3/glossaries/{made.json()['glossary_id']}"
    assert httpx.patch(place, data={"name": "Other"}, headers=headers).json()["name"] == "Other"
    assert httpx.delete(place, headers=headers).status_code == 204


def test_callers_and_limits(client: deepl.DeepLClient, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = client.create_glossary("Mine", entries={"wind": "vent"}, **PAIR)
    with closing(deepl.DeepLClient(KEYS[1][0], server_url=address)) as other:
        assert other.list_glossaries() == []
        with pytest.raises(deepl.GlossaryNotFoundException):
            other.delete_glossary(made)
    with pytest.raises(deepl.GlossaryNotFoundException):
        client.get_glossary("..%2Fx")
    with closing(deepl.DeepLClient("wrong", server_url=address)) as unknown:
        with pytest.raises(deepl.AuthorizationException):
            unknown.list_glossaries()
    with pytest.raises(deepl.DeepLException, match="entries|term"):
        client.create_glossary_from_csv("Bad", csv_data="a", **PAIR)
    assert len(client.list_glossaries()) == 1
    monkeypatch.setattr(caller_glossaries, "MAX_OWNED", 1)
    with pytest.raises(deepl.DeepLException, match="already"):
        client.create_glossary("More", entries={"wind": "vent"}, **PAIR)
    languages = client.get_glossary_languages()
    assert [(each.source_lang, each.target_lang) for each in languages] == [("en", "xx")]
    client.delete_glossary(made)
