"""Snapshot → the bytes that a scrape returns. Sole importer of prometheus_client.

What changed since the snapshot before is rendered, the rest of the bytes is kept; compressed and plain, text and
OpenMetrics are put together from the same pieces, and a scrape only picks one. The library says how a metric looks, its
bytes are those that it would give for the whole. A part that fails costs its own series and is counted; a series that
would appear twice is refused here, because Prometheus would keep the first without a word.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property, partial
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from collector.bulk import seldom_collecting
from slo_engine import catalog
from slo_engine.burn import Severity
from slo_engine.catalog import IndicatorMetrics, Metric, metrics_of
from slo_engine.gzipped import member
from slo_engine.indicator import Indicator, Shape
from slo_engine.observation import label_values
from slo_engine.segments import Families, Piece, Segment, compress
from slo_engine.slo import Composite, IndicatorSli, SloStatus
from slo_engine.snapshot import Accounting, Number, OwnHealth, Part, SloState, Snapshot, SourceState, Written

MOST_SERIES = 250_000
"""How many series of one metric are published unless told otherwise."""

_LONGEST_LABEL = 128
_MOST_LABELS = 100_000
_END = b"# EOF\n"
# No escaped label holds it: they can be said in UTF-8.
_MARK = "\udc00"
# Above, the library switches to an exponent earlier than Python; below, Python does.
_PLAIN_NUMBERS = 1e6
_LEAST_PLAIN = 1e-4
_FLOATS = msgspec.json.Encoder()

Sample = tuple[Metric, tuple[str, ...], float]
_Texts = tuple[str, ...]
"""The lines of a row, those of one metric together; empty where there are none: see `Written`."""
Floor = Callable[[Mapping[str, float]], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class _Rendered:
    """A family: its head in both forms, and its lines, which are the same in both."""

    text: Segment
    openmetrics: Segment
    lines: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True)
class Exposition:
    """The published bytes of one snapshot.

    `series` is their number, `failed_parts` what is missing from them. `cut`: by metric, how many series are missing
    because the metric would have had more than the limit.
    """

    families: tuple[_Rendered, ...]
    end: Segment
    series: int
    failed_parts: tuple[str, ...] = ()
    cut: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def text(self) -> bytes:
        """The Prometheus text format."""
        return b"".join(t for s in self._text for t in s.texts)

    @cached_property
    def text_gzip(self) -> bytes:
        """The Prometheus text format, compressed."""
        compress(self._text)
        return member([s.packed for s in self._text])

    @cached_property
    def openmetrics(self) -> bytes:
        """The OpenMetrics format."""
        return b"".join(t for s in self._openmetrics for t in s.texts)

    @cached_property
    def openmetrics_gzip(self) -> bytes:
        """The OpenMetrics format, compressed."""
        compress(self._openmetrics)
        return member([s.packed for s in self._openmetrics])

    def compress(self) -> None:
        """Compress what is new, so that no scraper waits for that; one who comes before this is done does it itself."""
        compress(chain(self._text, self._openmetrics))

    def by_family(self) -> Iterator[tuple[bytes, bytes]]:
        """The head of each family and its lines, in the text format."""
        for family in self.families:
            yield b"".join(family.text.texts), b"".join(t for s in family.lines for t in s.texts)

    def by_openmetrics_family(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Of each family the name that its lines begin with, its head in the OpenMetrics format, and its lines."""
        for family in self.families:
            name = family.text.texts[0].split(b" ", 3)[2].decode()
            yield name, b"".join(family.openmetrics.texts), b"".join(t for s in family.lines for t in s.texts)

    @property
    def _text(self) -> Iterator[Segment]:
        return chain.from_iterable((f.text, *f.lines) for f in self.families)

    @property
    def _openmetrics(self) -> Iterator[Segment]:
        yield from chain.from_iterable((f.openmetrics, *f.lines) for f in self.families)
        yield self.end

    def beside(self, other: Exposition) -> Exposition:
        """These families and after them those of another exposition, which must be others."""
        return replace(self, families=(*self.families, *other.families), series=self.series + other.series)

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
    snapshot: Snapshot,
    indicators: Mapping[str, Indicator],
    version: str,
    floor: Floor = no_floor,
    limit: int = MOST_SERIES,
) -> Exposition:
    """The exposition of one snapshot, with nothing kept: see Publisher."""
    return Publisher().expose(snapshot, indicators, version, floor, limit)


def render(samples: Iterable[Sample]) -> Exposition:
    """The bytes of samples that are unique."""
    publisher = Publisher()
    block = _Block(("",), None)
    publisher.render([_Changed(block, publisher.checked(samples))])
    return publisher.assembled([block])


