"""Our own client against the running service, sync and async."""

import asyncio
import inspect
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import httpx
import matplotlib
import numpy as np
import pytest
from limelight_client import (
    AnswerError,
    AsyncLimelight,
    ConnectionFailed,
    Document,
    GenerateOptions,
    Generation,
    Language,
    Limelight,
    LimelightError,
    Prediction,
    Sentence,
    StoredGlossary,
    TimedOut,
    TokenLogprob,
    Translation,
)

from tests.fakes import LABELS, MAX_TOKENS, doubled
from tests.listening import listening

matplotlib.use("Agg")
TEXTS = ["Wind and rain", "no way"]
Q = "Wind! No way, rain.\nWind."


@pytest.fixture
def limelight(address: str) -> Iterator[Limelight]:
    with Limelight(address) as limelight:
        yield limelight


def ask(address: str, call: Callable[[AsyncLimelight], Any]) -> Any:
    async def asked() -> Any:
        async with AsyncLimelight(address) as limelight:
            return await call(limelight)

    return asyncio.run(asked())


def check_prediction(prediction: Prediction, text: str) -> None:
    assert prediction.label in LABELS
    assert prediction.scores[prediction.label] == prediction.score == max(prediction.scores.values())
    assert [text[token.start : token.end] for token in prediction.tokens] == [str(token) for token in prediction.tokens]
    [matrix] = prediction.attention
    assert matrix.weights.dtype == np.float32
    assert matrix.weights.shape == (1, len(prediction.tokens))
    assert matrix.weights.sum(axis=1) == pytest.approx(1, abs=1e-6)  # the network's own numbers, not rounded ones


def check_translation(translation: Translation, q: str) -> None:
    assert translation.text == doubled(q)
    assert " ".join(q[s.start : s.end] for s in translation.sentences).split() == q.split()
    for sentence in translation.sentences:
        [matrix] = sentence.attention
        assert matrix.weights.shape == (len(sentence.target_tokens), len(sentence.source_tokens))
        assert str(sentence.source_tokens[-1]) == "</s>"


WRITE: GenerateOptions = {"max_tokens": 9, "seed": 3}


def test_generate(limelight: Limelight, address: str) -> None:
    found = limelight.generate("The wind", **WRITE)
    assert found.text == "".join(map(str, found.tokens)) and (found.finish_reason, found.seed) == ("length", 3)
    assert found.prompt_tokens[0].logprob is None and all((token.logprob or 0) < 0 for token in found.tokens)
    [matrix] = found.attention
    assert matrix.weights.shape == (9, len(found.prompt_tokens) + 8)
    assert len(found.heatmap().get_xticklabels()) == matrix.weights.shape[1]
    assert ask(address, lambda limelight: limelight.generate("The wind", **WRITE)).text == found.text


def test_a_text_that_grows(limelight: Limelight, address: str) -> None:
    async def collected(limelight: AsyncLimelight) -> list[Any]:
        return [one async for one in limelight.write("The wind", **WRITE)]

    for found in (list(limelight.write("The wind", **WRITE)), ask(address, collected)):
        *tokens, whole = found
        assert isinstance(whole, Generation) and all(isinstance(token, TokenLogprob) for token in tokens)
        assert tokens == whole.tokens
    with pytest.raises(LimelightError, match="empty_text"):
        list(limelight.write(""))


def test_classify(limelight: Limelight, address: str) -> None:
    check_prediction(limelight.classify(TEXTS[0]), TEXTS[0])
    for prediction, text in zip(limelight.classify(TEXTS, model="toy", version=1), TEXTS, strict=True):
        check_prediction(prediction, text)
    found = ask(address, lambda limelight: limelight.classify(TEXTS))
    assert [p.label for p in found] == [p.label for p in limelight.classify(TEXTS)]
    assert ask(address, lambda limelight: limelight.classify("wind", attention="none")).attention == []


def test_translate(limelight: Limelight, address: str) -> None:
    check_translation(limelight.translate(Q, "en", "xx"), Q)
    for translation, text in zip(limelight.translate((Q, "Wind."), "en", "xx"), (Q, "Wind."), strict=True):
        check_translation(translation, text)
    check_translation(ask(address, lambda limelight: limelight.translate(Q, "en", "xx")), Q)
    [found] = ask(address, lambda limelight: limelight.translate(["wind"], "auto", "xx", alternatives=2))
    assert len(found.alternatives) == 2 and found.language == "en"
    assert [text for text, _ in found.sentences[0].alternatives] == found.alternatives
    assert limelight.translate("wind", "auto", "xx", alternatives=1).alternatives[0]
    assert limelight.translate("wind", "en", "xx").language is None


