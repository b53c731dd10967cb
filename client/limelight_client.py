"""Python client of the Limelight service. Results are typed, and attention matrices are numpy arrays.

>>> from limelight_client import Limelight
>>> with Limelight("http://localhost:8000") as limelight:  # doctest: +SKIP
...     limelight.classify("FREE entry! Text WIN to 80086 now", model="sms-spam").label
...     limelight.translate("Good morning, Tom.", "en", "fr").text
'spam'
'Bonjour, Tom.'

`AsyncLimelight` has the same methods as coroutines. One text returns one result, a list returns a list. The client
repeats a request that is answered with 429 or 503, after the time in `Retry-After`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, overload

import httpx
import numpy as np
import ormsgpack
from numpy.typing import NDArray

Answer = Any

ACCEPT = "application/msgpack; dtype=float32"
BUSY = (429, 503)


class LimelightError(Exception):
    """An error answer: HTTP status, error type (such as `text_too_long`) and message."""

    def __init__(self, status: int, error_type: str, detail: str):
        super().__init__(f"{status} {error_type}: {detail}")
        self.status = status
        self.error_type = error_type
        self.detail = detail


@dataclass(frozen=True)
class Token:
    """A token with its span in code points: `text == whole[start:end]`. A special token has an empty span."""

    text: str
    start: int
    end: int
    special: str | None = None

    def __str__(self) -> str:
        return self.special or self.text


@dataclass(frozen=True, eq=False)
class Attention:
    """One attention matrix. `layer` and `head` count from 0; None where the model has only one."""

    kind: str
    layer: int | None
    head: int | None
    weights: NDArray[np.float32]
    """[queries, keys]. Each row sums to 1."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Base class of results with attention matrices."""

    attention: list[Attention]

    def _sides(self, matrix: Attention) -> tuple[list[str], list[str]]:
        """Return the labels of a matrix's rows and columns."""
        raise NotImplementedError

    def heatmap(self, matrix: int = 0, ax: Any = None) -> Any:
        """Draw one matrix with matplotlib and return the axes. Creates axes if `ax` is None."""
        import matplotlib.pyplot as plt

        drawn = self.attention[matrix]
        rows, columns = self._sides(drawn)
        if ax is None:
            size = (1 + 0.45 * len(columns), 1 + 0.35 * len(rows))
            ax = plt.figure(figsize=size, layout="constrained").add_subplot()
        ax.imshow(drawn.weights, cmap="Greens", vmin=0, vmax=1, aspect="auto")
        ax.set_xticks(range(len(columns)), columns, rotation=90)
        ax.set_yticks(range(len(rows)), rows)
        return ax


@dataclass(frozen=True, eq=False)
class Prediction(Evidence):
    """The classification of a text."""

    label: str
    score: float
    scores: dict[str, float]
    truncated: bool
    tokens: list[Token]

    def _sides(self, matrix: Attention) -> tuple[list[str], list[str]]:
        names = [str(token) for token in self.tokens]
        return (names if matrix.kind == "self" else [self.label]), names

    def to_bertviz(self) -> dict[str, Any]:
        """Return the arguments of BertViz's `head_view` and `model_view`. Needs `attention="full"`.

        Raises ValueError if the model has no self-attention.
        """
        return {"attention": _layers(self.attention, "self"), "tokens": [str(token) for token in self.tokens]}


@dataclass(frozen=True, eq=False)
class Sentence(Evidence):
    """A translated sentence."""

    text: str
    score: float
    start: int
    end: int
    """`start` and `end` are its span in the text that was sent."""
    source_tokens: list[Token]
    target_tokens: list[Token]
    alternatives: list[tuple[str, float]] = field(default_factory=list)

    def _sides(self, matrix: Attention) -> tuple[list[str], list[str]]:
        source, target = [str(token) for token in self.source_tokens], [str(token) for token in self.target_tokens]
        return {
            "cross": (target, source),
            "encoder_self": (source, source),
            "decoder_self": (target, ["<s>", *target[:-1]]),
        }[matrix.kind]

    def to_bertviz(self) -> dict[str, Any]:
        """Return the arguments of BertViz's `head_view` and `model_view`. Needs `attention="full"`.

        The target tokens start with <s>, the decoder's first input. It is no query, so its rows are zeros. Raises
        ValueError if a kind of attention is missing.
        """
        cross = [_pad(layer, (1, 0), (0, 0)) for layer in _layers(self.attention, "cross")]
        decoder = [_pad(layer, (1, 0), (0, 1)) for layer in _layers(self.attention, "decoder_self")]
        return {
            "encoder_attention": _layers(self.attention, "encoder_self"),
            "decoder_attention": decoder,
            "cross_attention": cross,
            "encoder_tokens": [str(token) for token in self.source_tokens],
            "decoder_tokens": ["<s>", *(str(token) for token in self.target_tokens)],
        }