@dataclass(slots=True)
class _Block:
    """What is rendered together: one subject of an indicator, one SLO, one source.

    `key` is whose it is and the labels that are its own; its samples follow from `rows`. `write` gives more lines,
    those that are many, given the block's place and those of the block before. Once rendered, `pieces` are all lines by
    metric.
    """

    key: tuple[str, ...]
    rows: Any
    samples: Callable[[], Iterable[Sample]] = tuple
    write: Callable[[_Labels, int, Written | None], Written] | None = None
    written: Written | None = None
    pieces: dict[str, Piece] = field(default_factory=dict)
    published_as: tuple[str, ...] = ()
    place: int = 0
    same: tuple[str, Any] = ("", None)
    """A metric whose lines are those of the block before where this was the same then."""

    def have(self, lines: Iterable[tuple[str, bytes]], before: Mapping[str, Piece]) -> None:
        """Have some lines by metric. A piece that says the same as before is that of before."""
        for name, text in lines:
            known = before.get(name)
            if known is None or known.text != text:
                known = Piece(text, text.count(b"\n"), self.place)
            self.pieces[name] = known


class _Part(NamedTuple):
    """What a part publishes: what each of its blocks is made from, and the block at a place."""

    rows: Sequence[Any]
    block: Callable[[int], _Block]


class _Blocks(NamedTuple):
    """The blocks of a part, in order, with what each is made from."""

    rows: Sequence[Any] = ()
    blocks: Sequence[_Block] = ()


class _Changed(NamedTuple):
    """A block to be rendered, and its samples: unique and with escaped labels."""

    block: _Block
    samples: list[Sample]


class _Labels(dict[str, str]):
    """Label values as they stand in a line: cut, in UTF-8, escaped."""

    def __missing__(self, value: str) -> str:
        """Escape a value and remember it."""
        found = self[value] = _label(value).replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
        return found


class _Layout(dict[tuple[str, ...], str]):
    """The labels of a line as they are written, by their escaped values: the same for all metrics that have these."""

    def __init__(self, template: str, order: Sequence[int]) -> None:
        self._template, self._order = template, _chosen(order)
        self.around_last = _AroundLast(self)

    def __missing__(self, labels: tuple[str, ...]) -> str:
        """Write the labels and remember them."""
        found: str = self._template % self._order(labels)
        self[labels] = found
        return found


class _AroundLast(dict[tuple[str, ...], tuple[str, str]]):
    """What stands before and after the value of the last label, by the values of all others."""

    def __init__(self, layout: _Layout) -> None:
        self._layout = layout

    def __missing__(self, labels: tuple[str, ...]) -> tuple[str, str]:
        """Write the labels and remember them."""
        whole = *labels, _MARK
        head, _, tail = self._layout[whole].partition(_MARK)
        del self._layout[whole]
        found = self[labels] = head, tail
        return found


class _Forms(dict[str, "_Form"]):
    """How metrics are written, by name; and the labels of all."""

    def __init__(self) -> None:
        self.labels = _Labels()
        self._layouts: dict[tuple[Any, ...], _Layout] = {}

    def of(self, metric: Metric) -> _Form:
        """The form of a metric."""
        found = self.get(metric.name)
        if found is None:
            found = self[metric.name] = _form(metric, self._layout)
        return found

    def forget(self) -> None:
        """Remember no label where they have become many."""
        many: list[dict[Any, Any]] = [self.labels, *self._layouts.values()]
        many += [layout.around_last for layout in self._layouts.values()]
        if sum(map(len, many)) > _MOST_LABELS:
            for known in many:
                known.clear()

    def _layout(self, template: str, order: Sequence[int]) -> _Layout:
        return self._layouts.setdefault((template, *order), _Layout(template, order))


