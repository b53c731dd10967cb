import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bundle.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    Manifest,
    find_bundles,
    read_manifest,
    sha256_of,
    update_manifest,
    verify,
    write_bundle,
)
from service.errors import BundleCorrupt, BundleError, BundleNotFound, BundleVersionUnsupported
from tests.fakes import change_manifest, read_json, write_classifier, write_translator

CLASSIFIER_FILES = ["classify.onnx", "tokenizer.json", "golden.json"]
TRANSLATOR_FILES = ["encode.onnx", "step.onnx", "source_tokenizer.json", "target_tokenizer.json", "golden.json"]


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    """A classifier's own copy to damage."""
    return Path(shutil.copytree(models / "toy", tmp_path / "toy")) / "1"


def check(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    verify(folder, manifest)
    return manifest


@pytest.mark.parametrize(("name", "files"), [("toy", CLASSIFIER_FILES), ("en-xx", TRANSLATOR_FILES)])
def test_round_trip(models: Path, name: str, files: list[str]) -> None:
    folder = models / name / "1"
    manifest = check(folder)
    assert set(manifest.files) == set(files)
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert [output.summary for output in manifest.attention] == [True, *[False] * (len(manifest.attention) - 1)]
    assert manifest.graph(manifest.graphs[-1].role) is manifest.graphs[-1]


LACKS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("toy", {"graphs": []}, ["a classify graph"]),
    ("toy", {"labels": None}, ["two labels or more"]),
    ("toy", {"labels": ["only"]}, ["two labels or more"]),
    ("toy", {"tokenizers": {}}, ["a text tokenizer"]),
    ("toy", {"files": {}}, [f"a sha256 of {name}" for name in CLASSIFIER_FILES]),
    ("en-xx", {"graphs": []}, ["an encode and a step graph"]),
    ("en-xx", {"source": None}, ["source and target languages"]),
    ("en-xx", {"target": ""}, ["source and target languages"]),
    ("en-xx", {"tokenizers": {"text": "golden.json"}}, ["source and target tokenizers"]),
    ("en-xx", {"special_ids": None}, ["special_ids"]),
    ("en-xx", {"limits": {"max_tokens": 7}}, ["a limit of target tokens", "a limit of the beam size"]),
    ("en-xx", {"files": {}}, [f"a sha256 of {name}" for name in TRANSLATOR_FILES]),
    ("toy", {"task": "translation"}, ["an encode and a step graph", "source and target languages", "special_ids"]),
    (
        "en-xx",
        {"graphs": [], "source": None, "special_ids": None, "files": {}},
        ["an encode and a step graph", "source and target languages", "special_ids", "a sha256 of golden.json"],
    ),
]


@pytest.mark.parametrize(("name", "changes", "missing"), LACKS)
def test_everything_missing_is_named_at_once(
    models: Path, tmp_path: Path, name: str, changes: dict[str, Any], missing: list[str]
) -> None:
    folder = Path(shutil.copytree(models / name / "1", tmp_path / "1"))
    change_manifest(folder, **changes)
    with pytest.raises(BundleCorrupt) as caught:
        read_manifest(folder)
    for need in ["the manifest lacks", *missing]:
        assert need in str(caught.value)


@pytest.mark.parametrize("summary", [True, False])
def test_one_attention_is_the_summary(folder: Path, summary: bool) -> None:
    attention = read_json(folder / MANIFEST)["attention"]
    change_manifest(folder, attention=[{**output, "summary": summary} for output in attention])
    with pytest.raises(BundleCorrupt, match="exactly one summary attention"):
        read_manifest(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Toy"},
        {"name": "../toy"},
        {"version": 0},
        {"version": "one"},
        {"task": "summarisation"},
        {"limits": {"max_tokens": 0}},
        {"unheard_of": 1},
        {"graphs": [{"role": "classify"}]},
        {"format_version": None},
        {"format_version": "newest"},
    ],
)
def test_fields_are_checked(folder: Path, changes: dict[str, Any]) -> None:
    change_manifest(folder, **changes)
    with pytest.raises(BundleCorrupt, match=rf"{MANIFEST}: .*{next(iter(changes))}"):
        read_manifest(folder)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname", "sub/file.txt", "..", ".", "", "a\0b"])
def test_files_stay_in_the_folder(folder: Path, name: str) -> None:
    files = read_json(folder / MANIFEST)["files"]
    change_manifest(folder, files={**files, name: "0" * 64})
    with pytest.raises(BundleCorrupt, match="a plain file name instead of"):
        read_manifest(folder)


def test_a_newer_format_is_not_guessed_at(folder: Path) -> None:
    change_manifest(folder, format_version=FORMAT_VERSION + 1, something_new=True)
    with pytest.raises(BundleVersionUnsupported, match=f"format {FORMAT_VERSION + 1}.*up to {FORMAT_VERSION}"):
        read_manifest(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "1", "null", '"text"', "\ufeff{}", "[" * 100_000])
def test_what_is_no_manifest(folder: Path, content: str) -> None:
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
def test_one_wrong_byte_is_found(folder: Path, name: str, where: float) -> None:
    content = bytearray((folder / name).read_bytes())
    content[int(where * len(content))] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleCorrupt, match=f"{name} has sha256"):
        check(folder)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_damaged_manifest_is_refused_or_read(models: Path, where: float, flip: int) -> None:
    """Nothing but our own errors: a changed letter of the description cannot be told from the right one."""
    content = bytearray((models / "toy" / "1" / MANIFEST).read_bytes())
    content[int(where * len(content))] ^= flip
    damaged = models.parent / "damaged"
    damaged.mkdir(exist_ok=True)
    (damaged / MANIFEST).write_bytes(content)
    try:
        read_manifest(damaged)
    except BundleError as error:
        assert MANIFEST in str(error)


def test_all_damage_is_told_at_once(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "golden.json").write_text("{}")
    with pytest.raises(BundleCorrupt) as caught:
        check(folder)
    assert "tokenizer.json cannot be read (No such file or directory)" in str(caught.value)
    assert "golden.json has sha256" in str(caught.value)
    assert "classify.onnx" not in str(caught.value)


def test_writing_replaces_in_one_step(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After every move on the disk a reader finds the old bundle, the new one, or (for a moment) none."""
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
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["1"]  # nothing left over
    assert folder.stat().st_mode & 0o777 == 0o755  # also readable by another user, as in a container


def test_updating_a_manifest(folder: Path) -> None:
    metric = {"name": "accuracy", "value": 0.75, "data": "fake test"}
    update_manifest(folder, metrics=[metric])
    assert [m.name for m in check(folder).metrics] == ["accuracy"]
    before = (folder / MANIFEST).read_text()
    with pytest.raises(ValueError, match="two labels or more"):
        update_manifest(folder, labels=[])
    assert (folder / MANIFEST).read_text() == before
    assert not list(folder.glob(".*"))


def test_bundles_are_found(tmp_path: Path) -> None:
    write_classifier(tmp_path, "one", 2)
    write_classifier(tmp_path, "one", 13)
    write_translator(tmp_path, "two", 1)
    for junk in ("one/latest", "one/1.5", "one/-3", "one/.staged", "empty/1", ".retired/old"):
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


def test_no_folder_holds_no_bundles(tmp_path: Path) -> None:
    assert find_bundles(tmp_path / "nowhere") == {}


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
