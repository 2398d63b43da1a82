"""Uptime and usage from a Prometheus server: range queries, minute by minute, by whatever speaks its HTTP API.

A value that the server gives at the end of a minute is what it measured in that minute. No value is no event: unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from collector.api import ApiConfig
from collector.durations import Duration
from collector.errors import BadRecord, SourceError
from collector.events import Event, Probe, UsageEvent
from collector.people import People
from collector.secrets import reveal
from collector.source import About, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull
from collector.systems.prometheus.api import Series, Server, Span, Spans, TooMuchError, at_seconds
from collector.systems.prometheus.values import LABEL, counts, digest, filled, share, usable, uses
from collector.times import as_rfc3339, parsed

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
_EPOCH = datetime.fromtimestamp(0, UTC)
_ABOUT = About(
    system="Prometheus",
    gives=("probe", "usage_event"),
    tested="real server",
    scopes=(
        ("nothing where the API is open", "as it is by default"),
        ("reading queries", "what a proxy or a hosted service asks for: a bearer token, or a password of `username`"),
    ),
    costs=(
        ("a run", "1 request for the server's time and 1 for each query, as `good` and `total` each are one"),
        ("a history of 180 days", "27 requests for each query of up to 10 series, and more for more of them"),
    ),
    limits=(
        "Of one query `most_series` series are read, the first by their labels; what is left out is said.",
        "A server keeps samples for its retention: what is older is not known, however long `history` is.",
        "A server hands out at most 11 000 points of a series at once: long times are read in parts as it allows.",
        "Prometheus before 2.44 does not know `lookback_delta`: there, what has no range is seen for 5 minutes more.",
    ),
    example="""\
sources:
  - type: prometheus
    name: prometheus
    url: https://prometheus.example.com
    uptime:
      - query: avg by (service) (avg_over_time(probe_success[1m]))
        service: "{service}"
      - good: sum(increase(http_requests_total{code!~"5.."}[1m]))
        total: sum(increase(http_requests_total[1m]))
        service: shop
""",
    more="""\
**What becomes what.** The value of an `uptime` query at the end of a minute is a probe of that minute: a range in the
query is best `[1m]`. `query` gives 0 or 1, or a share from 0 to 1, which becomes that many of `checks` (10 000),
rounded down: 0.5 is 5 000 of 10 000. So each series weighs the same, and only a share that reaches `pass_share` passes.
`good` and `total` give counts, which may be fractions where Prometheus extrapolates: their share is taken of `checks`
for each of the total, rounded to a whole number that is at least 1, so that 1.5 of 3 is 15 000 of 30 000. No `good`
beside a `total` is none; up to 1 % more `good` than `total` is taken as all of it, and with more the minute counts as
impossible. A minute without value, with NaN, or with a `total` of 0 is unknown: neither up nor down.

**Usage.** A `usage` query is asked at the end of each `step`, whose length its range should have, such as
`increase(…[1h])` with `step: 1h`. Its value, rounded to a whole number, is how often the capability was used.

**Labels.** `service`, `environment`, `target`, `capability`, `action`, `team` and `person` are fixed or made of labels:
`"{namespace}-{app}"`. A series without such a label is set aside. What `person` gives is hashed.

**When.** Minutes are read once `delay` has passed by the server's clock. What lies within `overlap` is read again; its
value is settled after half of that time. `collect --since` takes all anew, for example after a query was corrected.