class Publisher:
    """Makes expositions one after the other, and keeps what has not changed.

    Of one metric at most `limit` series are published, in the order of the snapshot: levels of teams first, then by
    service and environment. From the first subject that does not fit, a metric's series are cut, counted and named.
    """

    def __init__(self) -> None:
        self._blocks: dict[str, _Blocks] = {}
        self._families = Families()
        self._forms = _Forms()

    def expose(
        self,
        snapshot: Snapshot,
        indicators: Mapping[str, Indicator],
        version: str,
        floor: Floor = no_floor,
        limit: int = MOST_SERIES,
    ) -> Exposition:
        """The exposition of a snapshot. `floor` keeps counters from falling after a restatement."""
        parts: dict[str, Callable[[], _Part]] = {
            "slo": lambda: _slo_part(snapshot),
            "indicator": lambda: _indicator_part(snapshot, indicators, self._forms),
            "catalogue": lambda: _catalogue_part(snapshot),
            "score": lambda: _score_part(snapshot, self._forms),
            "source": lambda: _source_part(snapshot),
            "self": lambda: _listed(("self", self_samples(snapshot, indicators, version))),
        }
        with seldom_collecting():
            return self._exposed(parts, floor, limit)

    def _exposed(self, parts: Mapping[str, Callable[[], _Part]], floor: Floor, limit: int) -> Exposition:
        self._forms.forget()
        ready: dict[str, _Blocks] = {}
        changed: list[_Changed] = []
        failed: list[str] = []
        for name, part in parts.items():
            try:
                blocks, new = self._compared(self._blocks.get(name, _Blocks()), part())
            except Exception:  # noqa: BLE001 - one failing part must not cost the others' series
                failed.append(name)
            else:
                ready[name] = blocks
                changed += new
        flags = [(catalog.EXPOSITION_FAILED, (name,), float(name in failed)) for name in parts]
        last = _Block(("failed",), None)
        self.render([*changed, _Changed(last, self.checked(flags))], floor)
        self._blocks = ready
        return self.assembled([*chain.from_iterable(own.blocks for own in ready.values()), last], failed, limit)

    def _compared(self, known: _Blocks, part: _Part) -> tuple[_Blocks, list[_Changed]]:
        """The blocks of a part, those of before where nothing changed; and the changed ones.

        Raises ValueError for what would be published twice.
        """
        rows = part.rows
        if len(rows) != len(known.rows):
            return self._sorted_anew(known, part)
        found, changed = list(known.blocks), []
        for n in [n for n, (old, new) in enumerate(zip(known.rows, rows, strict=True)) if old is not new]:
            block, before = part.block(n), found[n]
            if block.key != before.key:
                return self._sorted_anew(known, part)
            if block.rows != before.rows:
                found[n] = block
                changed.append(self._begun(block, before))
        return _Blocks(rows, found), changed

    def _sorted_anew(self, known: _Blocks, part: _Part) -> tuple[_Blocks, list[_Changed]]:
        """As `_compared`, of blocks that stand elsewhere than before."""
        same, by_key = {id(b.rows): b for b in known.blocks}, {b.key: b for b in known.blocks}
        found, changed = [], []
        for n, rows in enumerate(part.rows):
            block = same.get(id(rows))  # the id is nobody else's while the block keeps them
            if block is None:
                block = part.block(n)
                before = by_key.get(block.key)
                if before is not None and before.rows == block.rows:
                    block = before
                else:
                    changed.append(self._begun(block, before))
            found.append(block)
        if len({b.published_as for b in found}) < len(found):
            raise ValueError("a block would be published twice")
        return _Blocks(part.rows, found), changed

    def _begun(self, block: _Block, before: _Block | None) -> _Changed:
        """A block with the lines that are written without looking at others, and its samples."""
        if before is None:
            block.published_as, block.place = _place(block.key)
        else:
            block.published_as, block.place = before.published_as, before.place
        if block.write is not None:
            block.written = block.write(self._forms.labels, block.place, None if before is None else before.written)
            block.pieces.update(block.written.pieces)
        if before is not None and block.same[0] and block.same == before.same:
            known = before.pieces.get(block.same[0])
            if known is not None:
                block.pieces[block.same[0]] = known
            return _Changed(block, [])
        return _Changed(block, self.checked(block.samples()))

    def checked(self, samples: Iterable[Sample]) -> list[Sample]:
        """The samples with escaped labels. Raises ValueError for a series that is there twice."""
        escaped = self._forms.labels.__getitem__
        ready = [(metric, tuple(map(escaped, labels)), float(value)) for metric, labels, value in samples]
        if ready and len({(metric.name, labels) for metric, labels, _ in ready}) < len(ready):
            raise ValueError("a series would be published twice")
        return ready

    def render(self, changed: Sequence[_Changed], floor: Floor = no_floor) -> None:
        """Write the lines of blocks, with counters never below what was once published of them."""
        keys = [(sample, _series_key(sample)) for _, own in changed for sample in own if _is_kept(sample[0])]
        raised = floor({key: value for (_, _, value), key in keys}) if keys else {}
        values = {id(sample): raised[key] for sample, key in keys}
        for block, samples in changed:
            if not samples:  # as of most: what they have was written
                continue
            lines: dict[str, list[bytes]] = {}
            for sample in samples:
                metric, labels, value = sample
                line = self._forms.of(metric).line(labels, values.get(id(sample), value))
                lines.setdefault(metric.name, []).append(line.encode())
            block.have(((name, b"".join(own)) for name, own in lines.items()), {})

    def assembled(self, blocks: Iterable[_Block], failed: Sequence[str] = (), limit: int = MOST_SERIES) -> Exposition:
        """The exposition of rendered blocks, in their order."""
        cut = self._families.hold([block.pieces for block in blocks], limit)
        told = _Block(("cut",), None)
        self.render([_Changed(told, self.checked((catalog.EXPOSITION_CUT, (n,), float(c)) for n, c in cut.items()))])
        names = [*self._families.names, *told.pieces]
        heads = chain.from_iterable((self._forms[name].text, self._forms[name].openmetrics) for name in names)
        alone = self._families.fill([_END, *heads, *(piece.text for piece in told.pieces.values())])
        lines = {name: (count, own) for name, count, own in self._families.lines()}
        lines |= {name: (piece.lines, (alone[piece.text],)) for name, piece in told.pieces.items()}
        return Exposition(
            families=tuple(
                _Rendered(alone[self._forms[name].text], alone[self._forms[name].openmetrics], own)
                for name, (_, own) in lines.items()
            ),
            end=alone[_END],
            series=sum(count for count, _ in lines.values()),
            failed_parts=tuple(failed),
            cut=cut,
        )


