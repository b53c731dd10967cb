"""Reading, verifying and writing the files of a bundle."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bundle.bundle import verify
from service.bundle.files import (
    find_bundles,
    misnamed_bundles,
    read_file,
    read_manifest,
    sha256_of,
    update_manifest,
    write_bundle,
)
from service.bundle.manifest import MANIFEST, Manifest
from service.errors import BundleCorrupt, BundleError, BundleNotFound
from tests.fakes import write_classifier, write_translator
from tests.service.bundle.irregular import IRREGULAR, make_irregular

CLASSIFIER_FILES = ["classify.onnx", "tokenizer.json", "golden.json"]


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    """A copy of the fake classifier that a test may change."""
    return Path(shutil.copytree(models / "toy", tmp_path / "toy")) / "1"


def check(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    verify(folder, manifest)
    return manifest


@pytest.mark.parametrize("content", ["", "{", "[]", "1", "null", '"text"', "\ufeff{}", "[" * 100_000])
def test_invalid_json(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(BundleCorrupt, match=MANIFEST):
        read_manifest(folder)


def test_no_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(BundleNotFound, match=MANIFEST):
        read_manifest(folder)


def test_a_manifest_that_is_a_folder(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).mkdir()
    with pytest.raises(BundleCorrupt, match=MANIFEST):
        read_manifest(folder)


@pytest.mark.parametrize("where", [0.0, 0.37, 0.99])
@pytest.mark.parametrize("name", CLASSIFIER_FILES)
def test_one_wrong_byte(folder: Path, name: str, where: float) -> None:
    content = bytearray((folder / name).read_bytes())
    content[int(where * len(content))] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleCorrupt, match=f"{name} has sha256"):
        check(folder)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_damaged_manifest(models: Path, where: float, flip: int) -> None:
    """Reading succeeds or raises a BundleError. A changed letter of the description cannot be detected here."""
    content = bytearray((models / "toy" / "1" / MANIFEST).read_bytes())
    content[int(where * len(content))] ^= flip
    damaged = models.parent / "damaged"
    damaged.mkdir(exist_ok=True)
    (damaged / MANIFEST).write_bytes(content)
    try:
        read_manifest(damaged)
    except BundleError as error:
        assert MANIFEST in str(error)


def test_one_error_lists_all_damage(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "golden.json").write_text("{}")
    with pytest.raises(BundleCorrupt) as caught:
        check(folder)
    assert "tokenizer.json cannot be read (No such file or directory)" in str(caught.value)
    assert "golden.json has sha256" in str(caught.value)
    assert "classify.onnx" not in str(caught.value)


def test_write_bundle_replaces_a_bundle(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After every rename a reader finds the old bundle, no bundle, or the new bundle."""
    folder = write_classifier(tmp_path, description="old")
    staged = Path(shutil.copytree(folder, tmp_path / "toy" / ".staged"))
    seen: list[str | None] = []
    rename = Path.rename

    def watched(path: Path, target: Path) -> Path:
        moved = rename(path, target)
        try:
            seen.append(check(folder).description)
        except BundleNotFound:
            seen.append(None)
        assert set(find_bundles(tmp_path).get("toy", {})) <= {1}
        return moved

    monkeypatch.setattr(Path, "rename", watched)
    write_bundle(folder, staged, check(folder).model_copy(update={"description": "new"}))
    assert seen == [None, "new"]
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["1"]
    assert folder.stat().st_mode & 0o777 == 0o755  # readable by the user of a container


def test_update_manifest(folder: Path) -> None:
    metric = {"name": "accuracy", "value": 0.75, "data": "fake test"}
    update_manifest(folder, metrics=[metric])
    assert [m.name for m in check(folder).metrics] == ["accuracy"]
    before = (folder / MANIFEST).read_text()
    with pytest.raises(ValueError, match="labels"):
        update_manifest(folder, labels=[])
    assert (folder / MANIFEST).read_text() == before
    assert not list(folder.glob(".*"))


def test_find_bundles(tmp_path: Path) -> None:
    write_classifier(tmp_path, "one", 2)
    write_classifier(tmp_path, "one", 13)
    write_translator(tmp_path, "two", 1)
    misnamed: list[Path] = [tmp_path / "one" / name for name in ("013", "\u0663", "\u0661\u0663", "1234567890", "0")]
    others = ("one/latest", "one/1.5", "one/-3", "one/\u00b2", "one/.staged", "empty/1", ".retired/old")
    for junk in (*others, *map(str, misnamed)):
        (tmp_path / junk).mkdir(parents=True)
        if junk != "empty/1":
            (tmp_path / junk / MANIFEST).write_text("{}")
    (tmp_path / MANIFEST).write_text("{}")
    (tmp_path / "two" / MANIFEST).write_text("{}")
    (tmp_path / "README.md").write_text("# Models")
    assert find_bundles(tmp_path) == {
        "one": {2: tmp_path / "one" / "2", 13: tmp_path / "one" / "13"},
        "two": {1: tmp_path / "two" / "1"},
    }
    assert misnamed_bundles(tmp_path) == sorted(misnamed)


def test_find_bundles_in_a_missing_folder(tmp_path: Path) -> None:
    assert find_bundles(tmp_path / "nowhere") == {}


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_read_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path, "file") == read_file(tmp_path, "link", limit=7) == b"content"
    with pytest.raises(BundleCorrupt, match="file has 7 bytes, more than 6"):
        read_file(tmp_path, "file", limit=6)


@pytest.mark.parametrize("path", IRREGULAR)
def test_irregular_files_are_refused_at_once(tmp_path: Path, path: str) -> None:
    make_irregular(tmp_path / "bundle", "file", path)
    with pytest.raises(BundleCorrupt, match=f"file {IRREGULAR[path]}"):
        read_file(tmp_path / "bundle", "file")


@pytest.mark.parametrize("path", IRREGULAR)
def test_an_irregular_manifest(tmp_path: Path, path: str) -> None:
    make_irregular(tmp_path / "bundle", MANIFEST, path)
    with pytest.raises(BundleCorrupt, match=f"bundle.json {IRREGULAR[path]}"):
        read_manifest(tmp_path / "bundle")