def test_stream(limelight: Limelight, address: str) -> None:
    async def streamed(limelight: AsyncLimelight) -> list[Sentence | Translation]:
        return [one async for one in limelight.stream(Q, "en", "xx")]

    for found in (list(limelight.stream(Q, "en", "xx")), ask(address, streamed)):
        *sentences, whole = found
        assert isinstance(whole, Translation)
        check_translation(whole, Q)
        told = sorted((s for s in sentences if isinstance(s, Sentence)), key=lambda s: s.start)
        assert [s.text for s in told] == [s.text for s in whole.sentences]


def test_log_probabilities_of_words(limelight: Limelight) -> None:
    [sentence] = limelight.translate("Wind, rain.", "en", "xx", logprobs=True, attention_unit="word").sentences
    assert all(token.logprob is not None and token.confidence is not None for token in sentence.target_tokens)
    [sentence] = limelight.translate("Wind, rain.", "en", "xx").sentences
    assert {token.logprob for token in sentence.target_tokens} == {None}


def test_explain(limelight: Limelight, address: str) -> None:
    found = limelight.explain("wind and rain", methods=["attention", "shapley"], target="cold", random_orders=3)
    assert [str(token) for token in found.tokens] == ["wind", "and", "rain"] and found.target == "cold"
    assert found.weights("attention").sum() == pytest.approx(1, abs=1e-3)
    assert found.empty_score is not None and found.score is not None and found.output is None
    assert found.weights("shapley").sum() == pytest.approx(found.score - found.empty_score, abs=1e-3)
    assert found.explanations[1].errors is not None and found.random is not None
    with pytest.raises(KeyError):
        found.weights("occlusion")
    found = limelight.explain("wind and", model="writer", output=" rain", methods=["occlusion"])
    assert found.output == " rain" and found.target is None
    assert found.weights("occlusion").shape == (len(found.output_tokens), len(found.tokens))
    again = ask(address, lambda limelight: limelight.explain("wind and rain", methods=["occlusion"]))
    assert again.explanations[0].errors is None and again.explanations[0].faithfulness.shares


SUBTITLE = "1\n00:00:01,000 --> 00:00:02,000\n"


def test_documents(limelight: Limelight, address: str, tmp_path: Path) -> None:
    path = tmp_path / "my film.srt"
    path.write_text(SUBTITLE + "wind\n", encoding="utf-8")
    expected = Document("my film_xx.srt", (SUBTITLE + "wwiinndd\n").encode())
    assert limelight.translate_document(path, "en", "xx", beam_size=1) == expected
    given = (path.name, path.read_bytes())
    assert ask(address, lambda limelight: limelight.translate_document(given, "en", "xx")) == expected
    with pytest.raises(AnswerError, match="unsupported_format"):
        limelight.translate_document(("my.zzz", b"wind"), "en", "xx")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_document_is_requested_until_it_is_ready(monkeypatch: pytest.MonkeyPatch, asynchronous: bool) -> None:
    """The client uses its own base URL. The address in the answer may have another host, behind a proxy."""
    monkeypatch.setattr("limelight_client.calls.POLL_S", 0.0)
    started = (200, GOOD[1], b'{"translatedFileUrl": "http://elsewhere/download_file/7/a%20b_xx.txt"}')
    late: tuple[int, dict[str, str], bytes] = (504, {}, b'{"error_type": "inference_timeout", "detail": "try again"}')
    with answering(started, late, (200, {}, b"aa"), started, late) as (address, asked):
        if asynchronous:
            found = ask(address, lambda limelight: limelight.translate_document(("a b.txt", b"a"), "en", "xx"))
        else:
            found = Limelight(address).translate_document(("a b.txt", b"a"), "en", "xx")
        with pytest.raises(AnswerError, match="inference_timeout"):
            Limelight(address).translate_document(("a b.txt", b"a"), "en", "xx", wait_s=0)
    assert found == Document("a b_xx.txt", b"aa")
    assert asked == ["/translate_file", *["/download_file/7/a%20b_xx.txt"] * 2] + ["/translate_file", asked[1]]