# --- what is published -----------------------------------------------------------------------------------


def slo_samples(snapshot: Snapshot) -> Iterator[Sample]:
    """The SLOs. Counts are zero from the start, so that the first bad event is an increase."""
    return chain.from_iterable(block.samples() for block in _slo_blocks(snapshot))


def _slo_blocks(snapshot: Snapshot) -> Iterator[_Block]:
    succeeded = {s.name: s.last_success_at for s in snapshot.sources}
    for state in snapshot.slos:
        name = state.slo.name
        yield _Block(("slo", name), state, partial(_slo_samples, state))
        beside = _Beside(
            _oldest(state.sources, succeeded), snapshot.excluding.get(name), snapshot.thresholds.get(name, {})
        )
        yield _Block(("slo beside", name), beside, partial(_beside_samples, name, beside))


class _Beside(NamedTuple):
    """What stands beside the state of an SLO; None where there is nothing to say."""

    data_at: datetime | None
    excluding: bool | None
    thresholds: Mapping[tuple[str, Severity], Decimal]


def _oldest(sources: Iterable[str], succeeded: Mapping[str, datetime | None]) -> datetime | None:
    """The earliest last success of some sources; None without any, and where one is unknown."""
    times = [succeeded.get(name) for name in sources]
    known = [at for at in times if at is not None]
    return min(known) if known and len(known) == len(times) else None


def _beside_samples(name: str, beside: _Beside) -> Iterator[Sample]:
    if beside.data_at is not None:
        yield catalog.SLO_DATA_TIMESTAMP, (name,), beside.data_at.timestamp()
    if beside.excluding is not None:
        yield catalog.SLO_EXCLUSION_ACTIVE, (name,), float(beside.excluding)
    for (window, kind), threshold in beside.thresholds.items():
        yield catalog.SLO_BURN_THRESHOLD, (name, window, kind), float(threshold)


def _slo_samples(state: SloState) -> Iterator[Sample]:
    slo = state.slo
    name = slo.name
    yield catalog.SLO_INFO, (name, slo.owner_service, slo.team, slo.tier, slo.owner, slo.alert_class, state.noun), 1.0
    yield catalog.SLO_OBJECTIVE, (name,), float(slo.target)
    if slo.sla_target is not None:
        yield catalog.SLO_SLA_OBJECTIVE, (name,), float(slo.sla_target)
    yield catalog.SLO_PERIOD, (name,), slo.window.seconds
    yield catalog.SLO_MINIMUM_EVENTS, (name,), float(slo.minimum_events)
    yield catalog.SLO_MINIMUM_COVERAGE, (name,), slo.minimum_coverage
    if isinstance(slo.sli, Composite):
        for part in slo.sli.parts:
            yield catalog.SLO_PART_WEIGHT, (name, part.slo), float(part.weight)
    if isinstance(slo.sli, IndicatorSli):  # of the others only Prometheus knows the state; a status tells them apart
        yield from _counted_samples(state)


def _counted_samples(state: SloState) -> Iterator[Sample]:
    """What is known of an SLO whose events are counted here."""
    slo = state.slo
    name = slo.name
    if state.totals is not None:
        yield catalog.SLI_EVENTS, (name, "good"), float(state.totals.good)
        yield catalog.SLI_EVENTS, (name, "bad"), float(state.totals.bad)
    for status in SloStatus:
        yield catalog.SLO_STATUS, (name, status.value), float(status is state.status)
    yield catalog.SLO_COVERAGE, (name,), state.coverage
    for window, counts in state.counts.items():
        yield catalog.SLO_EVENTS, (name, window, "good"), float(counts.good)
        yield catalog.SLO_EVENTS, (name, window, "bad"), float(counts.bad)
    for window, raw in state.raw.items():
        yield catalog.SLO_EXCLUDED, (name, window, "good"), float(raw.good - state.counts[window].good)
        yield catalog.SLO_EXCLUDED, (name, window, "bad"), float(raw.bad - state.counts[window].bad)
    for subject, labels, ratio in state.spent:
        yield catalog.SLO_BUDGET_SPENT, (name, *subject, *labels), ratio
    for window, rate in state.burn_rates.items():
        yield catalog.SLO_BURN_RATE, (name, window), rate
    if state.attainment is not None:
        yield catalog.SLO_ATTAINMENT, (name, slo.window.label), state.attainment
    optional = (
        (catalog.SLO_BUDGET_RATIO, state.budget_remaining),
        (catalog.SLO_BUDGET_EVENTS, state.budget_remaining_events),
        (catalog.SLO_SLA_BUDGET_RATIO, state.sla_budget_remaining),
        (catalog.SLO_EXHAUSTION, state.time_to_exhaustion_seconds),
    )
    yield from ((metric, (name,), value) for metric, value in optional if value is not None)


