"""Traces of Paceline's own runs and evaluations, and metrics as OTLP. Sole importer of OpenTelemetry.

Nothing is recorded or sent unless an OTLP endpoint is configured. The provider is passed in, not set globally:
a process may set it only once. Metrics are only written here: they are sent as everything else is, see `pushing`.
"""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING

from opentelemetry.trace import NoOpTracerProvider, Status, StatusCode, Tracer

from slo_engine.readings import Family, labels_of

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

METRICS_HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
POINTS_AT_ONCE = 2_000
"""How many series one request holds."""
_CLOSE_SECONDS = 1.5
_PACKED = 1
"""How hard requests are compressed: little, the time is another's."""


class Span:
    """What a traced piece of work can tell of itself."""

    def __init__(self, tracer: Tracer, name: str) -> None:
        self._span = tracer.start_span(name)

    def tell(self, **attributes: str | float | bool) -> None:
        """Add attributes: names with `_` for `.`, never a person, never a secret."""
        for name, value in attributes.items():
            self._span.set_attribute(f"paceline.{name.replace('__', '.')}", value)

    def failed(self, why: str) -> None:
        """Mark the work as failed."""
        self._span.set_status(Status(StatusCode.ERROR, why))

    def end(self) -> None:
        """Close the span."""
        self._span.end()


class Telemetry:
    """Gives spans. `close` sends what is still waiting."""

    def __init__(self, otlp_endpoint: str | None) -> None:
        self._provider: TracerProvider | None = None
        if otlp_endpoint is not None:
            self._provider = _sending(otlp_endpoint)
        provider = self._provider or NoOpTracerProvider()
        self._tracer = provider.get_tracer("paceline")

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[Span]:
        """A span around a piece of work; an exception marks it as failed and goes on."""
        span = Span(self._tracer, name)
        try:
            yield span
        except BaseException as error:
            span.failed(type(error).__name__)
            raise
        finally:
            span.end()

    def close(self) -> None:
        """Send what is waiting, for a moment at most: a receiver that does not answer must not hold the end up.

        The SDK's own time-outs do not bound this (open-telemetry/opentelemetry-python#4568), so a thread does.
        """
        if self._provider is not None:
            sending = threading.Thread(target=self._provider.shutdown, daemon=True)
            sending.start()
            sending.join(_CLOSE_SECONDS)


def _sending(otlp_endpoint: str) -> TracerProvider:
    # Only those who send traces pay for the import of what sends.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_endpoint.rstrip('/')}/v1/traces")))
    return provider


def _resource() -> Resource:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above

    return Resource.create({"service.name": "paceline", "service.version": version("paceline")})


def metrics_requests(families: Iterable[Family], at: int, started_at: int) -> Iterator[bytes]:
    """The bodies of the requests that send families, compressed. Times in nanoseconds.

    Gauges are gauges; counters are monotonic cumulative sums since `started_at`.
    """
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics  # noqa: PLC0415 - as above
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics  # noqa: PLC0415
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

    resource, scope = _resource(), InstrumentationScope("paceline", version("paceline"))
    for metrics in _in_batches(families, at, started_at):
        data = MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])
        yield gzip.compress(encode_metrics(data).SerializeToString(), _PACKED, mtime=0)


def metrics_refused(body: bytes) -> tuple[int, str]:
    """How many series a receiver did not take of a request that it answered, and why. Raises ValueError."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - as above
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (  # noqa: PLC0415
        ExportMetricsServiceResponse,
    )

    try:
        said = ExportMetricsServiceResponse.FromString(body).partial_success
    except DecodeError as error:
        raise ValueError("the answer is none of OTLP") from error
    return said.rejected_data_points, said.error_message


def _in_batches(families: Iterable[Family], at: int, started_at: int) -> Iterator[list[Metric]]:
    """The metrics, so many points of them at a time."""
    batch: list[Metric] = []
    room = POINTS_AT_ONCE
    for family in families:
        series = family.series()
        while own := list(islice(series, room)):
            batch.append(_metric(family, own, at, started_at))
            room -= len(own)
            if not room:
                yield batch
                batch, room = [], POINTS_AT_ONCE
    if batch:
        yield batch


def _metric(family: Family, series: Iterable[tuple[bytes, float]], at: int, started_at: int) -> Metric:
    from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415 - as above
        AggregationTemporality,
        Gauge,
        Metric,
        NumberDataPoint,
        Sum,
    )

    start = started_at if family.is_counter else 0
    # An empty label is one that is not there.
    points = [
        NumberDataPoint({n: v for n, v in labels_of(name).items() if v}, start, at, value) for name, value in series
    ]
    cumulative = AggregationTemporality.CUMULATIVE
    data = Sum(points, cumulative, is_monotonic=True) if family.is_counter else Gauge(points)
    return Metric(family.name, family.help, unit_of(family.name), data)


_UNITS = (("_seconds", "s"), ("_ratio", "1"), ("_info", ""))


def unit_of(name: str) -> str:
    """The unit of a metric in UCUM, which its name ends in; empty for what is counted."""
    return next((unit for end, unit in _UNITS if name.removesuffix("_total").endswith(end)), "")
