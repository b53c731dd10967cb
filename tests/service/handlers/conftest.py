from collections.abc import Iterator
from pathlib import Path

import pytest

from service.batching.scheduler import Limits
from service.registry.registry import Registry
from service.runtime import Runtime
from service.settings import Settings


@pytest.fixture(scope="module")
def registry(models: Path) -> Iterator[Registry]:
    """The fakes, loaded."""
    registry = Registry(models, Runtime("cpu", threads=1), Limits())
    registry.load()
    yield registry
    registry.close()


@pytest.fixture
def settings(models: Path) -> Settings:
    return Settings(models=models, max_texts=3, max_characters=101)