def _listed(*lists: tuple[str, Iterable[Sample]]) -> _Part:
    """Blocks of samples that are rendered together; each changes when one of them does."""
    rows = [(owner, list(samples)) for owner, samples in lists]
    return _Part(rows, lambda n: _Block((rows[n][0],), rows[n], rows[n][1].copy))


def _slo_part(snapshot: Snapshot) -> _Part:
    """The SLOs, and apart from them what is told of them anew whenever a source was collected."""
    blocks = list(_slo_blocks(snapshot))
    return _Part([block.rows for block in blocks], blocks.__getitem__)


def _source_part(snapshot: Snapshot) -> _Part:
    """The sources."""
    sources = snapshot.sources
    return _Part(
        sources, lambda n: _Block(("source", sources[n].name), sources[n], partial(_source_samples, sources[n]))
    )


def _indicator_part(snapshot: Snapshot, indicators: Mapping[str, Indicator], forms: _Forms) -> _Part:
    """The indicators' numbers, and what stands beside them, by indicator and subject."""
    metrics = {name: metrics_of(indicator) for name, indicator in indicators.items()}
    names = [m.name for m in (*catalog.FIXED, *(m for own in metrics.values() for m in own.all()))]
    if len(set(names)) < len(names):
        raise ValueError("a metric would be published twice")
    styles = {name: _Style.of(indicator, metrics[name], forms) for name, indicator in indicators.items()}
    parts = snapshot.parts
    withheld = sorted((metrics[name].value.name, len(cells)) for name, cells in snapshot.suppressed.items())
    beside = _listed(
        ("suppressed", ((catalog.SUPPRESSED, (metric,), float(n)) for metric, n in withheld)),
        ("restatements", ((catalog.RESTATEMENTS, (n,), v) for n, v in sorted(snapshot.restatements.items()))),
        *(
            (f"forgotten {kind}", ((catalog.PRUNED, (kind,), float(gone)), (catalog.IGNORED, (kind,), float(late))))
            for kind, (gone, late) in sorted(snapshot.forgotten.items())
        ),
    )

    def block(place: int) -> _Block:
        if place >= len(parts):
            return beside.block(place - len(parts))
        part = parts[place]
        indicator, own = indicators[part.indicator], metrics[part.indicator]
        block = _Block((part.indicator, *part.subject), part)
        if part.lines:
            block.pieces.update(part.lines)
        else:
            block.write = partial(_written, styles[part.indicator], part)
        if own.total is not None:
            block.samples, block.same = partial(_totals, indicator, own, part), (own.total.name, part.totals)
        return block

    return _Part((*parts, *beside.rows), block)


class _Style(NamedTuple):
    """How the rows of an indicator are written."""

    numbers: tuple[_Form, _Form]
    """How many units a number rests on, and its statistics."""
    beside: tuple[_Form, _Form, _Form]
    """How many units are pending, the coverage, and what was left out."""
    frequency: bool
    named: int
    """How many labels of its own the indicator publishes."""
    parted: bool
    """Whether a number's dimension is the part of a duration, and a label."""

    @classmethod
    def of(cls, indicator: Indicator, metrics: IndicatorMetrics, forms: _Forms) -> _Style:
        """The style of an indicator."""
        frequency = indicator.shape is Shape.FREQUENCY
        return cls(
            (forms.of(metrics.samples), forms.of(metrics.value)),
            (forms.of(metrics.pending), forms.of(metrics.coverage), forms.of(metrics.excluded)),
            frequency,
            sum(1 for label in indicator.labels if label),
            not indicator.labels and bool(indicator.dimension) and not frequency,
        )

    def split(self, dimension: str, escaped: _Labels) -> tuple[str, ...]:
        """The values of the indicator's published labels, escaped."""
        return tuple(escaped[value] for value in label_values(dimension, self.named)) if self.named else ()


def _place(key: Iterable[str]) -> tuple[tuple[str, ...], int]:
    """The key of a block as it is published, and the place that follows from it."""
    published_as = tuple(map(_label, key))
    return published_as, zlib.crc32("\0".join(published_as).encode())


