"""The page's files are served, with the headers that keep everything else out."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import service.playground as package

FOLDER = Path(next(iter(package.__path__)))
FILES = sorted(path.name for path in FOLDER.iterdir() if path.is_file())


def directives(policy: str) -> dict[str, str]:
    return dict(directive.strip().split(" ", 1) for directive in policy.split(";"))


@pytest.mark.parametrize("path", ["/", *(f"/playground/{name}" for name in FILES)])
def test_files_are_served_with_their_headers(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    policy = directives(answer.headers["content-security-policy"])
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["cache-control"] == "no-cache"


def test_the_page_links_existing_files(client: TestClient) -> None:
    links = re.findall(r'(?:src|href)="(playground/[^"]+)"', client.get("/").text)
    assert len(links) >= 3
    for link in links:
        assert client.get(f"/{link}").status_code == 200


def test_all_modules_are_loaded_at_once(client: TestClient) -> None:
    """Each module is named in the page, so that the browser does not find it only in another module."""
    links = re.findall(r'(?:src|href)="playground/(\w+\.js)"', client.get("/").text)
    assert sorted(links) == [name for name in FILES if name.endswith(".js") and name != "docs.js"]


def test_no_file_links_another_host() -> None:
    for name in FILES:
        text = (FOLDER / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|[\"'(]//\w", text), name


def test_text_is_never_markup() -> None:
    for name in FILES:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", (FOLDER / name).read_text()
        )


def test_nothing_inline() -> None:
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)


@pytest.mark.parametrize("path", ["/playground/none.js", "/playground/", "/playground/..%2fapp.py"])
def test_other_files_are_not_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error_type"]) == (404, "not_found")


def test_the_page_is_not_in_the_openapi_document(client: TestClient) -> None:
    assert not [path for path in client.get("/openapi.json").json()["paths"] if path == "/" or "playground" in path]
