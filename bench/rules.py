"""What the rules cost a real Prometheus: samples per second and SLO, rules for 500 SLOs, time to evaluate them.

    python bench/rules.py [--slos 50]

Each SLO is measured by Prometheus from 40 series with scrapes of 60 s, over 30 days of history. Samples are those of
Prometheus' own query statistics (`totalQueryableSamples`), divided by the interval of each rule's group. What reads the
newest sample of another recording is not in the history: some two samples a second come on top.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

from collector.durations import parse_duration
from slo_engine.alert_windows import load_tiers
from slo_engine.promql import CounterRatio
from slo_engine.recordings import BAD_RATE, TOTAL_RATE
from slo_engine.rules import groups, rules
from slo_engine.slo import Slo
from slo_engine.windows import parse_window

ROOT = Path(__file__).parents[1]
TIERS = load_tiers(ROOT / "config" / "alert-windows" / "sre-workbook.yaml")
DAYS, STEP_SECONDS, INSTANCES = 30, 60, 20
MANY = 500
BATCH = 25
PATIENCE_SECONDS = 60


def slos(count: int) -> list[Slo]:
    """Busy SLOs that Prometheus measures, each from its own counter."""
    return [
        Slo(
            name=f"slo-{n}",
            title=f"SLO {n}",
            description="",
            owner_service="shop",
            target=Decimal("0.999"),
            window=parse_window(f"{DAYS}d"),
            sli=CounterRatio(total_query=f"asked_{n}_total", bad_query=f'asked_{n}_total{{code="500"}}'),
            alert_class="rate",
        )
        for n in range(count)
    ]


def history(made: Sequence[Slo], now: int, raw_days: float) -> Iterator[str]:
    """OpenMetrics text: the recordings of all days, and the counters of as many as are asked for."""
    steps = DAYS * 86_400 // STEP_SECONDS
    times = [now - (steps - i) * STEP_SECONDS for i in range(1, steps + 1)]
    newest = times[-int(raw_days * 86_400 // STEP_SECONDS) :]
    for name, value in ((TOTAL_RATE, "1000.5"), (BAD_RATE, "0.25")):
        yield f"# TYPE {name} gauge\n"
        for slo in made:
            yield "".join(f'{name}{{slo="{slo.name}"}} {value} {at}\n' for at in times)
    for slo in made:
        metric = slo.name.replace("slo-", "asked_")
        yield f"# TYPE {metric} counter\n"
        for instance in range(INSTANCES):
            for code, rate in (("200", 50), ("500", 1)):
                labels = f'code="{code}",instance="{instance}"'
                yield "".join(f"{metric}_total{{{labels}}} {i * rate} {at}\n" for i, at in enumerate(newest))
    for metric, known in (("platform_slo_objective_ratio", 0.999), ("platform_slo_period_seconds", DAYS * 86_400.0)):
        yield f"# TYPE {metric} gauge\n"
        yield from (f'{metric}{{slo="{slo.name}"}} {known} {times[-1]}\n' for slo in made)
    yield "# EOF\n"


def stored(folder: Path, made: Sequence[Slo], now: int, raw_days: float) -> None:
    """Write the history as blocks of a Prometheus, some SLOs at a time."""
    for first in range(0, len(made), BATCH):
        text = folder / "history.om"
        with text.open("w", encoding="utf-8") as file:
            file.writelines(history(made[first : first + BATCH], now, raw_days))
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q", "--max-block-duration=8784h"]
        subprocess.run([*command, str(text), str(folder / "data")], check=True, capture_output=True)
        text.unlink()


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """The address of a Prometheus over the stored history, on a free port of this machine."""
    (folder / "prometheus.yml").write_text("{}", encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "storage.tsdb.retention.time": "400d",
        "web.listen-address": f"127.0.0.1:{port}",
        "log.level": "error",
    }
    process = subprocess.Popen(["prometheus", *(f"--{name}={value}" for name, value in options.items())], cwd=folder)
    try:
        waited(f"{url}/-/ready")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_SECONDS)


def waited(url: str) -> None:
    """Return once something answers."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urlopen(url):  # noqa: S310 - loopback
                return
        except URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def asked(url: str, expr: str, at: int) -> tuple[int, float]:
    """How many samples an expression reads, and how many seconds Prometheus takes for it."""
    with urlopen(f"{url}/api/v1/query?stats=all&time={at}&query={quote(expr)}") as answer:  # noqa: S310 - loopback
        statistics: Any = json.load(answer)["data"]["stats"]
    return statistics["samples"]["totalQueryableSamples"], statistics["timings"]["evalTotalTime"]


def measured(url: str, made: Sequence[Slo], at: int) -> Iterator[tuple[str, str, int, float]]:
    """Group, interval, samples and seconds of each rule."""
    for group in groups(made, TIERS):
        for rule in group.rules:
            samples, seconds = asked(url, rule.expr, at)
            yield group.name, group.interval, samples, seconds


def per_second(found: Iterable[tuple[str, str, int, float]]) -> float:
    """Samples that rules read per second, each at its interval."""
    return sum(samples / parse_duration(interval).total_seconds() for _, interval, samples, _ in found)


def cost(folder: Path, count: int = 1, raw_days: float = DAYS) -> float:
    """Samples per second and SLO. `folder` is used for the server and its history."""
    made, now = slos(count), int(time.time()) // STEP_SECONDS * STEP_SECONDS
    stored(folder, made, now, raw_days)
    with prometheus(folder) as url:
        return per_second(measured(url, made, now)) / count


def main() -> None:
    """Print what the rules cost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--slos", type=int, default=50, help="how many SLOs get a history (500: some minutes)")
    count = parser.parse_args().slos
    made, now = slos(count), int(time.time()) // STEP_SECONDS * STEP_SECONDS
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "one").mkdir()
        print(f"samples per second and SLO:   {cost(folder / 'one'):.0f}")
        print(f"rules for {MANY} SLOs:          {len(rules(slos(MANY), TIERS))} ({len(rules(slos(1), TIERS))} for one)")
        stored(folder, made, now, raw_days=0.1)
        with prometheus(folder) as url:
            found = list(measured(url, made, now))
        for name in dict.fromkeys(group for group, *_ in found):
            seconds = sum(s for group, _, _, s in found if group == name)
            interval = next(i for group, i, _, _ in found if group == name)
            print(
                f"group {name}, {count} SLOs: {seconds:.2f} s every {interval}; {MANY}: {seconds * MANY / count:.1f} s"
            )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
