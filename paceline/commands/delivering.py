"""What `paceline report` does with deliveries: sends now, and lists the log."""

from __future__ import annotations

import sys

import click

from collector.store import DeliveryRecord, DeliveryState, from_micros, to_micros
from paceline.commands.output import print_json, table
from paceline.deliveries import Deliveries, delivery_view
from paceline.exits import FAILED
from paceline.wiring import Running, utc_now
from slo_engine.weekly import Week

EVERY = "*"
"""What `--deliver` says without a name; no delivery can be called so."""
_MOST = 200


def deliver_now(running: Running, week: Week, name: str, *, anew: bool) -> None:
    """Send a week by one delivery or by all. Exits with FAILED where one was not sent."""
    known = {one.name: one for one in running.service.configuration.deliveries}
    if not known:
        raise click.UsageError("--deliver: there is nowhere to deliver to; expected report.deliveries in the settings")
    if name not in {EVERY, *known}:
        raise click.UsageError(f"--deliver: {name!r} is no delivery; expected one of {', '.join(known)}")
    if week.monday > running.service.last_week.monday:
        raise click.UsageError(f"--deliver: {week.label} is not over; expected a week that is")
    deliveries = Deliveries(running.service, running.log, utc_now)
    asked_at = to_micros(utc_now())
    records = [deliveries.send_now(one, week, anew=anew) for one in known.values() if name in {EVERY, one.name}]
    for record in records:
        click.echo(f"{record.delivery}: {_became(record, asked_at)}")
    if any(record.state is not DeliveryState.SENT for record in records):
        sys.exit(FAILED)


def _became(record: DeliveryRecord, asked_at: int) -> str:
    """What became of a delivery that was asked for at a time."""
    if record.state is DeliveryState.SENT and record.sent_at is not None:
        before = f" already on {_minute(record.sent_at)}; --again sends it anew"
        return f"{record.week} was sent{before if record.sent_at < asked_at else ''}"
    if record.state is DeliveryState.SENDING:
        return f"{record.week} is being sent by another process"
    later = f"is tried again from {_minute(record.due_at)} on by the service"
    then = later if record.state is DeliveryState.PENDING else "was given up"
    return f"{record.week} was not sent, it {then}: {record.error}"


def _minute(micros: int | None) -> str:
    return "" if micros is None else f"{from_micros(micros):%Y-%m-%d %H:%M} UTC"


def list_deliveries(running: Running, output: str) -> None:
    """Print the log, for people or for programs."""
    records = running.service.delivery_log.listed(_MOST)
    if output == "json":
        print_json({"deliveries": [delivery_view(record) for record in records]})
        return
    table(
        "Deliveries of the weekly summary, the newest weeks first",
        ("Week", "Delivery", "State", "Attempts", "Last tried", "Sent", "Why not"),
        [
            (
                *(r.week, r.delivery, r.state.value, str(r.attempts)),
                *(_minute(r.last_tried_at), _minute(r.sent_at), r.error or ""),
            )
            for r in records
        ],
    )
