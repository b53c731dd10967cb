"""Bundles change while the service runs: new ones are loaded, broken ones are refused, and requests do not fail."""

import asyncio
import json
import logging
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from service.bundle.manifest import GOLDEN, MANIFEST
from service.classification.classifier import Classifier
from service.errors import BundleCorrupt, BundleNotFound, DeviceUnavailable, ModelNotFound, ModelNotReady, Overloaded
from service.registry.entry import Entry
from service.registry.registry import Registry
from service.runtime import Runtime, Session
from tests.fakes import before_networks, change_manifest, read_json, rewrite, until, write_classifier, write_translator
from tests.service.conftest import Open


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    """A copy of the fakes to change."""
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    return tmp_path


def classify(registry: Registry, version: int | None = None) -> int:
    """Which version answered."""
    classifier = registry.classifier("toy", version)
    [prediction] = asyncio.run(classifier.classify(["wind"]))
    assert prediction.label
    return classifier.manifest.version


def break_golden(version: Path) -> None:
    golden = read_json(version / GOLDEN)
    golden["cases"][0]["answer"]["scores"] = {"cold": 1.0, "mild": 0.0, "warm": 0.0}
    rewrite(version, GOLDEN, json.dumps(golden))


def test_nothing_has_changed(folder: Path, registry: Open) -> None:
    loaded = registry(folder)
    before = loaded.classifier()
    report = loaded.reload()
    assert vars(report) == {"loaded": [], "unchanged": ["en-xx/1", "toy/1", "writer/1"], "removed": [], "refused": {}}
    assert loaded.classifier() is before


def test_a_new_version_and_a_new_model(folder: Path, registry: Open) -> None:
    loaded = registry(folder)
    write_classifier(folder, version=2)
    write_translator(folder, "en-yy", target="yy")
    assert loaded.reload().loaded == ["en-yy/1", "toy/2"]
    assert (classify(loaded), classify(loaded, 1), classify(loaded, 2)) == (2, 1, 2)
    assert loaded.translator("en", "yy").manifest.name == "en-yy"


def test_a_removed_version(folder: Path, registry: Open) -> None:
    """Removing a version is a rollback."""
    write_classifier(folder, version=2)
    loaded = registry(folder)
    gone = loaded.classifier("toy")
    shutil.rmtree(folder / "toy" / "2")
    assert loaded.reload().removed == ["toy/2"]
    assert classify(loaded) == 1
    with pytest.raises(ModelNotFound, match="no version 2"):
        loaded.classifier("toy", 2)
    with pytest.raises(ModelNotReady):  # it is closed
        asyncio.run(gone.classify(["wind"]))


def test_a_changed_version(folder: Path, registry: Open) -> None:
    loaded = registry(folder)
    before = loaded.classifier()
    change_manifest(folder / "toy" / "1", description="Another.")
    assert loaded.reload().loaded == ["toy/1"]
    assert loaded.classifier() is not before
    assert loaded.classifier().manifest.description == "Another."


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("damage", ["manifest", "file", "golden", "gone file", "surprise"])
def test_a_broken_bundle_is_refused_and_its_predecessor_continues(
    folder: Path,
    registry: Open,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    version: int,
    damage: str,
) -> None:
    loaded = registry(folder)
    before = loaded.classifier()
    broken = folder / "toy" / str(version)
    if version == 2:
        write_classifier(folder, version=2)
    if damage == "manifest":
        (broken / MANIFEST).write_text("{")
    elif damage == "file":
        (broken / "classify.onnx").write_bytes(b"")
    elif damage == "gone file":
        (broken / "tokenizer.json").unlink()
    elif damage == "golden":
        break_golden(broken)
    else:  # an unexpected error
        change_manifest(broken, description="Another.")

        def fail(*args: Any) -> None:
            raise ZeroDivisionError("surprise")

        monkeypatch.setattr(Classifier, "__init__", fail)
    with caplog.at_level(logging.ERROR):
        report = loaded.reload()
    assert report.refused.keys() == {f"toy/{version}"}
    assert report.refused[f"toy/{version}"] in caplog.text
    assert loaded.classifier() is before
    assert loaded.problems() == {}
    assert classify(loaded) == 1
    assert loaded.entry("toy", version).ready == (version == 1)


