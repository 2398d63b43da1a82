"""Range queries of Prometheus' HTTP API, and of whatever answers like it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from collector.errors import ContractError, RetryableError, SourceError
from collector.http import Answer, ApiClient
from collector.streams import Notes
from collector.times import as_rfc3339

_MOST_POINTS = 10_000
"""Of a series in one answer; servers refuse more than 11 000."""
_FIRST_POINTS, _FEWEST_POINTS = 240, 30
_ANSWER_POINTS = 100_000
"""About so many points of all series make an answer that is quickly read."""
_UNDERSTOOD = (400, 422)
_SERVER_ERRORS = 500
_TOO_MUCH = re.compile(r"too many (samples|points)|exceed|cannot select more", re.IGNORECASE)
_LONGEST_WORDS = 160


class Series(msgspec.Struct):
    """A series of a range: its labels, and values by seconds since 1970. Native histograms have none."""

    metric: dict[str, str]
    values: list[tuple[float, str]] = []


class _Matrix(msgspec.Struct, tag_field="resultType", tag="matrix"):
    result: list[Series]


class _Sample(msgspec.Struct):
    value: tuple[float, str]


class _Vector(msgspec.Struct, tag_field="resultType", tag="vector"):
    result: list[_Sample]


class _Ranges(msgspec.Struct):
    data: _Matrix
    warnings: list[str] = []


class _Instant(msgspec.Struct):
    data: _Vector


class _Refusal(msgspec.Struct, rename={"kind": "errorType"}):
    error: str = ""
    kind: str = ""


class TooMuchError(SourceError):
    """A span has more samples than the server loads at once: a shorter one may work."""


class Span(NamedTuple):
    """The times at which a query is asked: from the first to the last, both included."""

    first: datetime
    last: datetime
    step: timedelta


@dataclass
class Spans:
    """Cuts a long time into spans that a server answers: short ones first, then by how many series there are."""

    step: timedelta
    _points: int = _FIRST_POINTS
    _most: int = _MOST_POINTS

    def next(self, first: datetime, last: datetime) -> Span:
        """The span from the first time on; it ends with the last one at the latest."""
        return Span(first, min(last, first + (self._points - 1) * self.step), self.step)

    def answered(self, series: int) -> None:
        """A span gave so many series: the next one may be as long as they allow."""
        self._points = min(max(_ANSWER_POINTS // max(series, 1), _FEWEST_POINTS), self._most)

    def refused(self) -> bool:
        """A span was too much; whether a shorter one can be tried."""
        self._points = self._most = self._points // 2
        return self._points >= _FEWEST_POINTS


@dataclass(frozen=True, kw_only=True)
class Server:
    """Asks for ranges. `lookback`: how old a sample may be that an instant selector sees."""

    client: ApiClient
    lookback: timedelta
    most_series: int

    def now(self) -> datetime:
        """The server's time: minutes end by its clock, not by ours."""
        found: _Instant = self.client.get("query", {"query": "vector(time())"}).read(_Instant)
        if not found.data.result:
            raise ContractError("GET query: the answer holds no time")
        return at_seconds(found.data.result[0].value[0])

    def ranges(self, query: str, place: str, span: Span, notes: Notes) -> list[Series]:
        """The series that a query gives in a span, in the order of their labels.

        Raises SourceError naming the place of a query that is refused, and TooMuchError.
        """
        asked = {
            "query": query,
            "start": as_rfc3339(span.first),
            "end": as_rfc3339(span.last),
            "step": str(int(span.step.total_seconds())),
            "lookback_delta": f"{int(self.lookback.total_seconds())}s",
            "partial_response": "false",
        }
        try:
            answer = self.client.get("query_range", asked, understood=_UNDERSTOOD)
        except RetryableError as error:
            if (error.status or 0) >= _SERVER_ERRORS and error.retry_after_seconds is None:
                raise TooMuchError(f"{place}: {error}", status=error.status) from error
            raise
        if answer.status in _UNDERSTOOD:
            raise _refused(answer, place)
        found: _Ranges = answer.read(_Ranges)
        for warning in found.warnings:
            notes.warn(f"{place}: {_plain(warning)}")
        for series in found.data.result:
            _check_times(series, span, answer)
        return self._some(found.data.result, place, notes)

    def _some(self, found: list[Series], place: str, notes: Notes) -> list[Series]:
        series = sorted(found, key=lambda s: sorted(s.metric.items()))
        if len(series) > self.most_series:
            notes.cut(
                f"{place}: {len(series)} series, of which {self.most_series} are read; aggregate them by fewer labels"
            )
        return series[: self.most_series]


def at_seconds(seconds: float) -> datetime:
    """A time in UTC from seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def _check_times(series: Series, span: Span, answer: Answer) -> None:
    first, step = span.first.timestamp(), span.step.total_seconds()
    last = span.last.timestamp()
    if any(not first <= at <= last or (at - first) % step for at, _ in series.values):
        raise ContractError(f"{answer.asked}: a value is of a time that was not asked for")


def _refused(answer: Answer, place: str) -> SourceError:
    said: _Refusal = answer.read(_Refusal)
    kind = TooMuchError if _TOO_MUCH.search(said.error) else SourceError
    why = f" ({said.kind})" if said.kind else ""
    return kind(f"{place}: the query is refused{why}: {_plain(said.error)}", status=answer.status)


def _plain(text: str) -> str:
    """What a server says, as one short line and without the labels of series, which may name people."""
    return " ".join(text.partition("{")[0].split())[:_LONGEST_WORDS]