@dataclass(frozen=True, eq=False)
class Translation:
    """The translation of a text."""

    text: str
    sentences: list[Sentence]
    alternatives: list[str]
    language: str | None
    """Detected source language if `source` was "auto", else None."""


@dataclass(frozen=True)
class TokenLogprob(Token):
    """A token of a language model."""

    logprob: float | None = None
    """Log-probability given the preceding tokens. None for the first token."""


@dataclass(frozen=True, eq=False)
class Generation(Evidence):
    """A generated text."""

    text: str
    """Generated text without the prompt."""
    prompt_tokens: list[TokenLogprob]
    tokens: list[TokenLogprob]
    finish_reason: str
    seed: int
    """Seed that reproduces the text."""

    def _sides(self, matrix: Attention) -> tuple[list[str], list[str]]:
        generated = [str(token) for token in self.tokens]
        return generated, [*(str(token) for token in self.prompt_tokens), *generated[:-1]]


def _layers(matrices: Sequence[Attention], kind: str) -> list[Any]:
    """Return one torch tensor [1, heads, queries, keys] per layer."""
    import torch

    found: dict[int, list[NDArray[np.float32]]] = {}
    for matrix in matrices:
        if matrix.kind == kind:
            found.setdefault(matrix.layer or 0, []).append(matrix.weights)
    if not found:
        raise ValueError(f'no {kind} attention in this result; request attention="full" from a model that has it')
    return [torch.from_numpy(np.stack(found[layer])).unsqueeze(0) for layer in sorted(found)]


def _pad(layer: Any, rows: tuple[int, int], columns: tuple[int, int]) -> Any:
    """Add rows and columns of zeros before and after."""
    import torch

    return torch.nn.functional.pad(layer, (*columns, *rows))


def _attention(given: list[Answer]) -> list[Attention]:
    found = []
    for matrix in given:
        weights = matrix["weights"]
        if isinstance(weights, dict):
            array = np.frombuffer(weights["data"], "<f4").reshape(weights["shape"])
        else:
            array = np.array(weights, dtype=np.float32)
        found.append(Attention(matrix["kind"], matrix["layer"], matrix["head"], array))
    return found


def _tokens(given: list[Answer]) -> list[Token]:
    return [Token(**token) for token in given]


def _prediction(given: Answer) -> Prediction:
    tokens, attention = _tokens(given.pop("tokens")), _attention(given.pop("attention"))
    return Prediction(**given, tokens=tokens, attention=attention)


def _sentence(given: Answer) -> Sentence:
    return Sentence(
        attention=_attention(given["attention"]),
        text=given["text"],
        score=given["score"],
        start=given["source"]["start"],
        end=given["source"]["end"],
        source_tokens=_tokens(given["source_tokens"]),
        target_tokens=_tokens(given["target_tokens"]),
        alternatives=[(other["text"], other["score"]) for other in given.get("alternatives", [])],
    )


def _generation(given: Answer) -> Generation:
    return Generation(
        attention=_attention(given["attention"]),
        text=given["text"],
        prompt_tokens=[TokenLogprob(**token) for token in given["prompt_tokens"]],
        tokens=[TokenLogprob(**token) for token in given["tokens"]],
        finish_reason=given["finish_reason"],
        seed=given["seed"],
    )


def _translations(answer: Answer) -> list[Translation]:
    listed = isinstance(answer["translatedText"], list)
    others, languages = answer.get("alternatives"), answer.get("detectedLanguage")
    return [
        Translation(
            translation["text"],
            [_sentence(sentence) for sentence in translation["sentences"]],
            [] if others is None else others[n] if listed else others,
            None if languages is None else (languages[n] if listed else languages)["language"],
        )
        for n, translation in enumerate(answer["translations"])
    ]


