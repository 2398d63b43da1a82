"""The bad hour of `make soak ARGS=outage` on a clock of its own: every class of sources goes away and comes back."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pkgutil
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import outage_hour
import providers
import pytest
from fastapi.testclient import TestClient
from outage_hour import Away, file_source
from outages import NEWS, WRONGS, Phase, Promise, Seen, Troubled, asked, grown, judged, phase_at, spans, unlike, unnamed
from replay import Sample
from ruamel.yaml import YAML
from written import plain

from collector.api import ApiConfig
from collector.errors import ConfigError
from collector.http import Wire
from collector.registry import source_types
from collector.store import to_micros
from paceline.doctor import stored
from paceline.web import create_app
from paceline.webhooks import Webhooks
from paceline.wiring import Running, build, configuration
from slo_engine.rule_files import render_rules

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
AWAY = sorted(set(source_types().by_key) - {"probe"})
"""What is gone is what a probe measures: it is no fault of its own."""
_SHORT: Mapping[str, Any] = {"every": "5m", "stale_after": "10m"}
_ROUNDS = {*range(4, 60, 5), 0, *range(30, 40, 2), 40}
_OF_PROMETHEUS = ("platform_uptime", "platform_active_users", "platform_usage")
_STARTS = (9, 25, 35)
"""Minutes of the phases in which providers are away."""
_QUIET = Promise(stale_after=10, every=5, slack=1.5, patience=1.5)


@dataclass
class Clock:
    """A clock that is moved by minutes."""

    at: datetime = START

    def __call__(self) -> datetime:
        """The time it shows."""
        return self.at


@dataclass
class World:
    """One source of each class, and how it is collected."""

    away: dict[str, Away]
    wires: dict[str, Troubled]
    folder: Path

    def become(self, phase: Phase) -> None:
        """Let all of them change."""
        for one in self.away.values():
            one.become(phase)


@dataclass
class Hour:
    """What was seen, minute by minute."""

    fresh: dict[str, list[int]] = field(default_factory=dict)
    succeeded: dict[str, list[int]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    readiness: dict[int, list[str]] = field(default_factory=dict)
    doctor: dict[str, list[str]] = field(default_factory=dict)
    shown: dict[int, set[str]] = field(default_factory=dict)
    """Series of numbers that were exposed."""
    started_again: dict[int, str] = field(default_factory=dict)
    """By minute, why another process could not start; nothing where it could."""
    stored: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    undisturbed: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    numbers: set[str] = field(default_factory=set)
    expected: set[str] = field(default_factory=set)
    firing: dict[str, list[int]] = field(default_factory=dict)
    probed: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By minute, how many checks of the probe passed, and how many there were."""


def _world(folder: Path, stack: contextlib.ExitStack) -> World:
    made = World({}, {}, folder)
    made.away["probe"] = _probe(stack)
    for module in pkgutil.iter_modules(providers.__path__):
        if module.name in {"docs", "probe"}:
            continue
        own = folder / module.name
        own.mkdir()
        sample, happen = asked(module.name, own)
        if isinstance(sample.config, ApiConfig):
            made.away[module.name] = _asking(made, module.name, sample, happen)
        elif sample.deliveries:
            made.away[module.name] = outage_hour.pushed_source(module.name, sample, 0)
        else:
            made.away[module.name] = file_source(module.name, folder, sample)
    made.away["files"] = outage_hour.files_source(folder)
    made.away |= {name: _repository(name, folder) for name in ("git", "docs")}
    (folder / "steady.jsonl").write_text(
        '{"kind": "usage_event", "native_id": "1", "capability": "builds", "at": "2026-03-01T10:00:00Z"}\n',
        encoding="utf-8",
    )
    steady = {"type": "files", "path": "steady.jsonl"}
    made.away["steady"] = Away("steady", steady, lambda _: None)
    return made


def _asking(made: World, name: str, sample: Sample, happen: Callable[[], object]) -> Away:
    assert sample.provider is not None
    made.wires[name] = troubled = Troubled(sample.provider, NEWS.get(name))

    def become(phase: Phase) -> None:
        if phase == "back":
            happen()
        troubled.phase = phase

    return Away(name, plain(sample.config, sample.provider.base), become, lambda how: setattr(troubled, "wrong", how))