**Others.** Thanos, Mimir, Cortex and VictoriaMetrics answer the same API: give the address before `/api/v1`, and
`tenant` where there are several. Thanos is told to fail rather than to answer from a part of its stores. Warnings of
the server are shown with the run.
""",
)


def _template(text: str) -> str:
    if re.search(r"[{}]", LABEL.sub("", text)):
        raise ValueError('braces name no label here; expected for example shop, or "{service}" for a label')
    return text


def _whole_minutes(value: timedelta) -> timedelta:
    if value % _MINUTE or value > _DAY or _DAY % value:
        raise ValueError("days are not made of such parts; expected whole minutes such as 1m, 15m, 1h or 1d")
    return value


Template = Annotated[str, AfterValidator(_template)]
Query = Annotated[str, Field(max_length=4_000)]


class UptimeQuery(BaseModel):
    """A query for uptime: `query` for a share, or `good` and `total` for counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: Query = Field(default="", description="PromQL that gives 0, 1 or a share from 0 to 1 for each minute.")
    good: Query = Field(default="", description="PromQL that gives how many of `total` were good in each minute.")
    total: Query = Field(default="", description="PromQL that gives how many there were, with the labels of `good`.")
    service: Template = Field(min_length=1, description="The service whose uptime it is: fixed, or of labels.")
    environment: Template = Field(default="", description="Its environment; production unless given.")
    target: Template = Field(default="", description="What was looked at, where there are several of a service.")
    checks: int = Field(default=10_000, ge=1, le=1_000_000, description="How many checks the share of a minute is of.")

    @property
    def key(self) -> str:
        """What tells it from other queries, whatever it asks."""
        parts = (self.service, self.environment, self.target)
        return f"uptime {'/'.join(parts).rstrip('/')}"

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if bool(self.query) == bool(self.good or self.total) or bool(self.good) != bool(self.total):
            raise ValueError("uptime is a share or counts; expected `query`, or `good` and `total`")
        return self


class UsageQuery(BaseModel):
    """A query for how often something was used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: Query = Field(min_length=1, description="PromQL that gives how often it was used in each `step`.")
    capability: Template = Field(min_length=1, description="What was used: fixed, or of labels.")
    action: Template = Field(default="", description="How it was used.")
    team: Template = Field(default="", description="The team that used it.")
    service: Template = Field(default="", description="The service that used it.")
    person: Template = Field(default="", description="Who used it; kept as a keyed hash.")
    step: Annotated[Duration, AfterValidator(_whole_minutes)] = Field(
        default=timedelta(hours=1), description="How long a time one value is of."
    )

    @property
    def key(self) -> str:
        """What tells it from other queries, whatever it asks."""
        parts = (self.capability, self.action, self.team, self.service, self.person)
        return f"usage {'/'.join(parts).rstrip('/')}"


class PrometheusConfig(ApiConfig):
    """Settings of a Prometheus server."""

    type: Literal["prometheus"]
    about: ClassVar[About] = _ABOUT

    username: str = Field(default="", description="The user, where the server wants a password instead of a token.")
    tenant: str = Field(default="", description="The tenant of a server of several: its `X-Scope-OrgID`.")
    uptime: list[UptimeQuery] = Field(default_factory=list, description="Queries for uptime.")
    usage: list[UsageQuery] = Field(default_factory=list, description="Queries for usage.")
    delay: Duration = Field(
        default=_MINUTE, description="How long after its end a minute is read: samples and recording rules come late."
    )
    lookback: Duration = Field(
        default=_MINUTE, description="How old the last sample of a series may be that a query without a range sees."
    )
    most_series: int = Field(default=500, ge=1, le=10_000, description="How many series of a query are read.")

    @field_validator("uptime", "usage")
    @classmethod
    def _are_told_apart(cls, value: list[UptimeQuery] | list[UsageQuery]) -> list[UptimeQuery] | list[UsageQuery]:
        keys = [query.key for query in value]
        if (twice := next((key for key in keys if keys.count(key) > 1), None)) is not None:
            expected = "a `target`" if twice.startswith("uptime") else "an `action`"
            raise ValueError(f"two queries are of {twice.partition(' ')[2]}; expected {expected} that tells them apart")
        return value

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.uptime and not self.usage:
            raise ValueError("nothing is asked; expected `uptime`, `usage` or both")
        return self

    def build(self, context: SourceContext) -> PrometheusSource:
        """The source."""
        token = reveal(self.token)
        bearer = {"Authorization": f"Bearer {token}"} if token and not self.username else {}
        client = self.client(
            context,
            url=f"{self.url}/api/v1",
            headers={**bearer, **({"X-Scope-OrgID": self.tenant} if self.tenant else {})},
            basic=(self.username, token) if self.username else None,
        )
        server = Server(client=client, lookback=self.lookback, most_series=self.most_series)
        return PrometheusSource(server, self, context)


# ---- events


class _Row(NamedTuple):
    """Labels of a series, and what is known of each time."""

    labels: Mapping[str, str]
    values: Sequence[tuple[float, Any]]


def _pairs(good: Sequence[Series], total: Sequence[Series], place: str) -> list[_Row]:
    """What was good of each total, by the labels that both have. Raises SourceError where they have others."""
    goods, totals = ({_unnamed(s.metric): s for s in series} for series in (good, total))
    if goods.keys() - totals.keys():
        raise SourceError(f"{place}: `good` has series that `total` has not; aggregate both by the same labels")
    rows = []
    for labels, series in totals.items():
        own = dict(goods[labels].values) if labels in goods else {}
        rows.append(_Row(series.metric, [(at, (own.get(at), value)) for at, value in series.values]))
    return rows


def _unnamed(labels: Mapping[str, str]) -> str:
    """The labels of a series without the metric's name: by these the series of two metrics meet."""
    return digest({name: value for name, value in labels.items() if name != "__name__"})


