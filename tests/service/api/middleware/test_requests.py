"""Request ids, headers and log lines."""

import json
import logging
import re
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.observability import JsonFormatter
from tests.fakes import registry_of, serving
from tests.service.api.checks import REQUESTS

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PATHS = ["/", "/docs", "/openapi.json", "/models", "/models/nobody", "/nowhere", "/health/ready", "/metrics"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_security_headers_and_timing(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert re.fullmatch(r"(\w+;dur=[\d.]+, )*total;dur=[\d.]+", headers["server-timing"])
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])
    if "json" in headers["content-type"]:
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cache-control"] == "no-store"


def test_unexpected_errors_have_them_too(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.registry.registry.Registry.pairs", None)
    answer = client.get("/languages")
    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("sent", "given"),
    [
        ({"X-Request-ID": "mine-7"}, "mine-7"),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, TRACE),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Request-ID": "mine"}, "mine"),
        ({"X-Request-ID": 'a"b'}, None),
        ({"X-Request-ID": "x" * 65}, None),
        ({"traceparent": f"ff-{TRACE}-00f067aa0ba902b7-01"}, None),
        ({"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}, None),
        ({"traceparent": TRACE}, None),
    ],
)
def test_ids(client: TestClient, sent: dict[str, str], given: str | None) -> None:
    found = client.get("/health", headers=sent).headers["x-request-id"]
    assert found == given if given else re.fullmatch(r"[0-9a-f]{32}", found) and found not in sent.values()


@pytest.mark.parametrize("route", sorted(REQUESTS))
def test_one_log_line_per_request_without_its_text(
    client: TestClient, caplog: pytest.LogCaptureFixture, route: str
) -> None:
    headers = {"X-Request-ID": "mine", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    secret = {key: "secretwind" if key in ("text", "q") else value for key, value in REQUESTS[route].items()}
    with caplog.at_level(logging.DEBUG):
        client.post(route, json=secret, headers=headers)
        client.post(f"{route}?secretwind=1", content=b'{"secretwind"', headers=headers)
        client.get("/models/secretwind", headers=headers)
        client.get("/secretwind", headers=headers)
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records if record.name != "httpx"]
    told = [line for line in lines if line["logger"] == "service.api.middleware.requests"]
    assert [(line["method"], line["route"], line["status"]) for line in told] == [
        ("POST", route, 200),
        ("POST", route, 422),
        ("GET", "/models/{name}", 404),
        ("GET", "other", 404),
    ]
    assert all(line["seconds"] > 0 for line in told)
    ours = [line for line in lines if line["logger"].startswith("service")]
    assert "secretwind" not in json.dumps(ours)


def test_texts_are_logged_if_a_setting_allows_it(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(models, log_texts=True) as client, caplog.at_level(logging.INFO):
        client.post("/translate", json={**REQUESTS["/translate"], "api_key": "secret"})
    assert '"q":"wind"' in caplog.text
    assert "secret" not in caplog.text


def test_polled_routes_are_not_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        client.get("/health/ready")
        client.get("/metrics")
    assert not [record for record in caplog.records if record.name.startswith("service")]


def test_a_draining_service_closes_connections(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    with serving(tmp_path) as client:
        assert "connection" not in client.get("/models").headers
        registry_of(client).drain()
        answer = client.post("/classify", json=REQUESTS["/classify"])
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200
