"""Several processes on one store: who leads, who is silent, what is due, and whose turn an account is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from collector.errors import StoreError
from collector.source import SourceConfig
from collector.store import SourceRun, Transaction, to_micros
from collector.store.leases import Claimed, NoLongerHolder
from paceline.dispatch import Asked, Dispatch, due
from paceline.logs import configure
from paceline.replicas import LEASE_SECONDS, MARGIN_SECONDS, Election, account_of
from paceline.scheduler import schedule
from paceline.service import Service
from paceline.web import create_app
from paceline.wiring import Running

LOG = configure("error", "text")
NOW = datetime(2026, 3, 9, 6, 0, 30, tzinfo=UTC)


@dataclass
class Leases:
    """A lease as a database keeps it, whose clock is that of the test."""

    holder: str
    state: dict[str, Any]
    gone: bool = False
    ended: list[str] = field(default_factory=list)

    def claim(self, _name: str, seconds: float) -> Claimed | None:
        """Take it where it is free or one's own."""
        if self.gone:
            raise StoreError("no database")
        state, now = self.state, self.state["now"]
        if state["until"] > now and state["holder"] != self.holder:
            return None
        before = state["holder"]
        state["token"] += not (before == self.holder and state["until"] > now)
        state.update(holder=self.holder, until=now + seconds)
        return Claimed(state["token"], before)

    def resign(self, _name: str) -> None:
        """Let it end."""
        if self.state["holder"] == self.holder:
            self.state["until"] = self.state["now"]

    def held_by(self, _name: str) -> str | None:
        """Who has it now."""
        return self.state["holder"] if self.state["until"] > self.state["now"] else None

    def end_transactions_of(self, holder: str) -> int:
        """Remember whose were ended."""
        self.ended.append(holder)
        return 0


@pytest.fixture
def state() -> dict[str, Any]:
    """What the database knows of the lease."""
    return {"holder": None, "until": -1.0, "token": 0, "now": 100.0}


@pytest.fixture
def replica(state: dict[str, Any]) -> Callable[[str], tuple[Election, Leases]]:
    """Makes a replica that takes part when it is told to look."""

    def make(holder: str) -> tuple[Election, Leases]:
        leases = Leases(holder, state)
        return Election(leases, LOG, lambda: state["now"]), leases

    return make


Replica = Callable[[str], tuple[Election, Leases]]


def test_one_exposes_and_the_others_know(replica: Replica) -> None:
    """Of two replicas the first leads, the second does not, and each says so."""
    (one, _), (other, _) = replica("one"), replica("other")

    one.look()
    other.look()

    assert (one.exposes(), other.exposes()) == (True, False)
    assert (one.evaluator(), other.evaluator()) == ("this replica", "another replica")


def test_who_cannot_renew_is_silent_before_another_may_lead(replica: Replica, state: dict[str, Any]) -> None:
    """Without the database the holder stops by its own clock, before its lease ends there."""
    (one, leases), (other, _) = replica("one"), replica("other")
    one.look()
    leases.gone = True

    state["now"] += LEASE_SECONDS - MARGIN_SECONDS - 0.1
    one.look()
    before = one.exposes()
    state["now"] += 0.1
    after = one.exposes()
    other.look()

    assert (before, after, other.exposes()) == (True, False, False)


def test_a_frozen_leader_is_replaced_and_wakes_up_silent(replica: Replica, state: dict[str, Any]) -> None:
    """While it is frozen its clock goes on: another one leads, and the first exposes not one scrape when it thaws."""
    (one, _), (other, leases) = replica("one"), replica("other")
    one.look()
    fence = one.fence()

    state["now"] += LEASE_SECONDS
    other.look()
    thawed = one.exposes()
    one.look()

    assert (thawed, other.exposes(), one.exposes(), leases.ended) == (False, True, False, ["one"])
    assert fence != other.fence()


