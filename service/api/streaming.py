"""A translation as server-sent events: each sentence as soon as it is there, then the whole answer.

    event: token       {"translation": 0, "number": 2, "text": " chien", "weights": [...]}: with beam_size 1, each token
                       as it is said, and its row of the summary; not of sentences with something to put back
    event: sentence    {"translation": 0, "number": 2, "sentence": {...}}: sentence 2 of text 0, with offsets of its
                       target into its own text
    event: done        the answer that there would have been without a stream
    event: error       a problem document, where something fails after the first sentence

Sentences come in the order in which they are finished. A reader lets events be that it does not know. Who hangs up
stops the work.
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
from service.attention import significant
from service.errors import ServiceError
from service.markup import Marked, protect, with_alignment
from service.text import beside, sentences
from service.translator import Sentence, Spoken, Translation, Translator

Span = tuple[int, int]

EVENTS_TYPE = "text/event-stream"
EVENTS: dict[str, Any] = {
    EVENTS_TYPE: {"schema": {"type": "string", "description": "`token` and `sentence` events, then `done`."}}
}


def wants_events(request: Request) -> bool:
    return any(media_type == EVENTS_TYPE for media_type, _ in accepted(request))


def event(name: str, content: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + dumps(content) + b"\n\n"


def prepare(question: Question) -> list[tuple[Marked, list[Span]]]:
    """Each text as it is read, and its sentences; none where there is nothing to translate."""
    prepared = []
    for text, translator in zip(question.texts, question.translators, strict=True):
        marked = protect(translator, text, question.format) if translator else Marked(text, [], [])
        translated = translator is not None and marked.has_words
        prepared.append((marked, list(sentences(marked.text, translator.source)) if translator and translated else []))
    return prepared


class Streamed:
    """A question whose sentences are translated on their own."""

    def __init__(self, question: Question, prepared: list[tuple[Marked, list[Span]]], timeout_s: float):
        self._question = question
        self._timeout_s = timeout_s
        self._marked = [marked for marked, _ in prepared]
        self._found: list[list[list[Sentence]]] = [[[] for _ in spans] for _, spans in prepared]
        self._queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        """Events, what went wrong, and None for each sentence that is done."""
        self._tasks = [
            asyncio.create_task(self._translate(translator, number, place, span))
            for number, (translator, (_, spans)) in enumerate(zip(question.translators, prepared, strict=True))
            if translator is not None
            for place, span in enumerate(spans)
        ]

    async def _translate(self, translator: Translator, number: int, place: int, span: Span) -> None:
        marked, options = self._marked[number], self._question.options
        needed = with_alignment(options) if marked.is_marked else options
        at = {"translation": number, "number": place}

        def heard(spoken: Spoken) -> None:
            weights = None if spoken.weights is None else significant(spoken.weights)
            self._queue.put_nowait(event("token", {**at, "text": spoken.text, "weights": weights}))

        # A stand-in is nobody's business, and only a greedy search never takes back what it said.
        listener = heard if options.width == 1 and not marked.is_marked else None
        try:
            text = marked.text[slice(*span)]
            [translation] = await translator.translate([text], needed, self._timeout_s, listener)
            found = marked.placed(translation, options, translator.manifest, at=span[0])
            self._found[number][place] = found
            for sentence in found:
                encoded = self._question.encode(number, Translation(sentence.text, [sentence], []), AS_JSON)
                self._queue.put_nowait(event("sentence", {**at, "sentence": encoded["sentences"][0]}))
            self._queue.put_nowait(None)
        except Exception as error:
            self._queue.put_nowait(error)

    async def events(self, request: Request) -> AsyncGenerator[bytes]:
        """Raises what goes wrong before the first event; from then on errors are events."""
        gone = asyncio.ensure_future(request.receive())  # the body has been read: what comes is the end
        begun, left = False, len(self._tasks)
        try:
            while left:
                following = asyncio.ensure_future(self._queue.get())
                await asyncio.wait({following, gone}, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    following.cancel()
                    return
                found = following.result()
                if found is None:
                    left -= 1
                elif isinstance(found, Exception):
                    raise found
                else:
                    begun = True
                    yield found
            yield event("done", self._question.answer(self._translations(), AS_JSON))
        except ServiceError as error:
            if not begun:
                raise
            content = problem_body(request.url.path, status_of(error), snake_case(type(error).__name__), str(error))
            yield event("error", content)
        finally:
            for task in (gone, *self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

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