def _written(style: _Style, part: Part, escaped: _Labels, place: int, known: Written | None) -> Written:
    """The lines of an indicator's gauges for a subject, most of an exposition; those known where unchanged.

    Raises ValueError for a series that is there twice.
    """
    for own in (part.numbers, part.accounting):
        if len({(row.window, row.dimension) for row in own}) < len(own):
            raise ValueError("a series would be published twice")
    numbers, beside, pieces = ({}, {}, {}) if known is None else known
    subject = tuple([escaped[value] for value in part.subject])
    found: dict[str, Piece] = {}
    if list(map(id, part.numbers)) == list(numbers):
        _keep(found, style.numbers, pieces)
    else:
        new = [number for number in part.numbers if id(number) not in numbers]
        values = iter(_shown_together([value for number in new for value in number.stats.values()]))
        numbers = {id(n): numbers.get(id(n)) or _of_number(style, n, subject, escaped, values) for n in part.numbers}
        _put(found, style.numbers, numbers, pieces, place)
    if list(map(id, part.accounting)) == list(beside):
        _keep(found, style.beside, pieces)
    else:
        beside = {id(a): beside.get(id(a)) or _of_accounting(style, a, subject, escaped) for a in part.accounting}
        _put(found, style.beside, beside, pieces, place)
    return Written(numbers, beside, found)


def _keep(found: dict[str, Piece], forms: Iterable[_Form], known: Mapping[str, Piece]) -> None:
    """Have the lines of some metrics as they were."""
    found.update((form.name, known[form.name]) for form in forms if form.name in known)


def _put(
    found: dict[str, Piece], forms: Sequence[_Form], rows: Mapping[int, _Texts], known: Mapping[str, Piece], place: int
) -> None:
    """Have the lines of some metrics, those known where they say the same."""
    for form, texts in zip(forms, zip(*rows.values(), strict=True), strict=False):
        text = "".join(texts).encode()
        if text:
            piece = known.get(form.name)
            if piece is None or piece.text != text:
                piece = Piece(text, text.count(b"\n"), place)
            found[form.name] = piece


class LineWriter:
    """Writes the lines of parts before they are published, as a publisher would: see `slo_engine.evaluate.Lines`."""

    def __init__(self) -> None:
        self._forms = _Forms()
        self._styles: dict[str, tuple[Indicator, _Style]] = {}

    def write(self, indicator: Indicator, part: Part, before: Written | None) -> Written | None:
        """The lines of a part; None where they are not fit to be published, which is said where it is tried."""
        try:
            place = next((p.place for p in before.pieces.values()), None) if before is not None else None
            if place is None:
                _, place = _place((indicator.name, *part.subject))
            return _written(self._style(indicator), part, self._forms.labels, place, before)
        except (TypeError, ValueError):
            return None

    def _style(self, indicator: Indicator) -> _Style:
        """The style of an indicator, remembered as long as it is the same."""
        known = self._styles.get(indicator.name)
        if known is None or known[0] is not indicator:
            known = self._styles[indicator.name] = indicator, _Style.of(indicator, metrics_of(indicator), self._forms)
        return known[1]

    def begin(self) -> None:
        """Write anew: of labels that have become many none is remembered."""
        self._forms.forget()


def _of_number(
    style: _Style, number: Number, subject: tuple[str, ...], escaped: _Labels, values: Iterator[str]
) -> _Texts:
    """The lines of a number: how many units it rests on, and its statistics, given as they are shown."""
    split = (escaped[number.dimension],) if style.parted else style.split(number.dimension, escaped)
    labels = (*subject, escaped[number.window], *split)
    samples, value = style.numbers
    if style.frequency:
        start = value.name + value.labels[labels]
        lines = [f"{start} {next(values)}\n" for _ in number.stats]
    else:
        start, end = value.labels.around_last[labels]
        start = value.name + start
        lines = [f"{start}{stat}{end} {next(values)}\n" for stat in number.stats]
    return samples.counted(labels, number.n), "".join(lines)


def _of_accounting(style: _Style, row: Accounting, subject: tuple[str, ...], escaped: _Labels) -> _Texts:
    """The lines of what stands beside a number: how many units are pending, the coverage, and what was left out."""
    labels = (*subject, escaped[row.window], *style.split(row.dimension, escaped))
    pending, coverage, excluded = style.beside
    reasons = "".join([excluded.counted((*labels, escaped[reason]), n) for reason, n in row.excluded.items()])
    known = "" if row.coverage is None else coverage.line(labels, row.coverage)
    return pending.counted(labels, row.pending), known, reasons


