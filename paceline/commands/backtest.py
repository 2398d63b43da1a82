"""The command that tells what an SLO and its alerts would have done over a past: `backtest`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from collector.errors import PacelineError
from paceline.commands.examples import examples
from paceline.commands.options import config_option, opened, output_option
from paceline.commands.output import print_json
from paceline.commands.prometheus import asking, prometheus_option
from paceline.commands.slos import chosen
from paceline.resources import alert_windows
from paceline.wiring import Running
from slo_engine import openslo_values as values
from slo_engine.alert_windows import load_tiers
from slo_engine.backtest import Backtest, Incident, as_json, backtest, incident_of, lines
from slo_engine.history import measured, observed
from slo_engine.replay import History
from slo_engine.slo import Slo
from slo_engine.slo_states import is_counted
from slo_engine.windows import parse_window

_USUAL = timedelta(days=90)


class Time(click.ParamType[datetime]):
    """A time with its offset, or a day in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time of a text."""
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time; expected one such as 2026-03-01 or 2026-03-01T10:00+01:00", param, ctx)
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


class _Incident(click.ParamType[Incident]):
    """A named incident."""

    name = "name=start/end"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Incident:
        """The incident of a text."""
        try:
            return value if isinstance(value, Incident) else incident_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@dataclass(frozen=True)
class _Range:
    start: datetime
    end: datetime


@click.command(
    name="backtest",
    epilog=examples(
        "paceline backtest checkout-latency",
        "paceline backtest checkout-latency --target 0.995 --from 2026-01-01 --until 2026-04-01",
    ),
)
@click.argument("name", metavar="SLO")
@config_option
@click.option("--from", "start", type=Time(), help="The beginning of the past; 90 days before its end unless given.")
@click.option("--until", "end", type=Time(), help="Its end; now unless given.")
@click.option("--target", default="", help="Another target than the file's, such as 0.995.")
@click.option("--window", default="", help="Another rolling window than the file's, such as 30d.")
@click.option("--incident", "incidents", type=_Incident(), multiple=True, help="An incident that should have alerted.")
@prometheus_option
@output_option
def backtest_slo(
    name: str,
    config: Path | None,
    start: datetime | None,
    end: datetime | None,
    target: str,
    window: str,
    incidents: tuple[Incident, ...],
    url: str,
    output: str,
) -> None:
    """Tell what an SLO and its alerts would have done over a past: how often they fire, what they miss.

    The past of an SLO on an indicator is what is stored; of one that Prometheus measures a range of --prometheus.
    """
    with opened(config) as running:
        (slo,) = chosen(running.service.configuration.slos, [name])
        candidate = _candidate(slo, target, window)
        last = end or running.service.refresh().snapshot.at
        span = _Range(start or last - _USUAL, last)
        try:
            found = list(_tried(running, candidate, span, incidents, url))
        except ValueError as error:
            raise PacelineError(str(error)) from error
    if not found:
        raise PacelineError(f"{name} has no events from {span.start:%Y-%m-%d} to {span.end:%Y-%m-%d}")
    if output == "json":
        print_json([as_json(one) for one in found])
        return
    for one in found:
        click.echo("\n".join(lines(one)))


def _candidate(slo: Slo, target: str, window: str) -> Slo:
    """The SLO with another target or window. Raises UsageError for one that is none."""
    try:
        slo = replace(slo, target=values.target(target)) if target else slo
        return replace(slo, window=parse_window(window)) if window else slo
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _tried(running: Running, slo: Slo, span: _Range, incidents: Sequence[Incident], url: str) -> Iterator[Backtest]:
    tiers = load_tiers(alert_windows())
    for group, history in _pasts(running, slo, span, url).items():
        yield backtest(slo, history, tiers, incidents, group=group)


def _pasts(running: Running, slo: Slo, span: _Range, url: str) -> dict[str, History]:
    """What happened, by group."""
    service = running.service
    if is_counted(slo):
        indicator = service.indicators[slo.indicator]
        found = observed(
            slo,
            indicator,
            service.observations,
            span.start,
            span.end,
            service.configuration.exclusions,
            organisation=service.configuration.organisation,
        )
        return {"": found}
    if slo.promql is None:
        raise ValueError(f"{slo.name} has no events of its own; expected one of its parts")
    if not url:
        raise ValueError(f"{slo.name} is measured by Prometheus; expected its address: --prometheus http://…")
    with asking(url) as ask:
        return measured(slo, ask, span.start, span.end)