def _read(response: httpx.Response) -> Answer:
    """Decode an answer. Raises LimelightError if it is an error."""
    if response.is_error:
        _raise(response)
    if response.headers.get("content-type") == "application/msgpack":
        return ormsgpack.unpackb(response.content)
    return response.json()


def _raise(response: httpx.Response) -> None:
    try:
        problem = response.json()
        raise LimelightError(response.status_code, problem["error_type"], problem["detail"])
    except (ValueError, KeyError, TypeError):  # the answer of a proxy, not of this service
        raise LimelightError(response.status_code, "http_error", response.text[:200]) from None


def _wait_s(response: httpx.Response, attempt: int, retries: int) -> float | None:
    """Return the seconds before the next attempt, or None if the answer is final."""
    if response.status_code not in BUSY or attempt >= retries:
        return None
    retry_after = response.headers.get("retry-after", "")
    return float(retry_after) if retry_after.isdecimal() else 0.5 * 2.0**attempt


class _Events:
    """Reads a stream of events line by line."""

    def __init__(self) -> None:
        self._name = ""

    def read(self, line: str) -> list[Any]:
        """Return the results that a line completes: a sentence, a generated token, or the full answer.

        Raises LimelightError for an `error` event.
        """
        if line.startswith("event: "):
            self._name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            content = json.loads(line.removeprefix("data: "))
            if self._name == "sentence":
                return [_sentence(content["sentence"])]
            if self._name == "token" and "logprob" in content:
                return [TokenLogprob(**{key: value for key, value in content.items() if key != "weights"})]
            if self._name == "done":
                return [_generation(content)] if "finish_reason" in content else [*_translations(content)]
            if self._name == "error":
                raise LimelightError(content["status"], content["error_type"], content["detail"])
        return []


def _headers(api_key: str | None) -> dict[str, str]:
    return {"Accept": ACCEPT, **({"Authorization": f"Bearer {api_key}"} if api_key else {})}


def _one_or_all(given: str | Sequence[str], found: list[Any]) -> Any:
    return found[0] if isinstance(given, str) else found


def _translate_body(q: str | Sequence[str], source: str, target: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"q": q if isinstance(q, str) else list(q), "source": source, "target": target, **options}