def _totals(indicator: Indicator, metrics: IndicatorMetrics, part: Part) -> Iterator[Sample]:
    """The counters of a subject."""
    if metrics.total is not None:
        named = sum(1 for label in indicator.labels if label)
        for dimension, value in part.totals:
            split = (dimension,) if indicator.dimension or indicator.tallied else label_values(dimension, named)
            yield metrics.total, (*part.subject, *split), value


def _catalogue_part(snapshot: Snapshot) -> _Part:
    """What the catalogue says, and what it does not know."""
    services = snapshot.services
    beside = _listed(
        ("unmatched", ((catalog.UNMATCHED, (kind,), float(n)) for kind, n in sorted(snapshot.unmatched.items())))
    )

    def block(place: int) -> _Block:
        if place >= len(services):
            return beside.block(place - len(services))
        own = services[place]
        sample = (catalog.SERVICE_INFO, (own.name, own.team, own.tier, own.owner), 1.0)
        return _Block(("service", own.name), own, partial(tuple, (sample,)))

    return _Part((*services, *beside.rows), block)


def _score_part(snapshot: Snapshot, forms: _Forms) -> _Part:
    """The Quick Check scores by subject and window, and the industry's."""
    whose, rows, form = list(snapshot.scores), list(snapshot.scores.values()), forms.of(catalog.QUICK_CHECK_SCORE)
    beside = _listed(
        ("industry", ((catalog.QUICK_CHECK_INDUSTRY, (kind,), mean) for kind, mean in snapshot.industry.items()))
    )

    def block(place: int) -> _Block:
        if place >= len(rows):
            return beside.block(place - len(rows))
        subject, window = whose[place]
        labels = (*subject, window)
        return _Block(("score", *labels), rows[place], write=partial(_score_written, form, labels, rows[place]))

    return _Part((*rows, *beside.rows), block)


def _score_written(
    form: _Form, labels: tuple[str, ...], scores: Mapping[str, float], escaped: _Labels, place: int, _: Written | None
) -> Written:
    """The scores of a subject and window."""
    start, end = form.labels.around_last[tuple([escaped[value] for value in labels])]
    shown = zip(scores, _shown_together(list(scores.values())), strict=True)
    text = "".join([f"{form.name}{start}{escaped[kind]}{end} {value}\n" for kind, value in shown])
    return Written({}, {}, {catalog.QUICK_CHECK_SCORE.name: Piece(text.encode(), len(scores), place)} if scores else {})


def source_samples(snapshot: Snapshot) -> Iterator[Sample]:
    """How the sources fare."""
    return chain.from_iterable(map(_source_samples, snapshot.sources))


def _source_samples(source: SourceState) -> Iterator[Sample]:
    name = (source.name,)
    yield catalog.SOURCE_INFO, (source.name, source.type), 1.0
    yield catalog.SOURCE_FRESH, name, float(source.fresh)
    yield catalog.COLLECTOR_EVENTS, name, float(source.events_total)
    yield catalog.COLLECTOR_REJECTED, name, float(source.rejected_total)
    yield catalog.COLLECTOR_TRUNCATIONS, name, float(source.truncated_total)
    yield catalog.COLLECTOR_REMOVED, name, float(source.removed_total)
    yield catalog.COLLECTOR_REQUESTS, name, float(source.requests_total)
    if source.failure is not None:
        yield catalog.COLLECTOR_FAILURE, (source.name, source.failure), 1.0
    for limit, (remaining, most) in source.quota.items():
        yield catalog.COLLECTOR_QUOTA, (source.name, limit), float(remaining)
        if most is not None:
            yield catalog.COLLECTOR_QUOTA_LIMIT, (source.name, limit), float(most)
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
    for push in snapshot.pushes:
        yield catalog.PUSH_FAILURES, (push.kind,), float(push.failures)
        if push.succeeded is not None:
            yield catalog.PUSH_SUCCESS, (push.kind,), float(push.succeeded)
        if push.last_success_at is not None:
            yield catalog.PUSH_TIMESTAMP, (push.kind,), push.last_success_at.timestamp()
    yield catalog.BUILD_INFO, (version,), 1.0
    if snapshot.leads is not None:
        yield catalog.EVALUATOR_LEADER, (), float(snapshot.leads)
    for indicator in indicators.values():
        yield catalog.INDICATOR_INFO, (indicator.name, indicator.version), 1.0


REPORT_STATES = ("waiting", "retrying", "sent", "failed")
"""What may have become of a weekly summary on its way."""


def health_samples(health: OwnHealth) -> Iterator[Sample]:
    """How this process fares, whether it publishes numbers or not."""
    yield from _own_place(health)
    yield from _known(
        (catalog.INBOX_WAITING, health.waiting),
        (catalog.INBOX_OLDEST, health.waiting_seconds),
        (catalog.EVALUATION_SUCCESS, health.evaluated),
    )
    yield catalog.EVALUATION_FAILURES, (), float(health.evaluation_failures)
    for name, found in sorted(health.reports.items()):
        for state in REPORT_STATES:
            yield catalog.REPORT_DELIVERY, (name, state), float(state == found)


