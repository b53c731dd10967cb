from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.batching.scheduler import Limits
from service.bundle.bundle import read_bundle
from service.bundle.files import read_manifest
from service.bundle.manifest import TranslationManifest
from service.registry.registry import Registry
from service.runtime import Runtime
from service.translation.translator import Translator

Open = Callable[..., Registry]


@pytest.fixture
def registry() -> Iterator[Open]:
    """Return a function that opens a registry, by default loaded. All are closed after the test."""
    made: list[Registry] = []

    def open_(models: Path, load: bool = True, **options: Any) -> Registry:
        made.append(Registry(models, Runtime("cpu", threads=1), Limits(), **options))
        if load:
            made[-1].load()
        return made[-1]

    yield open_
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def translator(models: Path) -> Iterator[Translator]:
    """The fake translator `en-xx` with small batches."""
    folder = models / "en-xx" / "1"
    bundle = read_bundle(folder, read_manifest(folder, TranslationManifest))
    made = Translator(bundle, Runtime("cpu", threads=1), Limits(batch_tokens=101))
    yield made
    made.close()
