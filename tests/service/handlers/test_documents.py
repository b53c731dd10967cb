"""Documents without HTTP."""

import asyncio
from typing import Any

import pytest

from service.errors import (
    DocumentNotFound,
    MissingParameter,
    NotAvailable,
    Overloaded,
    PayloadTooLarge,
    TextTooLong,
    TooManyRequests,
    UnsupportedFormat,
    UnsupportedLanguagePair,
)
from service.handlers import document_jobs, documents
from service.handlers.document_jobs import DocumentJobs
from service.handlers.documents import DocumentRequest, TranslatedDocument, Upload, translate_document
from service.handlers.translate import translate
from service.registry.registry import Registry
from service.settings import Settings
from tests.fakes import doubled

REQUEST = DocumentRequest(source="en", target="xx", beam_size=1)


def run(registry: Registry, settings: Settings, name: str, content: str, **fields: Any) -> TranslatedDocument:
    request = REQUEST.model_copy(update=fields)
    return asyncio.run(translate_document(Upload(name, content.encode()), request, registry, settings))


def test_a_document(registry: Registry, settings: Settings) -> None:
    content = '{"a": "Wind and rain", "b": [1, "A warm day", "Wind and rain"]}'
    found = run(registry, settings, "notes.en.json", content)
    assert (found.name, found.source, found.characters) == ("notes.en_xx.json", "en", 36)
    expected = content.replace("Wind and rain", doubled("Wind and rain")).replace("A warm day", doubled("A warm day"))
    assert found.content.decode() == expected


def test_batches_have_a_limit_and_repeated_segments_are_translated_once(
    registry: Registry, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[list[str]] = []

    async def observed(request: Any, *others: Any) -> Any:
        sent.append(request.q)
        return await translate(request, *others)

    monkeypatch.setattr(documents, "translate", observed)
    monkeypatch.setattr(documents, "MAX_BATCH", 3)
    limited = settings.model_copy(update={"max_request_tokens": 20})
    progress: list[tuple[int, int]] = []
    lines = ["Wind", "rain", "day", "Wind", "No", "A warm day and rain", "wind"]
    content = "".join(f'"{number}" = "{line}";\n' for number, line in enumerate(lines))
    found = asyncio.run(
        translate_document(
            Upload("a.strings", content.encode()), REQUEST, registry, limited, lambda *numbers: progress.append(numbers)
        )
    )
    for line in set(lines):
        content = content.replace(f'"{line}"', f'"{doubled(line)}"')
    assert found.content.decode() == content
    assert [batch for batch in sent if len(batch) > 3 or (sum(map(len, batch)) > 20 and len(batch) > 1)] == []
    assert sum(sent, []) == list(dict.fromkeys(lines))
    assert progress[-1] == (6, 6)


def test_contexts_of_a_po_file_are_not_translated(registry: Registry, settings: Settings) -> None:
    entries = 'msgctxt "menu"\nmsgid "rain"\nmsgstr ""\n\n#. a day\nmsgctxt "weather"\nmsgid "rain"\nmsgstr ""\n'
    found = run(registry, settings, "a.po", entries)
    assert found.content.decode() == entries.replace('msgstr ""', f'msgstr "{doubled("rain")}"')
    assert found.characters == 2 * len("rain")


def test_a_full_queue_is_waited_for(registry: Registry, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [Overloaded("full"), Overloaded("full")]

    async def failing(*arguments: Any) -> Any:
        if failures:
            error = failures.pop()
            error.retry_after_s = 0
            raise error
        return await translate(*arguments)

    monkeypatch.setattr(documents, "translate", failing)
    assert run(registry, settings, "a.txt", "Wind").content.decode() == doubled("Wind")


def test_the_language_is_detected(registry: Registry, settings: Settings) -> None:
    found = run(registry, settings, "a.md", "# Where is the wind?\n\n**The** wind is cold.\n", source="auto")
    assert found.source == "en" and found.content.decode().startswith("# " + doubled("Where is the wind?")[:5])


def test_a_document_in_the_target_language_stays(registry: Registry, settings: Settings) -> None:
    content = 'msgid "Wind"\nmsgstr ""\n'
    assert run(registry, settings, "a.po", content, target="EN").content.decode() == content


@pytest.mark.parametrize(
    ("name", "content", "fields", "error"),
    [
        ("a.txt", "Wind", {"target": None}, MissingParameter),
        ("a.txt", "Wind", {"target": "zz"}, UnsupportedLanguagePair),
        ("a.exe", "Wind", {}, UnsupportedFormat),
        ("txt", "Wind", {}, UnsupportedFormat),
        ("a.txt", "Wind" * 50, {}, PayloadTooLarge),
        ("a.txt", "Wind" * 20, {}, TextTooLong),
    ],
)
def test_errors(
    registry: Registry, settings: Settings, name: str, content: str, fields: Any, error: type[Exception]
) -> None:
    limited = settings.model_copy(update={"max_document_bytes": 100, "max_document_characters": 70})
    with pytest.raises(error):
        run(registry, limited, name, content, **fields)


def test_jobs(registry: Registry, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = Upload("a.txt", b"Wind")

    async def scenario() -> None:
        jobs = DocumentJobs(registry, settings.model_copy(update={"document_ttl_s": 0.01}))
        job = jobs.start(upload, REQUEST)
        assert jobs.get(job.name) is job and jobs.get(job.name, job.key) is job
        for arguments in [(job.name, "x"), ("x",)]:
            with pytest.raises(DocumentNotFound):
                jobs.get(*arguments)
        monkeypatch.setattr(document_jobs, "MAX_RUNNING", 1)
        with pytest.raises(TooManyRequests):
            jobs.start(upload, REQUEST)
        found = await job.task
        assert found.content.decode() == doubled("Wind")
        with pytest.raises(DocumentNotFound):
            while jobs.get(job.name):  # for 10 ms
                await asyncio.sleep(0.001)
        await jobs.close()

    asyncio.run(scenario())


def test_limits_of_jobs(registry: Registry, settings: Settings) -> None:
    upload = Upload("a.txt", b"Wind")

    async def scenario() -> None:
        with pytest.raises(NotAvailable, match="LIMELIGHT_PROCESSES"):
            DocumentJobs(registry, settings.model_copy(update={"processes": 2})).start(upload, REQUEST)
        jobs = DocumentJobs(registry, settings.model_copy(update={"max_kept_document_bytes": 7}))
        first = jobs.start(upload, REQUEST)
        with pytest.raises(TooManyRequests):
            jobs.start(upload, REQUEST)
        await jobs.close()
        assert first.task.cancelled()
        with pytest.raises(DocumentNotFound):
            jobs.get(first.name)

    asyncio.run(scenario())


def test_a_job_that_takes_too_long(registry: Registry, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(document_jobs, "translate_document", never)

    async def scenario() -> None:
        job = DocumentJobs(registry, settings.model_copy(update={"document_timeout_s": 0.01})).start(
            Upload("a.txt", b"Wind"), REQUEST
        )
        with pytest.raises(Exception, match="0.01 s"):
            await job.task

    asyncio.run(scenario())
