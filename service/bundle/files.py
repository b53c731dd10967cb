"""The files of a bundle: find, read, verify and write them."""

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, overload

from pydantic import ValidationError

from service.bundle.manifest import FORMAT_VERSION, MANIFEST, AnyManifest, Manifest, describe, parse_manifest
from service.errors import BundleCorrupt, BundleMismatch, BundleNotFound, BundleVersionUnsupported

ManifestKind = TypeVar("ManifestKind", bound=Manifest)


MAX_FILE_BYTES = 2**31
"""Maximum size of a file, which is read into memory."""
MAX_MANIFEST_BYTES = 2**24
VERSION = re.compile(r"[1-9][0-9]{0,8}")
"""Name of a version's folder: ASCII digits without leading zeros, so that no two folders have the same version."""


def find_bundles(models: Path) -> dict[str, dict[int, Path]]:
    """Return name -> version -> folder of every `<name>/<version>/bundle.json` under `models`."""
    found: dict[str, dict[int, Path]] = {}
    for folder in _candidates(models):
        if VERSION.fullmatch(folder.name):
            found.setdefault(folder.parent.name, {})[int(folder.name)] = folder
    return found


def misnamed_bundles(models: Path) -> list[Path]:
    """Return the folders whose name is a number but no version, such as `03` or other than ASCII digits."""
    return [folder for folder in _candidates(models) if folder.name.isdecimal() and not VERSION.fullmatch(folder.name)]


def _candidates(models: Path) -> list[Path]:
    return [path.parent for path in sorted(models.glob(f"*/*/{MANIFEST}"))]


@contextmanager
def open_file(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Open a regular file of a folder. A link may lead to another file of the folder only.

    Raises BundleCorrupt, also while the file is read. Never blocks on a pipe or a device.
    """
    try:
        path = (folder / name).resolve(strict=True)
        if not path.is_file():
            raise BundleCorrupt(f"{name} is no file")
        if path.parent != folder.resolve():
            raise BundleCorrupt(f"{name} is a link out of the folder")
        # The flags guard against a file that is replaced at this moment.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BundleCorrupt(f"{name} is no file")
            yield file
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        reason = error.strerror if isinstance(error, OSError) else error
        raise BundleCorrupt(f"{name} cannot be read ({reason})") from None


def read_file(folder: Path, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
    """Read a regular file of a folder, up to a limit of bytes. Raises BundleCorrupt."""
    with open_file(folder, name) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise BundleCorrupt(f"{name} has {size} bytes, more than {limit}")
        return file.read(size)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(content: dict[str, Any]) -> str:
    """Return the sha256 of a manifest's content without its `sha256`. White space and key order do not count."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


@overload
def read_manifest(folder: Path) -> AnyManifest: ...
@overload
def read_manifest(folder: Path, kind: type[ManifestKind]) -> ManifestKind: ...
def read_manifest(folder: Path, kind: type[Manifest] = Manifest) -> Manifest:
    """Read and validate `bundle.json`, and check that it is of that kind.

    Raises BundleNotFound, BundleVersionUnsupported, BundleCorrupt or BundleMismatch.
    """
    path = folder / MANIFEST
    if not path.exists() and not path.is_symlink():
        raise BundleNotFound(f"{folder} holds no {MANIFEST}")
    try:
        content = json.loads(read_file(folder, MANIFEST, MAX_MANIFEST_BYTES))
    except (BundleCorrupt, ValueError, RecursionError) as error:
        raise BundleCorrupt(f"{path} cannot be read: {error}") from None
    version = content.get("format_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise BundleVersionUnsupported(f"{path} has format {version}; this service reads up to {FORMAT_VERSION}")
    try:
        manifest = parse_manifest(content)
    except ValidationError as error:
        raise BundleCorrupt(f"{path}: {describe(error)}") from None
    if manifest.sha256 not in (None, digest(content)):
        raise BundleCorrupt(f"{path} does not match its own sha256")
    if not isinstance(manifest, kind):
        raise BundleMismatch(f"{path} is for {manifest.task}, not a {kind.__name__}")
    return manifest


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest with its sha256."""
    content = json.loads(manifest.model_dump_json())
    text = json.dumps({**content, "sha256": digest(content)}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_bundle(folder: Path, staged: Path, manifest: Manifest) -> None:
    """Move the files of `staged` and their manifest to `folder`, replacing an older bundle.

    `staged` must be on the same file system. A reader sees the old bundle, no bundle for a moment, then the new
    bundle; never a part of one.
    """
    write_manifest(staged / MANIFEST, manifest)
    staged.chmod(0o755)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _retired(folder):
        staged.rename(folder)


def remove_bundle(folder: Path) -> None:
    """Remove a bundle. A reader sees the whole bundle or none."""
    with _retired(folder):
        pass


@contextmanager
def _retired(folder: Path) -> Iterator[None]:
    """Move a folder out of the way, if it exists, and delete it afterwards."""
    retired = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".retired-"))
    if folder.exists():
        folder.rename(retired / "old")
    yield
    shutil.rmtree(retired)


def update_manifest(folder: Path, **changes: object) -> AnyManifest:
    """Replace fields of a written manifest, such as `metrics`, atomically. Raises ValidationError."""
    manifest = parse_manifest({**read_manifest(folder).model_dump(), **changes})
    temporary = folder / f".{MANIFEST}"
    write_manifest(temporary, manifest)
    temporary.replace(folder / MANIFEST)
    return manifest
