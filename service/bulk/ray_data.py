"""A bulk job on the machines of a Ray cluster: the blocks of one machine, dealt to actors.

The driver opens the output folder and ends the job. One task reads the input and skips the finished blocks; each actor
has a worker's models, answers a block and writes its part. So the files are those of one machine, byte for byte, and a
job may be begun here and resumed there. Input, models and output are paths that all machines share.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.bulk.inputs import Block
from service.bulk.job import Job, answer_block, describe, open_registry, settings_of
from service.bulk.output import OutputFolder, form_of, opened
from service.bulk.progress import Progress
from service.errors import NotAvailable
from service.settings import Settings


def load_ray() -> Any:
    """The module ray, with ray.data. Raises NotAvailable."""
    try:
        import ray
        import ray.data
    except ImportError:
        raise NotAvailable("--ray needs Ray; install limelight[ray]") from None
    return ray


def run_on_ray(job: Job, settings: Settings, progress: Progress) -> dict[str, int]:
    """Run a job, or the rest of it, on the cluster of RAY_ADDRESS, or on this machine if there is none.

    Returns the numbers of rows, bad rows and blocks. Raises LimelightError, or RayTaskError if an actor fails.
    """
    ray = load_ray()
    job = replace(job, source=replace(job.source, path=job.source.path.resolve()), output=job.output.resolve())
    settings = settings_of(settings).model_copy(update={"models": Path(settings.models).resolve()})
    form_of(job.source, job.task)  # raises before Ray starts
    with opened(job.output) as folder:
        registry = open_registry(job.task, settings)
        try:
            folder.begin(describe(job, job.task, registry, settings))
        finally:
            registry.close()
        if (summary := folder.summary) is not None:
            folder.tidy()
            return summary
        started_here = not ray.is_initialized()
        if started_here:
            ray.init(log_to_driver=False, logging_level="error")
        try:
            return deal(ray, job, settings, folder, progress)
        finally:
            progress.close()
            if started_here:
                ray.shutdown()


def deal(ray: Any, job: Job, settings: Settings, folder: OutputFolder, progress: Progress) -> dict[str, int]:
    """Deal the blocks to the actors, and wait for all."""
    actors = settings.threads or max(1, int(ray.cluster_resources()["CPU"]))
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = 1  # one of our blocks in each of Ray's: actors share the work from the start
    context.enable_progress_bars = False
    finished = folder.finished()
    dealt = (
        ray.data.from_items([{"job": job}])
        # A task without a CPU is not joined with the actors, and runs while they have all CPUs.
        .flat_map(BlocksOf(finished), num_cpus=0)
        .map_batches(
            Answerer,
            fn_constructor_args=(job, settings),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=1,
        )
    )
    rows = blocks = 0
    for done in dealt.iter_rows():
        rows, blocks = rows + done["rows"], blocks + 1
        if done["number"] in finished:
            progress.skip(done["part"])
        else:
            progress.advance(done["rows"], done["part"])
    return folder.end(rows, blocks)


class BlocksOf:
    """Reads the blocks of a job. A finished block has no rows, only their number."""

    def __init__(self, finished: set[int]):
        self._finished = finished

    def __call__(self, item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        job: Job = item["job"]
        share = 0.0
        for block in job.source.blocks(job.block_rows):
            part, share = block.share - share, block.share
            dealt = replace(block, rows=[]) if block.number in self._finished else block
            yield {"block": dealt, "number": block.number, "rows": len(block.rows), "part": part}


class Answerer:
    """An actor: a worker with its own models."""

    def __init__(self, job: Job, settings: Settings):
        self._task, self._settings = job.task, settings
        self._form = form_of(job.source, self._task)
        self._folder = OutputFolder(job.output)
        self._registry = open_registry(self._task, settings)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        [block] = batch.pop("block")
        assert isinstance(block, Block)
        if block.rows:
            answered = asyncio.run(answer_block(block, self._task, self._registry, self._settings))
            self._folder.write(answered, self._form)
        return batch
