"""Spans of phases, below a span that a middleware makes as OpenTelemetry's instrumentation does."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service import observability
from service.api import tracing
from service.app import create_app
from service.settings import Settings
from tests.fakes import until
from tests.service.api.checks import MODELS, REQUESTS


class RequestSpans:
    """Starts a span for each request."""

    def __init__(self, app: ASGIApp, tracer: trace.Tracer):
        self.app = app
        self.tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.tracer.start_as_current_span("request"):
            await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def exported() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def client(models: Path, exported: InMemorySpanExporter) -> Iterator[TestClient]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    app = create_app(Settings(models=models, device="cpu", threads=1))
    app.add_middleware(RequestSpans, tracer=provider.get_tracer("requests"))
    observability.spans = tracing.PhaseSpans(provider.get_tracer("phases"), trace)
    with TestClient(app) as client:
        until(lambda: all(entry.ready for entry in app.state.registry.entries()))
        yield client
    observability.spans = None
    provider.shutdown()


@pytest.mark.parametrize("route", sorted(REQUESTS))
def test_phases_are_children_of_their_request(client: TestClient, exported: InMemorySpanExporter, route: str) -> None:
    exported.clear()
    answer = client.post(route, json=REQUESTS[route])
    timed = [part.split(";")[0] for part in answer.headers["server-timing"].split(", ")]
    until(lambda: any(span.name == "request" for span in exported.get_finished_spans()))
    spans = {span.name: span for span in exported.get_finished_spans()}
    request = spans.pop("request")
    assert spans.keys() == set(timed) - {"total"}
    assert spans.keys() >= {"queue", "tokenise", "infer", "encode"}
    for span in spans.values():
        assert span.parent is not None and span.parent.span_id == request.context.span_id
        assert span.attributes == {"limelight.model": MODELS[route]}
        assert ends(request)[0] - 1e7 <= ends(span)[0] <= ends(span)[1] <= ends(request)[1] + 1e7
    order = [ends(spans[name]) for name in ("tokenise", "queue", "infer", "encode")]
    for earlier, later in zip(order, order[1:], strict=False):
        assert earlier[1] <= later[0] + 1e7  # two clocks


def ends(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None and span.end_time is not None
    return span.start_time, span.end_time


def test_without_a_recorded_request_there_is_no_span(client: TestClient, exported: InMemorySpanExporter) -> None:
    exported.clear()
    observability.observe_phase("toy", "decode", 0.1)
    assert not exported.get_finished_spans()


def test_installed_with_a_provider_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(provider: Any) -> bool:
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
        monkeypatch.setattr(observability, "spans", None)
        tracing.install()
        return observability.spans is not None

    assert installed(TracerProvider(shutdown_on_exit=False))
    assert not installed(trace.ProxyTracerProvider())
    assert not installed(trace.NoOpTracerProvider())
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")
    assert not installed(None)
