import shutil
from pathlib import Path
from typing import Any

import pytest

from service.classification.classifier import Classifier
from service.errors import (
    BundleNotFound,
    InvalidInput,
    LimelightError,
    ModelNotFound,
    ModelNotReady,
    UnsupportedLanguagePair,
)
from service.generation.generator import Generator
from service.registry.registry import Registry
from service.translation.translator import Translator
from tests.fakes import write_classifier, write_translator
from tests.service.conftest import Open


def problem(registry: Registry, name: str, version: int = 1) -> str:
    return registry.entry(name, version).problem or ""


def test_everything_is_loaded(models: Path, registry: Open) -> None:
    loaded = registry(models)
    assert [(e.name, e.version, e.ready) for e in loaded.entries()] == [
        ("en-xx", 1, True),
        ("toy", 1, True),
        ("writer", 1, True),
    ]
    assert loaded.problems() == {}
    assert isinstance(loaded.classifier(), Classifier)
    assert isinstance(loaded.translator("en", "xx"), Translator)
    assert isinstance(loaded.generator(), Generator)
    with pytest.raises(ModelNotFound, match="'toy' is not a language model"):
        loaded.generator("toy")


def test_nothing_is_ready_before_it_is_loaded(models: Path, registry: Open) -> None:
    waiting = registry(models, load=False)
    assert waiting.problems() == dict.fromkeys(["en-xx/1", "toy/1", "writer/1"], "still loading")
    with pytest.raises(ModelNotReady, match="toy/1 is not ready: still loading"):
        waiting.classifier()
    waiting.load("toy")
    assert waiting.problems() == dict.fromkeys(["en-xx/1", "writer/1"], "still loading")
    ready = waiting.classifier()
    waiting.load()
    assert waiting.problems() == {}
    assert waiting.classifier() is ready


@pytest.mark.parametrize("models_folder", ["nowhere", "empty", "junk"])
def test_no_bundle_at_all(tmp_path: Path, registry: Open, models_folder: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "junk" / "toy" / "latest").mkdir(parents=True)
    with pytest.raises(BundleNotFound, match=models_folder):
        registry(tmp_path / models_folder)


def test_versions(tmp_path: Path, registry: Open) -> None:
    for version in (2, 13, 3):
        write_classifier(tmp_path, version=version)
    loaded = registry(tmp_path)
    assert loaded.classifier("toy").manifest.version == 13
    assert loaded.classifier().manifest.version == 13
    assert loaded.classifier("toy", 2).manifest.version == 2
    assert [loaded.is_default(entry) for entry in loaded.entries()] == [False, False, True]
    with pytest.raises(ModelNotFound, match="no version 7, only 2, 3, 13"):
        loaded.classifier("toy", 7)


def test_refused_bundles_do_not_delay_readiness(tmp_path: Path, registry: Open) -> None:
    """Except the default classifier of the settings."""
    for name, version in (("first", 1), ("first", 2), ("second", 1)):
        write_classifier(tmp_path, name, version)
    (tmp_path / "first" / "1" / "classify.onnx").unlink()
    (tmp_path / "second" / "1" / "classify.onnx").unlink()
    loaded = registry(tmp_path)
    assert loaded.problems() == {}
    assert [entry.ready for entry in loaded.entries()] == [False, True, False]
    assert registry(tmp_path, default_classifier="second").problems().keys() == {"second/1"}


def test_the_default_classifier(tmp_path: Path, registry: Open) -> None:
    write_translator(tmp_path, "a-translator")
    write_classifier(tmp_path, "c")
    assert registry(tmp_path).default_classifier() == "c"
    write_classifier(tmp_path, "b")
    with pytest.raises(ModelNotFound, match="name a model: none of b, c is the only default for classification"):
        registry(tmp_path).classifier()
    assert registry(tmp_path, default_classifier="c").classifier().manifest.name == "c"


def test_an_added_model_or_version_does_not_change_the_marked_default(tmp_path: Path, registry: Open) -> None:
    write_classifier(tmp_path, "m", default=True)
    write_translator(tmp_path, "m-translator", default=True)
    for name in ("a", "z"):
        write_classifier(tmp_path, name)
        write_translator(tmp_path, f"{name}-translator")
    write_classifier(tmp_path, "m", 2)
    loaded = registry(tmp_path)
    assert (loaded.classifier().manifest.name, loaded.classifier().manifest.version) == ("m", 2)
    assert loaded.pairs() == {("en", "xx"): "m-translator"}
    assert {e.name for e in loaded.entries() if loaded.is_default(e)} == {"m", "m-translator"}
    write_classifier(tmp_path, "z", 2, default=True)
    with pytest.raises(ModelNotFound, match="none of a, m, z is the only default"):
        registry(tmp_path).classifier()


