"""The gate at work: over a history, from the command line and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from paceline.cli import main
from paceline.gate import UnknownService
from paceline.service import Published, Service
from paceline.web import create_app
from paceline.wiring import Running, build, configuration
from slo_engine.gate import Spend, Verdict
from slo_engine.snapshot import SloState
from slo_engine.spending import Ledger, bad_units, spends

Capture = pytest.CaptureFixture[str]
Ask = Callable[..., tuple[object, str, str]]

SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: safe
  annotations: {{paceline.dev/tier: "{tier}"}}
spec:
  service: {service}
  indicator:
    spec:
      {sli}
  budgetingMethod: Occurrences
  timeWindow: [{{{window}}}]
  objectives: [{{target: {target}}}]
"""
FAILURES = "ratioMetric: {rawType: success, raw: {metricSource: {type: Paceline, spec: {indicator: change_fail_rate}}}}"
RECOVERIES = "thresholdMetric: {metricSource: {type: Paceline, spec: {indicator: failed_deployment_recovery_time}}}"
ROLLING = "duration: 28d, isRolling: true"
QUARTER = "duration: 1Q, isRolling: false, calendar: {timeZone: Europe/Berlin}"
OVERRIDE = """\
overrides:
  - slo: safe
    author: checkout crew
    reason: The fix of the fault that spent the budget.
    ticket: OPS-17
    from: {start}
    until: {end}
    lifts: [block]
"""


EXCLUSION = """\
exclusions:
  - service: shop
    reason: maintenance
    author: operations
    ticket: OPS-18
    from: {start}
    until: {end}
"""


