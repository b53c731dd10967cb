"""Requests of the client's methods, without a network: the synchronous and the asynchronous client send them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote, unquote, urlsplit

import httpx
import ormsgpack

from limelight_client import answers
from limelight_client.errors import ConnectionFailed, TimedOut, error_of
from limelight_client.other_results import Detection, Document, Explanation, Language, Model, StoredGlossary
from limelight_client.results import Generation

Result = TypeVar("Result")
Texts = list[str] | tuple[str, ...]
File = Path | str | tuple[str, bytes]

ACCEPT = "application/msgpack; dtype=float32"
EVENTS = {"Accept": "text/event-stream"}
BUSY = (429, 503)
POLL_S = 1.0
"""Seconds between two requests for a document that is not translated yet."""


@dataclass(frozen=True)
class Call(Generic[Result]):
    """A request, and the function that makes the result from its answer."""

    method: str
    path: str
    read: Callable[[Any], Result]
    sent: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `httpx.Client.request`."""
    takes_bytes: bool = False
    """`read` takes the content of any type, in place of a decoded answer."""


def headers(api_key: str | None) -> dict[str, str]:
    return {"Accept": ACCEPT, **({"Authorization": f"Bearer {api_key}"} if api_key else {})}


def wait_s(response: httpx.Response, attempt: int, retries: int) -> float | None:
    """Return the seconds before the next attempt, or None if the answer is final."""
    if response.status_code not in BUSY or attempt >= retries:
        return None
    retry_after = response.headers.get("retry-after", "")
    return float(retry_after) if retry_after.isdecimal() else 0.5 * 2.0**attempt


def connection_error(error: httpx.TransportError, url: httpx.URL) -> ConnectionFailed:
    """Return the client's error for one of httpx."""
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(f"no answer from {url} in time: {reason}")
    return ConnectionFailed(f"no answer from {url}: {reason}")


def result(call: Call[Result], response: httpx.Response) -> Result:
    """Decode an answer. Raises AnswerError if it is an error, or not an answer of the service."""
    if response.is_error:
        raise error_of(response.status_code, response.content)
    if call.takes_bytes:
        return call.read(response.content)
    media_type = response.headers.get("content-type", "")
    if media_type == "application/msgpack":
        return call.read(ormsgpack.unpackb(response.content))
    if media_type.startswith("application/json"):
        return call.read(response.json())
    raise error_of(response.status_code, response.content)


def one_or_all(given: str | Texts, read: Callable[[Any], list[Any]]) -> Callable[[Any], Any]:
    """Return a function that reads one result for one text, and a list for a list."""
    return lambda answer: read(answer)[0] if isinstance(given, str) else read(answer)


def texts(given: str | Texts) -> str | list[str]:
    return given if isinstance(given, str) else list(given)


def classify(text: str | Texts, options: Mapping[str, Any]) -> Call[Any]:
    body = {"text": texts(text), **options}
    return Call("POST", "/classify", one_or_all(text, answers.predictions), {"json": body})


def translate(q: str | Texts, source: str, target: str, options: Mapping[str, Any]) -> Call[Any]:
    body = {"q": texts(q), "source": source, "target": target, **options}
    return Call("POST", "/translate", one_or_all(q, answers.translations), {"json": body})


def generate(prompt: str, options: Mapping[str, Any]) -> Call[Generation]:
    return Call("POST", "/generate", answers.generation, {"json": {"prompt": prompt, **options}})


def explain(text: str, options: Mapping[str, Any]) -> Call[Explanation]:
    return Call("POST", "/explain", answers.explanation, {"json": {"text": text, **options}})


def upload(document: File, source: str, target: str, options: Mapping[str, Any]) -> Call[tuple[str, str]]:
    """Return the upload of a document. Its result is the path of the translated document, and its name."""
    name, content = document if isinstance(document, tuple) else (Path(document).name, Path(document).read_bytes())
    form = {"source": source, "target": target, **{key: str(value) for key, value in options.items()}}

    def read(answer: Any) -> tuple[str, str]:
        job, file = urlsplit(answer["translatedFileUrl"]).path.split("/")[-2:]
        return f"/download_file/{job}/{file}", unquote(file)

    return Call("POST", "/translate_file", read, {"data": form, "files": {"file": (name, content)}})


def download(path: str, name: str) -> Call[Document]:
    return Call("GET", path, lambda content: Document(name, content), takes_bytes=True)


def glossaries() -> Call[list[StoredGlossary]]:
    return Call("GET", "/glossaries", answers.glossaries)


def put_glossary(
    name: str, terms: Mapping[str, str], source: str | None, target: str | None
) -> Call[list[StoredGlossary]]:
    sent = {"json": dict(terms), "params": _pair(source, target)}
    return Call("PUT", f"/admin/glossaries/{quote(name, safe='')}", answers.glossaries, sent)


def delete_glossary(name: str, source: str | None, target: str | None) -> Call[None]:
    path = f"/admin/glossaries/{quote(name, safe='')}"
    return Call("DELETE", path, lambda _: None, {"params": _pair(source, target)}, takes_bytes=True)


def _pair(source: str | None, target: str | None) -> dict[str, str]:
    return {name: code for name, code in (("source", source), ("target", target)) if code is not None}


def detect(q: str) -> Call[list[Detection]]:
    return Call("POST", "/detect", answers.detections, {"json": {"q": q}})


def models() -> Call[list[Model]]:
    return Call("GET", "/models", answers.models)


def model(name: str, version: int | None) -> Call[Model]:
    params = {} if version is None else {"version": version}
    return Call("GET", f"/models/{quote(name, safe='')}", answers.model, {"params": params})


def languages() -> Call[list[Language]]:
    return Call("GET", "/languages", answers.languages)
