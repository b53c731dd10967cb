"""Bundles from an archive at an address: downloaded once, checked, and unpacked safely."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.bundle import archive
from service.bundle.archive import ArchiveError, fetch, is_address
from service.bundle.files import find_bundles
from service.settings import Settings

served: dict[str, bytes] = {}
"""Path -> content."""
requested: list[str] = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        requested.append(self.path)
        content = served.get(self.path)
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    served.clear()
    requested.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def serve(host: str, name: str, content: bytes) -> str:
    """The address of an archive."""
    served[f"/{name}"] = content
    return f"{host}/{name}#sha256={hashlib.sha256(content).hexdigest()}"


def tar(*members: tarfile.TarInfo | Path, mode: str = "w:gz") -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode=mode) as file:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, Path):
                file.add(member, member.name)
            else:
                file.addfile(member, io.BytesIO(bytes(member.size)))
    return written.getvalue()


def zipped(folder: Path) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        for path in folder.rglob("*"):
            file.write(path, path.relative_to(folder))
    return written.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, link
    return made


def test_an_address_is_fetched_once_and_served(host: str, models: Path, tmp_path: Path) -> None:
    tars = tar(*models.iterdir()), tar(models, mode="w:xz"), zipped(models)
    for number, (name, content) in enumerate(zip(("a.tar.gz", "b.tar.xz", "c.zip"), tars, strict=True), 1):
        for _ in range(2):
            settings = Settings(models=serve(host, name, content), models_cache=tmp_path)
            assert find_bundles(settings.models).keys() == find_bundles(models).keys()
            assert len(requested) == number
    assert len(list(tmp_path.iterdir())) == 3


def test_the_setting_names_the_problem(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMELIGHT_MODELS_CACHE", str(tmp_path))
    other = serve(host, "a.tar", b"") + "#"
    cut = serve(host, "cut.tar", tar(member("a")))
    served["/cut.tar"] = served["/cut.tar"][:-9]
    served["/b.tar"] = b"changed"
    for address, problem in (
        (f"{host}/a.tar", "sha256=<64 hex digits>"),
        (other, "sha256=<64 hex digits>"),
        ("s3://bucket/a.tar#sha256=" + "0" * 64, "https://host"),
        (f"{host}/none#sha256={'0' * 64}", "404"),
        (f"{host}/b.tar#sha256={'0' * 64}", "has the hash"),
        (cut, "has the hash"),
        (f"http://127.0.0.1:1/a.tar#sha256={'0' * 64}", "refused"),
    ):
        monkeypatch.setenv("LIMELIGHT_MODELS", address)
        with pytest.raises(ValidationError, match=problem):
            Settings()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "unsafe",
    [
        tar(member("../a")),
        tar(member("a", tarfile.SYMTYPE, link="/etc/passwd")),
        tar(member("a", tarfile.LNKTYPE, link="b")),
        tar(member("a", tarfile.FIFOTYPE)),
        tar(member("a", tarfile.CHRTYPE)),
        tar(*[member(str(number)) for number in range(30)]),
        tar(member("a", size=2_000)),
        tar(member("a"))[:-20],
        b"no archive",
    ],
    ids=["parent", "symlink", "link", "fifo", "device", "files", "size", "cut", "text"],  # bytes hold the time
)
def test_unsafe_archives_are_refused(host: str, tmp_path: Path, unsafe: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 20)
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", 1_000)
    with pytest.raises(ArchiveError):
        fetch(serve(host, "a.tar", unsafe), tmp_path / "cache")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert not list((tmp_path / "cache").iterdir())


def test_an_absolute_path_stays_in_the_folder(tmp_path: Path) -> None:
    archive.unpack(io.BytesIO(tar(member("/limelight-absolute"))), tmp_path / "a")
    assert (tmp_path / "a" / "limelight-absolute").exists()
    assert not Path("/limelight-absolute").exists()


def test_unsafe_zip_archives_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a")
    link.external_attr = 0o120777 << 16
    for name in ("../a", "/a", link):
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as file:
            file.writestr(name, "b")
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        with pytest.raises(ArchiveError, match="no plain file"):
            archive.unpack(written, folder)
        assert not list(folder.iterdir())


def test_an_archive_that_is_too_large_is_not_read_to_its_end(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", 1_000)
    with pytest.raises(ArchiveError, match="more than 1000 bytes"):
        fetch(serve(host, "a.tar", bytes(2_000)), tmp_path)


def test_two_processes_may_fetch_at_the_same_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        archive._rename(tmp_path / name, tmp_path / "final")
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    with pytest.raises(FileNotFoundError):
        archive._rename(tmp_path / "none", tmp_path / "other")


@pytest.mark.parametrize(
    ("models", "expected"),
    [("models", False), ("/models", False), ("C:/models", False), ("https://a/b", True), ("s3://a/b", True)],
)
def test_an_address_has_a_scheme(models: str, expected: bool) -> None:
    assert is_address(models) is expected
