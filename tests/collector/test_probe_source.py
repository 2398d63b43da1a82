"""Rounds of checks: which minute they are of, what becomes of them, and what a run says of them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, count
from typing import Any

import pytest
from providers.probe import DOWN, OK, Servers
from pydantic import ValidationError

from collector.errors import PacelineError
from collector.events import Probe
from collector.http import Traffic, Wire
from collector.probing import Prober
from collector.source import Page, SourceContext
from collector.sources.probe import ProbeConfig, ProbeSource

SHOP = {"service": "shop", "url": "http://up.example/"}
MINUTE = timedelta(minutes=1)


def config_of(*targets: dict[str, Any], **fields: Any) -> ProbeConfig:
    """Settings of checks."""
    given = {"name": "checks", "type": "probe", "targets": targets or [SHOP], **fields}
    return ProbeConfig.model_validate(given)


@dataclass
class Rounds:
    """Makes rounds of checks at times of its own; sleeps are only noted."""

    context: SourceContext
    at: datetime
    timer: Callable[[], float] = lambda: 0.0
    servers: Servers = field(
        default_factory=lambda: Servers(
            {
                "up.example": OK,
                "down.example": DOWN,
                "shut.example": ConnectionRefusedError(),
                "nowhere.example": socket.gaierror(),
                "far.example": OSError(101, "Network is unreachable"),
            }
        )
    )
    slept: list[float] = field(default_factory=list)
    traffic: Traffic = field(default_factory=Traffic)

    def source(self, config: ProbeConfig) -> ProbeSource:
        """A source at the time of these rounds."""
        wire = Wire(sleep=self.slept.append, traffic=self.traffic)
        context = replace(self.context, clock=lambda: self.at, wire=wire)
        return ProbeSource(config, context, Prober(self.servers.connect, self.timer))

    def pages(self, config: ProbeConfig, cursor: str | None = None) -> list[Page]:
        """The pages of a round."""
        return list(self.source(config).pull(cursor))

    def probes(self, config: ProbeConfig, cursor: str | None = None) -> list[Probe]:
        """The events of a round."""
        found = chain.from_iterable(page.events for page in self.pages(config, cursor))
        return [event for event in found if isinstance(event, Probe)]

    def warnings(self, *targets: dict[str, Any]) -> list[str]:
        """What a round says."""
        (page,) = self.pages(config_of(*targets))
        return list(page.warnings)


@pytest.fixture
def rounds(context: SourceContext) -> Rounds:
    """Rounds that begin with a minute."""
    return Rounds(context, context.clock())


# ---- what becomes of checks


def test_a_target_gives_a_probe_for_the_minute(rounds: Rounds) -> None:
    """One check that passed, of the whole minute in which it was made."""
    rounds.at += timedelta(seconds=20)
    target = {"service": "shop", "environment": "staging", "url": "http://up.example/health?key=t0ken#x"}

    (found,) = rounds.probes(config_of(target))

    assert found.native_id == "shop/staging/http://up.example/health@2026-03-02T09:00:00Z"
    assert (found.service, found.environment, found.target) == ("shop", "staging", "http://up.example/health")
    assert (found.at, found.duration_seconds) == (rounds.at.replace(second=0), 60.0)
    assert (found.passed, found.checks, found.latency_seconds) == (1, 1, 0.0)


def test_each_of_several_checks_counts_for_itself(rounds: Rounds) -> None:
    """Three checks in a minute are three, of one probe; without one that passed there is no latency."""
    down = {"service": "shop", "url": "http://down.example/", "checks": 3}

    (found,) = rounds.probes(config_of(down))

    assert (found.passed, found.checks, found.latency_seconds) == (0, 3, None)
    assert len(rounds.servers.asked) == rounds.traffic.requests == 3


def test_targets_of_a_service_are_told_apart(rounds: Rounds) -> None:
    """Two addresses of a service, and one address under two names, are targets of their own."""
    found = rounds.probes(config_of(SHOP, {**SHOP, "name": "again"}, {**SHOP, "url": "http://up.example/b"}))

    assert sorted(str(p.target) for p in found) == ["again", "http://up.example/", "http://up.example/b"]
    assert len({p.id for p in found}) == 3


def test_the_latency_is_the_mean_of_checks_that_passed(rounds: Rounds) -> None:
    """A timer that goes a second on whenever it is asked makes each check as long as it asks."""
    ticks = count()
    rounds.timer = lambda: float(next(ticks))

    (found,) = rounds.probes(config_of({"service": "db", "tcp": "up.example:5432"}))

    assert found.latency_seconds == 1.0


# ---- which minute


def test_a_minute_is_checked_once(rounds: Rounds) -> None:
    """A second round in the same minute does nothing; the next minute is checked again."""
    (first,) = rounds.pages(config_of())
    again = rounds.pages(config_of(), first.cursor)
    rounds.at += MINUTE
    later = rounds.pages(config_of(), first.cursor)

    assert (len(again), len(later)) == (0, 1)
    assert later[0].cursor == "2026-03-02T09:01:00Z"


@pytest.mark.parametrize(
    ("last", "second", "slot", "waited"),
    [
        (None, 0.0, 0, 0.0),
        (None, 54.0, 0, 0.0),
        (None, 56.0, 1, 4.0),
        (-2, 56.0, 1, 4.0),
        (-1, 56.0, 0, 0.0),
        (-1, 59.5, 1, 0.5),
        (0, 30.0, None, 0.0),
        (0, 44.0, None, 0.0),
        (0, 46.0, 1, 14.0),
        (60, 30.0, 0, 0.0),
    ],
    ids=[
        "first, in time",
        "first, late",
        "first, too late",
        "after a pause, too late",
        "steady, late",
        "steady, too late",
        "checked",
        "checked, long ago",
        "checked, the next is near",
        "the clock was set back",
    ],
)
def test_a_round_is_of_the_minute_that_it_can_check(
    rounds: Rounds, last: int | None, second: float, slot: int | None, waited: float
) -> None:
    """A round near the end of a minute waits for the next one, unless it would miss one by that."""
    nine = rounds.at
    rounds.at += timedelta(seconds=second)
    cursor = None if last is None else (nine + last * MINUTE).isoformat()

    found = [event.at for event in rounds.probes(config_of(spread="1s"), cursor)]

    assert found == ([] if slot is None else [nine + slot * MINUTE])
    assert rounds.slept[:-1] == ([waited] if waited else [])  # the last is the check's own time in the round


@pytest.mark.parametrize("phase", [0.0, 30.0, 54.9, 55.0, 58.9, 59.0, 59.99])
def test_rounds_a_minute_apart_miss_no_minute(rounds: Rounds, phase: float) -> None:
    """Whenever in a minute rounds begin, and though they begin late by parts of a second, each minute is checked."""
    nine, cursor, slots = rounds.at, None, list[int]()
    for number, late in enumerate([0.0, 0.2, 0.0, 0.9, 0.4, 0.0, 0.2]):
        rounds.at = nine + number * MINUTE + timedelta(seconds=phase + late)
        for page in rounds.pages(config_of(), cursor):
            cursor = page.cursor
            slots += [(datetime.fromisoformat(page.cursor) - nine) // MINUTE]

    assert slots == list(range(slots[0], slots[0] + 7))


# ---- in time


def test_checks_are_spread_the_same_way_each_time(rounds: Rounds) -> None:
    """Each target has its own time in a round, whatever other targets there are."""
    targets = [{**SHOP, "name": str(n)} for n in range(50)]
    rounds.probes(config_of(*targets, spread="30s"))
    of_all = list(rounds.slept)
    rounds.slept.clear()
    rounds.probes(config_of(targets[7], spread="30s"))

    assert rounds.slept[0] in of_all
    assert of_all == sorted(of_all)
    assert 0 <= of_all[0] < 3
    assert 27 < of_all[-1] < 30


def test_checks_of_a_target_are_evenly_apart(rounds: Rounds) -> None:
    """Three checks in thirty seconds are ten seconds apart."""
    rounds.probes(config_of({**SHOP, "checks": 3}, spread="30s"))

    first, second, third = rounds.slept
    assert (round(second - first, 9), round(third - second, 9)) == (10.0, 10.0)


def test_what_could_not_be_checked_in_time_is_unknown(rounds: Rounds) -> None:
    """A check that is not begun when its minute is over is not made: no event, and a word about it."""
    ticks = chain([0.0, 0.0, 0.0, 0.0, 0.0, 0.0], count(60))
    rounds.timer = lambda: float(next(ticks))
    port = {"service": "db", "tcp": "up.example:1"}

    (page,) = rounds.pages(config_of(*[{**port, "name": str(n)} for n in range(5)], parallel=1))

    assert (len(page.events), len(rounds.servers.asked) < 5) == (1, True)
    assert page.warnings == [
        "4 checks could not be made within the minute; raise `parallel`, or lower `timeout` or `checks`"
    ]


# ---- what a round says


def test_failures_are_told_by_service_and_kind(rounds: Rounds) -> None:
    """Why checks fail is counted: no address, no body and no answer of a server stands there."""
    down = {"service": "shop", "url": "http://down.example/secret-path"}
    shut = {"service": "shop", "environment": "staging", "tcp": "shut.example:1", "checks": 2}

    said = rounds.warnings(SHOP, down, {**down, "name": "b", "url": "http://shut.example/"}, shut)

    assert said == [
        "shop, url: 2 of 3 checks failed: connection refused (1), status 503 (1)",
        "shop (staging), tcp: 2 of 2 checks failed: connection refused (2)",
    ]


def test_a_network_that_is_gone_is_said(rounds: Rounds) -> None:
    """Where no target is reached by any network, and no name is found, the fault may be here."""
    said = rounds.warnings({**SHOP, "url": "http://far.example/"}, {**SHOP, "url": "http://nowhere.example/"})

    assert said[0] == "no check reached any network; is that of this machine up?"


@pytest.mark.parametrize("other", ["http://up.example/", "http://shut.example/"])
def test_a_network_that_reaches_somebody_is_not_gone(rounds: Rounds, other: str) -> None:
    """An answer, and a refusal too, comes from somewhere."""
    said = rounds.warnings({**SHOP, "url": "http://far.example/"}, {**SHOP, "url": other})

    assert not any("network;" in warning for warning in said)


def test_one_target_alone_says_nothing_of_the_network(rounds: Rounds) -> None:
    """A single name that nobody knows is rather the target's fault."""
    said = rounds.warnings({**SHOP, "url": "http://nowhere.example/"})

    assert said == ["shop, url: 1 of 1 checks failed: name not resolved (1)"]


