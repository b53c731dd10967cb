import shutil
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from tests.fakes import serving, write_classifier
from tests.service.api.checks import MODELS, REQUESTS


def samples(client: TestClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(client: TestClient, name: str, **labels: str) -> float:
    return samples(client).get((name, frozenset(labels.items())), 0.0)


def test_requests_are_counted_by_route_and_status(client: TestClient) -> None:
    for route, body in REQUESTS.items():
        before = value(client, "limelight_requests_total", method="POST", route=route, status="200")
        timed = value(client, "limelight_request_seconds_count", route=route)
        client.post(route, json=body)
        assert value(client, "limelight_requests_total", method="POST", route=route, status="200") == before + 1
        assert value(client, "limelight_request_seconds_count", route=route) == timed + 1
    before = value(client, "limelight_requests_total", method="GET", route="other", status="404")
    client.get("/a/path/of/the/callers")
    assert value(client, "limelight_requests_total", method="GET", route="other", status="404") == before + 1


def test_models_have_metrics_per_version(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    (write_classifier(tmp_path, version=2) / "classify.onnx").write_bytes(b"")
    with serving(tmp_path) as client:
        assert value(client, "limelight_model_ready", model="toy", version="1") == 1
        assert ("limelight_model_ready", frozenset({("model", "toy"), ("version", "2")})) in samples(client)
        assert value(client, "limelight_model_ready", model="toy", version="2") == 0
        assert value(client, "limelight_provider_info", provider="CPUExecutionProvider") == 1


def test_no_label_contains_input(client: TestClient) -> None:
    word = "unheardof"
    client.post("/classify", json={"text": word, "model": word}, headers={"Authorization": f"Bearer {word}"})
    client.post("/translate", json={"q": word, "source": word, "target": word, "api_key": word})
    client.get(f"/models/{word}?{word}", headers={"X-Request-ID": word, "User-Agent": word})
    client.request(word.upper(), "/classify")
    text = client.get("/metrics").text
    assert word not in text.lower() and "testclient" not in text


@pytest.mark.parametrize("route", sorted(REQUESTS))
def test_phases_batches_and_tokens(client: TestClient, route: str) -> None:
    model = MODELS[route]
    phases = ["queue", "tokenise", "infer", "encode", *(["decode"] if model == "en-xx" else [])]
    names = ["limelight_batch_rows_count", "limelight_batch_tokens_total", "limelight_tokens_in_total"]
    if model != "toy":
        names.append("limelight_tokens_out_total")
    counted = [value(client, "limelight_phase_seconds_count", model=model, phase=phase) for phase in phases]
    before = [value(client, name, model=model) for name in names]
    answer = client.post(route, json=REQUESTS[route])
    assert {part.split(";")[0] for part in answer.headers["server-timing"].split(", ")} == {*phases, "total"}
    times = {part.split(";")[0]: float(part.split("=")[1]) for part in answer.headers["server-timing"].split(", ")}
    assert sum(times.values()) - times["total"] <= times["total"] * 1.01
    assert all(
        value(client, "limelight_phase_seconds_count", model=model, phase=phase) == count + 1
        for phase, count in zip(phases, counted, strict=True)
    )
    assert all(value(client, name, model=model) > count for name, count in zip(names, before, strict=True))
    assert value(client, "limelight_queue_tokens", model=model) == 0


def test_padding_is_counted_separately(client: TestClient) -> None:
    before = value(client, "limelight_batch_padding_tokens_total", model="toy")
    client.post("/classify", json={"text": ["wind and rain, wind and rain", "wind and rain, wind and rain;"]})
    assert value(client, "limelight_batch_padding_tokens_total", model="toy") > before
