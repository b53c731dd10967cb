"""What an operator sees of the inside: metrics, the phases of each request, and logs with its ids.

Metrics are in base units and named after Prometheus's conventions (https://prometheus.io/docs/practices/naming/).
Labels hold names of models, routes and phases only: nothing that a caller sends, no address and no key. The phases of
a request are
  queue     waiting for the network
  tokenise  text -> token ids
  infer     the network, a translation's search included
  decode    what the network said -> text, spans and matrices
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
from bisect import bisect_left
from collections import Counter as tally
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

Phase = Literal["queue", "tokenise", "infer", "decode", "encode"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

REQUESTS = Counter("limelight_requests", "Requests that have ended.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram("limelight_request_seconds", "From request to answer.", ["route"], buckets=SECONDS)
IN_FLIGHT = Gauge("limelight_requests_in_flight", "Requests being worked on.", multiprocess_mode="livesum")
PHASE_SECONDS = Histogram("limelight_phase_seconds", "What answers are spent on.", ["model", "phase"], buckets=SECONDS)
BATCH_ROWS = Histogram("limelight_batch_rows", "Texts or sentences run together.", ["model"], buckets=ROWS)
BATCH_TOKENS = Counter("limelight_batch_tokens", "Tokens run, without padding.", ["model"])
PADDING_TOKENS = Counter("limelight_batch_padding_tokens", "Padding run beside them: waste.", ["model"])
QUEUE_TOKENS = Gauge("limelight_queue_tokens", "Tokens that wait.", ["model"], multiprocess_mode="livesum")
TOKENS_IN = Counter("limelight_tokens_in", "Tokens read from texts.", ["model"])
TOKENS_OUT = Counter("limelight_tokens_out", "Tokens of translations.", ["model"])


@dataclass
class Trace:
    """A request as it is told of in logs and headers. Ids are those of W3C Trace Context."""

    request_id: str
    trace_id: str
    span_id: str
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds of each."""


current: ContextVar[Trace | None] = ContextVar("trace", default=None)

TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


def new_trace(request_id: str | None, traceparent: str | None) -> Trace:
    """Of a request's headers `X-Request-ID` and `traceparent`; what is not there or not well-formed is made up."""
    match = TRACEPARENT.fullmatch(traceparent) if traceparent else None
    # Not secret, only different: W3C asks for no more, and the system's own chance costs ten times as much.
    trace_id = match["trace"] if match else f"{random.getrandbits(128):032x}"
    known = REQUEST_ID.fullmatch(request_id) if request_id else None
    return Trace(known[0] if known else trace_id, trace_id, f"{random.getrandbits(64):016x}")


class Series:
    """One time series, and what has been seen of it since it was last written down.

    prometheus_client takes a lock for every number and, where several processes serve, writes each into a file, which
    would be a tenth of what a short text costs. Here they are put down, without a lock, to be written together: before
    /metrics is answered, and every second for the other processes.
    """

    def __init__(self, metric: Counter | Gauge | Histogram):
        self._metric = metric
        self._seen: deque[float] = deque()
        self.see = self._seen.append

    def write(self) -> None:
        """Called from one thread at a time."""
        seen = [self._seen.popleft() for _ in range(len(self._seen))]
        if not seen:
            return
        if isinstance(self._metric, Histogram):
            # Its own way to observe takes one number at a time.
            for bucket, count in tally(bisect_left(self._metric._upper_bounds, number) for number in seen).items():
                self._metric._buckets[bucket].inc(count)
            self._metric._sum.inc(sum(seen))
        elif isinstance(self._metric, Counter):
            self._metric.inc(sum(seen))
        else:
            self._metric.set(seen[-1])


_all: list[Series] = []
_writing = threading.Lock()
WRITTEN_EVERY_S = 1.0


@functools.cache
def of(metric: Counter | Gauge | Histogram, *labels: str) -> Callable[[float], None]:
    """What one time series is told: how many more, of a gauge how many there are now, of a histogram one number.

    Not for metrics that are cleared.
    """
    series = Series(metric.labels(*labels) if labels else metric)
    _all.append(series)
    return series.see


def write() -> None:
    """Everything that was seen until now."""
    with _writing:
        for series in list(_all):
            series.write()