def _probe(stack: contextlib.ExitStack) -> Away:
    """Checks of a real server that goes away, hangs and is wrong."""
    made = outage_hour.probe_source(stack)
    (target,) = made.settings["targets"]
    return replace(made, settings={**made.settings, "targets": [{**target, "timeout": "1s"}]})


def _repository(name: str, folder: Path) -> Away:
    """A repository on a disk that is taken away, and comes back with a commit more."""
    here, gone = folder / name / "shop", folder / name / "gone"
    for number in range(3):
        outage_hour.commit(here, f"Step {number}", f"2026-02-0{number + 2}T08:00:00Z", {"docs/page.md": f"{number}\n"})

    def become(phase: Phase) -> None:
        head = here / ".git" / "HEAD"
        if phase == "down":
            here.rename(gone)
        elif phase == "wrong":
            gone.rename(here)
            head.write_text("<html>", encoding="utf-8")
        elif phase == "back":
            head.write_text("ref: refs/heads/main\n", encoding="utf-8")
            outage_hour.commit(here, "Later", "2026-02-05T08:00:00Z", {"docs/new.md": "New.\n"})

    return Away(name, {"repository": f"{name}/shop"}, become)


def _running(world: World, clock: Clock, data: str) -> Running:
    sources = []
    for name, one in world.away.items():
        own = {k: v for k, v in one.settings.items() if k != "silent_after"}
        sources.append({"type": name, **own, **_SHORT, "name": one.name})
        if "silent_after" in one.settings:
            sources[-1]["silent_after"] = "4m"
    path = world.folder / f"{data}.yaml"
    with path.open("w", encoding="utf-8") as out:
        YAML().dump({"data_dir": data, "logs": {"level": "error"}, "sources": sources}, out)
    environment = {"SAMPLE_TOKEN": outage_hour.TOKEN, "PACELINE_PEOPLE_KEY": outage_hour.KEY}
    made = build(configuration(path, environment, world.folder), clock, environment)
    made.service._runner = replace(made.service._runner, sleep=lambda _: None)
    return made


def _collect(running: Running, world: World, hour: Hour | None = None, minute: int = 0) -> None:
    """A round of all sources; nobody waits."""
    for source in running.service.configuration.sources:
        kind = str(getattr(source, "type", ""))
        adapter = world.wires.get(kind)
        before = adapter.asked if adapter else 0
        wire = Wire(adapter=adapter, sleep=lambda _: None, chance=lambda: 0.0)
        outcome = running.service.collect(source, wire=wire)
        if hour is not None and outcome.succeeded:
            hour.succeeded.setdefault(source.name, []).append(minute)
        if hour is not None and adapter is not None:
            hour.asked[source.name] = max(hour.asked.get(source.name, 0), adapter.asked - before)


def _numbers(running: Running) -> set[str]:
    """The lines of numbers that say something of what happened, not of how it was collected."""
    assert running.service.published is not None
    text = running.service.published.exposition.text.decode()
    return {line for line in text.splitlines() if re.search(r'window="', line) and "source_" not in line}


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Hour:
    """The hour, once for all tests."""
    folder, clock, seen = tmp_path_factory.mktemp("outage"), Clock(), Hour()
    with contextlib.ExitStack() as stack:
        world = _world(folder, stack)
        world.become("up")
        with contextlib.closing(_running(world, clock, "disturbed")) as running:
            _live(running, world, clock, seen)
        seen.stored, seen.probed = outage_hour.ids(folder / "disturbed"), _probed(folder / "disturbed")
        with contextlib.closing(_running(world, clock, "undisturbed")) as other:
            with _told(other, clock) as client:
                _tell(client, world, "back", 0)
            _collect(other, world)
            other.service.refresh()
            seen.expected = _numbers(other)
    seen.undisturbed = outage_hour.ids(folder / "undisturbed")
    seen.firing = _fired(folder, seen)
    return seen


