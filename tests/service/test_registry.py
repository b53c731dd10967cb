import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.bundle import GOLDEN, MANIFEST
from service.classifier import Classifier
from service.errors import (
    BundleNotFound,
    InvalidInput,
    LimelightError,
    ModelNotFound,
    ModelNotReady,
    UnsupportedLanguagePair,
)
from service.registry import Registry, differences
from service.runtime import Runtime
from service.scheduling import Limits
from service.translator import Translator
from tests.fakes import change_manifest, read_json, rewrite, write_classifier, write_translator

Open = Callable[..., Registry]


@pytest.fixture
def registry() -> Iterator[Open]:
    """Makes registries, loaded unless told not to, and closes them."""
    made: list[Registry] = []

    def open_(models: Path, load: bool = True, **options: Any) -> Registry:
        made.append(Registry(models, Runtime("cpu", threads=1), Limits(), **options))
        if load:
            made[-1].load()
        return made[-1]

    yield open_
    for one in made:
        one.close()


def problem(registry: Registry, name: str, version: int = 1) -> str:
    return registry.entry(name, version).problem or ""


def test_everything_is_loaded(models: Path, registry: Open) -> None:
    loaded = registry(models)
    assert [(e.name, e.version, e.ready) for e in loaded.entries()] == [("en-xx", 1, True), ("toy", 1, True)]
    assert loaded.problems() == {}
    assert isinstance(loaded.classifier(), Classifier)
    assert isinstance(loaded.translator("en", "xx"), Translator)


def test_nothing_is_ready_before_it_is_loaded(models: Path, registry: Open) -> None:
    waiting = registry(models, load=False)
    assert waiting.problems() == {"en-xx/1": "still loading", "toy/1": "still loading"}
    with pytest.raises(ModelNotReady, match="toy/1 is not ready: still loading"):
        waiting.classifier()
    waiting.load("toy")
    assert waiting.problems() == {"en-xx/1": "still loading"}
    ready = waiting.classifier()
    waiting.load()
    assert waiting.problems() == {}
    assert waiting.classifier() is ready  # it was left as it was


@pytest.mark.parametrize("models_folder", ["nowhere", "empty", "junk"])
def test_no_bundle_at_all(tmp_path: Path, registry: Open, models_folder: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "junk" / "toy" / "latest").mkdir(parents=True)
    with pytest.raises(BundleNotFound, match=models_folder):
        registry(tmp_path / models_folder)


def damage_graph(folder: Path) -> str:
    (folder / "classify.onnx").write_bytes(b"no graph")
    return "classify.onnx has sha256"


def lose_tokenizer(folder: Path) -> str:
    (folder / "tokenizer.json").unlink()
    return "tokenizer.json cannot be read"


def damage_manifest(folder: Path) -> str:
    (folder / MANIFEST).write_text("{")
    return MANIFEST


def change_name(folder: Path) -> str:
    change_manifest(folder, name="other")
    return "name and folder must agree"


def change_version(folder: Path) -> str:
    change_manifest(folder, version=7)
    return "name and folder must agree"


def come_from_the_future(folder: Path) -> str:
    change_manifest(folder, format_version=7)
    return "format 7"


def forget_an_output(folder: Path) -> str:
    [graph] = read_json(folder / MANIFEST)["graphs"]
    change_manifest(folder, graphs=[{**graph, "outputs": graph["outputs"][:-1]}])
    return "output self_0"


def name_an_output_that_is_not_there(folder: Path) -> str:
    [first, second] = read_json(folder / MANIFEST)["attention"]
    change_manifest(folder, attention=[{**first, "output": "nowhere"}, second])
    return "nowhere"


def break_tokenizer(folder: Path) -> str:
    rewrite(folder, "tokenizer.json", "{}")
    return "is not a tokenizer"


def expect(**changes: Any) -> Callable[[Path], str]:
    """Change the answer of the last golden case."""

    def change(folder: Path) -> str:
        golden = read_json(folder / GOLDEN)
        golden["cases"][-1]["answer"].update(changes)
        rewrite(folder, GOLDEN, json.dumps(golden))
        return "is answered wrongly"

    return change


def write_golden(content: str) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        rewrite(folder, GOLDEN, content)
        return GOLDEN

    return write


