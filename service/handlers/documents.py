"""Translate documents: a file -> the file with its texts translated.

The segments of a document are sent to the handler of /translate in batches, each within the limit of tokens of one
request. Two batches are in the queue at a time, so that the network does not wait for tokenising and encoding.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from pydantic import BaseModel, Field

from service.batching import budget
from service.batching.offload import run_in_thread
from service.documents.document import Document, Segment
from service.documents.formats import extension_of, open_document
from service.errors import EmptyText, MissingParameter, Overloaded, PayloadTooLarge, TextTooLong, TooManyTokens
from service.handlers.languages import base_language
from service.handlers.schemas import TranslateRequest
from service.handlers.translate import AUTO, plan_translation, translate
from service.registry.registry import Registry
from service.settings import Settings

BATCHES = 2
"""Batches of a document in the queue at the same time."""
MAX_BATCH = 1_000
"""Maximum segments in a batch."""
MAX_NAME = 200
"""Maximum characters of a file name in an answer."""
SAMPLE = 2_000
"""Characters of a document from which its language is detected."""

Progress = Callable[[int, int], None]
"""Called with the number of translated segments and of all segments."""


class DocumentRequest(BaseModel):
    """The fields of a form with a document."""

    source: str | None = Field(None, description="Language code of the document, or `auto`. Required.")
    target: str | None = Field(None, description="Language code to translate into. Required.")
    model: str | None = Field(None, description="Name of a translator, if several serve the pair.")
    beam_size: int = Field(4, ge=1, description="Number of hypotheses in beam search; 1 is greedy search.")
    glossary: str | None = Field(None, description="Name of a stored glossary.")
    memory: str | None = Field(None, description="Name of a stored translation memory, whose exact matches are used.")
    api_key: str | None = Field(None, description="API key, if keys are needed and no `Authorization: Bearer` is sent.")


@dataclass(frozen=True)
class Upload:
    """A document as sent."""

    name: str
    content: bytes


@dataclass(frozen=True)
class TranslatedDocument:
    name: str
    content: bytes
    source: str
    """The language of the document, which may be detected."""
    characters: int
    """Characters of its texts."""


async def translate_document(
    upload: Upload,
    request: DocumentRequest,
    registry: Registry,
    settings: Settings,
    on_progress: Progress | None = None,
) -> TranslatedDocument:
    """Translate a document. Its format follows from the extension of its name.

    Raises InvalidInput, NotAvailable, PayloadTooLarge, ModelNotFound, GlossaryNotFound, ModelNotReady or
    InferenceFailed.
    """
    check_upload(upload, request, settings)
    document = await run_in_thread(lambda: open_document(upload.name, upload.content))
    characters = sum(len(segment.text) for segment in document.segments)
    if characters > settings.max_document_characters:
        limit = settings.max_document_characters
        raise TextTooLong(f"the document has {characters} characters of text; the limit is {limit}")
    source = await source_of(document, request, registry, settings)
    target = base_language(request.target or "", {source})
    if source == target:
        return TranslatedDocument(translated_name(upload.name, source), upload.content, source, characters)
    resolved = request.model_copy(update={"source": source})
    translations = await _Batches(document, resolved, registry, settings, on_progress).translate()
    content = await run_in_thread(lambda: document.write(translations))
    return TranslatedDocument(translated_name(upload.name, target.lower()), content, source, characters)


def check_upload(upload: Upload, request: DocumentRequest, settings: Settings) -> None:
    """Check all that needs no parsing. Raises MissingParameter, PayloadTooLarge or UnsupportedFormat."""
    for field in ("source", "target"):
        if not getattr(request, field):
            raise MissingParameter(f"Invalid request: missing {field} parameter")
    if len(upload.content) > settings.max_document_bytes:
        raise PayloadTooLarge(f"the document is larger than {settings.max_document_bytes} bytes")
    extension_of(upload.name)


async def source_of(document: Document, request: DocumentRequest, registry: Registry, settings: Settings) -> str:
    """The language of a document, detected from its first segments if the source is `auto`.

    Raises UnsupportedLanguagePair, ModelNotFound or ModelNotReady.
    """
    sample = "\n".join(segment.text for segment in document.segments[:50])[:SAMPLE]
    try:
        plan = await plan_translation(_request([sample], "html", request), registry, settings)
    except EmptyText:
        return request.source or ""
    return plan.guesses[0].language if request.source == AUTO and plan.guesses else request.source or ""


def translated_name(name: str, target: str) -> str:
    """The name of a translated document.

    >>> translated_name("folder/notes.en.md", "fr")
    'notes.en_fr.md'
    """
    path = PurePath(name.replace("\\", "/"))
    return f"{path.stem[:MAX_NAME]}_{target}{path.suffix}"


def _request(texts: list[str], format: str, request: DocumentRequest) -> TranslateRequest:
    return TranslateRequest(
        q=texts,
        source=request.source,
        target=request.target,
        model=request.model,
        beam_size=request.beam_size,
        format=format,
        glossary=request.glossary,
        memory=request.memory,
        memory_threshold=1.0,
        attention="none",
    )


class _Batches:
    """The translation of all segments of a document. A repeated segment is translated once."""

    def __init__(
        self,
        document: Document,
        request: DocumentRequest,
        registry: Registry,
        settings: Settings,
        on_progress: Progress | None,
    ):
        self._document = document
        self._request = request
        self._registry = registry
        limit = settings.max_document_characters
        self._settings = settings.model_copy(update={"max_texts": max(limit, 1), "max_characters": limit})
        self._characters = max(1, settings.max_request_tokens // request.beam_size)
        """Characters of a batch: a token has a character or more."""
        self._on_progress = on_progress
        self._translations: dict[Segment, str] = {}
        self._free = asyncio.Semaphore(BATCHES)
        self._total = len(set(document.segments))

    async def translate(self) -> list[str]:
        """One translation per segment."""
        tasks = [asyncio.ensure_future(self._run(batch)) for batch in self._batches()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return [self._translations[segment] for segment in self._document.segments]

    def _batches(self) -> Iterator[list[Segment]]:
        """Different segments of one format, at most MAX_BATCH, with a bounded number of characters."""
        unique = dict.fromkeys(self._document.segments)
        for format in ("text", "html"):
            batch: list[Segment] = []
            characters = 0
            for segment in unique:
                if segment.format != format:
                    continue
                if batch and (len(batch) == MAX_BATCH or characters + len(segment.text) > self._characters):
                    yield batch
                    batch, characters = [], 0
                batch.append(segment)
                characters += len(segment.text)
            if batch:
                yield batch

    async def _run(self, batch: Sequence[Segment]) -> None:
        async with self._free:
            await self._translate(batch)
        if self._on_progress is not None:
            self._on_progress(len(self._translations), self._total)

    async def _translate(self, batch: Sequence[Segment]) -> None:
        """Translate a batch, in halves if it has too many tokens, and again if the queue is full."""
        wanted = _request([segment.text for segment in batch], batch[0].format, self._request)
        while True:
            try:
                answer = await translate(wanted, self._registry, self._settings)
            except TooManyTokens:
                if len(batch) == 1:
                    raise
                for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                    await self._translate(half)
                return
            except Overloaded as error:
                budget.check()
                await asyncio.sleep(error.retry_after_s)
            else:
                texts = (translation.text for translation in answer.translations)
                self._translations.update(zip(batch, texts, strict=True))
                return
