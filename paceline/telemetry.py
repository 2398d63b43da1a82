"""Traces of Paceline's own runs and evaluations. Sole importer of OpenTelemetry.

Nothing is recorded or sent unless an OTLP endpoint is configured. The provider is passed in, not set globally:
a process may set it only once.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

from opentelemetry.trace import NoOpTracerProvider, Status, StatusCode, Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_CLOSE_SECONDS = 1.5


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
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    resource = Resource.create({"service.name": "paceline", "service.version": version("paceline")})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{otlp_endpoint.rstrip('/')}/v1/traces")))
    return provider