@pytest.mark.parametrize(("name", "message"), [("nobody", "which is not there"), ("en-xx", "which is no classifier")])
def test_an_invalid_default_classifier(models: Path, registry: Open, name: str, message: str) -> None:
    with pytest.raises(ModelNotFound, match=f"LIMELIGHT_DEFAULT_CLASSIFIER names '{name}', {message}"):
        registry(models, default_classifier=name)


def test_no_classifier(tmp_path: Path, registry: Open) -> None:
    write_translator(tmp_path)
    loaded = registry(tmp_path)
    assert loaded.problems() == {}
    with pytest.raises(ModelNotFound, match="no model for classification"):
        loaded.classifier()


def test_the_default_translator(tmp_path: Path, registry: Open) -> None:
    write_translator(tmp_path, "another")
    write_translator(tmp_path, "en-xx", default=True)
    write_translator(tmp_path, "de-first", source="de", target="yy")
    loaded = registry(tmp_path)
    assert loaded.pairs() == {("en", "xx"): "en-xx", ("de", "yy"): "de-first"}
    assert loaded.translator("en", "xx").manifest.name == "en-xx"
    assert loaded.translator("de", "yy").manifest.name == "de-first"
    assert loaded.translator("en", "xx", "another").manifest.name == "another"
    assert [e.name for e in loaded.entries() if loaded.is_default(e)] == ["de-first", "en-xx"]
    write_translator(tmp_path, "de-second", source="de", target="yy")
    loaded = registry(tmp_path)
    assert loaded.pairs() == {("en", "xx"): "en-xx"}
    assert loaded.translator(None, None, "de-second").manifest.name == "de-second"
    with pytest.raises(ModelNotFound, match="none of de-first, de-second is the only default for translation from de"):
        loaded.translator("de", "yy")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("de", "xx"), UnsupportedLanguagePair, "de is not supported"),
        (("en", "de"), UnsupportedLanguagePair, "de is not supported"),
        (("en", "yy"), UnsupportedLanguagePair, "no model translates from en to yy"),
        (("xx", "en"), UnsupportedLanguagePair, "xx is not supported"),
        ((None, "xx"), InvalidInput, "source and target are needed"),
        (("en", None), InvalidInput, "source and target are needed"),
        (("fr", "xx", "en-xx"), UnsupportedLanguagePair, "en-xx translates from en to xx, not from fr to xx"),
        (("en", "xx", "toy"), ModelNotFound, "'toy' is not a translator"),
        (("en", "xx", "nobody"), ModelNotFound, "no model 'nobody'"),
        (("en", "xx", "en-xx", 7), ModelNotFound, "no version 7"),
    ],
)
def test_missing_translators(
    tmp_path: Path, registry: Open, arguments: Any, error: type[LimelightError], message: str
) -> None:
    write_classifier(tmp_path)
    write_translator(tmp_path)
    write_translator(tmp_path, "fr-yy", source="fr", target="yy")
    with pytest.raises(error, match=message):
        registry(tmp_path).translator(*arguments)


@pytest.mark.parametrize(("name", "message"), [("en-xx", "not a classifier"), ("nobody", "no model 'nobody'")])
def test_missing_classifiers(models: Path, registry: Open, name: str, message: str) -> None:
    with pytest.raises(ModelNotFound, match=message):
        registry(models).classifier(name)


def test_closed(models: Path, registry: Open) -> None:
    loaded = registry(models)
    loaded.close()
    with pytest.raises(ModelNotReady, match="shutting down"):
        loaded.classifier()


def test_readiness_waits_for_every_model(tmp_path: Path, registry: Open) -> None:
    """Also for models and versions that are no default."""
    for name, version in (("first", 1), ("first", 2), ("second", 1)):
        write_classifier(tmp_path, name, version)
    waiting = registry(tmp_path, load=False)
    waiting.load("second")
    assert waiting.problems() == dict.fromkeys(["first/1", "first/2"], "still loading")
    waiting.load()
    assert waiting.problems() == {}


def test_without_any_model_the_service_is_not_ready(tmp_path: Path, registry: Open) -> None:
    for name in ("first", "second"):
        (write_classifier(tmp_path, name) / "classify.onnx").unlink()
    assert registry(tmp_path).problems().keys() == {"first/1", "second/1"}


@pytest.mark.parametrize("folder", ["\u0661", "01"])
def test_a_folder_that_would_shadow_a_version(
    models: Path, tmp_path: Path, registry: Open, caplog: pytest.LogCaptureFixture, folder: str
) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    shutil.copytree(tmp_path / "toy" / "1", tmp_path / "toy" / folder)
    loaded = registry(tmp_path)
    reason = "the folder's name must be a number in ASCII digits without leading zeros"
    assert f"refused toy/{folder}: {reason}" in caplog.text
    assert [str(entry) for entry in loaded.entries()] == ["en-xx/1", "toy/1", "writer/1"]
    assert loaded.entry("toy").folder == tmp_path / "toy" / "1"
    assert loaded.reload().refused == {f"toy/{folder}": reason}
    assert loaded.problems() == {}