class History:
    """A folder of settings: a deployment a day for 40 days before `now`, and an incident after one of them."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self.folder, self.now = folder, now.replace(microsecond=0)
        days = [self.now - timedelta(days=n, hours=1) for n in range(2, 42)]
        events = [deployment(f"v{n}", at) for n, at in enumerate(days, start=2)]
        events.append(incident("INC-1", days[8] + timedelta(minutes=10)))
        (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events), encoding="utf-8")
        self.slo()
        self.settings()

    def slo(self, **changed: str) -> None:
        """Write the SLO: of 10 deployments one may fail in 28 days, unless it is told otherwise."""
        usual = {"service": "shop", "tier": "", "sli": FAILURES, "window": ROLLING, "target": "0.9"}
        (self.folder / "safe.yaml").write_text(SLO.format(**usual | changed), encoding="utf-8")

    def settings(self, more: str = "") -> None:
        """Write the settings."""
        text = (
            "sources:\n  - {type: files, name: events, path: events.jsonl}\nslos: [safe.yaml]\nlogs: {format: json}\n"
        )
        (self.folder / "paceline.yaml").write_text(text + more, encoding="utf-8")

    def override(self, start: timedelta = timedelta(hours=-1), end: timedelta = timedelta(hours=1)) -> None:
        """Write an override and name it."""
        times = {"start": f"{self.now + start:%Y-%m-%dT%H:%M}Z", "end": f"{self.now + end:%Y-%m-%dT%H:%M}Z"}
        (self.folder / "override.yaml").write_text(OVERRIDE.format(**times), encoding="utf-8")
        self.settings("overrides: [override.yaml]\n")


def deployment(version: str, at: datetime) -> dict[str, Any]:
    """A record of a production deployment."""
    return {
        "kind": "deployment",
        "native_id": version,
        "version": version,
        "service": "shop",
        "environment": "production",
        "finished_at": at.isoformat(),
        "result": "success",
    }


def incident(native_id: str, at: datetime) -> dict[str, Any]:
    """A record of an incident that was over after an hour."""
    return {
        "kind": "incident",
        "native_id": native_id,
        "service": "shop",
        "environment": "production",
        "state": "resolved",
        "started_at": at.isoformat(),
        "restored_at": (at + timedelta(hours=1)).isoformat(),
    }


@pytest.fixture
def history(tmp_path: Path) -> History:
    """A history up to now: the command line asks the real clock."""
    return History(tmp_path, datetime.now(tz=UTC))


@pytest.fixture
def ask(history: History, capsys: Capture) -> Ask:
    """Asks the gate from the command line about a service: exit code, output and errors."""
    config = str(history.folder / "paceline.yaml")

    def command(*arguments: str, service: str = "shop") -> tuple[object, str, str]:
        main(["collect", "--config", config])
        capsys.readouterr()
        code: object = 0
        try:
            main(["gate", "--service", service, *arguments, "--config", config])
        except SystemExit as stopped:
            code = stopped.code
        return code, *capsys.readouterr()

    return command


# --- the command line


def test_enough_budget_and_a_review_is_a_warning(ask: Ask) -> None:
    """One of the 27 deployments failed, a third of what may: allowed, and one deployment spent more than a fifth."""
    code, out, _ = ask("--output", "json")
    found = json.loads(out)

    assert (code, found["verdict"], found["exit_code"]) == (0, "warn", 0)
    assert [r["verdict"] for r in found["reasons"]] == ["warn", "warn", "allow"]
    assert "of the error budget of 28d is left" in found["reasons"][2]["text"]
    assert found["reasons"][0]["text"].startswith("deployment v10 spent 3")
    assert found["reasons"][0]["text"].endswith("; default: a review is due above 20%")
    assert found["reasons"][1]["text"].startswith("incident ")


def test_a_warning_stops_only_the_strict(ask: Ask) -> None:
    """With --strict the exit code of a warning is 1."""
    assert ask("--strict")[0] == 1


def test_a_spent_budget_blocks(history: History, ask: Ask) -> None:
    """Nothing left: block, exit code 3, with the numbers in the table."""
    history.slo(target="0.99")

    code, out, _ = ask()

    assert code == 3
    assert "shop: block" in out
    assert "Policy: Google SRE Workbook" in out


def test_a_dry_run_says_the_code_and_ends_with_0(history: History, ask: Ask) -> None:
    """A pipeline can try the gate before it may stop anything."""
    history.slo(target="0.99")

    code, out, err = ask("--dry-run", "--output", "json")

    assert (code, json.loads(out)["exit_code"], json.loads(out)["dry_run"]) == (0, 3, True)
    assert err.splitlines()[-1] == "dry run: the exit code would be 3"


def test_a_policy_of_ones_own_decides(history: History, ask: Ask) -> None:
    """The file named by `policy` replaces the packaged one."""
    text = "source: Ours\nlongest_override: 2d\nrules:\n  - {name: all, block_below: 0.9}\n"
    (history.folder / "policy.yaml").write_text(text, encoding="utf-8")
    history.settings("policy: policy.yaml\n")

    code, out, _ = ask("--output", "json")

    assert (code, json.loads(out)["policy"]) == (3, "Ours")
    assert json.loads(out)["reasons"][0]["text"].endswith("; all: block below 90%")


def test_a_service_without_slo_is_unknown(history: History, ask: Ask) -> None:
    """Nobody said what is good enough: unknown, never allow."""
    history.slo(service="other")

    code, out, _ = ask("--output", "json")

    assert (code, json.loads(out)["verdict"]) == (4, "unknown")
    assert json.loads(out)["reasons"][0]["text"] == "there is no SLO to decide by: 0 were found"


def test_a_service_of_the_catalogue_is_known(history: History, ask: Ask) -> None:
    """It has no SLO and no event yet: unknown, and no mistake of whoever asks."""
    history.settings("services: [{name: new}]\n")

    assert ask(service="new")[0] == 4


@pytest.mark.parametrize(("name", "said"), [("shpo", "did you mean shop?"), ("zzz", "there are shop")])
def test_a_service_that_nobody_knows_is_a_mistake(ask: Ask, name: str, said: str) -> None:
    """A misspelt name is exit code 2 with the nearest one, and does not read as a verdict."""
    code, out, err = ask(service=name)

    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"there is no service '{name}'; {said}"


def test_a_dry_run_of_an_unknown_service_ends_with_0(ask: Ask) -> None:
    """A dry run never stops a pipeline, and says what would."""
    code, _, err = ask("--dry-run", service="shpo")

    assert code == 0
    assert err.splitlines()[-1] == "dry run: the exit code would be 2"


def test_data_that_are_too_few_are_unknown(history: History, ask: Ask) -> None:
    """One deployment says nothing about the next: exit code 4, with the reason."""
    (history.folder / "events.jsonl").write_text(json.dumps(deployment("v1", history.now)) + "\n", encoding="utf-8")

    code, out, _ = ask("--output", "json")

    assert code == 4
    assert "insufficient data (" in json.loads(out)["reasons"][0]["text"]


# --- overrides


def test_an_override_makes_a_warning_and_is_shown(history: History, ask: Ask) -> None:
    """Block becomes warn; who answers for it, why and until when stand beside the verdict."""
    history.slo(target="0.99")
    history.override()

    code, out, _ = ask("--output", "json")
    found = json.loads(out)

    assert (code, found["verdict"]) == (0, "warn")
    assert [(o["ticket"], o["slo"]) for o in found["overrides"]] == [("OPS-17", "safe")]
    assert "applied: the override of checkout crew (OPS-17), until " in ask()[1]


def test_an_applied_override_is_logged_without_a_name(history: History, ask: Ask) -> None:
    """The log keeps what was overridden and under which ticket, never who."""
    history.slo(target="0.99")
    history.override()

    err = ask()[2]
    (line,) = (json.loads(x) for x in err.splitlines() if "override" in x)

    assert (line["level"], line["event"]) == ("warning", "an override of the gate was applied")
    assert (line["service"], line["verdict"], line["ticket"], line["lifts"]) == ("shop", "warn", "OPS-17", "block")
    assert "crew" not in err


def test_an_expired_override_is_said_and_not_logged(history: History, ask: Ask) -> None:
    """Once it has ended it changes nothing."""
    history.slo(target="0.99")
    history.override(timedelta(hours=-3), timedelta(hours=-2))

    code, out, err = ask("--output", "json")

    assert (code, json.loads(out)["overrides"]) == (3, [])
    assert json.loads(out)["notes"][0].startswith("the override of checkout crew (OPS-17) expired on ")
    assert "override" not in err


# --- the service and HTTP


@pytest.fixture
def at() -> datetime:
    """The time of the service's clock."""
    return datetime(2026, 3, 9, 6, 0, tzinfo=UTC)