def _probed(place: Path) -> dict[int, tuple[int, int]]:
    query = "SELECT at, passed, checks FROM event_probe WHERE source = 'probe'"
    with contextlib.closing(sqlite3.connect(place / "paceline.db")) as connection:
        began = to_micros(START)
        return {(at - began) // 60_000_000: (passed, checks) for at, passed, checks in connection.execute(query)}


def _live(running: Running, world: World, clock: Clock, seen: Hour) -> None:
    phase: Phase = "up"
    wrongs = itertools.cycle(WRONGS)
    with _told(running, clock) as client:
        for minute in range(60):
            clock.at = START + timedelta(minutes=minute)
            if (now := phase_at(minute)) != phase:
                phase = now
                world.become(phase)
            _tell(client, world, phase, minute)
            if minute in _ROUNDS:
                how = next(wrongs) if phase == "wrong" else "500"
                for one in world.wires.values():
                    one.wrong = how
                _collect(running, world, seen, minute)
                running.service.refresh()
                seen.readiness[minute] = client.get("/readyz").json()["problems"]
                seen.shown[minute] = {line.rpartition(" ")[0] for line in _numbers(running)}
            if minute in _STARTS:
                seen.started_again[minute] = _started_again(world, clock)
            for state in running.service.source_states(clock.at):
                seen.fresh.setdefault(state.name, []).append(int(state.fresh))
            if minute == 29:
                runs = running.service.events.runs()
                for source in running.service.configuration.sources:
                    seen.doctor[source.name] = list(stored(source, runs.get(source.name), clock.at))
    seen.numbers = _numbers(running)


def _started_again(world: World, clock: Clock) -> str:
    """Why the settings are refused while providers are away, by another process on the same store."""
    environment = {"SAMPLE_TOKEN": outage_hour.TOKEN, "PACELINE_PEOPLE_KEY": outage_hour.KEY}
    try:
        build(configuration(world.folder / "disturbed.yaml", environment, world.folder), clock, environment).close()
    except ConfigError as refused:
        return str(refused)
    return ""


@contextlib.contextmanager
def _told(running: Running, clock: Clock) -> Iterator[TestClient]:
    webhooks = Webhooks(running.service, running.log, clock)
    with TestClient(create_app(running.service, webhooks=webhooks)) as client:
        yield client
    webhooks.close()


def _tell(client: TestClient, world: World, phase: Phase, minute: int) -> None:
    """What systems deliver that push: nothing while they are away, lies while they are wrong, all twice when back."""
    for one in world.away.values():
        for delivery in one.deliveries if phase == "back" else one.deliveries[:1]:
            body, headers = delivery.body + b" " * minute, dict(delivery.headers)
            if phase in {"up", "back"}:
                statuses = {
                    client.post(f"/webhooks/{one.name}", content=body, headers=headers).status_code for _ in "ab"
                }
                assert statuses <= {200, 202}, one.name
            elif phase == "wrong":
                wrong = {**headers, "authorization": "Bearer of bad news"}
                assert client.post(f"/webhooks/{one.name}", content=body, headers=wrong).status_code == 401
                assert client.post(f"/webhooks/{one.name}", content=body[:9], headers=headers).status_code == 400


def _fired(folder: Path, seen: Hour) -> dict[str, list[int]]:
    """By source, the minutes in which the rule that Paceline writes fires, as promtool evaluates it."""
    promtool = shutil.which("promtool")
    if promtool is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is not installed, and CI must run every test")
        pytest.skip("promtool is not installed")
    (folder / "rules.yml").write_text(render_rules([], []), encoding="utf-8")
    series = [
        {"series": f'platform_source_fresh{{source="{name}"}}', "values": " ".join(map(str, values))}
        for name, values in seen.fresh.items()
    ]
    query = 'count by (source) (ALERTS{alertname="PlatformSourceStale",alertstate="firing"})'
    tests = [{"expr": query, "eval_time": f"{minute}m", "exp_samples": []} for minute in range(60)]
    told = {
        "rule_files": ["rules.yml"],
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": tests}],
    }
    (folder / "test.yml").write_text(json.dumps(told), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=folder, check=False, capture_output=True, text=True
    )
    found: dict[str, list[int]] = {}
    for block in re.split(r"expr: ", done.stdout + done.stderr)[1:]:
        at = re.search(r"time: (?:(\d+)m)?", block)
        for name in re.findall(r'source=\\?"([\w.-]+)', block):
            found.setdefault(name, []).append(int(at[1] or 0) if at else -1)
    return found


def _name(kind: str) -> str:
    return {"alertmanager": "alerts"}.get(kind, kind)


@pytest.mark.parametrize("kind", AWAY)
def test_an_alert_fires_in_time_and_ends_without_a_hand(hour: Hour, kind: str) -> None:
    """As long after the last success as is promised, and no longer than a round after the provider is back."""
    name = _name(kind)
    last = max(minute for minute in hour.succeeded[name] if minute < 30)

    fired = list(spans(hour.firing.get(name, []), 1))

    assert judged(Seen(fired=fired, last_success=last), _QUIET, 40) == []


def test_who_is_there_does_not_notice(hour: Hour) -> None:
    """A source whose provider is never away is fresh all the time, and was collected in each round."""
    assert set(hour.fresh["steady"]) == {1}
    assert hour.succeeded["steady"] == sorted(_ROUNDS)
    assert "steady" not in hour.firing


@pytest.mark.parametrize("kind", AWAY)
def test_everything_is_there_afterwards_once(hour: Hour, kind: str) -> None:
    """The store holds what an undisturbed run finds, the news of the bad hour too, and nothing twice or else."""
    # What a slot holds that is not over differs by when it is asked for.
    assert unlike(hour.stored[_name(kind)], hour.undisturbed[_name(kind)], grows=kind == "prometheus") == []


@pytest.mark.parametrize("kind", AWAY)
def test_health_names_who_is_away(hour: Hour, kind: str) -> None:
    """`/readyz` names it, or says how many more there are; `doctor` says that its last run failed; then all is well."""
    name, during = _name(kind), hour.readiness[29]

    assert any(f"source {name} " in said or "more problems of sources" in said for said in during)
    assert any("Its last run failed" in said for said in hour.doctor[name])
    assert any("Its numbers are withheld" in said for said in hour.doctor[name])
    assert [said for said in hour.readiness[59] if f"source {name} " in said] == []


def test_who_is_killed_meanwhile_starts_again(hour: Hour) -> None:
    """Whatever is away, down, slow or wrong, a process starts: who is there must not wait for who is not."""
    assert hour.started_again == dict.fromkeys(_STARTS, "")


def test_a_probe_tells_of_each_minute_and_never_fails(hour: Hour) -> None:
    """What is gone, hangs or answers with 500 is what it measures: its checks fail, and it is fresh itself."""
    well = {minute for minute in _ROUNDS if phase_at(minute) in {"up", "back"}}

    assert hour.probed == {minute: (int(minute in well), 1) for minute in _ROUNDS}
    assert 0 < len(well) < len(_ROUNDS)
    assert set(hour.fresh["probe"]) == {1}
    assert "probe" not in hour.firing


def test_no_number_is_invented_meanwhile(hour: Hour) -> None:
    """While providers are away, no series of numbers comes up that was not there before; afterwards all are right."""
    assert hour.shown[4]
    assert set().union(*(shown for at, shown in hour.shown.items() if 5 <= at < 40)) - hour.shown[4] == set()
    assert hour.shown[29] < hour.shown[4]
    # How far back a Prometheus is read counts from the first run.
    assert {n for n in hour.numbers ^ hour.expected if not n.startswith(_OF_PROMETHEUS)} == set()


def test_nobody_asks_without_end(hour: Hour) -> None:
    """Whatever a provider answers, a run asks at most a few hundred times."""
    assert max(hour.asked.values()) <= 400, hour.asked


# --- what these checks would find --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Seen(fired=[], last_success=4), "never fired"),
        (Seen(fired=[(33, 40)], last_success=4), "later than 30.5"),
        (Seen(fired=[(20, 40)], last_success=4), "before 29.0"),
        (Seen(fired=[(29, 47)], last_success=4), "over in minute 47.0"),
        (Seen(fired=[(29, 38), (45, 50)], last_success=4), "over in minute 50.0"),
        (Seen(fired=[(29, 40)], last_success=None), "never collected"),
    ],
    ids=["none", "late", "early", "does not end", "comes again", "never was there"],
)
def test_an_alert_that_is_not_as_promised_is_found(seen: Seen, said: str) -> None:
    """One that does not fire, not in time, or does not end fails the hour."""
    assert said in judged(seen, _QUIET, 40)[0]