class Limelight:
    """Client of the service at `url`. `retries` is the maximum number of repeats after 429 and 503.

    Options of the methods have the names of the HTTP API: `model`, `version`, `attention`, `attention_unit`,
    `truncate`; for translations also `beam_size`, `length_penalty`, `max_length`, `alternatives`, `format`; for
    generation also `max_tokens`, `temperature`, `top_k`, `top_p`, `repetition_penalty`, `seed`, `stop`.

    Methods raise LimelightError if the service answers with an error.
    """

    def __init__(self, url: str, api_key: str | None = None, retries: int = 3, timeout_s: float = 60.0):
        self._http = httpx.Client(base_url=url, headers=_headers(api_key), timeout=timeout_s)
        self._retries = retries

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        for attempt in range(self._retries + 1):
            response = self._http.request(method, path, json=body)
            wait_s = _wait_s(response, attempt, self._retries)
            if wait_s is None:
                break
            time.sleep(wait_s)
        return _read(response)

    @overload
    def classify(self, text: str, **options: Any) -> Prediction: ...
    @overload
    def classify(self, text: Sequence[str], **options: Any) -> list[Prediction]: ...
    def classify(self, text: str | Sequence[str], **options: Any) -> Any:
        texts = text if isinstance(text, str) else list(text)
        answer = self._ask("POST", "/classify", {"text": texts, **options})
        return _one_or_all(text, [_prediction(one) for one in answer["predictions"]])

    @overload
    def translate(self, q: str, source: str, target: str, **options: Any) -> Translation: ...
    @overload
    def translate(self, q: Sequence[str], source: str, target: str, **options: Any) -> list[Translation]: ...
    def translate(self, q: str | Sequence[str], source: str, target: str, **options: Any) -> Any:
        answer = self._ask("POST", "/translate", _translate_body(q, source, target, options))
        return _one_or_all(q, _translations(answer))

    def stream(self, q: str, source: str, target: str, **options: Any) -> Iterator[Sentence | Translation]:
        """Yield each sentence when it is translated, then the full translation.

        Offsets of a sentence's target tokens are into the sentence, not into the joined translation.
        """
        return self._events("/translate", _translate_body(q, source, target, options))

    def generate(self, prompt: str, **options: Any) -> Generation:
        return _generation(self._ask("POST", "/generate", {"prompt": prompt, **options}))

    def write(self, prompt: str, **options: Any) -> Iterator[TokenLogprob | Generation]:
        """Yield each token when it is generated, then the full result."""
        return self._events("/generate", {"prompt": prompt, **options})

    def _events(self, path: str, body: Any) -> Iterator[Any]:
        with self._http.stream("POST", path, json=body, headers={"Accept": "text/event-stream"}) as response:
            if response.is_error:
                response.read()
                _raise(response)
            events = _Events()
            for line in response.iter_lines():
                yield from events.read(line)

    def detect(self, q: str) -> list[dict[str, Any]]:
        """Return the most likely languages, each with a confidence from 0 to 100."""
        found: list[dict[str, Any]] = self._ask("POST", "/detect", {"q": q})
        return found

    def models(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", "/models")["models"]
        return found

    def languages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", "/languages")
        return found


class AsyncLimelight:
    """Asynchronous version of `Limelight`."""

    def __init__(self, url: str, api_key: str | None = None, retries: int = 3, timeout_s: float = 60.0):
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(api_key), timeout=timeout_s)
        self._retries = retries

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        for attempt in range(self._retries + 1):
            response = await self._http.request(method, path, json=body)
            wait_s = _wait_s(response, attempt, self._retries)
            if wait_s is None:
                break
            await asyncio.sleep(wait_s)
        return _read(response)

    @overload
    async def classify(self, text: str, **options: Any) -> Prediction: ...
    @overload
    async def classify(self, text: Sequence[str], **options: Any) -> list[Prediction]: ...
    async def classify(self, text: str | Sequence[str], **options: Any) -> Any:
        texts = text if isinstance(text, str) else list(text)
        answer = await self._ask("POST", "/classify", {"text": texts, **options})
        return _one_or_all(text, [_prediction(one) for one in answer["predictions"]])

    @overload
    async def translate(self, q: str, source: str, target: str, **options: Any) -> Translation: ...
    @overload
    async def translate(self, q: Sequence[str], source: str, target: str, **options: Any) -> list[Translation]: ...
    async def translate(self, q: str | Sequence[str], source: str, target: str, **options: Any) -> Any:
        answer = await self._ask("POST", "/translate", _translate_body(q, source, target, options))
        return _one_or_all(q, _translations(answer))

    def stream(self, q: str, source: str, target: str, **options: Any) -> AsyncIterator[Sentence | Translation]:
        """Yield each sentence when it is translated, then the full translation.

        Offsets of a sentence's target tokens are into the sentence, not into the joined translation.
        """
        return self._events("/translate", _translate_body(q, source, target, options))

    async def generate(self, prompt: str, **options: Any) -> Generation:
        return _generation(await self._ask("POST", "/generate", {"prompt": prompt, **options}))

    def write(self, prompt: str, **options: Any) -> AsyncIterator[TokenLogprob | Generation]:
        """Yield each token when it is generated, then the full result."""
        return self._events("/generate", {"prompt": prompt, **options})

    async def _events(self, path: str, body: Any) -> AsyncIterator[Any]:
        async with self._http.stream("POST", path, json=body, headers={"Accept": "text/event-stream"}) as response:
            if response.is_error:
                await response.aread()
                _raise(response)
            events = _Events()
            async for line in response.aiter_lines():
                for one in events.read(line):
                    yield one

    async def detect(self, q: str) -> list[dict[str, Any]]:
        """Return the most likely languages, each with a confidence from 0 to 100."""
        found: list[dict[str, Any]] = await self._ask("POST", "/detect", {"q": q})
        return found

    async def models(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._ask("GET", "/models"))["models"]
        return found

    async def languages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._ask("GET", "/languages")
        return found
