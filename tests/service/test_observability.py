import io
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from service import observability
from service.observability import (
    JsonFormatter,
    Series,
    TextFreeFormatter,
    configure_logging,
    new_trace,
    server_timing,
    timed,
)


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    """Restore the configuration of logging after a test."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers, logging.root.level = handlers, level


def value(name: str, **labels: str) -> float:
    observability.flush()
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_phases_belong_to_their_request() -> None:
    trace = new_trace(None, None)
    observability.current.set(trace)
    before = value("limelight_phase_seconds_count", model="toy", phase="decode")
    observability.observe_phase("toy", "decode", 0.25)
    observability.observe_phase("toy", "decode", 0.5)
    with timed("toy", "encode"):
        pass
    observability.current.set(None)
    observability.observe_phase("toy", "decode", 7)
    assert trace.phases["decode"] == 0.75
    assert 0 < trace.phases["encode"] < 0.1
    assert value("limelight_phase_seconds_count", model="toy", phase="decode") == before + 3
    assert server_timing(trace, 1.0).startswith("decode;dur=750.00, encode;dur=0.")
    assert server_timing(trace, 1.0).endswith(", total;dur=1000.00")


def test_a_series_equals_observations_by_prometheus() -> None:
    bounds = (0.1, 1.0, 10.0)
    numbers = [0.0, 0.1, 0.100001, 1.0, 5.0, 10.0, 11.0, 0.05, 5.0]
    registry = CollectorRegistry()
    one = Histogram("one", "One by one.", buckets=bounds, registry=registry)
    together = Histogram("together", "All together.", buckets=bounds, registry=registry)
    series = Series(together)
    for number in numbers:
        one.observe(number)
        series.observe(number)
    assert registry.get_sample_value("together_count") == 0
    series.flush()
    series.flush()  # nothing is pending
    for bound in ("0.1", "1.0", "10.0", "+Inf"):
        found = [registry.get_sample_value(f"{name}_bucket", {"le": bound}) for name in ("one", "together")]
        assert found[0] == found[1]
    assert registry.get_sample_value("together_sum") == registry.get_sample_value("one_sum")
    assert registry.get_sample_value("together_count") == len(numbers)


def test_no_observation_of_a_thread_is_lost() -> None:
    counted = Counter("observed", "From several threads.", registry=CollectorRegistry())
    series = Series(counted)
    threads = [threading.Thread(target=lambda: [series.observe(1) for _ in range(20_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        series.flush()
    series.flush()
    assert list(counted.collect())[0].samples[0].value == 80_000


def test_threads_can_create_series_concurrently() -> None:
    counted = Counter("begun", "From several threads.", ["by"], registry=CollectorRegistry())
    names = [str(number) for number in range(200)]
    start = threading.Barrier(4)

    def begin(part: int) -> None:
        start.wait()
        for name in names[part::4]:
            observability.series(counted, name)(int(name))

    threads = [threading.Thread(target=begin, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        observability.flush()
    observability.flush()
    found = {s.labels["by"]: s.value for s in list(counted.collect())[0].samples if s.name == "begun_total"}
    assert found == {name: float(name) for name in names}


def test_batches_and_their_padding() -> None:
    names = ("limelight_batch_rows_sum", "limelight_batch_tokens_total", "limelight_batch_padding_tokens_total")
    before = [value(name, model="m") for name in names]
    observability.observe_batch("m", rows=3, tokens=11, padded_tokens=15)
    assert [value(name, model="m") - b for name, b in zip(names, before, strict=True)] == [3, 11, 4]


def test_tokens_and_queues() -> None:
    observability.observe_tokens("n", read=5)
    observability.observe_tokens("n", written=7)
    observability.observe_queue("n", 13)
    observability.observe_queue("n", 2)
    assert value("limelight_tokens_in_total", model="n") == 5
    assert value("limelight_tokens_out_total", model="n") == 7
    assert value("limelight_queue_tokens", model="n") == 2


def test_metrics_list_current_models() -> None:
    ready = b'limelight_model_ready{model="%s",version="%d"} %s'
    first = observability.render_metrics([("first-ready", 1, True)], "CPU")
    assert ready % (b"first-ready", 1, b"1.0") in first
    metrics = observability.render_metrics([("second-ready", 2, False)], "CPU")
    assert ready % (b"second-ready", 2, b"0.0") in metrics and b"first-ready" not in metrics
    assert b'limelight_provider_info{provider="CPU"} 1.0' in metrics and b"limelight_queue_tokens" in metrics


def record(message: str, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("some.where", logging.WARNING, "", 0, message, None, None)
    vars(made).update(more)
    return made


def test_a_log_line_is_json() -> None:
    observability.current.set(None)
    line = json.loads(JsonFormatter().format(record('a "line"\nand more', fields={"seconds": 1.5, "odd": object})))
    assert line.pop("time").endswith("+00:00")
    assert line.pop("odd")
    assert line == {"level": "warning", "logger": "some.where", "message": 'a "line"\nand more', "seconds": 1.5}


def test_a_log_line_has_the_ids_of_its_request() -> None:
    trace = new_trace("mine", None)
    observability.current.set(trace)
    line = json.loads(JsonFormatter().format(record("x")))
    observability.current.set(None)
    assert (line["request_id"], line["trace_id"], line["span_id"]) == ("mine", trace.trace_id, trace.span_id)
    assert len(trace.trace_id) == 32 and len(trace.span_id) == 16


def test_an_error_is_logged_without_its_message() -> None:
    """The message of an exception can contain a text."""
    try:
        try:
            int("a secret")
        except ValueError as error:
            raise KeyError("another secret") from error
    except KeyError:
        failed = record("failed", exc_info=sys.exc_info())
    line = json.loads(JsonFormatter().format(failed))
    place = r"at test_observability\.py:\d+ test_an_error_is_logged_without_its_message"
    assert re.fullmatch(f"KeyError {place}; caused by ValueError {place}", line["exception"])
    assert "secret" not in TextFreeFormatter().format(failed)


@pytest.mark.parametrize(("terminal", "begins"), [(True, "INFO x: hello"), (False, "{")])
def test_a_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch, terminal: bool, begins: str) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging("info")
    logging.getLogger("x").info("hello")
    assert stream.getvalue().startswith(begins)


def test_queue_and_infer_are_separate_phases() -> None:
    trace = new_trace(None, None)
    observability.current.set(trace)
    timing = observability.Timing("waiting")
    observability.current.set(None)
    time.sleep(0.03)
    timing.begin()
    time.sleep(0.06)
    timing.begin()  # only the first call counts
    timing.end()
    assert 0.03 <= trace.phases["queue"] < 0.06 <= trace.phases["infer"]
    assert value("limelight_phase_seconds_count", model="waiting", phase="queue") == 1
    observability.Timing("waiting").end()  # without a request
    assert value("limelight_phase_seconds_count", model="waiting", phase="infer") == 2
