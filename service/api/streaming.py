"""A translation as server-sent events: each sentence as soon as it is there, then the whole answer.

    event: sentence    {"translation": 0, "sentence": {...}}: one of `q`, with offsets of its target into its own text
    event: done        the answer that there would have been without a stream
    event: error       a problem document, where something fails after the first sentence

Sentences come in the order in which they are finished; `source` says where each belongs. A reader lets events
be that it does not know. Who hangs up stops the work.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from service.api.encoding import AS_JSON, accepted, dumps
from service.api.errors import body as problem_body
from service.api.errors import snake_case, status_of
from service.api.question import Question
from service.errors import EmptyText, ServiceError
from service.markup import Marked, protect, with_alignment
from service.text import beside, is_blank, sentences
from service.translator import Sentence, Translation, Translator

Span = tuple[int, int]

EVENTS_TYPE = "text/event-stream"
EVENTS: dict[str, Any] = {EVENTS_TYPE: {"schema": {"type": "string", "description": "`sentence` events, then `done`."}}}


def wants_events(request: Request) -> bool:
    return any(media_type == EVENTS_TYPE for media_type, _ in accepted(request))


def event(name: str, content: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + dumps(content) + b"\n\n"


def prepare(question: Question) -> list[tuple[Marked, list[Span]]]:
    """Each text as it is read, and its sentences; none where there is nothing to translate. Raises EmptyText."""
    prepared = []
    for number, (text, translator) in enumerate(zip(question.texts, question.translators, strict=True)):
        if is_blank(text):
            raise EmptyText(f"text {number} has no visible character")
        marked = protect(translator, text, question.format) if translator else Marked(text, [], [])
        translated = translator is not None and marked.has_words
        prepared.append((marked, list(sentences(marked.text, translator.source)) if translator and translated else []))
    return prepared


class Streamed:
    """A question whose sentences are translated on their own."""

    def __init__(self, question: Question, prepared: list[tuple[Marked, list[Span]]], timeout_s: float):
        self._question = question
        self._marked = [marked for marked, _ in prepared]
        self._found: list[list[list[Sentence]]] = [[[] for _ in spans] for _, spans in prepared]
        self._tasks: dict[asyncio.Task[list[Sentence]], tuple[int, int]] = {}
        for number, (translator, (marked, spans)) in enumerate(zip(question.translators, prepared, strict=True)):
            if translator is not None:
                for place, span in enumerate(spans):
                    task = asyncio.create_task(self._translate(translator, marked, span, timeout_s))
                    self._tasks[task] = (number, place)

    async def _translate(self, translator: Translator, marked: Marked, span: Span, timeout_s: float) -> list[Sentence]:
        options = self._question.options
        needed = with_alignment(options) if marked.is_marked else options
        [translation] = await translator.translate([marked.text[slice(*span)]], needed, timeout_s)
        return marked.placed(translation, options, translator.manifest, at=span[0])

    async def events(self, request: Request) -> AsyncGenerator[bytes]:
        """Raises what the first sentence to be finished raises; from then on errors are events."""
        gone = asyncio.ensure_future(request.receive())  # the body has been read: what comes is the end
        begun = False
        try:
            waiting: set[asyncio.Future[Any]] = {gone, *self._tasks}
            while waiting - {gone}:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if gone in done:
                    return
                for task, (number, place) in self._tasks.items():
                    for sentence in self._take(number, place, task) if task in done else []:
                        begun = True
                        yield event("sentence", self._told(number, sentence))
            yield event("done", self._question.answer(self._translations(), AS_JSON))
        except ServiceError as error:
            if not begun:
                raise
            content = problem_body(request.url.path, status_of(error), snake_case(type(error).__name__), str(error))
            yield event("error", content)
        finally:
            for waited in (gone, *self._tasks):
                waited.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, number: int, place: int, task: asyncio.Task[list[Sentence]]) -> list[Sentence]:
        self._found[number][place] = task.result()
        return task.result()

    def _told(self, number: int, sentence: Sentence) -> dict[str, Any]:
        encoded = self._question.encode(number, Translation(sentence.text, [sentence], []), AS_JSON)
        return {"translation": number, "sentence": encoded["sentences"][0]}

    def _translations(self) -> list[Translation]:
        alternatives = self._question.options.alternatives
        return [
            marked.joined([sentence for sentences in found for sentence in sentences], alternatives)
            for marked, found in zip(self._marked, self._found, strict=True)
        ]


async def stream(request: Request, question: Question, timeout_s: float) -> Response:
    """Raises, as an answer at once would, what goes wrong before the first sentence is there."""
    prepared = await beside(question.texts, lambda: prepare(question))
    events = Streamed(question, prepared, timeout_s).events(request)
    first = await anext(events, b"")

    async def whole() -> AsyncIterator[bytes]:
        try:
            yield first
            async for one in events:
                yield one
        finally:
            await events.aclose()

    return StreamingResponse(whole(), media_type=EVENTS_TYPE, headers={"Cache-Control": "no-store"})