def test_glossaries(models: Path, tmp_path: Path) -> None:
    with listening(models, glossaries=tmp_path) as address, Limelight(address) as limelight:
        stored = [StoredGlossary("my-terms", None, None, 1)]
        assert limelight.put_glossary("my-terms", {"rain": "pluie"}) == stored == limelight.glossaries()
        found = limelight.translate("No rain.", "en", "xx", glossary="my-terms")
        [term] = found.glossary
        assert found.text == "NNoo pluie.." and (term.term, term.target.text, term.target.start) == ("rain", "pluie", 5)
        limelight.delete_glossary("my-terms")

        async def all_calls(limelight: AsyncLimelight) -> list[int]:
            put = await limelight.put_glossary("my-terms", {"rain": "pluie", "no": "pas de"}, "en", "xx")
            listed = await limelight.glossaries()
            await limelight.delete_glossary("my-terms", "en", "xx")
            return [put[0].terms, listed[0].terms, len(await limelight.glossaries())]

        assert ask(address, all_calls) == [2, 2, 0]


def test_a_failed_connection_is_an_error_of_the_client(limelight: Limelight) -> None:
    with answering() as (address, _):
        pass
    with pytest.raises(ConnectionFailed, match=f"connection_failed: no answer from {address}") as caught:
        Limelight(address).models()
    assert isinstance(caught.value, LimelightError) and caught.value.status is None
    with pytest.raises(ConnectionFailed):
        list(Limelight(address).stream("wind", "en", "xx"))
    with pytest.raises(ConnectionFailed):
        ask(address, lambda limelight: limelight.models())

    async def streamed(limelight: AsyncLimelight) -> list[Any]:
        return [one async for one in limelight.write("wind")]

    with pytest.raises(ConnectionFailed):
        ask(address, streamed)


def test_a_late_answer_is_an_error_of_the_client() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TimedOut, match="timeout: no answer") as caught:
            Limelight(address, timeout_s=0.05).models()
    assert isinstance(caught.value, ConnectionFailed) and caught.value.error_type == "timeout"


def test_a_stream_that_ends_early_is_an_error() -> None:
    part = b'event: token\ndata: {"text": "a", "start": 0, "end": 1, "logprob": -1.0, "new": 7}\n\n'
    with answering((200, {"Content-Type": "text/event-stream"}, part)) as (address, _):
        tokens = Limelight(address).write("a")
        assert next(tokens) == TokenLogprob("a", 0, 1, logprob=-1.0)
        with pytest.raises(ConnectionFailed, match="before the answer was complete"):
            next(tokens)


def test_an_error_in_a_stream_is_raised() -> None:
    part = b'event: error\ndata: {"status": 500, "error_type": "inference_failed", "detail": "no"}\n\n'
    with answering((200, {"Content-Type": "text/event-stream"}, part)) as (address, _):
        with pytest.raises(AnswerError, match="500 inference_failed: no"):
            list(Limelight(address).write("a"))


def test_other_servers_are_recognised() -> None:
    with answering((200, {"Content-Type": "text/html"}, b"<h1>Login</h1>")) as (address, _):
        with pytest.raises(AnswerError, match="200 http_error: <h1>Login"):
            Limelight(address).models()


def test_what_is_served(limelight: Limelight, address: str) -> None:
    assert [(model.name, model.task) for model in limelight.models()] == [
        ("en-xx", "translation"),
        ("toy", "classification"),
        ("writer", "generation"),
    ]
    detail = limelight.model("toy", version=1)
    assert detail.labels == LABELS and detail.limits is not None and detail.limits["max_tokens"] == MAX_TOKENS
    assert ask(address, lambda limelight: limelight.model("toy")) == detail
    assert limelight.languages() == [Language("en", "English", ["xx"]), Language("xx", "xx", [])]
    assert limelight.languages() == ask(address, lambda limelight: limelight.languages())
    assert ask(address, lambda limelight: limelight.models()) == limelight.models()
    assert limelight.detect("Bonjour tout le monde")[0].language == "fr"
    assert ask(address, lambda limelight: limelight.detect("Bonjour tout le monde"))[0].language == "fr"


def test_errors(limelight: Limelight, address: str) -> None:
    with pytest.raises(LimelightError, match="422 empty_text: text 0 has no visible character") as caught:
        limelight.classify(" ")
    assert (caught.value.status, caught.value.error_type) == (422, "empty_text")
    with pytest.raises(LimelightError, match="unsupported_language_pair"):
        ask(address, lambda limelight: limelight.translate("Wind", "en", "zz"))
    with pytest.raises(LimelightError, match="unsupported_language_pair"):
        list(limelight.stream("Wind", "en", "zz"))

    async def streamed(limelight: AsyncLimelight) -> list[Any]:
        return [one async for one in limelight.stream("Wind", "en", "zz")]

    with pytest.raises(LimelightError, match="unsupported_language_pair"):
        ask(address, streamed)


