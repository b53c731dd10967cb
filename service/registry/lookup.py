"""Finds the entry or predictor that answers a request, by name, version, task or language pair."""

from collections.abc import Iterator
from typing import Any

from service.bundle.manifest import AnyManifest, ClassificationManifest, Task, TranslationManifest
from service.classification.classifier import Classifier
from service.errors import InvalidInput, ModelNotFound, ModelNotReady, UnsupportedLanguagePair, excerpt
from service.generation.generator import Generator
from service.registry.entry import Entry, Predictor
from service.translation.translator import Translator


class Lookup:
    """The entries of a registry by name and version, and the defaults among them."""

    def __init__(self, default_classifier: str | None):
        self._default_classifier = default_classifier
        """Value of LIMELIGHT_DEFAULT_CLASSIFIER."""
        self._entries: dict[str, dict[int, Entry]] = {}

    def entries(self) -> list[Entry]:
        """Return every version of every model, by name and version."""
        return [entry for _, versions in sorted(self._entries.items()) for _, entry in sorted(versions.items())]

    def entry(self, name: str, version: int | None = None) -> Entry:
        """Return a model's entry: the version named, else the highest that is ready, else the highest.

        Raises ModelNotFound.
        """
        versions = self._entries.get(name)
        if versions is None:
            raise ModelNotFound(f"there is no model {excerpt(name)!r}; GET /models lists them")
        if version is None:
            return max(versions.values(), key=lambda entry: (entry.ready, entry.manifest is not None, entry.version))
        if version not in versions:
            raise ModelNotFound(
                f"{name!r} has no version {excerpt(version)}, only {', '.join(map(str, sorted(versions)))}"
            )
        return versions[version]

    def classifier(self, name: str | None = None, version: int | None = None) -> Classifier:
        """Return the classifier of that name, or the default. Raises ModelNotFound or ModelNotReady."""
        entry = self.entry(name if name is not None else self.default_classifier(), version)
        predictor = _ready(entry)
        if not isinstance(predictor, Classifier):
            raise ModelNotFound(f"{entry.name!r} is not a classifier; GET /models lists the task of each model")
        return predictor

    def default_classifier(self) -> str:
        """Return the name in LIMELIGHT_DEFAULT_CLASSIFIER, else the default of the task. Raises ModelNotFound."""
        return self._default_classifier if self._default_classifier is not None else self._default_of("classification")

    def generator(self, name: str | None = None, version: int | None = None) -> Generator:
        """Return the language model of that name, or the default. Raises ModelNotFound or ModelNotReady."""
        entry = self.entry(name if name is not None else self.default_generator(), version)
        predictor = _ready(entry)
        if not isinstance(predictor, Generator):
            raise ModelNotFound(f"{entry.name!r} is not a language model; GET /models lists the task of each model")
        return predictor

    def default_generator(self) -> str:
        """Return the default language model. Raises ModelNotFound."""
        return self._default_of("generation")

    def translator(
        self, source: str | None, target: str | None, name: str | None = None, version: int | None = None
    ) -> Translator:
        """Return the translator of that name, or the default of the language pair.

        Raises ModelNotFound, ModelNotReady, InvalidInput or UnsupportedLanguagePair.
        """
        if name is None:
            if source is None or target is None:
                raise InvalidInput("source and target are needed where no model is named")
            name = self.default_translator(source, target)
        entry = self.entry(name, version)
        predictor = _ready(entry)
        if not isinstance(predictor, Translator):
            raise ModelNotFound(f"{entry.name!r} is not a translator; GET /models lists the task of each model")
        if (source or predictor.source, target or predictor.target) != (predictor.source, predictor.target):
            raise UnsupportedLanguagePair(
                f"{entry.name} translates from {predictor.source} to {predictor.target}, not from {excerpt(source)} "
                f"to {excerpt(target)}"
            )
        return predictor

    def pairs(self) -> dict[tuple[str, str], str]:
        """Return (source, target) -> default model. A pair of several models without a default is left out."""
        defaults = ((pair, self._chosen(names)) for pair, names in self._translators().items())
        return {pair: name for pair, name in defaults if name is not None}

    def default_translator(self, source: str, target: str) -> str:
        """Return the default model of a language pair. Raises UnsupportedLanguagePair, or ModelNotFound if the pair
        has several models without a default."""
        pairs = self._translators()
        if (names := pairs.get((source, target))) is not None:
            return self._only(names, f"translation from {source} to {target}")
        for language, side in ((source, 0), (target, 1)):
            if language not in {pair[side] for pair in pairs}:
                raise UnsupportedLanguagePair(f"{excerpt(language)} is not supported")
        raise UnsupportedLanguagePair(f"no model translates from {source} to {target}")

    def is_default(self, entry: Entry) -> bool:
        """Return whether requests without a model name are answered by this entry."""
        if entry.manifest is None or entry is not self.entry(entry.name):
            return False
        if entry.manifest.task == "classification":
            return entry.name == (self._default_classifier or self._chosen(self._named("classification")))
        if entry.manifest.task == "generation":
            return entry.name == self._chosen(self._named("generation"))
        return entry.name in self.pairs().values()

    def describe(self, entry: Entry) -> dict[str, Any]:
        """Return the fields of an entry in the answer of GET /models."""
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
            "precision": None if entry.predictor is None else entry.predictor.precision,
        }
        if isinstance(manifest, ClassificationManifest):
            described["labels"] = manifest.labels
        if isinstance(manifest, TranslationManifest):
            described |= {"source": manifest.source, "target": manifest.target}
        return described

    def _current(self) -> Iterator[tuple[Entry, AnyManifest]]:
        """Yield the entry of every model that answers if no version is named, unless its manifest is unreadable."""
        for name in sorted(self._entries):
            entry = self.entry(name)
            if entry.manifest is not None:
                yield entry, entry.manifest

    def _named(self, task: Task) -> list[str]:
        """Return the names of the models of a task."""
        return [entry.name for entry, manifest in self._current() if manifest.task == task]

    def _translators(self) -> dict[tuple[str, str], list[str]]:
        """Return (source, target) -> names of the translators."""
        found: dict[tuple[str, str], list[str]] = {}
        for entry, manifest in self._current():
            if isinstance(manifest, TranslationManifest):
                found.setdefault((manifest.source, manifest.target), []).append(entry.name)
        return found

    def _chosen(self, names: list[str]) -> str | None:
        """Return the only model that is marked as default, else the only model, else None.

        A version inherits the mark from the other versions of its model, so that a new version changes no default.
        """
        marked = [
            name for name in names if any(e.manifest and e.manifest.default for e in self._entries[name].values())
        ]
        chosen = marked or names
        return chosen[0] if len(chosen) == 1 else None

    def _only(self, names: list[str], purpose: str) -> str:
        """Return the default of some models. Raises ModelNotFound if there is none."""
        name = self._chosen(names)
        if name is None:
            raise ModelNotFound(f"name a model: none of {', '.join(names)} is the only default for {purpose}")
        return name

    def _default_of(self, task: Task) -> str:
        """Return the default model of a task. Raises ModelNotFound."""
        names = self._named(task)
        if not names:
            raise ModelNotFound(f"this service has no model for {task}")
        return self._only(names, task)

    def _named_default(self) -> Entry | None:
        """Return the entry of the classifier in LIMELIGHT_DEFAULT_CLASSIFIER, if there is one."""
        name = self._default_classifier
        return self.entry(name) if name in self._entries and name is not None else None

    def _default_problem(self) -> str | None:
        """Return the problem of the classifier in LIMELIGHT_DEFAULT_CLASSIFIER, or None."""
        name = self._default_classifier
        if name is None:
            return None
        if name not in self._entries:
            return f"LIMELIGHT_DEFAULT_CLASSIFIER names {name!r}, which is not there"
        entry = self.entry(name)
        if entry.manifest is None:
            return entry.problem
        if entry.manifest.task != "classification":
            return f"LIMELIGHT_DEFAULT_CLASSIFIER names {name!r}, which is no classifier"
        return None


def _ready(entry: Entry) -> Predictor:
    """Return the predictor of an entry. Raises ModelNotReady."""
    if entry.predictor is None or not entry.ready:
        raise ModelNotReady(f"{entry} is not ready: {entry.problem}")
    return entry.predictor