def test_never_do_two_expose(replica: Replica, state: dict[str, Any]) -> None:
    """Whoever looks when, and whoever loses the database for how long: at no moment two of them lead."""
    made = [replica(name) for name in ("a", "b", "c")]
    led = set()

    for step in range(600):
        state["now"] += 0.5
        for n, (election, leases) in enumerate(made):
            leases.gone = (step // 60) % 3 != n
            if (step + n) % (2 + n) == 0:
                election.look()
        leading = [n for n, (election, _) in enumerate(made) if election.exposes()]
        assert len(leading) <= 1
        led.update(leading)

    assert led == {0, 1, 2}


def test_who_is_elected_is_told_once(replica: Replica, state: dict[str, Any]) -> None:
    """Taking the lease calls for an evaluation; renewing it does not; losing and taking it again does."""
    one, leases = replica("one")
    told: list[float] = []
    one._elected = lambda: told.append(state["now"])

    one.look()
    state["now"] += 3
    one.look()
    leases.gone = True
    state["now"] += LEASE_SECONDS + 1
    one.look()
    leases.gone = False
    one.look()

    assert told == [100.0, 113.0]


def test_who_ends_gives_the_lease_back(replica: Replica) -> None:
    """A stop makes the other replica wait for nothing."""
    (one, _), (other, _) = replica("one"), replica("other")
    one.look()

    one.close()
    other.look()

    assert (one.exposes(), other.exposes()) == (False, True)


# --- what is due ---------------------------------------------------------------------------------------


class _Api(SourceConfig):
    type: Literal["api"] = "api"
    url: str = ""
    token: SecretStr = SecretStr("")


class _Probe(SourceConfig):
    punctual: ClassVar[bool] = True
    type: Literal["probe"] = "probe"


def _run(source: str, began: datetime) -> SourceRun:
    at = to_micros(began)
    return SourceRun(source=source, started_at=at, finished_at=at, succeeded=False, error="x", last_success_at=None)


def _ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def test_sources_are_due_by_their_last_run() -> None:
    """What never ran and what waited longest come first; an interval counts from the last run's begin, also failed."""
    sources = [_Api(name=n, every=timedelta(minutes=5)) for n in ("young", "old", "older", "never")]
    runs = {
        "young": _run("young", _ago(minutes=4)),
        "old": _run("old", _ago(minutes=5)),
        "older": _run("", _ago(days=1)),
    }

    assert [source.name for source in due(sources, runs, NOW)] == ["never", "older", "old"]


def test_a_punctual_source_is_due_once_a_minute() -> None:
    """At 06:00:30 a probe that ran at 06:00:01 waits for 06:01, one of 05:59:59 is due."""
    sources = [_Probe(name=n, every=timedelta(minutes=1)) for n in ("done", "due")]
    runs = {"done": _run("done", _ago(seconds=29)), "due": _run("due", _ago(seconds=31))}

    assert [source.name for source in due(sources, runs, NOW)] == ["due"]


@dataclass
class _Queue:
    busy: frozenset[str] = frozenset()
    asked: list[Asked] = field(default_factory=list)

    def waiting(self) -> frozenset[str]:
        return self.busy | {one.source for one in self.asked}

    def ask(self, asked: Asked) -> bool:
        self.asked.append(asked)
        return True


def _dispatch(queue: _Queue, paused: frozenset[str] = frozenset()) -> Dispatch:
    sources = [
        _Api(name=n, url="https://git.example", token=SecretStr(t)) for n, t in (("a", "1"), ("b", "1"), ("c", "2"))
    ]
    return Dispatch(sources, dict, queue, lambda: paused, lambda source: account_of(source, b"k" * 16), LOG)


def test_what_waits_or_runs_is_not_asked_for_again() -> None:
    """Each look asks for what is due once, whoever asked before: another evaluator finds the same queue."""
    queue = _Queue(frozenset({"b"}))

    first = _dispatch(queue).look(NOW)
    second = _dispatch(queue).look(NOW)

    assert ([one.source for one in queue.asked], first, second) == (["a", "c"], 2, 0)


def test_a_worker_whose_clock_is_wrong_is_not_asked_all_the_time() -> None:
    """Its runs seem to have begun long ago: what was asked for half a minute ago at most is not asked for again."""
    queue = _Queue()
    dispatch = _dispatch(queue)

    asked = []
    for seconds in (0, 29, 30):
        queue.asked.clear()  # done at once, and nothing in the store says when
        dispatch.look(NOW + timedelta(seconds=seconds))
        asked.append(len(queue.asked))

    assert asked == [3, 0, 3]


def test_sources_of_an_account_whose_limit_is_reached_wait() -> None:
    """A limit that one source met stops the others of its account, and no other account's."""
    queue = _Queue()
    account = account_of(_Api(name="x", url="https://git.example/api", token=SecretStr("1")), b"k" * 16)

    _dispatch(queue, frozenset({account})).look(NOW)

    assert [one.source for one in queue.asked] == ["c"]


def test_a_queue_that_is_gone_is_logged_and_nothing_is_lost() -> None:
    """Without the database nothing is asked for; the next look does it."""

    class Gone(_Queue):
        def waiting(self) -> frozenset[str]:
            raise StoreError("gone")

    assert _dispatch(Gone()).look(NOW) == 0


def test_an_account_is_a_server_and_a_credential() -> None:
    """One server and token is one account, whatever the path; the token cannot be told from it; without one none is."""
    key = b"k" * 16

    def lock(url: str, token: str, name: str = "a") -> str:
        return account_of(_Api(name=name, url=url, token=SecretStr(token)), key)

    one = lock("https://git.example/api/v4", "s3cret")
    assert one == lock("https://GIT.example/", "s3cret", "b")
    assert len({one, lock("https://git.example", "other"), lock("https://other.example", "s3cret")}) == 3
    assert "s3cret" not in one
    assert one != account_of(_Api(name="a", url="https://git.example", token=SecretStr("s3cret")), b"other key")
    assert (lock("https://git.example", ""), lock("", "s3cret", "b")) == ("source a", "source b")


# --- a service that does not lead -----------------------------------------------------------------------


@dataclass
class Told:
    """A role that says what it is told to."""

    leads: bool
    shared: bool = True
    number: int | None = None

    def exposes(self) -> bool:
        """As it was told."""
        return self.leads

    def term(self) -> int | None:
        """Since the first election."""
        return 1 if self.leads else None

    def shown(self, term: int) -> None:
        """Numbers of that election are there."""
        self.number = term

    def shows(self) -> bool:
        """Whether they are."""
        return self.leads and self.number == 1

    def evaluator(self) -> str:
        """Likewise."""
        return "this replica" if self.leads else "another replica"


@pytest.fixture
def second(service: Service, running: Running) -> Service:
    """The service as one of several replicas, which does not lead, and whose derivations would be refused."""

    def refuse(_: Transaction) -> None:
        raise NoLongerHolder("not the evaluator")

    service.role = Told(leads=False)
    fenced = running.database.guarded(refuse)
    service._derivations._database = fenced
    service.observations._database = fenced
    return service


@pytest.fixture
def client(second: Service) -> Iterator[TestClient]:
    """A client of that service, which has evaluated."""
    second.collect(second.configuration.sources[0])
    second.refresh()
    with TestClient(create_app(second)) as found:
        yield found


def test_a_replica_that_does_not_lead_exposes_only_itself(client: TestClient) -> None:
    """It has pages and numbers, writes nothing, and its metrics are how it fares and that it does not lead."""
    lines = [line for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]

    assert [line.partition("{")[0].partition(" ")[0] for line in lines] == [
        "platform_build_info",
        "platform_evaluator_leader",
        "platform_evaluation_last_success",
        "platform_evaluation_failures_total",
    ]
    assert lines[1] == "platform_evaluator_leader 0.0"
    assert client.get("/").status_code == 200
    assert client.get("/readyz").json()["evaluator"] == "another replica"


def test_the_lead_is_looked_at_when_a_scrape_comes(client: TestClient, second: Service) -> None:
    """The same snapshot is exposed or not by who leads at that moment."""
    second.role = Told(leads=True, number=1)
    leading = client.get("/metrics").text
    second.role = Told(leads=False)
    after = client.get("/metrics").text

    assert "platform_slo_objective_ratio" in leading
    assert "platform_evaluator_leader 1.0" in leading
    assert "platform_slo" not in after


def test_nobody_leading_is_a_problem(client: TestClient, second: Service) -> None:
    """Where no replica leads /readyz names it first."""

    class Nobody(Told):
        def evaluator(self) -> str:
            return "nobody"

    second.role = Nobody(leads=False)

    assert client.get("/readyz").json()["problems"][0] == "no replica is the evaluator"


def test_a_store_of_ones_own_knows_no_replicas(collected: Service) -> None:
    """Without replicas neither metrics nor health say a word of them."""
    with TestClient(create_app(collected)) as client:
        assert "platform_evaluator_leader" not in client.get("/metrics").text
        assert "evaluator" not in client.get("/readyz").json()


def test_who_is_elected_believes_nothing_it_remembers(second: Service, running: Running) -> None:
    """What another evaluator wrote without being able to finish is derived again, and shown."""
    second.refresh()
    second.collect(second.configuration.sources[0])
    second._derivations._database = running.database
    second.observations._database = running.database
    second.role = Told(leads=True)

    published = second.refresh()

    assert "platform_deployments_total" in published.exposition.text.decode()


def test_a_replica_that_does_not_lead_does_nothing_by_itself(second: Service, running: Running, tmp_path: Path) -> None:
    """Its jobs run and neither collect, nor drain, nor deliver; with workers there is none that collects."""
    dispatch = _dispatch(_Queue())

    alone = schedule(second, running.log, lambda: NOW)
    beside = schedule(second, running.log, lambda: NOW, dispatch)
    for job in [*alone.get_jobs(), *beside.get_jobs()]:
        if job.id != "evaluate":
            job.func(*job.args)

    assert {job.id for job in alone.get_jobs()} - {job.id for job in beside.get_jobs()} == {"collect events"}
    assert second.events.runs() == {}
    assert not (tmp_path / "reports").exists()
