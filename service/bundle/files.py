"""The files of a bundle: find, read, verify and write them."""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, TypeVar, overload

from pydantic import ValidationError

from service.bundle.external_data import locations
from service.bundle.manifest import FORMAT_VERSION, MANIFEST, AnyManifest, Manifest, describe, parse_manifest
from service.errors import BundleCorrupt, BundleMismatch, BundleNotFound, BundleVersionUnsupported

ManifestKind = TypeVar("ManifestKind", bound=Manifest)


def find_bundles(models: Path) -> dict[str, dict[int, Path]]:
    """Return name -> version -> folder of every `<name>/<version>/bundle.json` under `models`."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(models.glob(f"*/*/{MANIFEST}")):
        name, version = path.parent.parent.name, path.parent.name
        if version.isdecimal():
            found.setdefault(name, {})[int(version)] = path.parent
    return found


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
    if not path.exists():
        raise BundleNotFound(f"{folder} holds no {MANIFEST}")
    if not path.is_file():  # reading a pipe or a device would block
        raise BundleCorrupt(f"{path} cannot be read: it is no file")
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
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


def verify(folder: Path, manifest: Manifest) -> None:
    """Compare every file with its checksum, and check that graphs take weights from listed files only.

    Raises BundleCorrupt with all problems in one message.
    """
    problems = []
    for name, expected in manifest.files.items():
        path = folder / name
        try:
            if path.exists() and not path.is_file():  # reading a pipe or a device would block
                problems.append(f"{name} is no file")
                continue
            actual = sha256_of(path)
        except OSError as error:
            problems.append(f"{name} cannot be read ({error.strerror})")
            continue
        if actual != expected:
            problems.append(f"{name} has sha256 {actual[:12]}..., the manifest says {expected[:12]}...")
    if not problems:
        problems = [problem for graph in manifest.graphs for problem in _unlisted(folder / graph.file, manifest)]
    if problems:
        raise BundleCorrupt(f"{folder}: " + "; ".join(problems))


def _unlisted(path: Path, manifest: Manifest) -> list[str]:
    """Return the problems of the places a graph takes its weights from."""
    try:
        sources = locations(path.read_bytes())
    except ValueError as error:
        return [f"{path.name} is no ONNX graph: {error}"]
    # Listed names have no folder, so this also refuses every path out of the bundle.
    unlisted = sources - set(manifest.files)
    return [f"{path.name} takes weights from {name!r}, which the manifest does not list" for name in unlisted]


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
    retired = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".retired-"))
    if folder.exists():
        folder.rename(retired / "old")
    staged.rename(folder)
    shutil.rmtree(retired)


def update_manifest(folder: Path, **changes: object) -> AnyManifest:
    """Replace fields of a written manifest, such as `metrics`, atomically. Raises ValidationError."""
    manifest = parse_manifest({**read_manifest(folder).model_dump(), **changes})
    temporary = folder / f".{MANIFEST}"
    write_manifest(temporary, manifest)
    temporary.replace(folder / MANIFEST)
    return manifest
