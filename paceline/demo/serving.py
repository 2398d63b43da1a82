"""Serves an example and what stands around it, until interrupted: pages, Prometheus, Alertmanager, boards."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from paceline.demo import programs
from paceline.demo.addresses import pages_of
from paceline.demo.children import Children, children, interruptible
from paceline.demo.folder import SETTINGS, make
from paceline.demo.importing import derive_example
from paceline.demo.inbox import inbox
from paceline.demo.kept import SERVERS, Mark, NotUsable, claimed, clear, mark_of
from paceline.demo.past import PROMTOOL, moments, store_past
from paceline.demo.period import Period
from paceline.demo.programs import Places, url
from paceline.demo.stories import STORIES
from paceline.settings import Configuration
from paceline.wiring import configuration

Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What is served, and how; port 0 takes a free one."""

    weeks: int
    seed: int
    port: int = 0
    servers: bool = True
    past: bool = False


def serve_example(folder: Path, wishes: Wishes, now: datetime, say: Say) -> None:
    """Make the example in a folder unless it was made there today, and serve it until a signal comes.

    Raises NotUsable where the folder or the port cannot be used, and PacelineError where a program fails.
    """
    promtool = programs.on_path(PROMTOOL)
    if wishes.past and promtool is None:
        raise NotUsable("--past needs promtool, which comes with Prometheus; install it, or leave --past out")
    if wishes.port and _taken(wishes.port):
        raise NotUsable(f"port {wishes.port} is taken; choose another with --port, or 0 for a free one")
    folder = folder.resolve()
    with claimed(folder):
        with interruptible():
            mark = _example(folder, wishes, now, say)
            found = configuration(folder / SETTINGS, {}, folder)
            (folder / SERVERS).mkdir(exist_ok=True)
            where = programs.places(folder, wishes.port)
            if promtool and wishes.past and not mark.past:
                _past(where, found, mark, promtool, say)
        _serve(where, found, mark.period, wishes, say)


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((programs.LOOPBACK, port)) == 0


def _example(folder: Path, wishes: Wishes, now: datetime, say: Say) -> Mark:
    """The example in the folder as it is, or made anew; the mark comes first, so that what was only begun is known."""
    wanted = Mark(version=version("paceline"), weeks=wishes.weeks, seed=wishes.seed, until=now)
    there = mark_of(folder)
    if there is not None and there.serves_as(wanted):
        say(f"The example of today is in {folder} already")
        return there
    if there is not None:
        clear(folder)
    period = wanted.period
    wanted.write(folder)
    written = make(folder, period, standing=False)
    say(f"{sum(written.values()):,} events of {wishes.weeks} weeks written to {folder}")
    derive_example(configuration(folder / SETTINGS, {}, folder), period, say)
    whole = msgspec.structs.replace(wanted, whole=True)
    whole.write(folder)
    return whole


def _past(where: Places, found: Configuration, mark: Mark, promtool: str, say: Say) -> None:
    say("Publishing the past for Prometheus; this takes about a minute")
    period = mark.period
    store_past(found, moments(period.until, period.weeks), programs.prometheus_data(where), promtool)
    msgspec.structs.replace(mark, past=True).write(where.folder)


# --- what runs -------------------------------------------------------------------------------------------


def _serve(where: Places, found: Configuration, period: Period, wishes: Wishes, say: Say) -> None:
    secret = programs.new_secret(where)
    with inbox(where.servers / "notifications.jsonl", secret, say) as address, children() as running:
        running.start(programs.paceline(where, address))
        shown = _around(where, found, running, say) if wishes.servers else []
        if not running.asked.is_set():
            _tell(where, shown, period, say)
        running.watch()
    say("Everything has ended; the example stays in its folder")


def _around(where: Places, found: Configuration, running: Children, say: Say) -> list[str]:
    """Start what is there of Prometheus, Alertmanager and Grafana; where each is, and what is missing, in lines."""
    variables = programs.write_grafana(where, found.settings.notice)
    prometheus, alertmanager, grafana = (
        programs.on_path(names) for names in (programs.PROMETHEUS, programs.ALERTMANAGER, programs.GRAFANA)
    )
    if prometheus is None:
        return ["Prometheus    not found on PATH; without it there are no alerts and no boards"]
    started = [programs.prometheus(where, prometheus, found, url(where.grafana) if grafana else "")]
    lines = []
    if alertmanager is None:
        lines.append("Alertmanager  not found on PATH; alerts are seen in Prometheus alone")
    else:
        started.append(programs.alertmanager(where, alertmanager, found))
        lines += [f"Alertmanager  {url(where.alertmanager)}/", *programs.how_to_ask_alertmanager(where)]
    if grafana is None:
        lines += programs.how_to_see_boards(where)
    else:
        started.append(programs.grafana(where, grafana, variables))
        lines.append(f"Grafana       {url(where.grafana)}/")
    say("Starting what stands around it")
    running.start(*started)
    return [f"Prometheus    {programs.alerts_page(where)}", *lines]


def _tell(where: Places, around: Sequence[str], period: Period, say: Say) -> None:
    """Where everything is, and what happened here with the pages that show it."""
    say(f"\nPages         {where.paceline_url}/")
    for line in around:
        say(line)
    say("\nWhat happened here:")
    for story in STORIES:
        say(f"\n{story.told(period)}")
        for path in pages_of(story, period):
            say(f"    {where.paceline_url}{path}")
    say("\nCtrl-C ends everything")