async def keep_written() -> None:
    """For the other processes, and so that little is lost where this one dies."""
    while True:
        await asyncio.sleep(WRITTEN_EVERY_S)
        write()


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    of(REQUESTS, method, route, str(status))(1)
    of(REQUEST_SECONDS, route)(seconds)


def observe_in_flight(requests: int) -> None:
    of(IN_FLIGHT)(requests)


def observe_phase(model: str, phase: Phase, seconds: float) -> None:
    """Count a phase's time, and add it to the request this is called in, if it is called in one."""
    of(PHASE_SECONDS, model, phase)(seconds)
    if (trace := current.get()) is not None:
        trace.phases[phase] = trace.phases.get(phase, 0.0) + seconds


class timed:
    """What is done within it is a phase; where it fails it is none."""

    def __init__(self, model: str, phase: Phase):
        self._model = model
        self._phase: Phase = phase

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            observe_phase(self._model, self._phase, time.perf_counter() - self._since)


class Timing:
    """How long a request waits for a network (`queue`), and is worked on from then to its end (`infer`).

    Made where the request is, and told of by the network's thread.
    """

    def __init__(self, model: str):
        self._model = model
        self._trace = current.get()
        self._since = time.perf_counter()
        self._begun: float | None = None

    def begin(self) -> None:
        """Something of it is worked on."""
        if self._begun is None:
            self._begun = time.perf_counter()

    def end(self) -> None:
        """All of it is done."""
        begun = self._begun if self._begun is not None else self._since
        spent: dict[Phase, float] = {"queue": begun - self._since, "infer": time.perf_counter() - begun}
        for phase, seconds in spent.items():
            of(PHASE_SECONDS, self._model, phase)(seconds)
            if self._trace is not None:
                self._trace.phases[phase] = self._trace.phases.get(phase, 0.0) + seconds


def observe_batch(model: str, rows: int, tokens: int, padded_tokens: int) -> None:
    """`padded_tokens` is rows times the longest: what the network works on."""
    of(BATCH_ROWS, model)(rows)
    of(BATCH_TOKENS, model)(tokens)
    of(PADDING_TOKENS, model)(padded_tokens - tokens)


def observe_queue(model: str, tokens: int) -> None:
    of(QUEUE_TOKENS, model)(tokens)


def observe_tokens(model: str, read: int = 0, written: int = 0) -> None:
    of(TOKENS_IN, model)(read)
    of(TOKENS_OUT, model)(written)


def figures(models: Iterable[tuple[str, int, bool]], provider: str) -> bytes:
    """Everything for Prometheus, of all processes where there are several; of this one every (model, version, ready)
    there is now, and what networks run on. What other processes saw is at most a second old."""
    write()
    ready = GaugeMetricFamily("limelight_model_ready", "1 where the version answers.", labels=["model", "version"])
    for model, version, is_ready in models:
        ready.add_metric([model, str(version)], is_ready)
    runs_on = GaugeMetricFamily("limelight_provider_info", "What networks run on.", labels=["provider"])
    runs_on.add_metric([provider], 1)
    now = CollectorRegistry()
    now.register(_Found([ready, runs_on]))
    counted = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return generate_latest(counted) + generate_latest(now)


class _Found(Collector):
    """Metrics that are looked up, not counted."""

    def __init__(self, metrics: list[Metric]):
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def server_timing(trace: Trace, seconds: float) -> str:
    """The value of the header `Server-Timing`, in milliseconds (https://www.w3.org/TR/server-timing/)."""
    return ", ".join(f"{n};dur={1000 * s:.2f}" for n, s in [*trace.phases.items(), ("total", seconds)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the request's ids and what else `fields` holds."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (trace := current.get()) is not None:
            said |= {"request_id": trace.request_id, "trace_id": trace.trace_id, "span_id": trace.span_id}
        said |= getattr(record, "fields", {})
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(said, default=str).decode()


def configure_logging(level: str) -> None:
    """To standard error: JSON, or plain lines where a person sits before it."""
    handler = logging.StreamHandler()
    person = logging.Formatter("%(levelname)s %(name)s: %(message)s")
    handler.setFormatter(person if sys.stderr.isatty() else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