_TOLD = [("event_change", "1"), ("event_change", "2")]


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (_TOLD[:1], "1 events are lost"),
        ([*_TOLD, _TOLD[1]], "1 events are stored twice"),
        ([*_TOLD, ("event_change", "3")], "1 events nobody told of"),
        ([("event_incident", "1"), _TOLD[1]], "1 events are lost"),
    ],
    ids=["lost", "doubled", "invented", "of another kind"],
)
def test_a_store_that_is_not_as_undisturbed_is_found(stored: list[tuple[str, str]], said: str) -> None:
    """An event that is lost, there twice, of another kind or never told of fails the hour."""
    assert said in unlike(stored, _TOLD)[0]
    assert unlike(_TOLD, _TOLD) == []


def test_a_lost_and_a_doubled_event_of_the_hour_are_found(hour: Hour) -> None:
    """Planted into what the hour left in the store of each class of sources, both are found."""
    for kind in AWAY:
        stored, wanted = list(hour.stored[_name(kind)]), hour.undisturbed[_name(kind)]
        assert "lost" in unlike([one for one in stored if one != wanted[0]], wanted, grows=True)[0]
        assert "twice" in unlike([*stored, stored[0]], wanted, grows=True)[0]


@pytest.mark.parametrize(
    ("memory", "said"),
    [
        ([(1, 150.0), (4, 200.0), (30, 240.0), (59, 249.0)], []),
        ([(1, 150.0), (4, 200.0), (30, 260.0), (59, 210.0)], ["memory grew from 200 to 260 MB"]),
        ([(n, 200.0 + 3 * n) for n in range(60)], ["memory grew from 212 to 377 MB"]),
        ([(30, 200.0)], ["its memory was not measured"]),
        ([], ["its memory was not measured"]),
    ],
    ids=["flat", "a peak", "leaking", "from when it was warm", "never"],
)
def test_memory_that_grows_in_the_hour_is_found(memory: list[tuple[float, float]], said: list[str]) -> None:
    """A quarter more than when it was warm is too much, at any moment."""
    assert grown(memory, 5, 1.25) == said