@pytest.fixture
def clocked(tmp_path: Path, at: datetime) -> History:
    """A history up to the service's clock."""
    return History(tmp_path, at)


@pytest.fixture
def started(clocked: History, clock: Any) -> Iterator[Running]:
    """A service over the history, collected."""
    found = build(configuration(clocked.folder / "paceline.yaml", {}, clocked.folder), clock, {})
    found.service.collect(found.service.configuration.sources[0])
    yield found
    found.close()


@contextmanager
def collected(history: History, clock: Any) -> Iterator[Service]:
    """A service over a history that a test changed first."""
    with closing(build(configuration(history.folder / "paceline.yaml", {}, history.folder), clock, {})) as found:
        found.service.collect(found.service.configuration.sources[0])
        yield found.service


@pytest.fixture
def published(started: Running) -> Published:
    """What the service knows."""
    return started.service.refresh()


@pytest.fixture
def client(started: Running) -> Iterator[TestClient]:
    """Asks the service over HTTP."""
    with TestClient(create_app(started.service)) as found:
        yield found


def test_the_gate_answers_over_http(client: TestClient, published: Published, at: datetime) -> None:
    """The same verdict and reasons as on the command line; status 200 whatever the verdict."""
    answer = client.get("/api/v1/gate", params={"service": "shop"})
    found = answer.json()

    assert published.snapshot.slos
    assert (answer.status_code, found["service"], found["verdict"]) == (200, "shop", "warn")
    assert [r["slo"] for r in found["reasons"]] == ["safe", "safe", "safe"]
    assert datetime.fromisoformat(found["at"]) == at


def test_an_unknown_service_is_404(client: TestClient, published: Published) -> None:
    """With the nearest name."""
    answer = client.get("/api/v1/gate", params={"service": "shpo"})

    assert published.snapshot.slos
    assert (answer.status_code, answer.json()) == (404, {"detail": "there is no service 'shpo'; did you mean shop?"})


@pytest.mark.parametrize("query", ["", "?service="])
def test_without_a_service_the_question_is_refused(client: TestClient, published: Published, query: str) -> None:
    """It is about one service."""
    assert published.snapshot.slos
    assert client.get(f"/api/v1/gate{query}").status_code == 422


def test_before_the_first_snapshot_there_is_no_verdict(client: TestClient) -> None:
    """503: a pipeline that takes only 200 for an answer is not let through."""
    assert client.get("/api/v1/gate", params={"service": "shop"}).status_code == 503


