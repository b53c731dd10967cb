"""Name -> ready predictor: finds the bundles, verifies, loads and warms them, and says why one is not ready."""

import asyncio
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.bundle import GOLDEN, Manifest, Task, find_bundles, read_manifest, verify
from service.classifier import Classifier
from service.errors import (
    BundleCorrupt,
    BundleError,
    BundleNotFound,
    InvalidInput,
    LimelightError,
    ModelNotFound,
    ModelNotReady,
    UnsupportedLanguagePair,
)
from service.runtime import Runtime
from service.scheduling import Limits
from service.translator import Translator

log = logging.getLogger(__name__)

Predictor = Classifier | Translator
PREDICTORS: dict[Task, type[Classifier] | type[Translator]] = {
    "classification": Classifier,
    "translation": Translator,
}


@dataclass
class Entry:
    """One version of one model, ready or not."""

    folder: Path
    name: str
    version: int
    manifest: Manifest | None = None
    predictor: Predictor | None = None
    problem: str | None = "still loading"
    """Why it is not ready; None when it is."""

    @property
    def ready(self) -> bool:
        return self.problem is None


def differences(expected: object, actual: object, tolerance: float, where: str = "") -> list[str]:
    """How two JSON-like values differ: numbers by more than the tolerance, anything else at all."""
    if isinstance(expected, dict) and isinstance(actual, dict) and expected.keys() == actual.keys():
        return [d for k in expected for d in differences(expected[k], actual[k], tolerance, f"{where}.{k}")]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [d for i, e in enumerate(expected) for d in differences(e, actual[i], tolerance, f"{where}[{i}]")]
    if isinstance(expected, float) and isinstance(actual, float):
        same = abs(expected - actual) <= tolerance
    else:
        same = expected == actual
    return [] if same else [f"{where}: expected {expected}, got {actual}"]


