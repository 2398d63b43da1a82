"""What the boards cost: making all of them, and what they ask in an organisation of 500 SLOs and 1 000 services.

    make bench ARGS=bench/all_boards.py
    PYTHONPATH=tests/lib .venv/bin/python bench/all_boards.py --services 100 --slos 50

Boards are made for the built-in indicators. Then a real Prometheus is filled with a synthetic exposition: every metric
of the catalogue for services in up to two environments, three levels of teams, all windows, statistics and labels. The
boards must be the same as for any other organisation, and each query of a variable, which a reader waits for before
anything is drawn, has a limit. Beside them stand the slowest panels, asked as Grafana does when a board is opened. The
series have a sample before the longest chart and one now, and the newest is held in between: each step of a chart finds
every series.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from asking import Opened
from boards import Answers, serve

from dashboards.boards import BOARDS, all_boards
from dashboards.making import Board, Making
from dashboards.panels import Dashboard
from dashboards.queries import panels_of, substituted, variable_queries
from slo_engine.catalog import FIXED, QUANTILES, SUBJECT_LABELS, Metric, metrics_of
from slo_engine.indicator import Indicator, Shape, indicators
from slo_engine.observation import Reason
from slo_engine.organisation import levels
from slo_engine.windows import BURN_WINDOWS, INDICATOR_WINDOWS

LIMIT_SECONDS = 1.0
"""For making all boards, and for each query of a variable."""
SLOS, SERVICES = 500, 1_000
RUNS = 7
SLOWEST = 8
GROUPS, TEAMS_OF_A_GROUP = 12, 10
STAGING_EVERY = 3
"""Every third service is in a second environment too."""
PROBED_EVERY = 20
"""Every so many places are parts of the platform that are probed."""
PENDING_EVERY = 50
LONGEST_CHART = timedelta(weeks=27)
NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
HELD = "--query.lookback-delta=5000h"

Labels = tuple[str, ...]


class Timed(NamedTuple):
    """How long something took, in seconds, and what it was."""

    name: str
    median: float
    worst: float
    busy: float
    """The median of the processor time of this process."""


def timed(name: str, work: Callable[[], object], runs: int = RUNS) -> Timed:
    """The median and the worst of several runs, the first of them included."""
    taken, busy = [], []
    for _ in range(runs):
        start, used = time.perf_counter(), time.process_time()
        work()
        taken.append(time.perf_counter() - start)
        busy.append(time.process_time() - used)
    return Timed(name, statistics.median(taken), max(taken), statistics.median(busy))


# ---- making


def making() -> Making:
    """The built-in indicators, with links to Paceline's pages."""
    return Making(indicators=tuple(indicators().values()), base_url="https://paceline.example")


def written(boards: Sequence[Dashboard | None]) -> int:
    """The length of the boards' text."""
    return sum(len(board.text()) for board in boards if board)


def alone(board: Board, made: Making) -> int:
    """The length of one board's text."""
    return written([board.make(made)])


def say_making() -> None:
    """Print what making the boards costs, together and each."""
    made = making()
    every = timed("all boards", lambda: written(all_boards(made)))
    print(f"{len(all_boards(made))} boards, {written(all_boards(made)) / 1e6:.1f} MB of JSON")
    say_one(every, f" (limit {LIMIT_SECONDS:.0f} s)")
    for board in BOARDS:
        one = timed(board.uid, partial(alone, board, made))
        say_one(one)


def say_one(one: Timed, more: str = "") -> None:
    """Print how long one thing took."""
    print(f"  {one.name:24}  {one.median:.3f} s, worst {one.worst:.3f} s, processor {one.busy:.3f} s{more}", flush=True)


# ---- a large organisation


class Size(NamedTuple):
    """How much of it there is."""

    slos: int
    services: int


def teams(size: Size) -> list[str]:
    """The teams, each with its share of the services."""
    every = [f"/group-{g}/team-{g}-{t}" for g in range(GROUPS) for t in range(TEAMS_OF_A_GROUP)]
    return every[: size.services]


