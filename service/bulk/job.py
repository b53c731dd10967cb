"""The loop of a bulk job: blocks of rows -> workers -> files. A killed job can be resumed.

A worker is a thread with models of its own, one thread per network, and answers one block at a time. So the batches of
the network depend only on the block, and a resumed job writes the same bytes as an uninterrupted one, with any number
of workers.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from service import __version__
from service.batching.scheduler import Limits
from service.bulk import output
from service.bulk.inputs import Block, Row, Source
from service.bulk.output import AnsweredBlock, Form, OutputFolder, form_of
from service.bulk.progress import Progress
from service.bulk.tasks import Answer, Task, TaskName, task_of
from service.bundle.manifest import MANIFEST
from service.errors import InvalidInput, PayloadTooLarge
from service.registry.registry import Registry
from service.runtime import available_cores
from service.settings import Settings
from service.text.sentences import is_blank

NO_LIMIT = 10**12
BLOCK_ROWS = 1_000
BLOCKS_PER_WORKER = 2
"""Blocks in memory for each worker: the one it answers and the next."""


@dataclass(frozen=True)
class Job:
    """The arguments of a job."""

    source: Source
    output: Path
    task_name: TaskName
    options: dict[str, Any]
    block_rows: int = BLOCK_ROWS

    @property
    def task(self) -> Task:
        """Raises InvalidInput."""
        return task_of(self.task_name, self.options)


def run(job: Job, settings: Settings, progress: Progress) -> dict[str, int]:
    """Run a job, or the rest of it. Returns the numbers of rows, bad rows and blocks.

    Raises LimelightError; then the finished blocks stay, and the same call resumes the job.
    """
    task, settings = job.task, settings_of(settings)
    form = form_of(job.source, task)
    with output.opened(job.output) as folder:
        first = open_registry(task, settings)
        registries = [first]
        try:
            folder.begin(describe(job, task, first, settings))
            if (summary := folder.summary) is not None:
                folder.tidy()
                return summary
            workers = settings.threads or available_cores()
            registries += [open_registry(task, settings) for _ in range(workers - 1)]
            return Run(job, task, form, folder, registries, settings, progress).run()
        finally:
            for registry in registries:
                registry.close()


def settings_of(settings: Settings) -> Settings:
    """The settings of a job: a block may have any number of texts."""
    return settings.model_copy(update={"max_texts": NO_LIMIT})


def open_registry(task: Task, settings: Settings) -> Registry:
    """A registry of one worker, with the models of the task loaded. Raises LimelightError."""
    runtime = settings.runtime(1)
    limits = Limits(settings.batch_tokens, NO_LIMIT, answer_weights=settings.max_answer_weights)
    registry = Registry(settings.models, runtime, limits, settings.default_classifier, settings.glossaries)
    for name in task.models(registry):
        registry.entry(name)  # raises ModelNotFound
        registry.load(name)
    return registry


def describe(job: Job, task: Task, registry: Registry, settings: Settings) -> dict[str, Any]:
    """All that the output depends on. Raises ModelNotFound."""
    entries = [registry.entry(name, task.request.version) for name in task.models(registry)]
    source = job.source
    options = {name: value for name, value in task.options.items() if name not in ("model", "version")}
    if isinstance(options.get("glossary"), str):
        options["glossary_sha256"] = digest(sorted(path for path in settings.glossaries.rglob("*") if path.is_file()))
    return {
        "limelight": __version__,
        "input_sha256": digest([source.path]),
        "format": source.format,
        "column": source.column,
        "keep": list(source.keep),
        "block_rows": job.block_rows,
        "task": job.task_name,
        "options": options,
        "models": {f"{entry.name}/{entry.version}": digest([entry.folder / MANIFEST]) for entry in entries},
        "provider": registry.provider,
        "precision": settings.precision,
        "limits": [settings.max_characters, settings.batch_tokens, settings.max_answer_weights],
    }


def digest(paths: Sequence[Path]) -> str:
    """SHA-256 of the contents of some files, joined."""
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                found.update(part)
    return found.hexdigest()


class Run:
    """The loop of a job: read a block, give it to a worker, wait if all are busy."""

    def __init__(
        self,
        job: Job,
        task: Task,
        form: Form,
        folder: OutputFolder,
        registries: Sequence[Registry],
        settings: Settings,
        progress: Progress,
    ):
        self._job, self._task, self._form, self._folder = job, task, form, folder
        self._settings, self._progress = settings, progress
        self._idle: SimpleQueue[Registry] = SimpleQueue()
        for registry in registries:
            self._idle.put(registry)
        self._workers = len(registries)
        self._running: dict[Future[None], tuple[int, float]] = {}
        """Future -> rows of the block and its share of the input."""

    def run(self) -> dict[str, int]:
        finished = self._folder.finished()
        rows = blocks = 0
        share = 0.0
        pool = ThreadPoolExecutor(self._workers, "bulk")
        try:
            for block in self._job.source.blocks(self._job.block_rows):
                rows, blocks = rows + len(block.rows), blocks + 1
                part, share = block.share - share, block.share
                if block.number in finished:
                    self._progress.skip(part)
                    continue
                self._wait_for(self._workers * BLOCKS_PER_WORKER - 1)
                self._running[pool.submit(self._answer, block)] = len(block.rows), part
            self._wait_for(0)
        finally:
            pool.shutdown(cancel_futures=True)
            self._progress.close()
        return self._folder.end(rows, blocks)

    def _wait_for(self, running: int) -> None:
        """Wait until at most this number of blocks is running. Raises the error of a block."""
        while len(self._running) > running:
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                future.result()
                self._progress.advance(*self._running.pop(future))

    def _answer(self, block: Block) -> None:
        """Answer and write a block, in a thread."""
        registry = self._idle.get()
        try:
            answered = asyncio.run(answer_block(block, self._task, registry, self._settings))
        finally:
            self._idle.put(registry)
        self._folder.write(answered, self._form)


async def answer_block(block: Block, task: Task, registry: Registry, settings: Settings) -> AnsweredBlock:
    """The answers of the good rows of a block, and the problems of the others."""
    blank_is_bad = task.refuses_blank and not (settings.allow_empty_texts and task.text_field == "text")
    problems = {row.number: row.problem for row in block.rows if row.problem is not None}
    if blank_is_bad:
        blank = [row.number for row in block.rows if row.problem is None and is_blank(row.text)]
        problems |= dict.fromkeys(blank, "the text has no visible character")
    good = [row for row in block.rows if row.number not in problems]
    found = await answer_rows(good, task, registry, settings)
    answers = [(row, answer) for row, answer in zip(good, found, strict=True) if not isinstance(answer, str)]
    problems |= {row.number: answer for row, answer in zip(good, found, strict=True) if isinstance(answer, str)}
    bad = [(row, problems[row.number]) for row in block.rows if row.number in problems]
    return AnsweredBlock(block.number, answers, bad)


async def answer_rows(rows: Sequence[Row], task: Task, registry: Registry, settings: Settings) -> list[Answer | str]:
    """An answer per row, or its problem. A refused request is divided until the refused row is alone."""
    if not rows:
        return []
    try:
        return list(await task.answer([row.text for row in rows], registry, settings))
    except (InvalidInput, PayloadTooLarge) as error:
        if len(rows) == 1:
            return [str(error).removeprefix("text 0 ")]
    middle = len(rows) // 2
    first = await answer_rows(rows[:middle], task, registry, settings)
    return first + await answer_rows(rows[middle:], task, registry, settings)
