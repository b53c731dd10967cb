"""Loads a bundle: verify its files, open its predictor, and run its golden cases."""

import asyncio
import logging
import threading
from pathlib import Path

from service.batching.scheduler import Limits
from service.bundle.bundle import Bundle, read_bundle
from service.bundle.files import read_manifest
from service.bundle.golden import AnyGolden, parse_golden
from service.bundle.manifest import GOLDEN, AnyManifest
from service.errors import BundleCorrupt, LimelightError
from service.registry.entry import Predictor, open_predictor
from service.registry.golden import golden_problem
from service.runtime import Runtime

log = logging.getLogger(__name__)


def read_named_manifest(folder: Path) -> AnyManifest:
    """Read the manifest of `<name>/<version>`, and check that it has this name and version. Raises BundleError."""
    manifest = read_manifest(folder)
    if (manifest.name, str(manifest.version)) != (folder.parent.name, folder.name):
        raise BundleCorrupt(f"{folder} holds {manifest.name}/{manifest.version}: name and folder must agree")
    return manifest


def load(folder: Path, manifest: AnyManifest, runtime: Runtime, limits: Limits) -> tuple[Predictor, AnyGolden]:
    """Load a bundle and check it as a whole. The golden cases also warm its graphs up. Raises LimelightError.

    A bundle whose golden cases need more precision than float16 is loaded in float32.
    """
    bundle = read_bundle(folder, manifest)
    try:
        return _open(bundle, runtime, limits)
    except BundleCorrupt as error:
        if not (runtime.rewrites and runtime.precision == "float16"):
            raise
        found = _open(bundle, runtime.in_float32(), limits)
        log.warning("%s/%d is served in float32, since float16 is refused: %s", manifest.name, manifest.version, error)
        return found


def _open(bundle: Bundle[AnyManifest], runtime: Runtime, limits: Limits) -> tuple[Predictor, AnyGolden]:
    """Open the predictor of a bundle and run its golden cases. Raises LimelightError."""
    predictor = None
    try:
        predictor = open_predictor(bundle, runtime, limits)
        golden = parse_golden(bundle.files[GOLDEN], bundle.manifest.task)
        if (problem := asyncio.run(golden_problem(predictor, golden))) is not None:
            raise BundleCorrupt(f"{bundle.folder}: {problem}")
    except Exception as error:
        if predictor is not None:
            close(predictor)
        if isinstance(error, LimelightError):
            raise
        # A damaged bundle can cause any error. Other bundles must still load.
        raise BundleCorrupt(f"{bundle.folder} cannot be loaded: {error!r}") from error
    return predictor, golden


def close(predictor: Predictor) -> threading.Thread:
    """Close a predictor in a separate thread, because a network may never return."""
    thread = threading.Thread(target=predictor.close, name="close", daemon=True)
    thread.start()
    return thread
