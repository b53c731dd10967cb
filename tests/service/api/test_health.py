import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.bundle.bundle import read_bundle
from tests.fakes import before_networks, registry_of, serving, until, write_classifier
from tests.service.api.checks import REQUESTS, check_problem


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_a_healthy_service(client: TestClient, path: str) -> None:
    answer = client.get(path)
    provider = {"provider": "CPUExecutionProvider"} if path == "/health/ready" else {}
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", **provider})


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Bundles stay loading until it is opened."""
    gate = threading.Event()

    def waiting(*args: Any) -> Any:
        gate.wait()
        return read_bundle(*args)

    monkeypatch.setattr("service.registry.loading.read_bundle", waiting)
    yield gate
    gate.set()


def test_loading(models: Path, gate: threading.Event) -> None:
    """While models load, the process is live and lists models, and is not ready."""
    with serving(models, wait=False) as client, ExitStack() as stack:
        stack.callback(gate.set)
        assert client.get("/health/live").status_code == 200
        assert client.get("/health").status_code == 200
        problem = check_problem(client.get("/health/ready"), 503, "model_not_ready")
        assert problem["detail"] == "en-xx/1: still loading; toy/1: still loading; writer/1: still loading"
        assert [m["ready"] for m in client.get("/models").json()["models"]] == [False, False, False]
        for route, body in REQUESTS.items():
            check_problem(client.post(route, json=body), 503, "model_not_ready")
    with serving(models) as client:
        assert client.get("/health/ready").status_code == 200


def test_a_broken_default(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    (tmp_path / "toy" / "1" / "classify.onnx").write_bytes(b"")
    with serving(tmp_path) as client:
        assert client.get("/health/ready").status_code == 200  # it is refused and reported
        [toy] = [model for model in client.get("/models").json()["models"] if model["name"] == "toy"]
        assert not toy["ready"] and "classify.onnx" in toy["problem"]
        check_problem(client.post("/classify", json=REQUESTS["/classify"]), 503, "model_not_ready")
        assert client.post("/translate", json=REQUESTS["/translate"]).status_code == 200
        assert client.get("/health/live").status_code == 200


def test_a_broken_model_that_is_not_the_default(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    write_classifier(tmp_path, default=True)
    (write_classifier(tmp_path, "zzz") / "classify.onnx").unlink()
    with serving(tmp_path) as client:
        assert client.get("/health/ready").status_code == 200
        check_problem(client.post("/classify", json={"text": "wind", "model": "zzz"}), 503, "model_not_ready")
        assert client.post("/classify", json=REQUESTS["/classify"]).status_code == 200


@pytest.mark.parametrize("route", sorted(REQUESTS))
def test_the_service_answers_while_a_network_runs(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    running, finish = threading.Event(), threading.Event()

    def slow() -> None:
        running.set()
        finish.wait()

    before_networks(monkeypatch, slow)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(client.post, route, json=REQUESTS[route])
        try:
            assert running.wait(30)
            for path in ("/health/live", "/health/ready", "/models"):
                assert client.get(path).status_code == 200
            assert not answer.done()
        finally:
            finish.set()
        assert answer.result().status_code == 200


@pytest.mark.parametrize("route", sorted(REQUESTS))
def test_requests_in_flight_are_answered_before_the_end(
    models: Path, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    running, finish = threading.Event(), threading.Event()
    with ThreadPoolExecutor() as pool:
        with serving(models) as client:

            def slow() -> None:
                running.set()
                finish.wait()

            before_networks(monkeypatch, slow)
            answer = pool.submit(client.post, route, json=REQUESTS[route])
            assert running.wait(30)
            closing = pool.submit(registry_of(client).close)
            until(lambda: not any(entry.ready for entry in registry_of(client).entries()))
            check_problem(client.post(route, json=REQUESTS[route]), 503, "model_not_ready")
            finish.set()
            assert answer.result().status_code == 200
            closing.result()


def test_golden_checks_are_repeated(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that answers no more is noticed without being asked for, and so is one that answers again."""
    monkeypatch.setattr("service.app.CHECK_S", 0.02)

    def fail() -> None:
        raise RuntimeError("the device has gone")

    with serving(models) as client:
        assert client.get("/health/ready").status_code == 200
        with monkeypatch.context() as patch:
            before_networks(patch, fail)
            until(lambda: client.get("/health/ready").status_code == 503)
            assert "the network failed: RuntimeError" in client.get("/health/ready").json()["detail"]
            assert client.get("/health/live").status_code == 200
        until(lambda: client.get("/health/ready").status_code == 200)
        assert client.post("/classify", json=REQUESTS["/classify"]).status_code == 200