# ---- secrets and certificates


def test_a_secret_that_cannot_be_read_costs_its_own_target(rounds: Rounds) -> None:
    """The others are checked and kept before the run fails."""
    closed = {**SHOP, "name": "closed", "headers": {"Authorization": "file:/nowhere/secret"}}
    pages = rounds.source(config_of(closed, SHOP)).pull(None)

    page = next(pages)

    assert [event.native_id for event in page.events] == ["shop//http://up.example/@2026-03-02T09:00:00Z"]
    assert page.checkpoint
    with pytest.raises(PacelineError, match="the file of a secret cannot be read"):
        next(pages)


def test_a_header_that_cannot_be_sent_is_not_told(rounds: Rounds) -> None:
    """A secret with a line break fails the run, and does not stand in its error."""
    broken = {**SHOP, "headers": {"Authorization": "Bearer t0ken\r\nHost: evil.example"}}

    with pytest.raises(
        PacelineError, match=r"the header Authorization of http://up\.example/ cannot be sent"
    ) as raised:
        rounds.pages(config_of(broken))

    assert "t0ken" not in str(raised.value)


def test_certificates_that_cannot_be_read_are_a_mistake(context: SourceContext) -> None:
    """A missing file, and one without certificates, is named at start."""
    (context.base_dir / "empty.pem").write_text("no certificate", encoding="utf-8")
    targets = [{**SHOP, "name": name, "ca_file": f"{name}.pem"} for name in ("empty", "missing")]

    found = config_of(*targets).check(context)

    assert [(m.path, m.problem) for m in found] == [
        ("targets", "empty: empty.pem holds no certificates that can be read"),
        ("targets", "missing: missing.pem holds no certificates that can be read"),
    ]