@dataclass(frozen=True)
class Shapes:
    """Makes events of values. What cannot be used costs itself alone, and is told once for its series.

    `updated`: when the value at a time was settled.
    """

    config: PrometheusConfig
    people: People
    updated: Callable[[datetime], datetime]

    def probes(
        self,
        query: UptimeQuery,
        place: str,
        rows: Sequence[_Row],
        judge: Callable[[Any], tuple[int, int] | None],
        notes: Notes,
    ) -> list[Event]:
        """What each series says of each minute."""
        made: list[Event] = []
        for labels, values in rows:
            names = _names((query.service, query.environment, query.target), labels)
            where = f"{place} series {digest(labels)}"
            if names is None:
                notes.reject([BadRecord(where, "it lacks a label that its settings name")])
                continue
            found, problem = usable(values, judge)
            notes.reject([BadRecord(where, problem)] if problem else [])
            made += [
                self._probe(f"{query.key}/{digest(labels)}", names, at_seconds(at), *judged) for at, judged in found
            ]
        return made

    def _probe(self, key: str, names: Sequence[str], ended_at: datetime, passed: int, checks: int) -> Probe:
        service, environment, target = names
        at = ended_at - _MINUTE
        return Probe(
            source=self.config.name,
            native_id=f"{key}@{as_rfc3339(at)}",
            updated_at=self.updated(ended_at),
            service=service,
            environment=environment or None,
            target=target or None,
            at=at,
            duration_seconds=_MINUTE.total_seconds(),
            passed=passed,
            checks=checks,
        )

    def usage(self, query: UsageQuery, place: str, series: Sequence[Series], notes: Notes) -> list[Event]:
        """What each series says of each step; whoever used it as a hash, in the native id too.

        Two spellings of one person are one hash, whose uses add up.
        """
        made: dict[str, UsageEvent] = {}
        for labels, values in ((s.metric, s.values) for s in series):
            names = _names((query.capability, query.action, query.team, query.service, query.person), labels)
            plain = {name: value for name, value in labels.items() if name not in LABEL.findall(query.person)}
            where = f"{place} series {digest(plain)}"
            if names is None:
                notes.reject([BadRecord(where, "it lacks a label that its settings name")])
                continue
            found, problem = usable(values, uses)
            notes.reject([BadRecord(where, problem)] if problem else [])
            for at, count in found:
                use = self._use(query, names, plain, at_seconds(at), count)
                known = made.get(use.native_id)
                made[use.native_id] = msgspec.structs.replace(use, count=count + (known.count if known else 0))
        return list(made.values())

    def _use(
        self, query: UsageQuery, names: Sequence[str], labels: Mapping[str, str], ended_at: datetime, count: int
    ) -> UsageEvent:
        capability, action, team, service, who = names
        person = self.people.hashed(who) if who else None
        at = ended_at - query.step
        return UsageEvent(
            source=self.config.name,
            native_id=f"{query.key}/{digest({**labels, '': person or ''})}@{as_rfc3339(at)}",
            updated_at=self.updated(ended_at),
            capability=capability,
            at=at,
            action=action or None,
            person=person,
            team=team or None,
            service=service or None,
            bot=self.people.is_bot(who) if who else False,
            count=count,
        )


