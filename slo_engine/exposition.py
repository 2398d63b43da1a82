"""Snapshot → the bytes that a scrape returns. Sole importer of prometheus_client.

The bytes are made once per snapshot, plain and compressed, as text and as OpenMetrics: a scrape only picks one.
A part that fails costs its own series and is counted; a series that would appear twice is refused here, because
Prometheus would keep the first without a word.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from slo_engine import catalog
from slo_engine.catalog import Metric, metrics_of
from slo_engine.indicator import Indicator, Shape
from slo_engine.slo import SloStatus
from slo_engine.snapshot import Snapshot

_LONGEST_LABEL = 128
_COMPRESSION = 5

Sample = tuple[Metric, tuple[str, ...], float]
Floor = Callable[[Mapping[str, float]], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Exposition:
    """The published bytes of one snapshot. `series` is their number, `failed_parts` what is missing from them."""

    text: bytes
    text_gzip: bytes
    openmetrics: bytes
    openmetrics_gzip: bytes
    series: int
    failed_parts: tuple[str, ...] = ()

    def negotiate(self, accept: str, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
        """The bytes and headers for what a scraper accepts."""
        openmetrics = "application/openmetrics-text" in accept
        compressed = re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", accept_encoding) is not None
        headers = {
            "Content-Type": OPENMETRICS if openmetrics else CONTENT_TYPE_PLAIN_0_0_4,
            "Vary": "Accept, Accept-Encoding",
        }
        if compressed:
            headers["Content-Encoding"] = "gzip"
            return (self.openmetrics_gzip if openmetrics else self.text_gzip), headers
        return (self.openmetrics if openmetrics else self.text), headers


def no_floor(values: Mapping[str, float]) -> Mapping[str, float]:
    """Publishes counters as they are counted: for tests and one-off output."""
    return values


def expose(
    snapshot: Snapshot, indicators: Mapping[str, Indicator], version: str, floor: Floor = no_floor
) -> Exposition:
    """The exposition of a snapshot. `floor` keeps counters from falling after a restatement."""
    parts: dict[str, Iterable[Sample]] = {
        "slo": slo_samples(snapshot),
        "indicator": indicator_samples(snapshot, indicators),
        "source": source_samples(snapshot),
        "self": self_samples(snapshot, indicators, version),
    }
    samples: list[Sample] = []
    failed: list[str] = []
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for name, part in parts.items():
        try:
            samples.extend(_once(part, seen))
        except Exception:  # noqa: BLE001 - one failing part must not cost the others' series
            failed.append(name)
    samples.extend((catalog.EXPOSITION_FAILED, (name,), 1.0 if name in failed else 0.0) for name in parts)
    return render(_floored(samples, floor), failed)


def render(samples: Iterable[Sample], failed: Iterable[str] = ()) -> Exposition:
    """The bytes of samples that are unique."""
    families, count = _families(samples)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed(families))
    text, openmetrics = generate_latest(registry), generate_openmetrics(registry)  # type: ignore[no-untyped-call]
    return Exposition(
        text=text,
        text_gzip=gzip.compress(text, _COMPRESSION, mtime=0),
        openmetrics=openmetrics,
        openmetrics_gzip=gzip.compress(openmetrics, _COMPRESSION, mtime=0),
        series=count,
        failed_parts=tuple(failed),
    )


def slo_samples(snapshot: Snapshot) -> Iterator[Sample]:
    """The SLOs. Counts are zero from the start, so that the first bad event is an increase."""
    for state in snapshot.slos:
        slo = state.slo
        name = slo.name
        yield catalog.SLO_INFO, (name, slo.owner_service, slo.team, slo.tier, slo.owner, slo.alert_class), 1.0
        yield catalog.SLO_OBJECTIVE, (name,), float(slo.target)
        yield catalog.SLO_PERIOD, (name,), slo.window.seconds
        yield catalog.SLI_EVENTS, (name, "good"), float(state.totals.good)
        yield catalog.SLI_EVENTS, (name, "bad"), float(state.totals.bad)
        for status in SloStatus:
            yield catalog.SLO_STATUS, (name, status.value), float(status is state.status)
        yield catalog.SLO_COVERAGE, (name,), state.coverage
        for window, counts in state.counts.items():
            yield catalog.SLO_EVENTS, (name, window, "good"), float(counts.good)
            yield catalog.SLO_EVENTS, (name, window, "bad"), float(counts.bad)
        for window, rate in state.burn_rates.items():
            yield catalog.SLO_BURN_RATE, (name, window), rate
        if state.attainment is not None:
            yield catalog.SLO_ATTAINMENT, (name, slo.window.label), state.attainment
        optional = (
            (catalog.SLO_BUDGET_RATIO, state.budget_remaining),
            (catalog.SLO_BUDGET_EVENTS, state.budget_remaining_events),
            (catalog.SLO_EXHAUSTION, state.time_to_exhaustion_seconds),
        )
        yield from ((metric, (name,), value) for metric, value in optional if value is not None)


def indicator_samples(snapshot: Snapshot, indicators: Mapping[str, Indicator]) -> Iterator[Sample]:
    """The indicators' numbers and what stands beside them."""
    for number in snapshot.numbers:
        indicator = indicators[number.indicator]
        metrics = metrics_of(indicator)
        split = (number.dimension,) if indicator.dimension and indicator.shape is not Shape.FREQUENCY else ()
        labels = (*number.subject, number.window, *split)
        yield metrics.samples, labels, float(number.n)
        if indicator.shape is Shape.FREQUENCY:
            yield from ((metrics.value, labels, value) for value in number.stats.values())
        else:
            yield from ((metrics.value, (*labels, stat), value) for stat, value in number.stats.items())
    for row in snapshot.accounting:
        metrics = metrics_of(indicators[row.indicator])
        labels = (*row.subject, row.window)
        yield metrics.pending, labels, float(row.pending)
        if row.coverage is not None:
            yield metrics.coverage, labels, row.coverage
        yield from ((metrics.excluded, (*labels, reason), float(n)) for reason, n in row.excluded.items())
    for (name, subject, dimension), value in snapshot.totals.items():
        total = metrics_of(indicators[name]).total
        if total is not None:
            split = (dimension,) if indicators[name].dimension else ()
            yield total, (*subject, *split), value