def _own_place(health: OwnHealth) -> Iterator[Sample]:
    """What any process of ours rests on, where it is."""
    return _known(
        (catalog.STORE_WRITABLE, health.writable),
        (catalog.STORE_CLOCK_AHEAD, health.clock_ahead_seconds),
        (catalog.DATA_FREE, health.free_bytes),
        (catalog.DATA_SIZE, health.size_bytes),
    )


def _known(*of: tuple[Metric, float | None]) -> Iterator[Sample]:
    return ((metric, (), float(value)) for metric, value in of if value is not None)


def follower_samples(version: str) -> Iterator[Sample]:
    """A replica that is not the evaluator: nothing but itself."""
    yield catalog.BUILD_INFO, (version,), 1.0
    yield catalog.EVALUATOR_LEADER, (), 0.0


def worker_samples(
    version: str, jobs: Mapping[str, int], busy: int, health: OwnHealth, *, ready: bool
) -> Iterator[Sample]:
    """A worker: how its runs ended, by outcome, how many are going on, whether it takes any; its store, disk, clock."""
    yield catalog.BUILD_INFO, (version,), 1.0
    yield from ((catalog.WORKER_JOBS, (outcome,), float(n)) for outcome, n in sorted(jobs.items()))
    yield catalog.WORKER_BUSY, (), float(busy)
    yield catalog.WORKER_READY, (), float(ready)
    yield from _own_place(health)


def _timestamp(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


# --- how it is written -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Form:
    """How a metric is written: its head in both formats, its name as in a line, and how its labels stand there."""

    text: bytes
    openmetrics: bytes
    name: str
    labels: _Layout

    def line(self, labels: tuple[str, ...], value: float) -> str:
        """A line; the labels are escaped and in the order of the metric."""
        return f"{self.name}{self.labels[labels]} {_shown(value)}\n"

    def counted(self, labels: tuple[str, ...], count: int) -> str:
        """The line of a whole number."""
        shown = f"{count}.0" if -_PLAIN_NUMBERS < count < _PLAIN_NUMBERS else _shown(float(count))
        return f"{self.name}{self.labels[labels]} {shown}\n"


def _form(metric: Metric, layout: Callable[[str, Sequence[int]], _Layout]) -> _Form:
    """The form of a metric, read off from how the library writes a sample of it."""
    family = _family(metric)
    family.add_metric([f"<{i}>" for i in range(len(metric.labels))], 0.0)  # type: ignore[attr-defined]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed([family]))
    text, openmetrics = generate_latest(registry), generate_openmetrics(registry)  # type: ignore[no-untyped-call]
    head, _, line = text.removesuffix(b"\n").rpartition(b"\n")
    other, _, same = openmetrics.removesuffix(b"\n# EOF\n").rpartition(b"\n")
    if line != same:
        raise ValueError(f"{metric.name} is written differently as text and as OpenMetrics")
    name, brace, labels = line.decode().removesuffix(" 0.0").partition("{")
    order = [int(i) for i in re.findall(r"<(\d+)>", labels)]
    template = re.sub(r"<\d+>", "%s", brace + labels)
    return _Form(head + b"\n", other + b"\n", name, layout(template, order))


def _chosen(order: Sequence[int]) -> Callable[[tuple[str, ...]], Any]:
    return itemgetter(*order) if order else _nothing


def _shown(value: float) -> str:
    """A value as the library writes it."""
    if -_PLAIN_NUMBERS < value < _PLAIN_NUMBERS:
        return repr(value)
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _shown_together(values: Sequence[float]) -> list[str]:
    """Values as the library writes each: most are as JSON has them, which many at once take a fifth of the time for."""
    texts = _FLOATS.encode(values)[1:-1].decode().split(",")
    return [t if _LEAST_PLAIN <= v < _PLAIN_NUMBERS else _shown(v) for v, t in zip(values, texts, strict=False)]


def _nothing(_: tuple[str, ...]) -> tuple[str, ...]:
    return ()


def _label(value: str) -> str:
    """A label value as it can be published: short, and without what UTF-8 cannot say."""
    short = value if len(value) <= _LONGEST_LABEL else _cut(value)
    return short if short.isascii() else short.encode("utf-8", "replace").decode()


def _is_kept(metric: Metric) -> bool:
    """Whether what was once published of a metric is never lowered."""
    return metric.type == "counter" and not metric.of_process


def _series_key(sample: Sample) -> str:
    metric, labels, _ = sample
    return metric.name + "{" + ",".join(f"{k}={v!r}" for k, v in zip(metric.labels, labels, strict=True)) + "}"


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
