"""Loads the bundles of a folder, and replaces them while the service runs.

`reload` reads the folder again and swaps all entries at once. A version that cannot be loaded is refused, and
the version loaded before stays. A replaced or removed version is unloaded after the last request that may use it.
"""

import asyncio
import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from service.batching.scheduler import Limits
from service.bundle.bundle import verify
from service.bundle.files import find_bundles, misnamed_bundles
from service.errors import (
    BundleCorrupt,
    BundleError,
    BundleNotFound,
    DeviceUnavailable,
    InferenceTimeout,
    LimelightError,
    ModelNotFound,
    Overloaded,
)
from service.memory import settle
from service.registry.entry import Entry, State
from service.registry.glossaries import Glossaries
from service.registry.golden import golden_problem
from service.registry.loading import close, load, read_named_manifest
from service.registry.lookup import Lookup
from service.registry.memories import Memories
from service.runtime import Runtime

log = logging.getLogger(__name__)


@dataclass
class Reload:
    """Result of a reload. Models are written as `<name>/<version>`."""

    loaded: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Model -> reason. The version loaded before, if any, continues."""


class Readers:
    """Counts the requests that may use the entries of one state of the registry. A context manager that ends one."""

    def __init__(self, lock: threading.Lock):
        self._lock = lock
        self.count = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.count -= 1


class Registry(Lookup):
    """Every bundle under a folder.

    Raises BundleNotFound if there is none, BundleCorrupt if none can be read, and ModelNotFound if the default
    classifier of the settings is missing or is no classifier.
    """

    def __init__(
        self,
        models: Path,
        runtime: Runtime,
        limits: Limits,
        default_classifier: str | None = None,
        glossaries: Path | None = None,
    ):
        """glossaries: the folder of stored glossaries and translation memories."""
        super().__init__(default_classifier)
        self.glossaries = Glossaries(glossaries)
        self.memories = Memories(glossaries)
        self._models = models
        self._runtime = runtime
        self._limits = limits
        self._changing = threading.Lock()
        """Held during a load or reload, so that only one runs at a time."""
        self._swapping = threading.Lock()
        """Guards `_entries` together with `_readers`. Held only briefly."""
        self._readers = Readers(self._swapping)
        self._draining = False
        self._rounds = 0
        """Number of calls of `check`."""
        for entry in self._find():
            try:
                entry.manifest = read_named_manifest(entry.folder)
            except BundleError as error:
                entry.refuse(error)
                log.error("%s", error)
            self._entries.setdefault(entry.name, {})[entry.version] = entry
        for model, reason in self._misnamed().items():
            log.error("refused %s: %s", model, reason)
        if not any(entry.manifest for entry in self.entries()):
            raise BundleCorrupt("no bundle can be read: " + "; ".join(e.problem or "" for e in self.entries()))
        if (problem := self._default_problem()) is not None:
            raise ModelNotFound(problem)

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def provider(self) -> str:
        """The onnxruntime provider that runs the networks."""
        return self._runtime.providers[0]

    def problems(self) -> dict[str, str]:
        """Return the reasons why the service is not ready, by model. It is ready if there are none.

        It waits for every model that is loading, and for default models that fail. Refused bundles do not count, except
        the default classifier of the settings. A reload loads models before it adds them, so it changes nothing here.
        """
        if self._draining:
            return {"service": "it is shutting down"}
        entries = self.entries()
        problems = {str(entry): entry.problem or "" for entry in entries if self._delays_readiness(entry)}
        if (problem := self._default_problem()) is not None:
            problems[str(self._default_classifier)] = problem
        if not problems and not any(entry.ready for entry in entries):
            problems = {str(entry): entry.problem or "" for entry in entries}
        return problems

    def _delays_readiness(self, entry: Entry) -> bool:
        if entry.state is State.LOADING:
            return True
        if entry.state is State.FAILING:
            return self.is_default(entry)
        return entry.state is State.REFUSED and entry is self._named_default()

    def reading(self) -> Readers:
        """Hold the current entries loaded until the end of a `with` block, the duration of a request."""
        with self._swapping:
            self._readers.count += 1
            return self._readers

    # Load

    def load(self, name: str | None = None) -> None:
        """Load all models, or one. The entry of a model that cannot be loaded holds the reason.

        Raises DeviceUnavailable.
        """
        with self._changing:
            # The highest version first: no older version answers before it.
            for entry in sorted(self.entries(), key=lambda entry: (entry.name, -entry.version)):
                if self._draining:
                    break
                if entry.manifest is None or entry.predictor is not None or name not in (None, entry.name):
                    continue
                try:
                    self._load(entry)
                except DeviceUnavailable:
                    raise
                except LimelightError as error:
                    entry.refuse(error)
                    log.error("%s", error)
            settle()

    def _load(self, entry: Entry) -> None:
        """Load a bundle. Raises LimelightError."""
        assert entry.manifest is not None
        entry.predictor, entry.golden = load(entry.folder, entry.manifest, self._runtime, self._limits)
        entry.state, entry.problem = State.READY, None
        log.info("%s is ready, in %s", entry, entry.predictor.precision)

    def _find(self) -> list[Entry]:
        """Return an entry for each bundle of the folder, by name, the highest version first. Raises BundleNotFound."""
        bundles = find_bundles(self._models)
        if not bundles:
            raise BundleNotFound(f"no bundle in {self._models.resolve()} (looked for <name>/<version>/bundle.json)")
        return [
            Entry(folder, name, version)
            for name, versions in bundles.items()
            for version, folder in sorted(versions.items(), reverse=True)
        ]

    def _misnamed(self) -> dict[str, str]:
        """Return the folders that look like a version and are none, with the reason. They would shadow a version."""
        reason = "the folder's name must be a number in ASCII digits without leading zeros"
        return {f"{folder.parent.name}/{folder.name}": reason for folder in misnamed_bundles(self._models)}

    # Reload

    def reload(self) -> Reload:
        """Read the folder again: load new and changed versions, remove missing ones, keep what cannot be replaced.

        A request sees either the old entries or the new ones. Returns after replaced versions are unloaded.
        Raises BundleNotFound, and changes nothing, if the folder holds no bundle.
        """
        with self._changing:
            report = Reload(refused=self._misnamed())
            fresh: dict[str, dict[int, Entry]] = {}
            for entry in self._find():
                kept = self._renewed(entry, self._entries.get(entry.name, {}).get(entry.version), report)
                fresh.setdefault(entry.name, {})[entry.version] = kept
            kept_entries = [entry for versions in fresh.values() for entry in versions.values()]
            gone = [entry for entry in self.entries() if not any(entry is kept for kept in kept_entries)]
            report.removed = [str(entry) for entry in gone if entry.version not in fresh.get(entry.name, {})]
            with self._swapping:
                self._entries, readers, self._readers = fresh, self._readers, Readers(self._swapping)
            _unload(gone, readers)
            settle()
        for model, reason in report.refused.items():
            log.error("refused %s: %s", model, reason)
        log.info("reloaded: %s", report)
        return report

    def _renewed(self, entry: Entry, old: Entry | None, report: Reload) -> Entry:
        """Load `entry` and return it, or return `old` if it is unchanged or `entry` is refused. Adds to the report."""
        try:
            entry.manifest = read_named_manifest(entry.folder)
            if old is not None and old.predictor is not None and old.manifest == entry.manifest:
                verify(entry.folder, entry.manifest)
                report.unchanged.append(str(entry))
                return old
            self._load(entry)
        except LimelightError as error:
            entry.refuse(error)
            report.refused[str(entry)] = str(error)
            return old if old is not None and old.predictor is not None else entry
        report.loaded.append(str(entry))
        return entry

    # Check

    async def check(self, over_s: float = 0.0) -> None:
        """Run one golden case of every loaded model, another case in each call, spread over `over_s` seconds.

        A burst of golden cases would delay requests. A model that answers wrongly is not ready, and is loaded again.
        """
        entries = self.entries()
        self._rounds += 1
        for entry in entries:
            await asyncio.sleep(over_s / len(entries))
            if entry.predictor is None or entry.golden is None:
                continue
            hangs = False
            try:
                with self.reading():
                    # A model with a problem is ready again after it has answered all cases.
                    only = None if entry.problem else self._rounds
                    problem = await golden_problem(entry.predictor, entry.golden, only)
            except Overloaded:
                continue  # overload does not change readiness
            except LimelightError as error:
                problem = str(error)
                hangs = isinstance(error, InferenceTimeout)
            if self._draining:
                return
            entry.state, entry.problem = State.FAILING if problem else State.READY, problem
            if problem is not None:
                log.error("%s: %s", entry, problem)
                if not hangs:  # a second copy of a hanging model would only use memory
                    await asyncio.to_thread(self._recover, entry)

    def _recover(self, entry: Entry) -> None:
        """Load a model again and close its old predictor."""
        with self._changing:
            broken = entry.predictor
            try:
                self._load(entry)
            except LimelightError as error:
                entry.problem = str(error)
                log.error("%s", error)
            else:
                if broken is not None:
                    close(broken)

    # Close

    def drain(self) -> None:
        """Report not ready from now on. Requests are still answered."""
        self._draining = True

    def close(self, timeout_s: float | None = None) -> None:
        """Finish running batches and free the models. After `timeout_s`, abandon networks that do not return."""
        self.drain()
        with self._changing:
            loaded = [entry for entry in self.entries() if entry.predictor is not None]
            for entry in loaded:
                entry.state, entry.problem = State.CLOSED, "the service is shutting down"
            until = None if timeout_s is None else time.monotonic() + timeout_s
            for closing in [close(entry.predictor) for entry in loaded if entry.predictor is not None]:
                closing.join(None if until is None else max(0.0, until - time.monotonic()))


def _unload(entries: list[Entry], readers: Readers) -> None:
    """Close entries after the last request that may use them."""
    while readers.count:
        time.sleep(0.01)
    for entry in entries:
        if entry.predictor is not None:
            entry.predictor.close()
            entry.predictor = None
            entry.state, entry.problem = State.CLOSED, "it has been unloaded"
