"""The asynchronous client."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

import httpx

from limelight_client import calls
from limelight_client.answers import Events
from limelight_client.calls import Call, File, Texts
from limelight_client.errors import AnswerError, error_of
from limelight_client.options import ClassifyOptions, DocumentOptions, ExplainOptions, GenerateOptions, TranslateOptions
from limelight_client.other_results import Detection, Document, Explanation, Language, Model, StoredGlossary
from limelight_client.results import Generation, Prediction, Sentence, TokenLogprob, Translation

Result = TypeVar("Result")


class AsyncLimelight:
    """Asynchronous version of `Limelight`, with the same arguments and errors."""

    def __init__(self, url: str, api_key: str | None = None, retries: int = 3, timeout_s: float = 60.0):
        self._http = httpx.AsyncClient(base_url=url, headers=calls.headers(api_key), timeout=timeout_s)
        self._retries = retries

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _run(self, call: Call[Result]) -> Result:
        for attempt in range(self._retries + 1):
            try:
                response = await self._http.request(call.method, call.path, **call.sent)
            except httpx.TransportError as error:
                raise calls.connection_error(error, self._http.base_url) from error
            wait_s = calls.wait_s(response, attempt, self._retries)
            if wait_s is None:
                break
            await asyncio.sleep(wait_s)
        return calls.result(call, response)

    async def _events(self, call: Call[Any]) -> AsyncIterator[Any]:
        events = Events()
        try:
            async with self._http.stream(call.method, call.path, headers=calls.EVENTS, **call.sent) as response:
                if response.is_error:
                    raise error_of(response.status_code, await response.aread())
                async for line in response.aiter_lines():
                    for result in events.read(line):
                        yield result
        except httpx.TransportError as error:
            raise calls.connection_error(error, self._http.base_url) from error
        events.check_end()

    @overload
    async def classify(self, text: str, **options: Unpack[ClassifyOptions]) -> Prediction: ...
    @overload
    async def classify(self, text: Texts, **options: Unpack[ClassifyOptions]) -> list[Prediction]: ...
    async def classify(self, text: str | Texts, **options: Unpack[ClassifyOptions]) -> Any:
        """Classify a text, or each text of a list."""
        return await self._run(calls.classify(text, options))

    @overload
    async def translate(self, q: str, source: str, target: str, **options: Unpack[TranslateOptions]) -> Translation: ...
    @overload
    async def translate(
        self, q: Texts, source: str, target: str, **options: Unpack[TranslateOptions]
    ) -> list[Translation]: ...
    async def translate(self, q: str | Texts, source: str, target: str, **options: Unpack[TranslateOptions]) -> Any:
        """Translate a text, or each text of a list. `source` is a language code, or "auto"."""
        return await self._run(calls.translate(q, source, target, options))

    def stream(
        self, q: str, source: str, target: str, **options: Unpack[TranslateOptions]
    ) -> AsyncIterator[Sentence | Translation]:
        """Yield each sentence when it is translated, then the full translation.

        Offsets of a sentence's target tokens are into the sentence, not into the joined translation.
        """
        return self._events(calls.translate(q, source, target, options))

    async def generate(self, prompt: str, **options: Unpack[GenerateOptions]) -> Generation:
        """Continue a prompt."""
        return await self._run(calls.generate(prompt, options))

    def write(self, prompt: str, **options: Unpack[GenerateOptions]) -> AsyncIterator[TokenLogprob | Generation]:
        """Yield each token when it is generated, then the full result."""
        return self._events(calls.generate(prompt, options))

    async def explain(self, text: str, **options: Unpack[ExplainOptions]) -> Explanation:
        """Return a weight per word (or token) by several methods, with their faithfulness."""
        return await self._run(calls.explain(text, options))

    async def translate_document(
        self, document: File, source: str, target: str, wait_s: float = 600.0, **options: Unpack[DocumentOptions]
    ) -> Document:
        """Translate a document: a path, or a name with its content. The format follows from the extension.

        Raises AnswerError with status 504 if the translation takes longer than `wait_s` seconds.
        """
        end = time.monotonic() + wait_s
        path, name = await self._run(calls.upload(document, source, target, options))
        while True:
            try:
                return await self._run(calls.download(path, name))
            except AnswerError as error:
                if error.status != 504 or time.monotonic() >= end:
                    raise
                await asyncio.sleep(calls.POLL_S)

    async def glossaries(self) -> list[StoredGlossary]:
        """Return the stored glossaries, one entry per language pair."""
        return await self._run(calls.glossaries())

    async def put_glossary(
        self, name: str, terms: Mapping[str, str], source: str | None = None, target: str | None = None
    ) -> list[StoredGlossary]:
        """Store terms for a language pair, or for every pair, and return the glossary's entries.

        The terms replace those that the glossary has for the same pair.
        """
        return await self._run(calls.put_glossary(name, terms, source, target))

    async def delete_glossary(self, name: str, source: str | None = None, target: str | None = None) -> None:
        """Remove a glossary, or its terms for a language pair."""
        await self._run(calls.delete_glossary(name, source, target))

    async def detect(self, q: str) -> list[Detection]:
        """Return the most likely languages of a text, best first."""
        return await self._run(calls.detect(q))

    async def models(self) -> list[Model]:
        """Return all models."""
        return await self._run(calls.models())

    async def model(self, name: str, version: int | None = None) -> Model:
        """Return a model with its limits, metrics and data."""
        return await self._run(calls.model(name, version))

    async def languages(self) -> list[Language]:
        """Return the languages with those into which they are translated."""
        return await self._run(calls.languages())
