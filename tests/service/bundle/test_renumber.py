"""A bundle gets another version."""

from pathlib import Path

import pytest

from service.bundle import renumber as renumbering
from service.bundle.bundle import verify
from service.bundle.files import find_bundles, read_manifest
from service.bundle.manifest import CARD
from service.bundle.renumber import renumber
from service.errors import BundleCorrupt, BundleNotFound
from tests.fakes import write_classifier


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = write_classifier(tmp_path, version=2)
    (folder / CARD).write_bytes(b"# toy, version 2\n\n# toy, version 2\n\xff")
    return tmp_path


def test_renumber(models: Path) -> None:
    before = read_manifest(models / "toy" / "2")
    folder = renumber(models, "toy", 2, 13)
    assert find_bundles(models) == {"toy": {13: models / "toy" / "13"}}
    manifest = read_manifest(folder)
    verify(folder, manifest)
    assert manifest.version == 13 and manifest.sha256 != before.sha256
    assert manifest.model_dump(exclude={"version", "sha256"}) == before.model_dump(exclude={"version", "sha256"})
    assert (folder / CARD).read_bytes() == b"# toy, version 13\n\n# toy, version 2\n\xff"
    assert [path.name for path in (models / "toy").iterdir()] == ["13"]  # no temporary folder is left


def test_the_old_version_can_stay(models: Path) -> None:
    renumber(models, "toy", 2, 1, keep=True)
    assert find_bundles(models)["toy"].keys() == {1, 2}
    assert (models / "toy" / "2" / CARD).read_bytes().startswith(b"# toy, version 2\n")


def test_a_version_that_exists(models: Path) -> None:
    write_classifier(models, version=3)
    with pytest.raises(ValueError, match=r"toy/3 exists already"):
        renumber(models, "toy", 2, 3)
    assert find_bundles(models)["toy"].keys() == {2, 3}


@pytest.mark.parametrize("version", [0, -1, 10**9])
def test_an_invalid_version(models: Path, version: int) -> None:
    with pytest.raises(ValueError, match="is no version"):
        renumber(models, "toy", 2, version)


def test_a_missing_bundle(models: Path) -> None:
    with pytest.raises(BundleNotFound, match=r"there is no .*toy/7"):
        renumber(models, "toy", 7, 8)


def test_a_damaged_bundle(models: Path) -> None:
    (models / "toy" / "2" / "classify.onnx").write_bytes(b"")
    with pytest.raises(BundleCorrupt, match="sha256"):
        renumber(models, "toy", 2, 3)
    assert [path.name for path in (models / "toy").iterdir()] == ["2"]


def test_an_error_leaves_everything_as_it_was(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(renumbering, "write_bundle", fail)
    with pytest.raises(OSError, match="no space"):
        renumber(models, "toy", 2, 3)
    assert [path.name for path in (models / "toy").iterdir()] == ["2"]


def test_a_bundle_without_a_card(models: Path) -> None:
    (models / "toy" / "2" / CARD).unlink()
    verify(renumber(models, "toy", 2, 3), read_manifest(models / "toy" / "3"))
