"""What evaluating 500 SLOs costs, over 1 000 000 observations.

    make bench ARGS=bench/slos.py
    .venv/bin/python bench/slos.py --observations 100000

The observations are the same on every machine: a hundred services of uneven size, the indicators of changes,
deployments, incidents and pipelines. Of the SLOs four of five are of one service and the others of all; durations and
ratios, rolling windows and those of the calendar, some with exclusions, some that count slices of time. Once the
observations are of a year, as a store grows; once all of them lie in the longest window. Every first evaluation runs
in a process of its own, and processor time stands beside the clock's, for machines that have other work.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from collector.bulk import seldom_collecting
from collector.store import Database, DerivationStore, ObservationStore, Replacement, Series, to_micros
from paceline.resources import alert_windows
from slo_engine.alert_windows import load_tiers
from slo_engine.evaluate import Evaluator
from slo_engine.exclusions import Exclusion, ExclusionReason
from slo_engine.indicator import Indicator, Shape, indicators, widths_of
from slo_engine.observation import NO_PARTS
from slo_engine.reading import Reader
from slo_engine.slo import IndicatorSli, Operator, Slo
from slo_engine.slo_states import Conditions, states_of
from slo_engine.snapshot import SourceState
from slo_engine.windows import CalendarWindow, parse_window

LIMIT = 2.0
"""Seconds that an evaluation may take."""
SLOS, SERVICES, OBSERVATIONS = 500, 100, 1_000_000
SPANS = {"a year": 365, "90 days": 90}
RUNS = 5
NEW = 1_000
NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
SECOND, DAY = 1_000_000, 86_400_000_000
SOURCE, PRODUCTION = "ci", "production"
SHARES = {
    "pipeline_wait": 0.4,
    "pipeline_success": 0.4,
    "change_lead_time": 0.1,
    "change_fail_rate": 0.08,
    "incident_time_to_restore": 0.02,
}
"""How many of the observations are of each indicator."""
THRESHOLDS = {
    "pipeline_wait": 600.0,
    "change_lead_time": 86_400.0,
    "change_delivery_time": 36_000.0,
    "incident_time_to_restore": 14_400.0,
}
WINDOWS = (
    parse_window("7d"),
    parse_window("28d"),
    CalendarWindow("month", zone="Europe/Berlin"),
    parse_window("30d"),
    CalendarWindow("quarter", zone="Europe/Berlin"),
    parse_window("90d"),
    CalendarWindow("week", 2, "America/New_York"),
)


# ---- what there is


def rows(name: str, own: random.Random, count: int, days: int) -> Iterator[tuple[Any, ...]]:
    """The observations of one series: as many in each stretch of time, at some moment of it."""
    start, step = to_micros(NOW) - days * DAY, days * DAY // count
    for number in range(count):
        at = start + number * step + own.randrange(step)
        yield row(name, own, at, f"{number}-{own.getrandbits(48):x}")


def row(name: str, own: random.Random, at: int, unit: str) -> tuple[Any, ...]:
    """An observation: one of twenty is bad or slow."""
    evidence = f'["{unit}"]'
    if INDICATORS[name].shape is Shape.RATIO:
        outcome = "bad" if own.random() < 0.05 else "good"
        return at, unit, None, *NO_PARTS, outcome, "", None, "", evidence
    value = own.lognormvariate(0, 1) * THRESHOLDS[name] / 5
    parts = tuple(value * share for share in (0.2, 0.3, 0.3, 0.2)) if name == "change_lead_time" else NO_PARTS
    return at, unit, value, *parts, "measured", "", None, "", evidence


def make(folder: Path, observations: int, days: int) -> None:
    """A store with the observations of all services: a service has as many as its rank allows."""
    weights = [1 / (rank + 5) for rank in range(SERVICES)]
    folder.mkdir()
    database = Database.open(folder)
    derivations = DerivationStore(database)
    for rank, weight in enumerate(weights):
        own, service = random.Random(rank), f"service-{rank}"  # noqa: S311 - the same numbers everywhere
        found = {
            series_of(name, service): list(
                rows(name, own, max(1, round(observations * share * weight / sum(weights))), days)
            )
            for name, share in SHARES.items()
        }
        derivations.replace(Replacement("bench", service, found, "", (), None), 0, "")
    database.close()


def series_of(name: str, service: str) -> Series:
    """The series of an indicator and a service."""
    return Series("bench", name, "", service, PRODUCTION, "", SOURCE, scope=service)


def slos() -> list[Slo]:
    """The SLOs: each is another mixture of service, indicator, window and way of counting."""
    names = (*THRESHOLDS, "pipeline_success", "change_fail_rate")
    return [slo(number, names[number % len(names)]) for number in range(SLOS)]


def slo(number: int, name: str) -> Slo:
    """One SLO: every fifth is over all services, every ninth counts slices."""
    service = "" if number % 5 == 0 else f"service-{number % SERVICES}"
    slices = number % 9 == 1
    of_time: dict[str, Any] = {
        "budgeting": "timeslices" if number % 2 else "ratio_timeslices",
        "slice": timedelta(hours=1),
        "slice_target": Decimal("0.9"),
    }
    return Slo(
        name=f"slo-{number}",
        title=f"SLO {number}",
        description="",
        owner_service=service or "platform",
        target=Decimal("0.9"),
        window=WINDOWS[number % len(WINDOWS)],
        sli=IndicatorSli(
            indicator=name,
            operator=Operator.LTE if name in THRESHOLDS else None,
            threshold=THRESHOLDS.get(name),
            service=service,
            environment=PRODUCTION,
        ),
        alert_class="rate" if name.startswith("pipeline") else "count",
        **(of_time if slices else {}),
    )


def exclusions() -> list[Exclusion]:
    """A maintenance window of every fourth service, each week on the clocks of Berlin, and one for the platform."""
    first = datetime(2026, 1, 3, 22, tzinfo=ZoneInfo("Europe/Berlin"))
    whom = ("platform", *(f"service-{rank}" for rank in range(0, SERVICES, 4)))
    return [
        Exclusion(
            reason=ExclusionReason.MAINTENANCE,
            author="platform team",
            ticket=f"OPS-{number}",
            starts_at=first,
            ends_at=first + timedelta(hours=8),
            service=service,
            zone="Europe/Berlin",
            recurrence="FREQ=WEEKLY;BYDAY=SA",
        )
        for number, service in enumerate(whom)
    ]


INDICATORS: Mapping[str, Indicator] = indicators()


# ---- measurements, each in a process of its own


def alone(folder: Path) -> dict[str, float]:
    """The SLOs alone, as a report or the gate asks for them."""
    database, asked = Database.open(folder), slos()
    fresh, tiers, excluded = frozenset({SOURCE}), load_tiers(alert_windows()), tuple(exclusions())
    start, busy = time.perf_counter(), time.process_time()
    with seldom_collecting():
        reader = Reader(ObservationStore(database), NOW, widths=widths_of(INDICATORS))
        found = states_of(asked, INDICATORS, reader, Conditions(fresh=fresh, tiers=tiers, exclusions=excluded))
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    database.close()
    known = sum(1 for state in found if state.attainment is not None)
    return {"alone": seconds, "alone processor": busy, "known": known}


def again(folder: Path) -> dict[str, float]:
    """What the service does: all numbers and SLOs, then once more with nothing new, and after new observations."""
    database = Database.open(folder)
    evaluator, asked, excluded = Evaluator(ObservationStore(database)), slos(), exclusions()
    source, tiers = just_succeeded(), load_tiers(alert_windows())

    def seconds(name: str, later: int) -> dict[str, float]:
        start, busy = time.perf_counter(), time.process_time()
        at = NOW + timedelta(seconds=later)
        evaluator.evaluate(INDICATORS, asked, [source], at, tiers, exclusions=excluded)
        return {name: time.perf_counter() - start, f"{name} processor": time.process_time() - busy}

    found = seconds("first", 0) | seconds("idle", 60)
    evaluator.apply(add(database, to_micros(NOW) + 61 * SECOND))
    found |= seconds("new", 120)
    database.close()
    return found | {"memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def add(database: Database, at: int) -> dict[int, int]:
    """Write new observations of many services; the series that changed, and since when."""
    own = random.Random(NEW)  # noqa: S311 - the same numbers everywhere
    picked = Counter(own.randrange(SERVICES) for _ in range(NEW))
    changes: dict[int, int] = {}
    for rank, count in sorted(picked.items()):
        found: dict[Series, list[tuple[Any, ...]]] = {}
        for number, name in enumerate(own.choices([*SHARES], [*SHARES.values()], k=count)):
            found.setdefault(series_of(name, f"service-{rank}"), []).append(
                row(name, own, at + number, f"new-{number}")
            )
        new = Replacement("bench", f"service-{rank}", found, "", (), None, after=at - 1)
        changes |= DerivationStore(database).replace(new, 0, "")[1]
    return changes


def just_succeeded() -> SourceState:
    """The source, fresh."""
    return SourceState(
        name=SOURCE,
        type="files",
        fresh=True,
        staleness_seconds=0.0,
        last_success_at=NOW,
        last_run_at=NOW,
        last_duration_seconds=1.0,
        last_succeeded=True,
        error=None,
        events_total=OBSERVATIONS,
        rejected_total=0,
        newest_event_at=NOW,
    )


MEASUREMENTS = {"alone": alone, "again": again}


# ---- what is printed


def in_a_process(what: str, folder: Path) -> dict[str, float]:
    """One measurement in a fresh process, on a copy of the store."""
    copy = folder.with_name("measured")
    shutil.copytree(folder, copy)
    command = [sys.executable, __file__, "--measure", what, str(copy)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    shutil.rmtree(copy)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def medians(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: statistics.median(f[name] for f in found) for name in found[0]}


def say(label: str, found: Mapping[str, float], name: str) -> None:
    """Print one figure beside the limit."""
    seconds, busy = found[name], found[f"{name} processor"]
    share = f"limit {LIMIT:.0f}, {seconds / LIMIT:.2f} of it"
    print(f"  {label:34}  {seconds:.2f} s ({share}), processor {busy:.2f} s", flush=True)


def main() -> None:
    """Print what evaluating the SLOs costs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--observations", type=int, default=OBSERVATIONS, help="how many there are")
    parser.add_argument("--runs", type=int, default=RUNS, help="of how many runs the medians are")
    given = parser.parse_args()
    for span, days in SPANS.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "store"
            make(folder, given.observations, days)
            middle = medians([in_a_process("alone", folder) for _ in range(given.runs)])
            middle |= medians([in_a_process("again", folder) for _ in range(given.runs)])
        print(
            f"{SLOS} SLOs over {given.observations:,} observations of {span}, {middle['known']:.0f} with an attainment"
        )
        say("the SLOs alone, new process", middle, "alone")
        say("with all numbers, new process", middle, "first")
        say(f"after {NEW:,} new observations", middle, "new")
        say("with nothing new", middle, "idle")
        print(f"  peak memory {middle['memory_mb']:.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(MEASUREMENTS[sys.argv[2]](Path(sys.argv[3]))))
    else:
        main()