def test_a_source_that_the_doctor_leaves_out_is_found() -> None:
    """One whose name only begins another's, or stands in what is said of it, was not told of."""
    told = "github (github): it can be read, 2 requests\n  ! Look at git.\n"

    assert unnamed(["github"], told) == []
    assert unnamed(["git", "github"], told) == ["it does not name git"]
    assert unnamed(["git"], "") == ["it does not name git"]


def test_a_source_that_reads_without_end_is_found() -> None:
    """A provider that gives its first page for ever gets no end from a client that only counts pages."""
    sample, _ = asked("azuredevops", Path())
    assert sample.provider is not None
    troubled = Troubled(sample.provider, phase="wrong", wrong="loop")
    client = Wire(adapter=troubled, sleep=lambda _: None).client(sample.provider.base)
    path = "acme/_apis/projects"
    first = client.get(path)

    answers = [client.get(path, {"$skip": str(100 * n)}) for n in range(1, 5)]

    assert {answer.body for answer in answers} == {first.body}


def test_news_are_hidden_until_the_provider_is_back() -> None:
    """Before, no answer holds them; what is found afterwards can only be found then."""
    sample, _ = asked("opsgenie", Path())
    assert sample.provider is not None
    troubled = Troubled(sample.provider, NEWS["opsgenie"])
    client = Wire(adapter=troubled).client(sample.provider.base, headers={"Authorization": outage_hour.TOKEN})
    hidden = client.get("v1/incidents", {"offset": "4"}).body
    troubled.phase = "back"

    assert b'"i6"' not in hidden
    assert b'"i6"' in client.get("v1/incidents", {"offset": "4"}).body
