"""Jobs: documents that are translated in the background, and kept for a time under names that cannot be guessed.

Documents and results are in memory only: none is left after the process ends.
"""

import asyncio
import math
import secrets
import time
from dataclasses import dataclass, field

from service.batching import budget
from service.errors import DocumentNotFound, NotAvailable, TooManyRequests
from service.handlers.documents import DocumentRequest, TranslatedDocument, Upload, check_upload, translate_document
from service.registry.registry import Registry
from service.settings import Settings

MAX_RUNNING = 8
"""Maximum documents that are translated at the same time."""


@dataclass(eq=False)
class Job:
    """The translation of one document."""

    name: str
    """Random: who knows it can read the result."""
    key: str
    """A second random name, for protocols with one."""
    size: int
    """Bytes that are kept."""
    task: "asyncio.Task[TranslatedDocument]" = field(init=False)
    done: int = 0
    total: int = 0
    """Translated segments, and all segments."""
    since: float = field(default_factory=time.monotonic)

    @property
    def seconds_remaining(self) -> int:
        """The estimated time until the end."""
        elapsed = time.monotonic() - self.since
        return math.ceil(elapsed * (self.total - self.done) / self.done) if self.done else 1


class DocumentJobs:
    """The jobs of a process."""

    def __init__(self, registry: Registry, settings: Settings):
        self._registry = registry
        self._settings = settings
        self._jobs: dict[str, Job] = {}

    def start(self, upload: Upload, request: DocumentRequest) -> Job:
        """Start to translate a document.

        Raises MissingParameter, PayloadTooLarge, UnsupportedFormat, TooManyRequests if too many documents are running
        or kept, and NotAvailable with several processes.
        """
        if self._settings.processes > 1:
            raise NotAvailable("documents are kept in the memory of a process: LIMELIGHT_PROCESSES must be 1")
        check_upload(upload, request, self._settings)
        running = sum(not job.task.done() for job in self._jobs.values())
        kept = sum(job.size for job in self._jobs.values()) + len(upload.content)
        if running >= MAX_RUNNING:
            raise TooManyRequests(f"{running} documents are being translated; try again shortly")
        if kept > self._settings.max_kept_document_bytes:
            raise TooManyRequests(f"the results of {len(self._jobs)} documents are kept; try again later")
        job = Job(secrets.token_hex(16).upper(), secrets.token_hex(32).upper(), len(upload.content))
        job.task = asyncio.create_task(self._run(job, upload, request))
        job.task.add_done_callback(_take_error)
        self._jobs[job.name] = job
        return job

    async def _run(self, job: Job, upload: Upload, request: DocumentRequest) -> TranslatedDocument:
        def on_progress(done: int, total: int) -> None:
            job.done, job.total = done, total

        # The time of a request ends before that of its job.
        own = budget.start(self._settings.document_timeout_s)
        try:
            async with asyncio.timeout(self._settings.document_timeout_s):
                with self._registry.reading():
                    found = await translate_document(upload, request, self._registry, self._settings, on_progress)
        except TimeoutError:
            raise own.exceeded() from None
        finally:
            asyncio.get_running_loop().call_later(self._settings.document_ttl_s, self._forget, job.name)
        job.size = len(found.content)
        return found

    def _forget(self, name: str) -> None:
        self._jobs.pop(name, None)

    def get(self, name: str, key: str | None = None) -> Job:
        """The job of a name. Raises DocumentNotFound if there is none or its key is another one."""
        job = self._jobs.get(name)
        if job is None or (key is not None and not secrets.compare_digest(key.encode(), job.key.encode())):
            raise DocumentNotFound("there is no such document, or it is no longer kept")
        return job

    def remove(self, job: Job) -> None:
        self._forget(job.name)

    async def close(self) -> None:
        """Stop all jobs, and forget their documents."""
        tasks = [job.task for job in self._jobs.values() if not job.task.done()]
        self._jobs.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _take_error(task: "asyncio.Task[TranslatedDocument]") -> None:
    """Read the error of a job, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
