"""A request stops using a core at its deadline, for each task."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from service.batching import budget
from service.batching.offload import TEXT_POOL
from service.batching.scheduler import Limits
from service.errors import InferenceTimeout
from service.generation.generator import SamplingParams
from service.registry.registry import Registry
from service.runtime import Runtime
from service.translation.engine import Options
from tests.fakes import before_networks, until

Predict = Callable[[Registry], Awaitable[object]]

TEXT = "No way! A warm day, and no rain?"
REQUESTS: dict[str, Predict] = {
    "toy": lambda registry: registry.classifier().classify([TEXT] * 400),
    "en-xx": lambda registry: registry.translator("en", "xx").translate([TEXT] * 20, Options(beam_size=2)),
    "writer": lambda registry: registry.generator().generate(TEXT[:7], SamplingParams(300, temperature=0)),
}


@pytest.fixture
def registry(models: Path) -> Any:
    loaded = Registry(models, Runtime("cpu", threads=1), Limits(batch_tokens=64))
    loaded.load()
    yield loaded
    loaded.close()


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("cancelled", [True, False])
def test_no_network_runs_after_the_deadline(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, name: str, cancelled: bool
) -> None:
    """The caller is cancelled, as by the API, or its time budget is over."""
    runs = []
    scheduler: Any = registry.entry(name).predictor.scheduler  # type: ignore[union-attr]

    def slow() -> None:
        runs.append(time.monotonic())
        time.sleep(0.02)

    async def request() -> None:
        if cancelled:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(REQUESTS[name](registry), 0.5)
        else:
            budget.start(0.5)
            with pytest.raises(InferenceTimeout):
                await REQUESTS[name](registry)

    with monkeypatch.context() as patch:
        before_networks(patch, slow)
        asyncio.run(request())
        until(lambda: scheduler.idle)
        assert runs and scheduler.waiting_tokens == scheduler.running == 0
        finished = len(runs)
        time.sleep(0.1)
        assert len(runs) == finished
    assert finished < 40  # the whole request takes more
    asyncio.run(asyncio.wait_for(REQUESTS[name](registry), 60))  # the workers still run


def test_threads_return_to_their_number_after_unloading(models: Path) -> None:
    until(lambda: TEXT_POOL.threads == 0)
    before = threading.active_count()
    for _ in range(3):
        loaded = Registry(models, Runtime("cpu", threads=2), Limits())
        loaded.load()
        asyncio.run(loaded.classifier().classify([TEXT] * 10))
        loaded.close()
    until(lambda: threading.active_count() <= before)
