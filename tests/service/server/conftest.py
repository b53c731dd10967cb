import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.service.server.running import Running


@pytest.fixture
def running() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def run(models: Path, program: str | None = None, **settings: str) -> Running:
        made.append(Running(models, program, **settings))
        return made[-1]

    yield run
    for one in made:
        kill(one)


@pytest.fixture(scope="module")
def two_processes(models: Path) -> Iterator[Running]:
    """A service of two processes over the fakes. Tests may send requests to it, and do not end it."""
    made = Running(models, DRAIN_DELAY_S="0", PROCESSES="2")
    yield made
    kill(made)


def kill(service: Running) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(service.process.pid, signal.SIGKILL)
    service.process.wait()
    service.log.close()