def subjects(size: Size) -> tuple[list[Labels], list[Labels]]:
    """Service, environment and team of the services, and of the levels of teams."""
    named = teams(size)
    services: list[Labels] = [
        (f"service-{n}", environment, named[n % len(named)])
        for n in range(size.services)
        for environment in (("production", "staging") if n % STAGING_EVERY == 0 else ("production",))
    ]
    above = sorted({level for team in named for level in levels(team)})
    return services, [("", environment, level) for environment in ("production", "staging") for level in above]


LISTED: dict[str, Sequence[str]] = {
    "journey": ["", *(f"journey-{n}" for n in range(12))],
    "queue": [f"queue-{n}" for n in range(10)],
    "source": [f"source-{n}" for n in range(12)],
    "kind": ["", *(f"kind-{n}" for n in range(4))],
    "method": ["", "first", "second"],
    "stage": ["first_change", "first_deployed_change", "access"],
    "outcome": ["success", "failure", "error"],
    "status": ["healthy", "at_risk", "exhausted", "insufficient_data"],
    "reason": [Reason.UNKNOWN],
    "window": [w.label for w in INDICATOR_WINDOWS],
    "metric": [f"platform_metric_{n}" for n in range(20)],
    "indicator": [*indicators()],
}
"""The values of each label that is no subject and no SLO; a label that is not here has one."""
ONE = ("one",)


def series(size: Size) -> Iterator[tuple[Metric, Labels]]:
    """Every metric with the values of its labels."""
    services, above = subjects(size)
    for indicator in indicators().values():
        whose = told_of(indicator, services, above)
        for metric in metrics_of(indicator).all():
            others = [choices(indicator, metric, label) for label in metric.labels if label not in SUBJECT_LABELS]
            names = [label for label in metric.labels if label not in SUBJECT_LABELS]
            for subject, rest in itertools.product(whose, itertools.product(*others)):
                found = dict(zip((*SUBJECT_LABELS, *names), (*subject, *rest), strict=True))
                yield metric, tuple(found[label] for label in metric.labels)
    for metric in FIXED:
        for values in fixed(metric, size, services):
            yield metric, values


def told_of(indicator: Indicator, services: Sequence[Labels], above: Sequence[Labels]) -> Sequence[Labels]:
    """Whose numbers an indicator has: few services are probed, small teams are withheld, sources are everybody's."""
    if indicator.like_delivery:
        return [*(services[::PROBED_EVERY] if indicator.name == "uptime" else services), *above]
    everybody = [("", "", level) for _, environment, level in above if environment == "production"]
    if "source" in indicator.labels:
        return everybody[:1]
    return [one for one in everybody if one[2].count("/") == 1] if indicator.people else everybody


def choices(indicator: Indicator, metric: Metric, label: str) -> Sequence[str]:
    """The values of a label of an indicator's metric."""
    if label == "stat":
        durations = (*QUANTILES, "low", "high")
        return durations if indicator.shape is Shape.DURATION else ("value", "low", "high", *indicator.stats)
    if label in indicator.values:
        return indicator.values[label]
    if label == indicator.dimension:
        return indicator.dimensions if metric.type == "counter" else ("", *indicator.dimensions)
    return LISTED[label]


def fixed(metric: Metric, size: Size, services: Sequence[Labels]) -> Iterator[Labels]:
    """The labels of a metric that is no indicator's: those of each SLO or service it tells of, else all values."""
    if "slo" not in metric.labels and "service" not in metric.labels:
        yield from itertools.product(*(LISTED.get(label, ONE) for label in metric.labels))
        return
    told: Mapping[str, Sequence[str]] = LISTED | {"window": [w.label for w in BURN_WINDOWS]}
    names = [label for label in ("window", "outcome", "status") if label in metric.labels]
    for number in range(size.slos if "slo" in metric.labels else len(services)):
        service, environment, team = services[number % len(services)]
        known = dict.fromkeys(metric.labels, "") | {"slo": f"slo-{number}", "service": service, "team": team}
        known |= {"environment": environment, "tier": "standard", "kind": "rate"}
        for values in itertools.product(*(told[label] for label in names)):
            found = known | dict(zip(names, values, strict=True))
            yield tuple(found[label] for label in metric.labels)