def _names(templates: Sequence[str], labels: Mapping[str, str]) -> list[str] | None:
    """The templates with the labels of a series in their places; None where it lacks one of them."""
    found = [filled(template, labels) for template in templates]
    return None if None in found else [name or "" for name in found]


# ---- reading


class _Reading(NamedTuple):
    """A query of the settings at work: where it stands, how long a time one value is of, and what a span gives."""

    key: str
    step: timedelta
    read: Callable[[Span, Notes], tuple[list[Event], int]]


@dataclass(frozen=True)
class PrometheusSource:
    """See PrometheusConfig. A stream is a query; its state is the last time at which it was asked."""

    server: Server
    config: PrometheusConfig
    context: SourceContext = field(repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """What the queries give for the minutes since the cursor's, as far as these are over."""
        now = self.server.now()
        shapes = Shapes(self.config, self.context.people, partial(self._settled, now))
        readings = [
            *(_Reading(q.key, _MINUTE, partial(self._uptime, shapes, n, q)) for n, q in enumerate(self.config.uptime)),
            *(_Reading(q.key, q.step, partial(self._usage, shapes, n, q)) for n, q in enumerate(self.config.usage)),
        ]
        streams = [Stream(one.key, partial(self._parts, now, one)) for one in readings]
        yield from pull(None if self.context.since else cursor, streams, Notes())

    def _settled(self, now: datetime, ended_at: datetime) -> datetime:
        """When the value at a time was written: once when it is new, once when it has settled, and anew when asked."""
        if self.context.since is not None:
            return now
        half = self.config.overlap / 2
        return ended_at if ended_at > now - half else ended_at + half

    def _parts(self, now: datetime, reading: _Reading, state: State, notes: Notes) -> Iterator[Part]:
        step, after = reading.step, parsed(state.after or "")
        floor = self.config.horizon(self.context) if state.since is None else state.since - self.config.overlap
        first = _aligned(floor - _INSTANT, step) + step if after is None else after + step
        last = _aligned(now - self.config.delay, step)
        spans = Spans(step)
        while first <= last:
            span = spans.next(first, last)
            try:
                events, series = reading.read(span, notes)
            except TooMuchError as error:
                if not spans.refused():
                    raise error.__cause__ or error from None
                continue
            spans.answered(series)
            state = msgspec.structs.replace(state, after=as_rfc3339(span.last)).begun(span.last)
            yield Part(events, state)
            first = span.last + step
        yield Part((), state.ended())

    def _uptime(
        self, shapes: Shapes, number: int, query: UptimeQuery, span: Span, notes: Notes
    ) -> tuple[list[Event], int]:
        place = f"uptime[{number}]"
        if query.query:
            found = self.server.ranges(query.query, f"{place}.query", span, notes)
            rows = [_Row(s.metric, s.values) for s in found]
            return shapes.probes(query, place, rows, lambda text: share(text, query.checks), notes), len(found)
        good = self.server.ranges(query.good, f"{place}.good", span, notes)
        total = self.server.ranges(query.total, f"{place}.total", span, notes)
        rows = _pairs(good, total, place)
        return shapes.probes(query, place, rows, lambda pair: counts(pair[0], pair[1], query.checks), notes), len(total)

    def _usage(
        self, shapes: Shapes, number: int, query: UsageQuery, span: Span, notes: Notes
    ) -> tuple[list[Event], int]:
        place = f"usage[{number}]"
        found = self.server.ranges(query.query, f"{place}.query", span, notes)
        return shapes.usage(query, place, found, notes), len(found)


def _aligned(at: datetime, step: timedelta) -> datetime:
    """The last multiple of a step since 1970 that is no later than a time."""
    return at - (at - _EPOCH) % step
