import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.bundle.manifest import MANIFEST
from tests.fakes import LABELS, MAX_TOKENS, serving, write_translator


def test_every_model_is_listed(client: TestClient) -> None:
    translator, classifier, generator = client.get("/models").json()["models"]
    common = {"version": "1", "ready": True, "problem": None, "description": "A fake.", "default": True}
    common["precision"] = "float32"
    architecture = {"cell": None, "bidirectional": True, "attention": "dot", "parameters": 0}
    assert translator == {
        **common,
        "name": "en-xx",
        "task": "translation",
        "architecture": {"network": "transformer", **architecture},
        "source": "en",
        "target": "xx",
    }
    assert classifier == {
        **common,
        "name": "toy",
        "task": "classification",
        "architecture": {"network": "classifier", **architecture},
        "labels": LABELS,
    }
    assert generator == {
        **common,
        "name": "writer",
        "task": "generation",
        "architecture": {"network": "decoder", **architecture},
    }


def test_one_model_in_full(client: TestClient) -> None:
    [_, listed, _] = client.get("/models").json()["models"]
    classifier = client.get("/models/toy").json()
    assert classifier.items() >= listed.items()
    assert classifier["limits"]["max_tokens"] == MAX_TOKENS
    assert classifier["data"] == [{"name": "fake", "origin": "tests/fakes.py", "licence": "CC0"}]
    assert classifier["metrics"] == []
    assert classifier["training"]["seed"] == 7
    assert client.get("/models/toy", params={"version": 1}).json() == classifier


@pytest.mark.parametrize("name", ["toy", "en-xx"])
def test_the_listed_kinds_are_those_of_the_answer(client: TestClient, name: str) -> None:
    """`attention` of a model counts the layers and heads of each kind in `full`."""
    listed = client.get(f"/models/{name}").json()["attention"]
    if name == "toy":
        body = client.post("/classify", json={"text": "wind", "attention": "full"}).json()
        matrices = body["predictions"][0]["attention"]
    else:
        body = client.post("/translate", json={"q": "wind", "model": "en-xx", "attention": "full"}).json()
        matrices = body["translations"][0]["sentences"][0]["attention"]
    assert [kind["kind"] for kind in listed] == list(dict.fromkeys(matrix["kind"] for matrix in matrices))
    for kind in listed:
        found = [matrix for matrix in matrices if matrix["kind"] == kind["kind"]]
        assert kind["layers"] == (None if found[0]["layer"] is None else 1 + max(m["layer"] for m in found))
        assert kind["heads"] == (None if found[0]["head"] is None else 1 + max(m["head"] or 0 for m in found))


def test_languages(tmp_path: Path) -> None:
    write_translator(tmp_path)
    write_translator(tmp_path, "en-fr", target="fr", default=True)
    write_translator(tmp_path, "other-en-fr", target="fr")
    write_translator(tmp_path, "fr-en", source="fr", target="en")
    with serving(tmp_path) as client:
        assert client.get("/languages").json() == [
            {"code": "en", "name": "English", "targets": ["fr", "xx"]},
            {"code": "fr", "name": "French", "targets": ["en"]},
            {"code": "xx", "name": "xx", "targets": []},
        ]


def test_a_broken_bundle_is_listed_with_its_problem(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    (tmp_path / "toy" / "1" / MANIFEST).write_text("{")
    (tmp_path / "en-xx" / "1" / "step.onnx").write_bytes(b"")
    with serving(tmp_path) as client:
        translator, classifier, _ = client.get("/models").json()["models"]
        assert classifier.keys() == {"name", "version", "ready", "problem"}
        assert client.get("/models/toy").json() == classifier
        assert translator["ready"] is False and "step.onnx" in translator["problem"]
        assert client.get("/models/en-xx").json()["limits"]["max_tokens"] == MAX_TOKENS
        assert [each["code"] for each in client.get("/languages").json()] == ["en", "xx"]