def history(size: Size, times: Sequence[int]) -> Iterator[tuple[str, int]]:
    """OpenMetrics text, metric by metric, and how many series it has."""
    grouped = itertools.groupby(series(size), key=lambda one: one[0])
    for metric, several in grouped:
        family = metric.name.removesuffix("_total") if metric.type == "counter" else metric.name
        lines, found = [f"# TYPE {family} {metric.type}\n"], [values for _, values in several]
        for values in found:
            labels = ",".join(f'{n}="{v}"' for n, v in zip(metric.labels, values, strict=True) if v)
            value = value_of(metric, values)
            lines += [f"{metric.name}{{{labels}}} {value:.3f} {at}\n" for at in times]
        yield "".join(lines), len(found)


def value_of(metric: Metric, values: Labels) -> float:
    """From 0 to 1, the same in every run; few have something that is pending."""
    found = hash_of(values)
    return float(found % PENDING_EVERY == 0) if metric.name.endswith("_pending") else found % 997 / 997


def hash_of(values: Labels) -> int:
    """A number that is the same in every run."""
    return sum(ord(letter) * place for place, letter in enumerate("".join(values), start=1))


def fill(folder: Path, size: Size) -> int:
    """Write the organisation as blocks of a Prometheus; how many series it has."""
    text, count = folder / "history.om", 0
    times = [int((NOW - LONGEST_CHART).timestamp()), int(NOW.timestamp())]
    with text.open("w", encoding="utf-8") as out:
        for lines, found in history(size, times):
            out.write(lines)
            count += found
        out.write("# EOF\n")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q", "--max-block-duration=13200h"]
    subprocess.run([*command, str(text), str(folder / "data")], check=True, capture_output=True)
    text.unlink()
    return count


# ---- asking


def variables(opened: Opened) -> Iterator[Timed]:
    """How long the query of each variable takes, with what is chosen at first."""
    for name, selector, label in variable_queries(opened.document):
        sent = substituted(selector, opened.texts())
        asked = partial(opened.answers.values, label, sent, opened.start, opened.now)
        yield timed(f"{opened.document['uid']}, ${name}", asked)


def panels(opened: Opened) -> Iterator[Timed]:
    """How long each query of a panel takes, folded ones included, as the board is opened."""
    for panel in panels_of(opened.document):
        for target in panel.get("targets", ()):
            name = f"{opened.document['uid']}, {panel['title']}, {target['refId']}"
            yield timed(name, partial(opened.series, target), runs=1)


def say_asking(size: Size) -> None:
    """Print what the boards ask of a large organisation, and how long its answers take."""
    boards = all_boards(making())
    with tempfile.TemporaryDirectory() as place:
        count = fill(Path(place), size)
        process, url = serve(Path(place), "prometheus", HELD)
        answers = Answers(url)
        try:
            opened = [Opened(board.document, answers, NOW) for board in boards]
            services, above = subjects(size)
            print(
                f"{len(boards)} boards for {size.slos} SLOs, {size.services:,} services in {len(services):,} places, "
                f"{len(above) // 2} levels of teams, {len(INDICATOR_WINDOWS)} windows: {count:,} series"
            )
            say("queries of variables, slowest first", [one for each in opened for one in variables(each)])
            say("queries of panels, slowest first, once each", [one for each in opened for one in panels(each)])
        finally:
            answers.close()
            process.terminate()
            process.wait()


def say(title: str, found: Sequence[Timed]) -> None:
    """Print the slowest of some queries, and how many exceed the limit."""
    late = sum(one.worst > LIMIT_SECONDS for one in found)
    print(f"{len(found)} {title}; {late} above {LIMIT_SECONDS:.0f} s")
    for one in sorted(found, key=lambda one: one.worst, reverse=True)[:SLOWEST]:
        print(f"  {one.median:.3f} s, worst {one.worst:.3f} s  {one.name}", flush=True)


def main() -> None:
    """Print what the boards cost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--slos", type=int, default=SLOS, help="how many SLOs there are")
    parser.add_argument("--services", type=int, default=SERVICES, help="how many services there are")
    given = parser.parse_args()
    say_making()
    say_asking(Size(given.slos, given.services))


if __name__ == "__main__":
    main()
