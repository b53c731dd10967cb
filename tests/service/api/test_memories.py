from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.fakes import serving
from tests.service.api.checks import check_problem

TOKEN = "a token of sixteen characters"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
UNITS = {"the wind": "le vent", "No rain.": "Pas de pluie.", "No rain. A warm day.": "Sec et chaud.", "R & D": "A & B"}


def tmx(units: dict[str, str]) -> bytes:
    parts = [
        f'<tu><tuv xml:lang="en"><seg><![CDATA[{source}]]></seg></tuv>'
        f'<tuv xml:lang="xx"><seg><![CDATA[{target}]]></seg></tuv></tu>'
        for source, target in units.items()
    ]
    return f'<tmx version="1.4"><body>{"".join(parts)}</body></tmx>'.encode()


@pytest.fixture(scope="module")
def client(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("glossaries")
    (folder / "ui.tmx").write_bytes(tmx(UNITS))
    with serving(models, glossaries=folder, admin_token=TOKEN) as client:
        yield client


def translated(client: TestClient, q: Any, **body: object) -> Any:
    answer = client.post("/translate", json={"q": q, "source": "en", "target": "xx", "memory": "ui", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_exact_and_fuzzy_matches(client: TestClient) -> None:
    answer = translated(client, ["The wind ", "", "the winds", "A day."])
    assert answer["translatedText"] == ["Le vent ", "", "tthhee wwiinnddss", "AA ddaayy.."]
    assert [each["match"] for each in answer["translations"]] == [
        {"score": 1.0, "used": True, "source": "the wind", "target": "Le vent "},
        None,
        {"score": 0.941, "used": False, "source": "the wind", "target": "le vent"},
        None,
    ]
    assert answer["translations"][0]["sentences"] == []
    plain = client.post("/translate", json={"q": "The wind", "source": "en", "target": "xx"}).json()
    assert "match" not in plain["translations"][0]


def test_a_text_before_its_sentences(client: TestClient) -> None:
    assert translated(client, "No rain. A warm day.")["translatedText"] == "Sec et chaud."


@pytest.mark.parametrize("unit", ["token", "word"])
def test_sentences(client: TestClient, unit: str) -> None:
    answer = translated(
        client, "A day.\n\nNo rain. No wind.", attention_unit=unit, logprobs=True, alternatives=1, beam_size=2
    )
    assert answer["translatedText"] == "AA ddaayy..\n\nPas de pluie. NNoo wwiinndd.."
    [translation] = answer["translations"]
    assert [sentence["text"] for sentence in translation["sentences"]] == [
        "AA ddaayy..",
        "Pas de pluie.",
        "NNoo wwiinndd..",
    ]
    assert [sentence.get("match", {}).get("used") for sentence in translation["sentences"]] == [None, True, False]
    exact, last = translation["sentences"][1:]
    assert exact["source"] == {"start": 8, "end": 16}
    assert exact["source_tokens"] == exact["target_tokens"] == exact["attention"] == []
    assert answer["translatedText"][last["target_tokens"][0]["start"] :].startswith("NN")


def test_html(client: TestClient) -> None:
    answer = translated(client, "<p>R &amp; D</p><p>No <b>wind</b>.</p>", format="html")
    assert answer["translatedText"] == "<p>A &amp; B</p><p>NNoo <b>wwiinndd</b>..</p>"


def test_events(client: TestClient) -> None:
    body = {"q": "No rain. No wind.", "source": "en", "target": "xx", "memory": "ui", "beam_size": 1}
    answer = client.post("/translate", json=body, headers={"Accept": "text/event-stream"})
    assert "Pas de pluie. NNoo wwiinndd.." in answer.text
    assert answer.text.count("event: sentence") == 2


def test_a_document(client: TestClient) -> None:
    file = {"file": ("a.strings", b'"a" = "The wind";\n"b" = "the winds";\n')}
    form = {"source": "en", "target": "xx", "memory": "ui"}
    address = client.post("/translate_file", files=file, data=form).json()["translatedFileUrl"]
    assert client.get(address).text == '"a" = "Le vent";\n"b" = "tthhee wwiinnddss";\n'
    check_problem(client.post("/translate_file", files=file, data={**form, "memory": "nope"}), 404, "memory_not_found")


def test_stored_memories(client: TestClient) -> None:
    pairs = [{"source": "en", "target": "xx"}, {"source": "xx", "target": "en"}]
    listed = client.get("/memories").json()
    assert listed == [{"name": "ui", **pair, "units": 4} for pair in pairs]
    path = "/admin/memories/new"
    headers = {**BEARER, "Content-Type": "application/x-tmx+xml"}
    stored = [{"name": "new", **pair, "units": 1} for pair in pairs]
    assert client.put(path, content=tmx({"No wind.": "Calme."}), headers=headers).json() == stored
    assert client.get("/memories").json() == [*stored, *listed]
    assert translated(client, "No wind.", memory="new")["translatedText"] == "Calme."
    assert client.delete(path, headers=BEARER).status_code == 204
    check_problem(client.delete(path, headers=BEARER), 404, "memory_not_found")


def test_refused_memories(client: TestClient) -> None:
    body = {"q": "No rain.", "source": "en", "target": "xx"}
    check_problem(client.post("/translate", json={**body, "memory": "nope"}), 404, "memory_not_found")
    check_problem(client.post("/translate", json={**body, "memory_threshold": 0.2}), 422, "invalid_input")
    path = "/admin/memories/new"
    check_problem(client.put(path, content=tmx(UNITS)), 401, "unauthorized")
    check_problem(client.delete(path), 401, "unauthorized")
    check_problem(client.put(path, content=b"<tmx/>", headers=BEARER), 422, "invalid_input")
    check_problem(client.put(path, json={}, headers=BEARER), 415, "unsupported_media_type")
