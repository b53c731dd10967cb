"""Bundles from an archive at an HTTP address: `https://host/models.tar.gz#sha256=<64 hex digits>`.

The archive holds `<name>/<version>/bundle.json`, at its top level or in a single folder. It is downloaded once, checked
with the hash of the address, unpacked into a temporary folder and renamed. The next start finds it in the cache.
"""

import hashlib
import re
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import IO

ADDRESS = re.compile(r"(?P<url>https?://[^#]+)#sha256=(?P<sha256>[0-9a-f]{64})", re.IGNORECASE)
MAX_ARCHIVE_BYTES = 2**34
MAX_FILES = 10_000
TIMEOUT_S = 60
"""Seconds without a byte after which a download fails."""


class ArchiveError(ValueError):
    """The archive cannot be downloaded, has another hash, or holds what an archive of bundles may not hold."""


def is_address(models: str) -> bool:
    """True if the setting is an address and not a folder."""
    return re.match(r"[a-z][a-z0-9+.-]+://", models, re.IGNORECASE) is not None


def fetch(address: str, cache: Path) -> Path:
    """The folder with the bundles of an archive, in `cache`. Raises ArchiveError."""
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise ArchiveError("an address of an archive is https://host/models.tar.gz#sha256=<64 hex digits>")
    folder = cache / match["sha256"].lower()
    try:
        if not folder.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache, prefix=".") as temporary:
                unpacked = Path(temporary) / "unpacked"
                with tempfile.TemporaryFile(dir=cache) as archive:
                    _download(match["url"], match["sha256"].lower(), archive)
                    unpack(archive, unpacked)
                _rename(unpacked, folder)
    except (OSError, urllib.error.URLError) as error:
        raise ArchiveError(f"{match['url']}: {error}") from None
    return _top(folder)


def _download(url: str, sha256: str, archive: IO[bytes]) -> None:
    found = hashlib.sha256()
    size = 0
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        while part := answer.read(1 << 20):
            found.update(part)
            archive.write(part)
            if (size := size + len(part)) > MAX_ARCHIVE_BYTES:
                raise ArchiveError(f"{url} has more than {MAX_ARCHIVE_BYTES} bytes")
    if found.hexdigest() != sha256:
        raise ArchiveError(f"{url} has the hash {found.hexdigest()}, not {sha256}")
    archive.seek(0)


def unpack(archive: IO[bytes], folder: Path) -> None:
    """Unpack a tar (also compressed) or zip archive of plain files. Raises ArchiveError."""
    folder.mkdir()
    is_zip = zipfile.is_zipfile(archive)
    archive.seek(0)
    try:
        if is_zip:
            _unpack_zip(archive, folder)
        else:
            _unpack_tar(archive, folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise ArchiveError(f"the archive cannot be unpacked: {error}") from None


def _unpack_tar(archive: IO[bytes], folder: Path) -> None:
    budget = _Budget()
    with tarfile.open(fileobj=archive) as members:
        for member in members:
            if not (member.isfile() or member.isdir()):
                raise ArchiveError(f"{member.name} is no plain file")
            budget.take(member.size)
            members.extract(member, folder, filter="data")  # refuses paths out of the folder


def _unpack_zip(archive: IO[bytes], folder: Path) -> None:
    budget = _Budget()
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            path = Path(member.filename)
            if path.is_absolute() or ".." in path.parts or (member.external_attr >> 28) not in (0, 4, 8):
                raise ArchiveError(f"{member.filename} is no plain file of the archive")
            budget.take(member.file_size)  # zipfile reads no more than that
            members.extract(member, folder)


class _Budget:
    """The rest of the files and bytes that an archive may unpack to."""

    def __init__(self) -> None:
        self._files, self._bytes = MAX_FILES, MAX_ARCHIVE_BYTES

    def take(self, size: int) -> None:
        self._files, self._bytes = self._files - 1, self._bytes - size
        if min(self._files, self._bytes) < 0:
            raise ArchiveError(f"the archive unpacks to more than {MAX_FILES} files or {MAX_ARCHIVE_BYTES} bytes")


def _rename(unpacked: Path, folder: Path) -> None:
    """Rename the folder to its final name, unless another process was faster."""
    try:
        unpacked.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(unpacked, ignore_errors=True)


def _top(folder: Path) -> Path:
    """The folder of the models: the only folder of the archive if it holds no bundle itself."""
    inner = [path for path in folder.iterdir() if path.is_dir()]
    if len(inner) == 1 and not any(folder.glob("*/*/bundle.json")) and any(inner[0].glob("*/*/bundle.json")):
        return inner[0]
    return folder
