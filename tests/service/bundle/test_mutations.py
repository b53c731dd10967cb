"""A bundle with a flipped, lost, doubled or cut byte is refused, or its content is unchanged.

`bench/faults/` does the same to a running service.
"""

import shutil
from pathlib import Path

import pytest

from service.bundle.bundle import verify
from service.bundle.files import read_manifest
from service.bundle.manifest import CARD, MANIFEST, Manifest
from service.errors import BundleError

PLACES = 23
WAYS = {
    "flipped": lambda content, at: content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :],
    "lost": lambda content, at: content[:at] + content[at + 1 :],
    "doubled": lambda content, at: content[: at + 1] + content[at:],
    "cut off": lambda content, at: content[:at],
}


def accepted(folder: Path) -> Manifest | None:
    try:
        manifest = read_manifest(folder)
        verify(folder, manifest)
    except BundleError:
        return None
    return manifest


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["toy", "en-xx"])
def test_every_file_at_many_places(models: Path, tmp_path: Path, name: str, way: str) -> None:
    folder = Path(shutil.copytree(models / name / "1", tmp_path / "1"))
    whole = accepted(folder)
    assert whole is not None
    tried = 0
    for file in [MANIFEST, *whole.files]:
        content = (folder / file).read_bytes()
        for place in range(PLACES):
            (folder / file).write_bytes(WAYS[way](content, place * len(content) // PLACES))
            found = accepted(folder)
            assert found is None or (file == MANIFEST and found == whole), f"{file} at {place}/{PLACES}"
            tried += 1
        (folder / file).write_bytes(content)
    assert tried >= 4 * PLACES


def test_every_bit_of_a_manifest(models: Path, tmp_path: Path) -> None:
    """The manifest itself has no checksum in another file."""
    folder = Path(shutil.copytree(models / "toy" / "1", tmp_path / "1"))
    whole, content = read_manifest(folder), (folder / MANIFEST).read_bytes()
    for at in range(len(content)):
        (folder / MANIFEST).write_bytes(WAYS["flipped"](content, at))
        try:
            assert read_manifest(folder) == whole
        except BundleError:
            pass


def test_any_card_is_accepted(models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models / "toy" / "1", tmp_path / "1"))
    (folder / CARD).write_bytes(b"\xff\x00")
    assert accepted(folder) == accepted(models / "toy" / "1")
