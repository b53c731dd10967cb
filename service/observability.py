"""Metrics, phases of requests, and logs.

Metrics use base units and the names of Prometheus's conventions (https://prometheus.io/docs/practices/naming/). Labels
are names of models, routes and phases: no text, no address and no key of a caller. The phases of a request are
  queue     the wait for a worker
  tokenise  text -> token ids
  infer     runs of the network, with the search of a translation
  decode    token ids -> text, spans and matrices
  encode    the answer -> bytes
"""

import asyncio
import functools
import logging
import os
import random
import re
import sys
import threading
import time
import traceback
from bisect import bisect_left
from collections import Counter as tally
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import orjson
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

Phase = Literal["queue", "tokenise", "infer", "decode", "encode"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

REQUESTS = Counter("limelight_requests", "Finished requests.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram("limelight_request_seconds", "Time from request to answer.", ["route"], buckets=SECONDS)
IN_FLIGHT = Gauge("limelight_requests_in_flight", "Requests in flight.", multiprocess_mode="livesum")
PHASE_SECONDS = Histogram(
    "limelight_phase_seconds", "Time of each phase of a request.", ["model", "phase"], buckets=SECONDS
)
BATCH_ROWS = Histogram("limelight_batch_rows", "Texts or sentences in a batch.", ["model"], buckets=ROWS)
BATCH_TOKENS = Counter("limelight_batch_tokens", "Tokens in batches, without padding.", ["model"])
PADDING_TOKENS = Counter("limelight_batch_padding_tokens", "Padding tokens in batches.", ["model"])
QUEUE_TOKENS = Gauge("limelight_queue_tokens", "Tokens in the queue.", ["model"], multiprocess_mode="livesum")
TOKENS_IN = Counter("limelight_tokens_in", "Input tokens.", ["model"])
TOKENS_OUT = Counter("limelight_tokens_out", "Output tokens.", ["model"])
CACHE_HITS = Counter("limelight_cache_hits", "Sentences that were in the cache.", ["model"])
CACHE_MISSES = Counter("limelight_cache_misses", "Sentences that were not in the cache.", ["model"])


@dataclass
class Trace:
    """Ids and phases of a request, for logs and headers. The ids follow W3C Trace Context."""

    request_id: str
    trace_id: str
    span_id: str
    phases: dict[str, float] = field(default_factory=dict)
    """Phase -> seconds."""


current: ContextVar[Trace | None] = ContextVar("trace", default=None)


class Spans(Protocol):
    """Makes a span of each phase."""

    def parent(self) -> Any: ...
    def record(self, parent: Any, model: str, phase: Phase, seconds: float, end_ns: int) -> None: ...


spans: Spans | None = None
"""None without tracing. Set by `service/api/tracing.py`."""

TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


def new_trace(request_id: str | None, traceparent: str | None) -> Trace:
    """Create a trace from the headers `X-Request-ID` and `traceparent`. Missing or malformed ids are generated."""
    match = TRACEPARENT.fullmatch(traceparent) if traceparent else None
    # Ids are unique, not secret. The random numbers of the system would take ten times as long.
    trace_id = match["trace"] if match else f"{random.getrandbits(128):032x}"
    known = REQUEST_ID.fullmatch(request_id) if request_id else None
    return Trace(known[0] if known else trace_id, trace_id, f"{random.getrandbits(64):016x}")


class Series:
    """A time series and its observations since the last flush.

    prometheus_client takes a lock for each observation and, with several processes, writes it to a file. For a short
    text that is a tenth of the time of a request. Here an observation is appended without a lock. All are flushed
    before an answer of /metrics, and every second for the other processes.
    """

    def __init__(self, metric: Counter | Gauge | Histogram):
        self._metric = metric
        self._pending: deque[float] = deque()
        self.observe = self._pending.append

    def flush(self) -> None:
        """Write pending observations to the metric. Not thread-safe."""
        pending = [self._pending.popleft() for _ in range(len(self._pending))]
        if not pending:
            return
        if isinstance(self._metric, Histogram):
            # `Histogram.observe` takes one number per call.
            for bucket, count in tally(bisect_left(self._metric._upper_bounds, number) for number in pending).items():
                self._metric._buckets[bucket].inc(count)
            self._metric._sum.inc(sum(pending))
        elif isinstance(self._metric, Counter):
            self._metric.inc(sum(pending))
        else:
            self._metric.set(pending[-1])


_all: list[Series] = []
_flushing = threading.Lock()
FLUSH_INTERVAL_S = 1.0


@functools.cache
def series(metric: Counter | Gauge | Histogram, *labels: str) -> Callable[[float], None]:
    """Return the function that observes one time series: an increment, the value of a gauge, or a histogram's number.

    Do not use it for a metric whose series are cleared.
    """
    made = Series(metric.labels(*labels) if labels else metric)
    _all.append(made)
    return made.observe


def flush() -> None:
    """Write the pending observations of all time series."""
    with _flushing:
        for each in list(_all):
            each.flush()


async def flush_periodically() -> None:
    """Flush for the other processes, and to lose little if this process dies."""
    while True:
        await asyncio.sleep(FLUSH_INTERVAL_S)
        flush()


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    series(REQUESTS, method, route, str(status))(1)
    series(REQUEST_SECONDS, route)(seconds)


_in_flight = 0


def observe_in_flight(change: int) -> None:
    """Add to the number of requests in flight. Called in the thread of the event loop."""
    global _in_flight
    _in_flight += change
    series(IN_FLIGHT)(_in_flight)


def observe_phase(model: str, phase: Phase, seconds: float) -> None:
    """Observe the time of a phase, also in the trace of the current request."""
    series(PHASE_SECONDS, model, phase)(seconds)
    if (trace := current.get()) is not None:
        trace.phases[phase] = trace.phases.get(phase, 0.0) + seconds
    if spans is not None:
        spans.record(spans.parent(), model, phase, seconds, time.time_ns())


class timed:
    """Context manager that observes its block as a phase, unless the block raises."""

    def __init__(self, model: str, phase: Phase):
        self._model = model
        self._phase: Phase = phase

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            observe_phase(self._model, self._phase, time.perf_counter() - self._since)


class Timing:
    """The phases `queue` and `infer` of a request.

    Created in the context of the request. A worker calls `begin` and `end`.
    """

    def __init__(self, model: str):
        self._model = model
        self._trace = current.get()
        self._parent = None if spans is None else spans.parent()
        self._since = time.perf_counter()
        self._started: float | None = None

    def begin(self) -> None:
        """Mark the start of the first item of the request."""
        if self._started is None:
            self._started = time.perf_counter()

    def end(self) -> None:
        """Observe both phases at the end of the last item."""
        started = self._started if self._started is not None else self._since
        phases: dict[Phase, float] = {"queue": started - self._since, "infer": time.perf_counter() - started}
        for phase, seconds in phases.items():
            series(PHASE_SECONDS, self._model, phase)(seconds)
            if self._trace is not None:
                self._trace.phases[phase] = self._trace.phases.get(phase, 0.0) + seconds
        if spans is not None:
            end_ns = time.time_ns()
            spans.record(self._parent, self._model, "infer", phases["infer"], end_ns)
            spans.record(self._parent, self._model, "queue", phases["queue"], end_ns - round(phases["infer"] * 1e9))


def observe_batch(model: str, rows: int, tokens: int, padded_tokens: int) -> None:
    """Observe a batch. `padded_tokens`: rows times the length of the longest."""
    series(BATCH_ROWS, model)(rows)
    series(BATCH_TOKENS, model)(tokens)
    series(PADDING_TOKENS, model)(padded_tokens - tokens)


def observe_queue(model: str, tokens: int) -> None:
    series(QUEUE_TOKENS, model)(tokens)


def observe_cache(model: str, hits: int, misses: int) -> None:
    """Count sentences that were in the cache of a model, and that were not."""
    series(CACHE_HITS, model)(hits)
    series(CACHE_MISSES, model)(misses)


def observe_tokens(model: str, read: int = 0, written: int = 0) -> None:
    series(TOKENS_IN, model)(read)
    series(TOKENS_OUT, model)(written)


def render_metrics(models: Iterable[tuple[str, int, bool]], provider: str) -> bytes:
    """Return all metrics in Prometheus's text format.

    models: name, version and readiness of each version in this process
    provider: execution provider of this process
    Other metrics are sums over all processes, at most a second old.
    """
    flush()
    ready = GaugeMetricFamily("limelight_model_ready", "1 if the version is ready.", labels=["model", "version"])
    for model, version, is_ready in models:
        ready.add_metric([model, str(version)], is_ready)
    runs_on = GaugeMetricFamily("limelight_provider_info", "Execution provider of onnxruntime.", labels=["provider"])
    runs_on.add_metric([provider], 1)
    now = CollectorRegistry()
    now.register(_Fixed([ready, runs_on]))
    observed = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        observed = CollectorRegistry()
        MultiProcessCollector(observed)  # type: ignore[no-untyped-call]
    return generate_latest(observed) + generate_latest(now)


class _Fixed(Collector):
    """Collects given metrics."""

    def __init__(self, metrics: list[Metric]):
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def server_timing(trace: Trace, seconds: float) -> str:
    """Return the value of the header `Server-Timing`, in milliseconds (https://www.w3.org/TR/server-timing/)."""
    phases = [f"{name};dur={1000 * spent:.2f}, " for name, spent in trace.phases.items()]
    return f"{''.join(phases)}total;dur={1000 * seconds:.2f}"


MAX_CAUSES = 5


def stacks(error: BaseException) -> str:
    """The classes and stacks of an exception and its causes. Messages can contain texts, so only those of onnxruntime
    are included."""
    found: list[str] = []
    current: BaseException | None = error
    while current is not None and len(found) < MAX_CAUSES:
        frames = traceback.extract_tb(current.__traceback__)
        stack = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
        message = f" ({current})" if type(current).__module__.startswith("onnxruntime") else ""
        found.append(f"{type(current).__name__}{message} at {stack}")
        current = current.__cause__ or current.__context__
    return "; caused by ".join(found)


class TextFreeFormatter(logging.Formatter):
    """Formats the exception of a record, from any library, without messages that can contain texts."""

    def formatException(self, ei: Any) -> str:
        error = ei[1]
        return stacks(error) if isinstance(error, BaseException) else ""


class JsonFormatter(TextFreeFormatter):
    """Formats a record as one line of JSON: time, level, logger, message, ids of the request, and `record.fields`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (trace := current.get()) is not None:
            line |= {"request_id": trace.request_id, "trace_id": trace.trace_id, "span_id": trace.span_id}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure_logging(level: str) -> None:
    """Log to standard error: plain lines on a terminal, else JSON."""
    handler = logging.StreamHandler()
    plain = TextFreeFormatter("%(levelname)s %(name)s: %(message)s")
    handler.setFormatter(plain if sys.stderr.isatty() else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
