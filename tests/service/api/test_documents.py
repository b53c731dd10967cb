"""POST /translate_file and GET /download_file."""

import asyncio
import re
import threading
from typing import Any
from urllib.parse import unquote

import pytest
from httpx import Response
from starlette.testclient import TestClient

from service.api import documents
from service.documents import formats
from service.handlers import document_jobs
from service.handlers.documents import translate_document
from tests.fakes import doubled, serving
from tests.service.api.checks import check_problem


def send(client: TestClient, name: str = "a b.txt", content: bytes = b"Wind", **fields: Any) -> Any:
    data = {"source": "en", "target": "xx", **fields}
    return client.post("/translate_file", files={"file": (name, content)}, data=data)


def download(client: TestClient, answer: Response) -> Any:
    address = answer.json()["translatedFileUrl"]
    assert address.startswith(f"{client.base_url}/download_file/".replace("//download", "/download"))
    return client.get(address)


def test_a_document_comes_back(client: TestClient) -> None:
    found = download(client, send(client, "caf\xe9 a.txt", b"Wind and rain!\r\n"))
    assert found.status_code == 200
    assert found.content.decode() == doubled("Wind and rain!") + "\r\n"
    name = re.fullmatch(r"attachment; filename\*=UTF-8''(.+)", found.headers["content-disposition"])
    assert name is not None and unquote(name[1]) == "caf\xe9 a_xx.txt"
    assert found.headers["content-type"] == "application/octet-stream"
    assert found.headers["x-content-type-options"] == "nosniff"


def test_the_formats_are_listed_as_by_libretranslate(client: TestClient) -> None:
    found = client.get("/frontend/settings").json()
    assert found["filesTranslation"] and {".docx", ".po", ".srt"} <= set(found["supportedFilesFormat"])


def test_large_documents(client: TestClient) -> None:
    content = b"Wind and rain\n\n" * 2_000
    found = download(client, send(client, "a.txt", content, beam_size="1"))
    assert found.content.decode() == doubled("Wind and rain\n\n" * 2_000)


@pytest.mark.parametrize(
    ("fields", "status", "error_type"),
    [
        ({"target": ""}, 400, "missing_parameter"),
        ({"target": "zz"}, 400, "unsupported_language_pair"),
        ({"name": "a.exe"}, 400, "unsupported_format"),
        ({"name": "a.json", "content": b"{"}, 422, "invalid_input"),
        ({"beam_size": "x"}, 422, "invalid_input"),
        ({"model": "nope"}, 404, "model_not_found"),
        ({"source": "x" * 200_000}, 422, "invalid_input"),
    ],
)
def test_errors(client: TestClient, fields: dict[str, Any], status: int, error_type: str) -> None:
    check_problem(send(client, **fields), status, error_type)


def test_other_bodies(client: TestClient) -> None:
    check_problem(client.post("/translate_file", json={}), 415, "unsupported_media_type")
    check_problem(client.post("/translate_file", data={"source": "en"}), 400, "missing_parameter")
    check_problem(client.get("/download_file/nope/a.txt"), 404, "document_not_found")


def test_a_slow_document_is_answered_before_it_is_ready(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    async def slow(*arguments: Any) -> Any:
        while not release.is_set():
            await asyncio.sleep(0.001)
        return await translate_document(*arguments)

    monkeypatch.setattr(document_jobs, "translate_document", slow)
    monkeypatch.setattr(documents, "MARGIN_S", 1e9)
    answer = send(client)
    assert answer.status_code == 200
    check_problem(download(client, answer), 504, "inference_timeout")
    release.set()
    monkeypatch.undo()
    assert download(client, answer).content.decode() == doubled("Wind")


def test_limits_and_missing_libraries(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(models, max_document_bytes=1_000, api_keys="") as client:
        check_problem(send(client, content=b"x" * 1_001), 413, "payload_too_large")
        check_problem(send(client, content=b"x" * 200_000), 413, "payload_too_large")
        monkeypatch.setitem(formats.READERS, "docx", "lacks_a_library:read")
        problem = send(client, "a.docx")
        check_problem(problem, 501, "not_available")
        assert "limelight[documents]" in problem.json()["detail"]
