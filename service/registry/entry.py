"""One version of a model in the registry, and the predictor that serves it."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from service.batching.scheduler import Limits
from service.bundle.bundle import Bundle
from service.bundle.golden import AnyGolden
from service.bundle.manifest import AnyManifest, ClassificationManifest, TranslationManifest
from service.classification.classifier import Classifier
from service.generation.generator import Generator
from service.runtime import Runtime
from service.translation.translator import Translator

Predictor = Classifier | Translator | Generator


class State(Enum):
    LOADING = "still loading"
    READY = "ready"
    REFUSED = "cannot be loaded"
    FAILING = "loaded, and fails its golden inputs"
    CLOSED = "unloaded"


@dataclass
class Entry:
    """One version of one model."""

    folder: Path
    name: str
    version: int
    manifest: AnyManifest | None = None
    """None if it cannot be read."""
    predictor: Predictor | None = None
    """None before it is loaded, and if it cannot be loaded."""
    golden: AnyGolden | None = None
    """The golden cases of a loaded model."""
    state: State = State.LOADING
    problem: str | None = State.LOADING.value
    """The reason why it is not ready; None when it is ready."""

    @property
    def ready(self) -> bool:
        return self.state is State.READY

    def refuse(self, error: Exception) -> None:
        """Note that the bundle cannot be loaded."""
        self.state, self.problem = State.REFUSED, str(error)

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


def open_predictor(bundle: Bundle[AnyManifest], runtime: Runtime, limits: Limits) -> Predictor:
    """Load the predictor of a bundle. Raises BundleError or DeviceUnavailable."""
    manifest = bundle.manifest
    if isinstance(manifest, ClassificationManifest):
        return Classifier(Bundle(bundle.folder, manifest, bundle.files), runtime, limits)
    if isinstance(manifest, TranslationManifest):
        return Translator(Bundle(bundle.folder, manifest, bundle.files), runtime, limits)
    return Generator(Bundle(bundle.folder, manifest, bundle.files), runtime, limits)
