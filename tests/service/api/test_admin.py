import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.fakes import serving, write_classifier
from tests.service.api.checks import REQUESTS, check_problem

TOKEN = "a token of sixteen characters"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@contextmanager
def local(models: Path, host: str = "127.0.0.1", **settings: Any) -> Iterator[TestClient]:
    """A client at an address."""
    with serving(models, **settings) as client:
        yield TestClient(client.app, client=(host, 7))


def test_the_report_of_a_reload(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    with local(tmp_path) as client:
        write_classifier(tmp_path, version=2)
        (write_classifier(tmp_path, version=3) / "classify.onnx").write_bytes(b"")
        answer = client.post("/admin/reload").json()
        assert (answer["loaded"], answer["removed"]) == (["toy/2"], [])
        assert answer["unchanged"] == ["en-xx/1", "toy/1", "writer/1"]
        assert "classify.onnx has sha256" in answer["refused"]["toy/3"]
        assert client.post("/classify", json={"text": "wind"}).json()["version"] == "2"
        assert client.post("/classify", json={"text": "wind", "version": 1}).json()["version"] == "1"
        check_problem(client.post("/classify", json={"text": "wind", "version": 3}), 503, "model_not_ready")
        assert client.get("/health/ready").status_code == 200
        shutil.rmtree(tmp_path)
        check_problem(client.post("/admin/reload"), 404, "model_not_found")
        assert client.post("/classify", json=REQUESTS["/classify"]).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1"])
def test_without_a_token_this_machine_is_allowed(models: Path, host: str) -> None:
    with local(models, host) as client:
        assert client.post("/admin/reload").status_code == 200
        assert client.post("/admin/reload", headers=BEARER).status_code == 200


@pytest.mark.parametrize("host", ["192.0.2.7", "testclient", "2001:db8::1"])
def test_without_a_token_other_machines_are_refused(models: Path, host: str) -> None:
    with local(models, host) as client:
        check_problem(client.post("/admin/reload"), 403, "forbidden")
        check_problem(client.post("/admin/reload", headers={"X-Forwarded-For": "127.0.0.1"}), 403, "forbidden")


def test_a_page_in_a_browser_is_not_the_operator(models: Path) -> None:
    with local(models) as client:
        check_problem(client.post("/admin/reload", headers={"Origin": "http://evil.example"}), 403, "forbidden")


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.7"])
def test_with_a_token_its_holder_is_allowed(models: Path, host: str) -> None:
    with local(models, host, admin_token=TOKEN) as client:
        assert client.post("/admin/reload", headers=BEARER).status_code == 200
        refused = client.post("/admin/reload")
        check_problem(refused, 401, "unauthorized")
        assert refused.headers["www-authenticate"] == "Bearer"
        for wrong in (f"Bearer {TOKEN}x", "Bearer x", "Bearer "):
            check_problem(client.post("/admin/reload", headers={"Authorization": wrong}), 403, "forbidden")
        check_problem(client.post("/admin/reload", headers={"Authorization": f"Basic {TOKEN}"}), 401, "unauthorized")