def source_samples(snapshot: Snapshot) -> Iterator[Sample]:
    """How the sources fare."""
    for source in snapshot.sources:
        name = (source.name,)
        yield catalog.SOURCE_FRESH, name, float(source.fresh)
        yield catalog.COLLECTOR_EVENTS, name, float(source.events_total)
        yield catalog.COLLECTOR_REJECTED, name, float(source.rejected_total)
        optional = (
            (catalog.COLLECTOR_LAST_SUCCESS, _timestamp(source.last_success_at)),
            (catalog.COLLECTOR_LAST_RUN, _timestamp(source.last_run_at)),
            (catalog.COLLECTOR_DURATION, source.last_duration_seconds),
            (
                catalog.COLLECTOR_SUCCESS,
                None if source.last_succeeded is None else float(source.last_succeeded),
            ),
            (catalog.COLLECTOR_NEWEST, _timestamp(source.newest_event_at)),
            (catalog.SOURCE_STALENESS, source.staleness_seconds),
        )
        yield from ((metric, name, value) for metric, value in optional if value is not None)


def self_samples(snapshot: Snapshot, indicators: Mapping[str, Indicator], version: str) -> Iterator[Sample]:
    """Paceline itself."""
    yield catalog.SNAPSHOT_TIMESTAMP, (), snapshot.at.timestamp()
    yield catalog.SNAPSHOT_DURATION, (), snapshot.duration_seconds
    yield catalog.BUILD_INFO, (version,), 1.0
    for indicator in indicators.values():
        yield catalog.INDICATOR_INFO, (indicator.name, indicator.version), 1.0


def _timestamp(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _once(samples: Iterable[Sample], seen: set[tuple[str, tuple[str, ...]]]) -> list[Sample]:
    """The samples with labels as they are published. Raises ValueError for a series that is there already.

    Only a part that is whole is remembered: a lost one takes no series from the others.
    """
    ready: list[Sample] = []
    own: set[tuple[str, tuple[str, ...]]] = set()
    for metric, labels, value in samples:
        values = tuple(map(_label, labels))
        key = (metric.name, values)
        if key in seen or key in own:
            raise ValueError(f"{metric.name} would be published twice with the labels {values}")
        own.add(key)
        ready.append((metric, values, float(value)))
    seen |= own
    return ready


def _label(value: str) -> str:
    """A label value as it can be published: short, and without what UTF-8 cannot say."""
    short = value if len(value) <= _LONGEST_LABEL else _cut(value)
    return short if short.isascii() else short.encode("utf-8", "replace").decode()


def _floored(samples: Iterable[Sample], floor: Floor) -> list[Sample]:
    """The samples, with counters never below what was once published of them."""
    everything = list(samples)
    counters = {_series_key(s): s[2] for s in everything if s[0].type == "counter"}
    raised = floor(counters)
    return [
        (metric, labels, raised[_series_key((metric, labels, value))] if metric.type == "counter" else value)
        for metric, labels, value in everything
    ]


def _series_key(sample: Sample) -> str:
    metric, labels, _ = sample
    return metric.name + "{" + ",".join(f"{k}={v!r}" for k, v in zip(metric.labels, labels, strict=True)) + "}"


def _families(samples: Iterable[Sample]) -> tuple[list[Family], int]:
    families: dict[str, Family] = {}
    count = 0
    for metric, labels, value in samples:
        family = families.get(metric.name)
        if family is None:
            family = families[metric.name] = _family(metric)
        family.add_metric(labels, value)  # type: ignore[attr-defined]
        count += 1
    return list(families.values()), count


def _family(metric: Metric) -> Family:
    kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    name = metric.name.removesuffix("_total") if metric.type == "counter" else metric.name
    return kind(name, metric.help, labels=metric.labels)


def _cut(value: str) -> str:
    """A long label value shortened; a digest keeps two that begin alike apart."""
    digest = hashlib.blake2b(value.encode("utf-8", "replace"), digest_size=4).hexdigest()
    return f"{value[: _LONGEST_LABEL - 9]}~{digest}"


class _Fixed(Collector):
    """Families that were made before."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        """The families."""
        return self._families
