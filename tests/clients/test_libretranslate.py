"""The client of LibreTranslate, and its other routes and conventions."""

import json
from typing import Any
from urllib.error import HTTPError

import httpx
import pytest
from libretranslatepy import LibreTranslateAPI
from starlette.testclient import TestClient

from tests.fakes import doubled
from tests.service.api.checks import check_problem


@pytest.fixture
def api(address: str) -> LibreTranslateAPI:
    return LibreTranslateAPI(address, api_key="any")


def test_the_client_translates(api: LibreTranslateAPI) -> None:
    assert api.translate("Wind and rain!", "en", "xx") == doubled("Wind and rain!")


def test_the_client_detects_the_language(real_address: str) -> None:
    api = LibreTranslateAPI(real_address)
    assert api.translate("Good morning, Tom.", "auto", "fr") == api.translate("Good morning, Tom.", "en", "fr")
    [best, *others] = api.detect("Bonjour tout le monde, comment allez-vous ?")
    assert best["language"] == "fr" and 90 < best["confidence"] <= 100
    assert len(others) == 2 and others[0]["confidence"] < best["confidence"]


def test_the_client_lists_languages(api: LibreTranslateAPI) -> None:
    assert api.languages() == [
        {"code": "en", "name": "English", "targets": ["xx"]},
        {"code": "xx", "name": "xx", "targets": []},
    ]


def test_the_client_reads_errors(api: LibreTranslateAPI) -> None:
    with pytest.raises(HTTPError) as caught:
        api.translate("Wind", "zz", "xx")
    assert caught.value.code == 400
    assert json.loads(caught.value.read())["error"] == "zz is not supported"


def test_the_official_health_check_sends_a_body(address: str) -> None:
    answer = httpx.request("GET", f"{address}/health", json={})
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def translate(client: TestClient, **body: Any) -> Any:
    return client.post("/translate", json={"source": "auto", "target": "xx", **body})


def test_detection_for_each_text_of_a_list(real_client: TestClient) -> None:
    texts = ["Good morning, how are you?", "Bonjour, comment allez-vous ?", "Where is the station?"]
    answer = translate(real_client, q=texts, target="fr").json()
    assert [found["language"] for found in answer["detectedLanguage"]] == ["en", "fr", "en"]
    assert all(50 < found["confidence"] <= 100 for found in answer["detectedLanguage"])
    assert answer["translatedText"][1] == texts[1]  # the text is French
    assert answer["translations"][1] == {"text": texts[1], "sentences": []}
    alone = translate(real_client, q=texts[0], target="fr").json()
    assert alone["detectedLanguage"]["language"] == "en"
    assert alone["translatedText"] == answer["translatedText"][0]
    assert (answer["model"], answer["version"]) == (alone["model"], alone["version"]) == ("en-fr", alone["version"])


def test_nothing_to_translate(real_client: TestClient) -> None:
    answer = translate(real_client, q="Bonjour, comment allez-vous ?", target="fr", alternatives=1).json()
    assert answer["translatedText"] == "Bonjour, comment allez-vous ?"
    assert answer["alternatives"] == ["Bonjour, comment allez-vous ?"]
    assert (answer["model"], answer["version"]) == (None, None)


def test_detection_prefers_languages_with_a_model(client: TestClient) -> None:
    """Alone, "wind" is detected as Dutch."""
    answer = translate(client, q="wind").json()
    assert (answer["detectedLanguage"]["language"], answer["translatedText"]) == ("en", doubled("wind"))
    assert 0 <= answer["detectedLanguage"]["confidence"] < 50


def test_a_text_in_another_language(client: TestClient) -> None:
    problem = check_problem(translate(client, q="Das ist ein Hund und das ist keine Katze."), 400)
    assert problem["error"] == "de is not supported"


@pytest.mark.parametrize("source", ["auto", "en"])
def test_a_blank_text_of_a_list_stays_as_it_is(client: TestClient, source: str) -> None:
    answer = translate(client, q=["{{x}}", "Wind", " \n"], source=source).json()
    assert answer["translatedText"] == ["{{x}}", doubled("Wind"), " \n"]
    assert answer["translations"][2]["sentences"] == []
    check_problem(translate(client, q=" \n", source=source), 422, "empty_text")


def test_the_language_is_returned_for_auto_only(client: TestClient) -> None:
    assert "detectedLanguage" not in translate(client, q="Wind", source="en").json()


def test_a_named_model_decides(client: TestClient) -> None:
    answer = client.post("/translate", json={"q": "Wind", "source": "auto", "model": "en-xx"})
    assert answer.json()["translatedText"] == doubled("Wind")


def test_a_list_and_a_text_with_a_bar(client: TestClient) -> None:
    """LibreTranslate's cache of answers joins a list with "|"."""
    assert translate(client, q=["a", "b"]).json()["translatedText"] == [doubled("a"), doubled("b")]
    assert isinstance(translate(client, q="a|b").json()["translatedText"], str)


@pytest.mark.parametrize(
    "send", [{"json": {"q": "Wind", "alternatives": "x"}}, {"data": {"q": "Wind", "alternatives": "x"}}]
)
def test_alternatives_of_a_wrong_type(client: TestClient, send: dict[str, Any]) -> None:
    for body in send.values():
        body.update(source="en", target="xx")
    check_problem(client.post("/translate", **send), 422, "invalid_input")


@pytest.mark.parametrize("send", ["json", "data"])
def test_detect_of_a_list(client: TestClient, send: str) -> None:
    answer = client.post("/detect", **{send: {"q": ["Where is the dog?", "Où est le chien ?"], "api_key": "x"}})  # type: ignore[arg-type]
    assert [guesses[0]["language"] for guesses in answer.json()] == ["en", "fr"]
    assert all(len(guesses) == 3 for guesses in answer.json())


@pytest.mark.parametrize("body", [{}, {"q": ""}, {"q": None}])
def test_detect_without_a_text(client: TestClient, body: dict[str, Any]) -> None:
    problem = check_problem(client.post("/detect", json=body), 400, "missing_parameter")
    assert problem["error"] == "Invalid request: missing q parameter"


def test_settings_for_libretranslates_page(client: TestClient) -> None:
    settings = client.get("/frontend/settings").json()
    assert settings["charLimit"] == 100_000
    assert settings["language"]["source"] == {"code": "en", "name": "English"}
    assert settings.keys() == {
        "apiKeys",
        "charLimit",
        "filesTranslation",
        "frontendTimeout",
        "keyRequired",
        "language",
        "suggestions",
        "supportedFilesFormat",
    }
    assert client.get("/spec").json() == client.get("/openapi.json").json()
