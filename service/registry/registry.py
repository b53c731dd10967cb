"""Name -> ready predictor: finds the bundles, verifies, loads and warms them, and says why one is not ready.

What lies in the folder can change while the service runs: `reload` looks again and swaps everything at once. A version
that cannot be loaded is refused and what was served before goes on; a version that is replaced or gone is unloaded
when the last request that may have found it has ended.
"""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.batching.scheduler import Limits
from service.bundle.manifest import GOLDEN, Manifest, Task, find_bundles, read_manifest, verify
from service.classification.classifier import Classifier
from service.errors import (
    BundleCorrupt,
    BundleError,
    BundleNotFound,
    DeviceUnavailable,
    InferenceTimeout,
    InvalidInput,
    LimelightError,
    ModelNotFound,
    ModelNotReady,
    Overloaded,
    UnsupportedLanguagePair,
)
from service.generation.generator import Generator
from service.memory import settle
from service.runtime import Runtime
from service.translation.translator import Translator

log = logging.getLogger(__name__)

Predictor = Classifier | Translator | Generator
PREDICTORS: dict[Task, type[Classifier] | type[Translator] | type[Generator]] = {
    "classification": Classifier,
    "translation": Translator,
    "generation": Generator,
}
LOADING = "still loading"
GOLDEN_S = 60.0
"""Longest wait for a golden answer: at load, where a graph may never end, and behind a full queue later."""


@dataclass
class Entry:
    """One version of one model, ready or not."""

    folder: Path
    name: str
    version: int
    manifest: Manifest | None = None
    predictor: Predictor | None = None
    golden: dict[str, Any] = field(default_factory=dict)
    """What golden.json holds."""
    problem: str | None = LOADING
    """Why it is not ready; None when it is."""

    @property
    def ready(self) -> bool:
        return self.problem is None

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass
class Reload:
    """What a look into the folder changed. Models as `<name>/<version>`."""

    loaded: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """With the reason. What was served under that name and version goes on."""