DAMAGES = [
    damage_graph,
    lose_tokenizer,
    damage_manifest,
    change_name,
    change_version,
    come_from_the_future,
    forget_an_output,
    name_an_output_that_is_not_there,
    break_tokenizer,
    expect(scores={"cold": 1.0, "mild": 0.0, "warm": 0.0}),
    expect(scores={"cold": 1.0}),
    expect(attention=[[1.0]]),
    expect(surplus=1),
    *map(write_golden, ["{", "[]", "{}", '{"tolerance": 1}', '{"tolerance": 1, "cases": [{}]}', "[" * 100_000]),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_bundle_beside_a_good_one(
    models: Path, tmp_path: Path, registry: Open, damage: Callable[[Path], str], caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    expected = damage(tmp_path / "toy" / "1")
    with caplog.at_level(logging.ERROR):
        loaded = registry(tmp_path)
    assert expected in problem(loaded, "toy")
    assert loaded.problems() == {"toy/1": problem(loaded, "toy")}
    assert problem(loaded, "toy") in caplog.text
    assert loaded.translator("en", "xx").manifest.name == "en-xx"
    with pytest.raises(ModelNotReady, match="toy/1 is not ready"):
        loaded.classifier("toy")


def test_a_golden_tolerance_is_respected(models: Path, tmp_path: Path, registry: Open) -> None:
    folder = Path(shutil.copytree(models / "toy", tmp_path / "toy")) / "1"
    golden = read_json(folder / GOLDEN)
    golden["cases"][0]["answer"]["scores"]["cold"] += 0.03
    rewrite(folder, GOLDEN, json.dumps({**golden, "tolerance": 0.1}))
    assert registry(tmp_path).problems() == {}


@pytest.mark.parametrize(
    ("expected", "actual", "count"),
    [
        ({"a": [1.0, 2.0]}, {"a": [1.05, 1.95]}, 0),
        ({"a": [1.0, 2.0]}, {"a": [1.2, 2.2]}, 2),
        ({"a": 1.0}, {"b": 1.0}, 1),
        ([1.0], [1.0, 2.0], 1),
        ("text", "other", 1),
        ("text", "text", 0),
        (None, None, 0),
        (1.0, None, 1),
        (1.0, float("nan"), 1),
    ],
)
def test_differences(expected: object, actual: object, count: int) -> None:
    assert len(differences(expected, actual, tolerance=0.1)) == count


def test_differences_say_where() -> None:
    [found] = differences({"a": [1.0, {"b": "x"}]}, {"a": [1.0, {"b": "y"}]}, 0.1)
    assert found == ".a[1].b: expected x, got y"


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


def test_only_defaults_count_for_readiness(tmp_path: Path, registry: Open) -> None:
    for name, version in (("first", 1), ("first", 2), ("second", 1)):
        write_classifier(tmp_path, name, version)
    damage_graph(tmp_path / "first" / "1")
    damage_graph(tmp_path / "second" / "1")
    loaded = registry(tmp_path)
    assert loaded.problems() == {}
    assert problem(loaded, "first", 1) and problem(loaded, "second", 1)
    assert registry(tmp_path, default_classifier="second").problems().keys() == {"second/1"}


def test_the_default_classifier(tmp_path: Path, registry: Open) -> None:
    write_translator(tmp_path, "a-translator")
    write_classifier(tmp_path, "b")
    write_classifier(tmp_path, "c")
    assert registry(tmp_path).default_classifier() == "b"
    assert registry(tmp_path, default_classifier="c").classifier().manifest.name == "c"


@pytest.mark.parametrize("name", ["nobody", "en-xx"])
def test_a_default_classifier_that_is_none(models: Path, registry: Open, name: str) -> None:
    loaded = registry(models, default_classifier=name)
    assert name in loaded.problems()
    with pytest.raises(ModelNotFound):
        loaded.classifier()


def test_no_classifier(tmp_path: Path, registry: Open) -> None:
    write_translator(tmp_path)
    loaded = registry(tmp_path)
    assert loaded.problems() == {}
    with pytest.raises(ModelNotFound, match="no classifier"):
        loaded.classifier()


def test_the_default_translator(tmp_path: Path, registry: Open) -> None:
    write_translator(tmp_path, "another")
    write_translator(tmp_path, "en-xx")
    write_translator(tmp_path, "de-first", source="de", target="yy")
    write_translator(tmp_path, "de-second", source="de", target="yy")
    loaded = registry(tmp_path)
    assert loaded.pairs() == {("en", "xx"): "en-xx", ("de", "yy"): "de-first"}
    assert loaded.translator("en", "xx").manifest.name == "en-xx"
    assert loaded.translator("de", "yy").manifest.name == "de-first"
    assert loaded.translator("en", "xx", "another").manifest.name == "another"
    assert loaded.translator(None, None, "de-second").manifest.name == "de-second"
    assert [e.name for e in loaded.entries() if loaded.is_default(e)] == ["de-first", "en-xx"]


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
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
def test_translators_that_are_not_there(
    tmp_path: Path, registry: Open, arguments: Any, error: type[LimelightError], told: str
) -> None:
    write_classifier(tmp_path)
    write_translator(tmp_path)
    write_translator(tmp_path, "fr-yy", source="fr", target="yy")
    with pytest.raises(error, match=told):
        registry(tmp_path).translator(*arguments)


@pytest.mark.parametrize(("name", "told"), [("en-xx", "not a classifier"), ("nobody", "no model 'nobody'")])
def test_classifiers_that_are_not_there(models: Path, registry: Open, name: str, told: str) -> None:
    with pytest.raises(ModelNotFound, match=told):
        registry(models).classifier(name)


def test_closed(models: Path, registry: Open) -> None:
    loaded = registry(models)
    loaded.close()
    with pytest.raises(ModelNotReady, match="shutting down"):
        loaded.classifier()


def test_a_broken_manifest_is_described_as_far_as_it_is_known(models: Path, tmp_path: Path, registry: Open) -> None:
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    damage_manifest(tmp_path / "toy" / "1")
    loaded = registry(tmp_path)
    described = loaded.describe(loaded.entry("toy"))
    assert described.keys() == {"name", "version", "ready", "problem"}
    assert (described["name"], described["version"], described["ready"]) == ("toy", "1", False)
    assert loaded.pairs() == {("en", "xx"): "en-xx"}
    with pytest.raises(ModelNotFound, match="no classifier"):
        loaded.classifier()