@contextmanager
def answering(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, list[str]]]:
    """A server that returns these answers in order, and the paths of the requests."""
    left, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(self.path)
            status, headers, body = left.pop(0)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type[Any]) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert methods(Limelight) == methods(AsyncLimelight)
    assert all(getattr(Limelight, name).__doc__ for name in methods(Limelight))


GOOD = (200, {"Content-Type": "application/json"}, b'{"models": []}')
PROBLEM = b'{"error_type": "overloaded", "detail": "try again"}'


@pytest.mark.parametrize("asynchronous", [False, True])
def test_overload_is_retried(monkeypatch: pytest.MonkeyPatch, asynchronous: bool) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("limelight_client.client.time", SimpleNamespace(sleep=waited.append))
    monkeypatch.setattr("limelight_client.async_client.asyncio", SimpleNamespace(sleep=sleep))
    with answering((429, {"Retry-After": "7"}, PROBLEM), (503, {}, PROBLEM), GOOD) as (address, asked):
        if asynchronous:
            assert ask(address, lambda limelight: limelight.models()) == []
        else:
            assert Limelight(address).models() == []
    assert waited == [7.0, 1.0]
    assert asked == ["/models"] * 3


def test_retries_are_bounded() -> None:
    busy = (429, {"Retry-After": "0"}, PROBLEM)
    with answering(busy, busy, GOOD) as (address, asked):
        with pytest.raises(LimelightError, match="429 overloaded: try again"):
            Limelight(address, retries=1).models()
    assert len(asked) == 2


def test_other_errors_are_not_retried() -> None:
    with answering((502, {}, b"<h1>Bad gateway</h1>"), GOOD) as (address, asked):
        with pytest.raises(LimelightError, match="502 http_error: <h1>"):
            Limelight(address).models()
    assert len(asked) == 1


def test_the_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[httpx.Request] = []

    def request(self: httpx.Client, method: str, path: str) -> httpx.Response:
        built = self.build_request(method, path)
        sent.append(built)
        return httpx.Response(200, json={"models": []}, request=built)

    monkeypatch.setattr(httpx.Client, "request", request)
    Limelight("http://localhost", api_key="secret").models()
    Limelight("http://localhost").models()
    assert [one.headers.get("authorization") for one in sent] == ["Bearer secret", None]


def test_heatmaps(limelight: Limelight) -> None:
    prediction = limelight.classify("wind and rain", attention="full")
    axes = prediction.heatmap()
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(token) for token in prediction.tokens]
    assert np.array(axes.images[0].get_array()) == pytest.approx(prediction.attention[0].weights)
    [sentence] = limelight.translate("Wind, rain.", "en", "xx", attention="full").sentences
    for n, matrix in enumerate(sentence.attention):
        axes = sentence.heatmap(n, ax=axes)
        shown = [len(axes.get_yticklabels()), len(axes.get_xticklabels())]
        assert shown == list(matrix.weights.shape), matrix.kind
    [sentence] = limelight.translate("Wind, rain.", "en", "xx", attention="full", attention_unit="word").sentences
    decoder = [matrix.kind for matrix in sentence.attention].index("decoder_self")
    columns = [label.get_text() for label in sentence.heatmap(decoder, ax=axes).get_xticklabels()]
    assert columns == ["<s>", *(str(token) for token in sentence.target_tokens)]
    matplotlib.pyplot.close("all")


def test_bertviz(limelight: Limelight) -> None:
    """The form that head_view and model_view take: a tensor [1, heads, queries, keys] for each layer."""
    given = limelight.classify("wind and rain", attention="full").to_bertviz()
    assert [tuple(layer.shape) for layer in given["attention"]] == [(1, 2, len(given["tokens"]), len(given["tokens"]))]
    [sentence] = limelight.translate("Wind, rain.", "en", "xx", attention="full").sentences
    given = sentence.to_bertviz()
    source, target = len(given["encoder_tokens"]), len(given["decoder_tokens"])
    assert target == len(sentence.target_tokens) + 1
    assert [tuple(layer.shape) for layer in given["encoder_attention"]] == [(1, 2, source, source)]
    assert [tuple(layer.shape) for layer in given["decoder_attention"]] == [(1, 2, target, target)]
    assert [tuple(layer.shape) for layer in given["cross_attention"]] == [
        (1, 2, target, source),
        (1, 1, target, source),
    ]
    first = sentence.attention[0]
    assert given["cross_attention"][0][0, 0, 1:].numpy() == pytest.approx(first.weights)
    with pytest.raises(ValueError, match="no self attention"):
        limelight.classify("wind").to_bertviz()
