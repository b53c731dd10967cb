from typing import Any

import pytest
from starlette.testclient import TestClient

HTML = '<p class="rain" title="the wind">No <img alt="rain" src="rain"> wind.</p><input placeholder=wind>'
EXPECTED = (
    '<p class="rain" title="tthhee wwiinndd">NNoo <img alt="rraaiinn" src="rain"> wwiinndd..</p>'
    '<input placeholder="wwiinndd">'
)


def translated(client: TestClient, q: Any, **body: object) -> Any:
    answer = client.post("/translate", json={"q": q, "source": "en", "target": "xx", "format": "html", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("unit", ["token", "word"])
def test_attributes_are_translated_and_offsets_stay(client: TestClient, unit: str) -> None:
    answer = translated(client, ["wind", HTML, ""], attention_unit=unit)
    assert answer["translatedText"] == ["wwiinndd", EXPECTED, ""]
    [sentence] = answer["translations"][1]["sentences"]
    tokens = [token for token in sentence["source_tokens"] if token["text"]]
    assert "".join(token["text"] for token in tokens).replace(" ", "") in ("Nowind.", "Nowind")
    for token in tokens:
        assert HTML[token["start"] : token["end"]] == token["text"]
    for token in sentence["target_tokens"]:
        assert EXPECTED[token["start"] : token["end"]] == token["text"]
    assert HTML[slice(*sentence["source"].values())].endswith(" wind.")


def test_glossary_alternatives_and_other_formats(client: TestClient) -> None:
    answer = translated(client, HTML, glossary={"wind": "vent"}, alternatives=1, beam_size=2)
    assert 'title="tthhee vent"' in answer["translatedText"] and 'alt="rraaiinn"' in answer["alternatives"][0]
    [_, *used] = answer["translations"][0]["glossary"] or [None]
    assert all(HTML[slice(each["source"]["start"], each["source"]["end"])] == "wind" for each in used)
    assert 'title="the wind"' in translated(client, HTML, format="text")["translatedText"]


def test_events(client: TestClient) -> None:
    body = {"q": HTML, "source": "en", "target": "xx", "format": "html", "beam_size": 1}
    answer = client.post("/translate", json=body, headers={"Accept": "text/event-stream"}).text
    assert answer.count("event: sentence") == 1
    [sentence] = translated(client, HTML, beam_size=1)["translations"][0]["sentences"]
    source = f'"source":{{"start":{sentence["source"]["start"]},"end":{sentence["source"]["end"]}}}'
    assert answer.count(source) == 2  # in the event and in the whole answer