class Registry:
    """Every bundle under a folder. Raises BundleNotFound if there is none."""

    def __init__(self, models: Path, runtime: Runtime, limits: Limits, default_classifier: str | None = None):
        self._runtime = runtime
        self._limits = limits
        self._default_classifier = default_classifier
        bundles = find_bundles(models)
        if not bundles:
            raise BundleNotFound(f"no bundle in {models.resolve()} (looked for <name>/<version>/bundle.json)")
        self._entries = {
            name: {version: Entry(folder, name, version) for version, folder in versions.items()}
            for name, versions in bundles.items()
        }
        for entry in self.entries():
            try:
                entry.manifest = self._read(entry)
            except BundleError as error:
                entry.problem = str(error)
                log.error("%s", error)

    def _read(self, entry: Entry) -> Manifest:
        manifest = read_manifest(entry.folder)
        if (manifest.name, manifest.version) != (entry.name, entry.version):
            raise BundleCorrupt(f"{entry.folder} holds {manifest.name}/{manifest.version}: name and folder must agree")
        return manifest

    def entries(self) -> Iterable[Entry]:
        """Every version of every model, by name and version."""
        return [entry for _, versions in sorted(self._entries.items()) for _, entry in sorted(versions.items())]

    def load(self, name: str | None = None) -> None:
        """Make everything ready that can be, or one model only. What cannot be is left out; its entry says why."""
        for entry in self.entries():
            if entry.manifest is None or entry.predictor is not None or name not in (None, entry.name):
                continue
            try:
                entry.predictor = self._load(entry.folder, entry.manifest)
                entry.problem = None
                log.info("%s/%s is ready", entry.name, entry.version)
            except (BundleError, LimelightError) as error:
                entry.problem = str(error)
                log.error("%s", error)

    def _load(self, folder: Path, manifest: Manifest) -> Predictor:
        """Verify, load, and answer the golden inputs, which also warms the graphs up."""
        verify(folder, manifest)
        predictor = PREDICTORS[manifest.task](folder, manifest, self._runtime, self._limits)
        try:
            golden = json.loads((folder / GOLDEN).read_bytes())
            tolerance = golden.get("tolerances", {}).get(predictor.precision, golden["tolerance"])
            for case in golden["cases"]:
                answer = asyncio.run(predictor.golden(case))
                if found := differences(case["answer"], answer, tolerance):
                    raise BundleCorrupt(f"{folder}: the golden input {case['text']!r} is answered wrongly: {found[0]}")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            predictor.close()
            raise BundleCorrupt(f"{folder / GOLDEN} cannot be used: {error!r}") from None
        except LimelightError:
            predictor.close()
            raise
        return predictor

    def close(self) -> None:
        """Finish what is running and free the models."""
        loaded = [entry for entry in self.entries() if entry.predictor is not None]
        for entry in loaded:
            entry.problem = "the service is shutting down"
        for entry in loaded:
            assert entry.predictor is not None
            entry.predictor.close()

    def entry(self, name: str, version: int | None = None) -> Entry:
        """A model's entry; the highest version unless one is named. Raises ModelNotFound."""
        versions = self._entries.get(name)
        if versions is None:
            raise ModelNotFound(f"there is no model {name!r}; GET /models lists them")
        if version is None:
            version = max(versions)
        if version not in versions:
            raise ModelNotFound(f"{name!r} has no version {version}, only {', '.join(map(str, sorted(versions)))}")
        return versions[version]

    def _ready(self, entry: Entry) -> Predictor:
        if entry.predictor is None or not entry.ready:
            raise ModelNotReady(f"{entry.name}/{entry.version} is not ready: {entry.problem}")
        return entry.predictor

    def classifier(self, name: str | None = None, version: int | None = None) -> Classifier:
        """Raises ModelNotFound or ModelNotReady."""
        entry = self.entry(name if name is not None else self.default_classifier(), version)
        predictor = self._ready(entry)
        if not isinstance(predictor, Classifier):
            raise ModelNotFound(f"{entry.name!r} is not a classifier; GET /models lists what each model does")
        return predictor

    def default_classifier(self) -> str:
        if self._default_classifier is not None:
            return self._default_classifier
        for entry in self.entries():
            if entry.manifest is not None and entry.manifest.task == "classification":
                return entry.name
        raise ModelNotFound("this service has no classifier")

    def translator(
        self, source: str | None, target: str | None, name: str | None = None, version: int | None = None
    ) -> Translator:
        """The translator of that name, or the pair's default. Raises ModelNotFound, ModelNotReady, InvalidInput or
        UnsupportedLanguagePair."""
        if name is None:
            if source is None or target is None:
                raise InvalidInput("source and target are needed where no model is named")
            name = self.default_translator(source, target)
        entry = self.entry(name, version)
        predictor = self._ready(entry)
        if not isinstance(predictor, Translator):
            raise ModelNotFound(f"{entry.name!r} is not a translator; GET /models lists what each model does")
        if (source or predictor.source, target or predictor.target) != (predictor.source, predictor.target):
            raise UnsupportedLanguagePair(
                f"{entry.name} translates from {predictor.source} to {predictor.target}, not from {source} to {target}"
            )
        return predictor

    def pairs(self) -> dict[tuple[str, str], str]:
        """(source, target) -> the model that serves it by default: `<source>-<target>`, else the first by name."""
        pairs: dict[tuple[str, str], str] = {}
        for entry in self.entries():
            if entry.manifest is not None and entry.manifest.source and entry.manifest.target:
                pair = (entry.manifest.source, entry.manifest.target)
                if pair not in pairs or entry.name == "-".join(pair):
                    pairs[pair] = entry.name
        return pairs

    def default_translator(self, source: str, target: str) -> str:
        pairs = self.pairs()
        if (source, target) in pairs:
            return pairs[source, target]
        for language, side in ((source, 0), (target, 1)):
            if language not in {pair[side] for pair in pairs}:
                raise UnsupportedLanguagePair(f"{language} is not supported")
        raise UnsupportedLanguagePair(f"no model translates from {source} to {target}")

    def is_default(self, entry: Entry) -> bool:
        """Whether requests that name no model come to this entry."""
        if entry.manifest is None or entry is not self.entry(entry.name):
            return False
        if entry.manifest.task == "classification":
            return entry.name == self.default_classifier()
        return entry.name in self.pairs().values()

    def problems(self) -> dict[str, str]:
        """Default models that are not ready, and why. Empty: the service is ready."""
        problems = {
            f"{entry.name}/{entry.version}": entry.problem
            for entry in self.entries()
            if entry.problem is not None and (entry.manifest is None or self.is_default(entry))
        }
        named = self._default_classifier
        if named is not None and named not in self._entries:
            problems[named] = "LIMELIGHT_DEFAULT_CLASSIFIER names a model that is not there"
        elif named is not None and (manifest := self.entry(named).manifest) and manifest.task != "classification":
            problems[named] = "LIMELIGHT_DEFAULT_CLASSIFIER names a model that is no classifier"
        return problems

    def describe(self, entry: Entry) -> dict[str, Any]:
        """What GET /models tells of an entry."""
        common = {"name": entry.name, "version": str(entry.version), "ready": entry.ready, "problem": entry.problem}
        manifest = entry.manifest
        if manifest is None:
            return common
        described = {
            **common,
            "task": manifest.task,
            "description": manifest.description,
            "architecture": manifest.architecture.model_dump(),
            "default": self.is_default(entry),
        }
        if manifest.labels is not None:
            return {**described, "labels": manifest.labels}
        return {**described, "source": manifest.source, "target": manifest.target}