def test_a_store_that_cannot_be_read_gives_no_verdict(
    client: TestClient, published: Published, started: Running
) -> None:
    """503 rather than a verdict that does not know what was spent."""
    started.database.close()
    (started.service.configuration.data_dir / "paceline.db").write_bytes(b"no database")

    assert published.snapshot.slos
    assert client.get("/api/v1/gate", params={"service": "shop"}).status_code == 503


def test_old_numbers_are_unknown(started: Running, published: Published, clock: Any) -> None:
    """A service that evaluates no more lets nothing through by what was true long ago."""
    clock.move(timedelta(minutes=16))

    decision = started.service.gate("shop", published).decision

    assert decision.verdict is Verdict.UNKNOWN
    assert "the numbers are 16 min old" in decision.reasons[0].text


def test_the_openapi_describes_the_gate(client: TestClient) -> None:
    """The four verdicts, and the answers that hold none."""
    found = client.get("/openapi.json").json()

    assert set(found["paths"]["/api/v1/gate"]["get"]["responses"]) == {"200", "404", "422", "503"}
    assert found["components"]["schemas"]["Verdict"]["enum"] == ["allow", "warn", "unknown", "block"]


# --- what was spent


def state(published: Published) -> SloState:
    """The state of the only SLO."""
    (found,) = published.snapshot.slos
    return found


def ledger(service: Service) -> Ledger:
    """Where its units stand."""
    return Ledger(indicators=service.indicators, observations=service.observations, events=service.events)


def test_the_bad_units_are_those_that_were_counted(started: Running, published: Published) -> None:
    """What is charged to somebody is exactly what the budget lost."""
    found = state(published)

    bad = list(bad_units(found.slo, ledger(started.service), published.snapshot.at))

    assert len(bad) == found.counts["28d"].bad == 1


def test_an_incident_and_its_deployment_are_charged(started: Running, published: Published) -> None:
    """Each with the share of the budget: one bad deployment over a tenth of all."""
    service, found = started.service, state(published)

    charged = spends(service.configuration.policy, [found], ledger(service), published.snapshot.at)

    total = found.counts["28d"].total
    assert [s.kind for s in charged] == ["incident", "deployment"]
    assert [s.share for s in charged] == pytest.approx([10 / total, 10 / total])
    assert charged[1] == Spend(slo="safe", kind="deployment", name="v10", share=charged[1].share)


@pytest.mark.parametrize("window", [ROLLING, QUARTER])
def test_durations_and_calendars_are_charged_as_they_are_counted(clocked: History, clock: Any, window: str) -> None:
    """A recovery of an hour where 30 minutes are allowed: charged to its incident, in any window."""
    clocked.slo(sli=RECOVERIES, window=window, target="0.9, op: lte, value: 1800")

    with collected(clocked, clock) as service:
        published = service.refresh()
        found = state(published)
        bad = list(bad_units(found.slo, ledger(service), published.snapshot.at))
        charged = spends(service.configuration.policy, [found], ledger(service), published.snapshot.at)

    assert len(bad) == found.counts[found.slo.window.label].bad == 1
    assert [(s.kind, s.share) for s in charged] == [("incident", 10.0), ("deployment", 10.0)]


def test_what_is_excluded_is_charged_to_nobody(clocked: History, clock: Any) -> None:
    """A failure within an agreed maintenance spends nothing, and the gate allows."""
    times = {"start": f"{clocked.now - timedelta(days=11):%Y-%m-%dT%H:%M}Z", "end": f"{clocked.now:%Y-%m-%dT%H:%M}Z"}
    (clocked.folder / "exclusions.yaml").write_text(EXCLUSION.format(**times), encoding="utf-8")
    clocked.settings("exclusions: [exclusions.yaml]\n")

    with collected(clocked, clock) as service:
        published = service.refresh()
        decision = service.gate("shop", published).decision

    assert (decision.verdict, len(decision.reasons)) == (Verdict.ALLOW, 1)
    assert decision.reasons[0].text == "100.0% of the error budget of 28d is left"


def test_a_misspelt_service_raises(started: Running, published: Published) -> None:
    """Whoever calls the service is told."""
    with pytest.raises(UnknownService, match=r"there is no service 'shpo'; did you mean shop\?"):
        started.service.gate("shpo", published)
