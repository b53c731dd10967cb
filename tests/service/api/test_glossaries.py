from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.fakes import serving
from tests.service.api.checks import check_problem

TOKEN = "a token of sixteen characters"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
TSV = {**BEARER, "Content-Type": "text/tab-separated-values; charset=utf-8"}


@pytest.fixture
def client(models: Path, tmp_path: Path) -> Iterator[TestClient]:
    with serving(models, glossaries=tmp_path / "glossaries", admin_token=TOKEN) as client:
        yield client


def translated(client: TestClient, **body: object) -> dict[str, Any]:
    answer = client.post("/translate", json={"q": "No rain, Wind.", "source": "en", "target": "xx", **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_stored_glossary(client: TestClient) -> None:
    assert client.put("/admin/glossaries/it", content="rain\tpluie\nsnow\tx", headers=TSV).json() == [
        {"name": "it", "source": None, "target": None, "terms": 2}
    ]
    answer = client.put("/admin/glossaries/it?source=en&target=xx", json={"wind": "vent"}, headers=BEARER)
    assert answer.json()[1] == {"name": "it", "source": "en", "target": "xx", "terms": 1}
    assert client.get("/glossaries").json() == answer.json()
    [translation] = translated(client, glossary="it")["translations"]
    assert translation["text"] == "NNoo pluie,, vent.."
    assert translation["glossary"] == [
        {"term": "rain", "source": _part("rain", 3), "target": _part("pluie", 5)},
        {"term": "wind", "source": _part("Wind", 9), "target": _part("vent", 13)},
    ]
    assert client.delete("/admin/glossaries/it?source=en&target=xx", headers=BEARER).status_code == 204
    assert len(client.get("/glossaries").json()) == 1
    assert client.delete("/admin/glossaries/it", headers=BEARER).status_code == 204
    check_problem(client.delete("/admin/glossaries/it", headers=BEARER), 404, "glossary_not_found")


def _part(text: str, start: int) -> dict[str, object]:
    return {"text": text, "start": start, "end": start + len(text)}


def test_a_glossary_in_the_request(client: TestClient) -> None:
    assert translated(client, glossary={"rain": "pluie"})["translatedText"] == "NNoo pluie,, WWiinndd.."
    form = {"q": "No rain.", "source": "en", "target": "xx", "glossary": '{"rain": "pluie"}'}
    assert client.post("/translate", data=form).json()["translatedText"] == "NNoo pluie.."
    assert client.post("/translate", data={**form, "glossary": ""}).json()["translatedText"] == "NNoo rraaiinn.."
    [translation] = translated(client)["translations"]
    assert "glossary" not in translation


def test_refused_glossaries(client: TestClient) -> None:
    body = {"q": "No rain.", "source": "en", "target": "xx"}
    check_problem(client.post("/translate", json={**body, "glossary": "nope"}), 404, "glossary_not_found")
    check_problem(client.post("/translate", json={**body, "glossary": {"": "x"}}), 422, "invalid_input")
    check_problem(client.post("/translate", data={**body, "glossary": '{"a":'}), 422, "invalid_input")
    path = "/admin/glossaries/it"
    check_problem(client.put(path, json={"a": "b"}), 401, "unauthorized")
    check_problem(client.delete(path), 401, "unauthorized")
    check_problem(client.put(path, json={"a": 1}, headers=BEARER), 422, "invalid_input")
    check_problem(
        client.put(path, content=b"a,b,\xff", headers={**TSV, "Content-Type": "text/csv"}), 422, "invalid_input"
    )
    check_problem(client.put(f"{path}?source=en", json={"a": "b"}, headers=BEARER), 422, "invalid_input")
    check_problem(
        client.put(path, content=b"x", headers={**BEARER, "Content-Type": "text/x"}), 415, "unsupported_media_type"
    )