def test_a_refused_bundle_is_loaded_after_its_repair(folder: Path, registry: Open) -> None:
    loaded = registry(folder)
    write_classifier(folder, version=2)
    (folder / "toy" / "2" / "classify.onnx").write_bytes(b"")
    assert loaded.reload().refused
    shutil.rmtree(folder / "toy" / "2")
    write_classifier(folder, version=2)
    assert vars(loaded.reload()) | {"unchanged": []} == {
        "loaded": ["toy/2"],
        "unchanged": [],
        "removed": [],
        "refused": {},
    }
    assert classify(loaded) == 2


def test_a_reload_does_not_change_readiness(folder: Path, registry: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """New versions are added after they are loaded, and a refused one does not count."""
    loaded = registry(folder)
    write_classifier(folder, version=2)
    write_translator(folder, "en-yy", target="yy")
    (write_classifier(folder, "aaa") / "classify.onnx").unlink()
    during: list[dict[str, str]] = []
    load = loaded._load

    def watched(entry: Entry) -> None:
        during.append(loaded.problems())
        load(entry)
        during.append(loaded.problems())

    monkeypatch.setattr(loaded, "_load", watched)
    report = loaded.reload()
    assert report.loaded == ["en-yy/1", "toy/2"] and report.refused.keys() == {"aaa/1"}
    assert during == [{}] * 5
    assert loaded.problems() == {}


def test_an_empty_folder_changes_nothing(folder: Path, registry: Open) -> None:
    loaded = registry(folder)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(BundleNotFound):
        loaded.reload()
    assert classify(loaded) == 1


def test_the_highest_ready_version_answers(folder: Path, registry: Open) -> None:
    write_classifier(folder, version=2)
    write_classifier(folder, version=3)
    (folder / "toy" / "3" / MANIFEST).write_text("{")
    break_golden(folder / "toy" / "2")
    loaded = registry(folder)
    assert classify(loaded) == 1
    assert loaded.problems() == {}
    assert [entry.version for entry in loaded.entries() if loaded.is_default(entry) and entry.name == "toy"] == [1]
    with pytest.raises(ModelNotReady, match="toy/2 is not ready: .*answered wrongly"):
        loaded.classifier("toy", 2)


def test_a_request_keeps_its_version(folder: Path, registry: Open) -> None:
    """The request has its predictor before the swap, and calls it after the swap."""
    loaded = registry(folder)
    with ThreadPoolExecutor() as pool, loaded.reading():
        old = loaded.classifier()
        shutil.rmtree(folder / "toy" / "1")
        write_classifier(folder, version=2)
        reloading = pool.submit(loaded.reload)
        until(lambda: loaded.classifier() is not old)
        assert not reloading.done()
        assert len(asyncio.run(old.classify(["wind"]))) == 1
        with loaded.reading():
            assert classify(loaded) == 2
    assert reloading.result().removed == ["toy/1"]
    with pytest.raises(ModelNotReady):
        asyncio.run(old.classify(["wind"]))


def test_a_reload_ends_the_old_threads(folder: Path, registry: Open) -> None:
    loaded = registry(folder)
    before = threading.active_count()
    for text in "abc":
        change_manifest(folder / "toy" / "1", description=text)
        loaded.reload()
    assert threading.active_count() <= before


# Periodic golden inputs


def check(registry: Registry) -> None:
    asyncio.run(registry.check())


def test_a_failing_model_is_loaded_again(
    folder: Path, registry: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = registry(folder)
    check(loaded)
    assert loaded.problems() == {}
    before = loaded.classifier()

    async def fail(*args: Any) -> Any:
        raise RuntimeError("the device has gone")

    monkeypatch.setattr(before, "golden", lambda case: before.classify(["wind " * 99]))  # TextTooLong: any error
    check(loaded)
    assert "toy/1: text 0 has" in caplog.text
    assert loaded.problems() == {}
    assert loaded.classifier() is not before


def test_each_check_runs_one_golden_case(folder: Path, registry: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check runs another case. After a wrong answer all cases must be right."""
    loaded = registry(folder)
    entry = loaded.entry("toy")
    assert entry.golden is not None
    cases = entry.golden.cases
    asked: list[Any] = []
    golden = loaded.classifier().golden

    async def asking(case: Any) -> Any:
        asked.append(case)
        answer = await golden(case)
        return answer if case != cases[1] else answer.model_copy(update={"scores": {}})

    def still_broken(entry: Entry) -> None:
        raise BundleCorrupt("still broken")

    monkeypatch.setattr(loaded.classifier(), "golden", asking)
    monkeypatch.setattr(loaded, "_load", still_broken)
    rounds = 0
    while not loaded.problems():
        check(loaded)
        rounds += 1
        assert len(asked) == rounds <= len(cases)
    assert asked[-1] == cases[1]
    for _ in cases:
        check(loaded)
        assert loaded.problems() == {"toy/1": "still broken"}


def test_a_model_that_keeps_failing(folder: Path, registry: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = registry(folder)
    run = Session.run

    def fail(*args: Any) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Session, "run", fail)
    check(loaded)
    assert "RuntimeError" in loaded.problems()["toy/1"]
    with pytest.raises(ModelNotReady):
        loaded.classifier()
    monkeypatch.setattr(Session, "run", run)
    check(loaded)
    assert loaded.problems() == {}


def test_a_hanging_model_is_not_ready_until_it_answers(
    folder: Path, registry: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = registry(folder)
    before = loaded.classifier()
    go_on = threading.Event()
    before_networks(monkeypatch, go_on.wait)
    monkeypatch.setattr("service.registry.golden.ANSWER_TIMEOUT_S", 0.05)
    check(loaded)
    assert loaded.problems()["toy/1"] == "no answer to a golden input within 0.05 s"
    go_on.set()
    monkeypatch.setattr("service.registry.golden.ANSWER_TIMEOUT_S", 60)
    check(loaded)
    assert loaded.problems() == {}
    assert loaded.classifier() is before


def test_overload_does_not_change_readiness(folder: Path, registry: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = registry(folder)

    async def busy(case: Any) -> Any:
        raise Overloaded("full")

    monkeypatch.setattr(loaded.classifier(), "golden", busy)
    check(loaded)
    assert loaded.problems() == {}


def test_draining(folder: Path, registry: Open) -> None:
    loaded = registry(folder)
    loaded.drain()
    assert loaded.problems() == {"service": "it is shutting down"}
    assert classify(loaded) == 1


def test_close_abandons_a_network_that_does_not_return(
    folder: Path, registry: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = registry(folder)
    classifier = loaded.classifier()
    go_on = threading.Event()
    monkeypatch.setattr(Session, "run", lambda *args: go_on.wait())
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(lambda: asyncio.run(classifier.classify(["wind"])))
        until(lambda: classifier.scheduler.running)
        loaded.close(timeout_s=0.05)
        go_on.set()
        assert asked.exception() is not None


# Start


def test_no_bundle_can_be_read(folder: Path, registry: Open) -> None:
    for path in folder.glob(f"*/*/{MANIFEST}"):
        path.write_text("{")
    with pytest.raises(BundleCorrupt, match="no bundle can be read: .*en-xx.*toy"):
        registry(folder)


def test_the_default_of_the_settings_cannot_be_read(folder: Path, registry: Open) -> None:
    (folder / "toy" / "1" / MANIFEST).write_text("{")
    with pytest.raises(ModelNotFound, match=MANIFEST):
        registry(folder, default_classifier="toy")


def test_a_removed_default(folder: Path, registry: Open) -> None:
    loaded = registry(folder, default_classifier="toy")
    shutil.rmtree(folder / "toy")
    assert loaded.reload().removed == ["toy/1"]
    assert loaded.problems() == {"toy": "LIMELIGHT_DEFAULT_CLASSIFIER names 'toy', which is not there"}


def test_an_unavailable_device_stops_the_load(folder: Path, registry: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = registry(folder, load=False)

    def fail(*args: Any) -> Any:
        raise DeviceUnavailable("no CUDA")

    monkeypatch.setattr(Runtime, "open", fail)
    with pytest.raises(DeviceUnavailable):
        waiting.load()


@pytest.mark.parametrize("name", [MANIFEST, "classify.onnx", GOLDEN])
def test_a_device_file_is_refused(folder: Path, registry: Open, name: str) -> None:
    path = folder / "toy" / "1" / name
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "is no file" in (registry(folder).entry("toy").problem or "")
