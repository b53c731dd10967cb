"""Spans of OpenTelemetry for the phases of a request (see `observability.py`).

OpenTelemetry's own instrumentation makes the span of a request (extra `tracing`). The phases are its children.
"""

import sys
from typing import Any

from service import observability
from service.observability import Phase


class PhaseSpans:
    """Makes spans with a tracer of OpenTelemetry. Thread-safe."""

    def __init__(self, tracer: Any, trace: Any):
        """trace: the module `opentelemetry.trace`"""
        self._tracer = tracer
        self._trace = trace

    def parent(self) -> Any:
        """The context of the current span; None if it is not recorded."""
        span = self._trace.get_current_span()
        return self._trace.set_span_in_context(span) if span.is_recording() else None

    def record(self, parent: Any, model: str, phase: Phase, seconds: float, end_ns: int) -> None:
        """Make the span of a phase that ended at a time since the epoch."""
        if parent is not None:
            start_ns = end_ns - round(seconds * 1e9)
            attributes = {"limelight.model": model}
            self._tracer.start_span(phase, parent, attributes=attributes, start_time=start_ns).end(end_ns)


def install() -> None:
    """Make spans from now on if OpenTelemetry has a provider of tracers. Imports nothing if it has none."""
    trace = sys.modules.get("opentelemetry.trace")
    provider = None if trace is None else trace.get_tracer_provider()
    if trace is None or isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        observability.spans = None
    else:
        observability.spans = PhaseSpans(trace.get_tracer("limelight"), trace)