# ---- settings


def refused(*targets: dict[str, Any], **fields: Any) -> str:
    """Why settings are refused."""
    with pytest.raises(ValidationError) as raised:
        config_of(*targets, **fields)
    return "; ".join(error["msg"] for error in raised.value.errors())


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"url": ""}, "a target is one thing; expected exactly one of `url`, `tcp` and `tls`"),
        ({"tcp": "a:1"}, "a target is one thing; expected exactly one of `url`, `tcp` and `tls`"),
        ({"url": "", "tcp": "a:1", "method": "HEAD"}, "`method` means nothing for tcp; expected no such setting"),
        ({"expires_within": "14d"}, "`expires_within` means nothing for http; expected no such setting"),
        ({"url": "ftp://a/"}, "this is no web address; expected for example https://shop.example.com/health"),
        ({"url": "http://a:port/"}, "this is no web address; expected for example https://shop.example.com/health"),
        ({"url": "https://.a/"}, "this is no web address; expected for example https://shop.example.com/health"),
        ({"url": "http://u:p@a/"}, "an address with user and password would show them; expected `headers`"),
        ({"url": "", "tcp": "a"}, "'a' is no host and port; expected for example db.example.com:5432"),
        ({"url": "", "tls": "a:1/b"}, "'a:1/b' is no host and port; expected for example db.example.com:5432"),
        ({"url": "", "tls": "[::1:1"}, "'[::1:1' is no host and port; expected for example db.example.com:5432"),
        ({"timeout": "31s"}, "this is too long for a minute; expected at most 30s"),
        ({"valid_status_codes": "2xx"}, "'2xx' is no status; expected for example 204, or a range such as 200-299"),
        ({"valid_status_codes": ["299-200"]}, "'299-200' is no status; expected for example 204, or a range"),
        ({"body_matches": "("}, "expected a regular expression"),
        ({"headers": {"a b": "c"}}, "'a b' is no name of a header; expected for example Authorization"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_target_that_cannot_be_is_refused(fields: dict[str, Any], expected: str) -> None:
    """Each mistake says what was expected."""
    assert expected in refused({**SHOP, **fields})


def test_rounds_are_at_least_a_minute_apart() -> None:
    """A minute is checked once: asking more often would do nothing."""
    assert "expected at least 1m, and `checks` for more of them" in refused(every="30s")


def test_two_targets_of_one_name_are_refused() -> None:
    """Addresses that differ by their query alone need names, which tell them apart."""
    assert "two targets of shop are 'http://up.example/'; expected a `name` for each of them" in refused(
        SHOP, {**SHOP, "url": "http://up.example/?b"}
    )


def test_statuses_may_be_numbers(rounds: Rounds) -> None:
    """A plain number is a range of one; an IPv6 address is a host."""
    expected = {**SHOP, "url": "http://down.example/", "valid_status_codes": [204, "500-599"]}

    assert [p.passed for p in rounds.probes(config_of(expected))] == [1]
    assert config_of({"service": "db", "tcp": "[::1]:5432"}).targets[0].address == "tcp://[::1]:5432"


def test_a_text_in_the_body_is_taken_literally(rounds: Rounds) -> None:
    """`body_contains` is no expression; `body_matches` is one."""
    literal = {**SHOP, "name": "literal", "body_contains": "Wilhelmina.*"}
    expression = {**SHOP, "name": "expression", "body_matches": "Wilhelmina.*"}

    found = rounds.probes(config_of(literal, expression))

    assert {p.target: p.passed for p in found} == {"literal": 0, "expression": 1}
