"""The service behind a real port, over the fakes and over some committed bundles."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.listening import listening


@pytest.fixture(scope="session")
def address(models: Path) -> Iterator[str]:
    with listening(models) as address:
        yield address


@pytest.fixture(scope="session")
def real_address(tmp_path_factory: pytest.TempPathFactory, real_models: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("real-models")
    for name in ("en-fr", "sms-spam"):
        (folder / name).symlink_to(real_models / name)
    with listening(folder) as address:
        yield address
