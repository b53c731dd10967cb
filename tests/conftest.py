"""Shared fixtures: a repeatable hypothesis profile, no settings from the environment, and the two served folders."""

import os

# Networks of tests are small: threads of PyTorch and numpy would wait for each other most of the time.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # torch may be imported before training
os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from starlette.testclient import TestClient

from service import app
from tests.fakes import serving, write_classifier, write_generator, write_translator

REAL_MODELS = Path(__file__).parent.parent / "models"

# The same examples at every run, so that a red build is about the change that it builds.
# `pytest --hypothesis-profile search` looks for new ones.
shared = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeat", shared, derandomize=True, max_examples=60)
settings.register_profile("search", shared, max_examples=1000)
settings.load_profile("repeat")

# Tests replace parts of networks for all services of this process: none may look at its golden inputs meanwhile.
app.CHECK_S = 3600.0

for name in [name for name in os.environ if name.startswith("LIMELIGHT_")]:
    del os.environ[name]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the fakes: classifier `toy`, translator `en-xx`, language model `writer`. Not to be written to."""
    folder = tmp_path_factory.mktemp("models")
    write_classifier(folder)
    write_translator(folder)
    write_generator(folder)
    return folder


@pytest.fixture(scope="session")
def real_models() -> Path:
    """The committed bundles."""
    return REAL_MODELS


@pytest.fixture(scope="session")
def client(models: Path) -> Iterator[TestClient]:
    """The service over the fakes."""
    with serving(models) as client:
        yield client


@pytest.fixture(scope="session")
def real_client(real_models: Path) -> Iterator[TestClient]:
    """The service over the committed bundles."""
    with serving(real_models) as client:
        yield client