@dataclass
class Readers:
    """How many requests may hold something of one state of the registry."""

    count: int = 0


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
    """Every bundle under a folder.

    Raises BundleNotFound if there is none, BundleCorrupt if none can be read, and ModelNotFound if the default
    classifier that is asked for is not there or no classifier.
    """

    def __init__(self, models: Path, runtime: Runtime, limits: Limits, default_classifier: str | None = None):
        self._models = models
        self._runtime = runtime
        self._limits = limits
        self._default_classifier = default_classifier
        self._entries: dict[str, dict[int, Entry]] = {}
        self._readers = Readers()
        self._changing = threading.Lock()
        """Held by whoever loads: one at a time."""
        self._swapping = threading.Lock()
        """Held for moments only: a reader is counted in the state that it reads."""
        self._draining = False
        self._rounds = 0
        """Of `check`."""
        for entry in self._find():
            try:
                entry.manifest = self._read(entry)
            except BundleError as error:
                entry.problem = str(error)
                log.error("%s", error)
            self._entries.setdefault(entry.name, {})[entry.version] = entry
        if not any(entry.manifest for entry in self.entries()):
            raise BundleCorrupt("no bundle can be read: " + "; ".join(e.problem or "" for e in self.entries()))
        if (problem := self._default_problem()) is not None:
            raise ModelNotFound(problem)

    def _find(self) -> list[Entry]:
        """What lies in the folder, by name, the highest version first. Raises BundleNotFound."""
        bundles = find_bundles(self._models)
        if not bundles:
            raise BundleNotFound(f"no bundle in {self._models.resolve()} (looked for <name>/<version>/bundle.json)")
        return [
            Entry(folder, name, version)
            for name, versions in bundles.items()
            for version, folder in sorted(versions.items(), reverse=True)
        ]

    def _read(self, entry: Entry) -> Manifest:
        manifest = read_manifest(entry.folder)
        if (manifest.name, manifest.version) != (entry.name, entry.version):
            raise BundleCorrupt(f"{entry.folder} holds {manifest.name}/{manifest.version}: name and folder must agree")
        return manifest

    def entries(self) -> list[Entry]:
        """Every version of every model, by name and version."""
        return [entry for _, versions in sorted(self._entries.items()) for _, entry in sorted(versions.items())]

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def provider(self) -> str:
        """What networks run on."""
        return self._runtime.providers[0]

    # Loading

    def load(self, name: str | None = None) -> None:
        """Make everything ready that can be, or one model only. What cannot be is left out; its entry says why.

        Raises DeviceUnavailable.
        """
        with self._changing:
            # The highest version first, so that no older one answers meanwhile.
            for entry in sorted(self.entries(), key=lambda entry: (entry.name, -entry.version)):
                if entry.manifest is None or entry.predictor is not None or name not in (None, entry.name):
                    continue
                try:
                    self._load(entry)
                except DeviceUnavailable:
                    raise
                except LimelightError as error:
                    entry.problem = str(error)
                    log.error("%s", error)
            settle()

    def _load(self, entry: Entry) -> None:
        """Verify, load, and answer the golden inputs, which also warms the graphs up. Raises LimelightError."""
        assert entry.manifest is not None
        predictor = None
        try:
            verify(entry.folder, entry.manifest)
            predictor = PREDICTORS[entry.manifest.task](entry.folder, entry.manifest, self._runtime, self._limits)
            golden = json.loads((entry.folder / GOLDEN).read_bytes())
            if (problem := asyncio.run(_golden_problem(predictor, golden))) is not None:
                raise BundleCorrupt(f"{entry.folder}: {problem}")
        except Exception as error:
            if predictor is not None:
                _close(predictor)
            if isinstance(error, LimelightError):
                raise
            # Whatever else a damaged bundle provokes, the other bundles are served.
            raise BundleCorrupt(f"{entry.folder / GOLDEN} cannot be used: {error!r}") from error
        entry.predictor, entry.golden, entry.problem = predictor, golden, None
        log.info("%s is ready", entry)

    def reload(self) -> Reload:
        """Look into the folder again: load what is new or changed, drop what is gone, keep what cannot be replaced.

        Requests meet the old state or the new one, nothing between. Returns when what was replaced is unloaded.
        Raises BundleNotFound, and changes nothing, if the folder holds no bundle at all.
        """
        with self._changing:
            report = Reload()
            fresh: dict[str, dict[int, Entry]] = {}
            for entry in self._find():
                kept = self._renewed(entry, self._entries.get(entry.name, {}).get(entry.version), report)
                fresh.setdefault(entry.name, {})[entry.version] = kept
            kept_entries = [entry for versions in fresh.values() for entry in versions.values()]
            gone = [entry for entry in self.entries() if not any(entry is kept for kept in kept_entries)]
            report.removed = [str(entry) for entry in gone if entry.version not in fresh.get(entry.name, {})]
            with self._swapping:
                self._entries, readers, self._readers = fresh, self._readers, Readers()
            self._unload(gone, readers)
            settle()
        for model, reason in report.refused.items():
            log.error("refused %s: %s", model, reason)
        log.info("reloaded: %s", report)
        return report

    def _renewed(self, entry: Entry, old: Entry | None, report: Reload) -> Entry:
        """What is served under a name and version from now on: `entry`, loaded, or `old`. Adds to the report."""
        try:
            entry.manifest = self._read(entry)
            if old is not None and old.predictor is not None and old.manifest == entry.manifest:
                verify(entry.folder, entry.manifest)
                report.unchanged.append(str(entry))
                return old
            self._load(entry)
        except LimelightError as error:
            entry.problem = report.refused[str(entry)] = str(error)
            return old if old is not None and old.predictor is not None else entry
        report.loaded.append(str(entry))
        return entry

    def _unload(self, entries: list[Entry], readers: Readers) -> None:
        """Close what no request that came before the swap can still be using."""
        while readers.count:
            time.sleep(0.01)
        for entry in entries:
            if entry.predictor is not None:
                entry.predictor.close()
                entry.predictor, entry.problem = None, "it has been unloaded"

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While a request runs: what it finds here is not unloaded before it ends."""
        with self._swapping:
            readers = self._readers
            readers.count += 1
        try:
            yield
        finally:
            with self._swapping:
                readers.count -= 1

    async def check(self, over_s: float = 0.0) -> None:
        """Ask every loaded model one of its golden inputs again, another each time, in so many seconds: all at once
        would be a burst that requests have to wait for. One that fails is not ready, and loaded anew."""
        entries = self.entries()
        self._rounds += 1
        for entry in entries:
            await asyncio.sleep(over_s / len(entries))
            if entry.predictor is None:
                continue
            try:
                with self.reading():
                    # What had a problem has none when all are answered.
                    only = None if entry.problem else self._rounds
                    problem = await _golden_problem(entry.predictor, entry.golden, only)
            except Overloaded:
                continue  # it has other things to do, and does them
            except LimelightError as error:
                problem = str(error)
                hangs = isinstance(error, InferenceTimeout)
            else:
                hangs = False
            if self._draining:
                return
            entry.problem = problem
            if problem is not None:
                log.error("%s: %s", entry, problem)
                if not hangs:  # a second copy beside one that hangs would only cost its memory
                    await asyncio.to_thread(self._recover, entry)

    def _recover(self, entry: Entry) -> None:
        with self._changing:
            broken = entry.predictor
            try:
                self._load(entry)
            except LimelightError as error:
                entry.problem = str(error)
                log.error("%s", error)
            else:
                if broken is not None:
                    _close(broken)

    def drain(self) -> None:
        """Not ready from now on, so that load balancers turn away; requests are still answered."""
        self._draining = True

    def close(self, timeout_s: float | None = None) -> None:
        """Finish what is running and free the models; a network that does not end is left after `timeout_s`."""
        self.drain()
        with self._changing:
            loaded = [entry for entry in self.entries() if entry.predictor is not None]
            for entry in loaded:
                entry.problem = "the service is shutting down"
            until = None if timeout_s is None else time.monotonic() + timeout_s
            for closing in [_close(entry.predictor) for entry in loaded if entry.predictor is not None]:
                closing.join(None if until is None else max(0.0, until - time.monotonic()))

    # Finding

    def entry(self, name: str, version: int | None = None) -> Entry:
        """A model's entry: the version named, else the highest that is ready, else the highest.

        Raises ModelNotFound.
        """
        versions = self._entries.get(name)
        if versions is None:
            raise ModelNotFound(f"there is no model {name!r}; GET /models lists them")
        if version is None:
            return max(versions.values(), key=lambda entry: (entry.ready, entry.manifest is not None, entry.version))
        if version not in versions:
            raise ModelNotFound(f"{name!r} has no version {version}, only {', '.join(map(str, sorted(versions)))}")
        return versions[version]

    def _ready(self, entry: Entry) -> Predictor:
        if entry.predictor is None or not entry.ready:
            raise ModelNotReady(f"{entry} is not ready: {entry.problem}")
        return entry.predictor

    def _current(self) -> Iterable[tuple[Entry, Manifest]]:
        """Of every model the entry that answers where no version is named, if its manifest can be read."""
        for name in sorted(self._entries):
            entry = self.entry(name)
            if entry.manifest is not None:
                yield entry, entry.manifest

    def classifier(self, name: str | None = None, version: int | None = None) -> Classifier:
        """Raises ModelNotFound or ModelNotReady."""
        entry = self.entry(name if name is not None else self.default_classifier(), version)
        predictor = self._ready(entry)
        if not isinstance(predictor, Classifier):
            raise ModelNotFound(f"{entry.name!r} is not a classifier; GET /models lists what each model does")
        return predictor

    def default_classifier(self) -> str:
        return self._default_classifier if self._default_classifier is not None else self._first("classification")

    def generator(self, name: str | None = None, version: int | None = None) -> Generator:
        """Raises ModelNotFound or ModelNotReady."""
        entry = self.entry(name if name is not None else self.default_generator(), version)
        predictor = self._ready(entry)
        if not isinstance(predictor, Generator):
            raise ModelNotFound(f"{entry.name!r} does not write on; GET /models lists what each model does")
        return predictor

    def default_generator(self) -> str:
        return self._first("generation")

    def _first(self, task: Task) -> str:
        """The first model of a task, by name. Raises ModelNotFound."""
        for entry, manifest in self._current():
            if manifest.task == task:
                return entry.name
        raise ModelNotFound(f"this service has no model for {task}")

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
        for entry, manifest in self._current():
            if manifest.source and manifest.target:
                pair = (manifest.source, manifest.target)
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
        if entry.manifest.task == "generation":
            return entry.name == self.default_generator()
        return entry.name in self.pairs().values()

    def problems(self) -> dict[str, str]:
        """Default models that are not ready, and why. Empty: the service is ready."""
        if self._draining:
            return {"service": "it is shutting down"}
        problems = {
            str(entry): entry.problem
            for entry in self.entries()
            if entry.problem is not None and self.is_default(entry)
        }
        if (problem := self._default_problem()) is not None:
            problems[str(self._default_classifier)] = problem
        return problems

    def _default_problem(self) -> str | None:
        """What is wrong with the default classifier that the settings name, if they name one."""
        named = self._default_classifier
        if named is None:
            return None
        if named not in self._entries:
            return f"LIMELIGHT_DEFAULT_CLASSIFIER names {named!r}, which is not there"
        entry = self.entry(named)
        if entry.manifest is None:
            return entry.problem
        return (
            None
            if entry.manifest.task == "classification"
            else (f"LIMELIGHT_DEFAULT_CLASSIFIER names {named!r}, which is no classifier")
        )

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
            described["labels"] = manifest.labels
        if manifest.source is not None:
            described |= {"source": manifest.source, "target": manifest.target}
        return described


async def _golden_problem(predictor: Predictor, golden: dict[str, Any], only: int | None = None) -> str | None:
    """What is wrong with a predictor's answers to its golden inputs, or to `only` one of them, counted round and round.
    Raises InferenceTimeout and what it raises."""
    tolerance = golden.get("tolerances", {}).get(predictor.precision, golden["tolerance"])
    cases = golden["cases"]
    if only is not None and cases:
        cases = [cases[only % len(cases)]]
    for case in cases:
        try:
            answer = await asyncio.wait_for(predictor.golden(case), GOLDEN_S)
        except TimeoutError:
            raise InferenceTimeout(f"no answer to a golden input within {GOLDEN_S:g} s") from None
        if found := differences(case["answer"], answer, tolerance):
            return f"the golden input {case['text']!r} is answered wrongly: {found[0]}"
    return None


def _close(predictor: Predictor) -> threading.Thread:
    """Close beside what goes on: a network that never ends must hold nothing up."""
    thread = threading.Thread(target=predictor.close, name="close", daemon=True)
    thread.start()
    return thread
