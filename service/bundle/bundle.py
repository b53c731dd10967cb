"""A bundle in memory: its manifest and the verified bytes of its files.

Graphs, weights, tokenizers and golden cases are loaded from these bytes, so no file can change between its check and
its use.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from service.bundle.external_data import locations
from service.bundle.files import open_file, read_file
from service.bundle.manifest import CARD, MANIFEST, Manifest
from service.errors import BundleCorrupt

Kind = TypeVar("Kind", bound=Manifest, covariant=True)
OtherKind = TypeVar("OtherKind", bound=Manifest)


@dataclass(frozen=True)
class Bundle(Generic[Kind]):
    """The manifest of a bundle and the content of every file that it lists."""

    folder: Path
    manifest: Kind
    files: Mapping[str, bytes]


def read_bundle(folder: Path, manifest: OtherKind) -> Bundle[OtherKind]:
    """Read all files of a bundle, compare them with their checksums, and check the other files of the folder.

    Raises BundleCorrupt with all problems in one message.
    """
    files: dict[str, bytes] = {}
    problems = []
    for name, expected in manifest.files.items():
        try:
            files[name] = read_file(folder, name)
        except BundleCorrupt as error:
            problems.append(str(error))
            continue
        actual = hashlib.sha256(files[name]).hexdigest()
        if actual != expected:
            problems.append(f"{name} has sha256 {actual[:12]}..., the manifest says {expected[:12]}...")
    problems += _unlisted_problems(folder, manifest)
    if not problems:
        problems = [problem for graph in manifest.graphs for problem in _weight_problems(graph.file, files)]
    if problems:
        raise BundleCorrupt(f"{folder}: " + "; ".join(problems))
    return Bundle(folder, manifest, files)


def verify(folder: Path, manifest: Manifest) -> None:
    """Check a bundle as `read_bundle` does. Raises BundleCorrupt."""
    read_bundle(folder, manifest)


def _weight_problems(file: str, files: Mapping[str, bytes]) -> list[str]:
    """Describe every file that a graph takes weights from and that the manifest does not list."""
    try:
        sources = locations(files[file])
    except ValueError as error:
        return [f"{file} is no ONNX graph: {error}"]
    # Listed names have no folder, so this also refuses every path out of the bundle.
    unlisted = sorted(sources - files.keys())
    return [f"{file} takes weights from {name!r}, which the manifest does not list" for name in unlisted]


def _unlisted_problems(folder: Path, manifest: Manifest) -> list[str]:
    """Describe every file without a checksum, such as the card or a picture, that is no regular file of the folder."""
    problems = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name in manifest.files or entry.name == MANIFEST:
            continue
        if entry.is_dir(follow_symlinks=False) and entry.name != CARD:
            continue
        try:
            with open_file(folder, entry.name):
                pass
        except BundleCorrupt as error:
            problems.append(str(error))
    return problems
