"""The planted stories, imported as `paceline demo` does: each shows in its number, and nowhere else.

One store for all tests, of the shortest example: 13 weeks that end with 2026-W14. Where a story says what must be seen,
the numbers of its weeks stand beside those of a week without it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from code_blocks import ROOT, blocks_of, commands

from collector.events import event_id
from paceline.cli import cli
from paceline.demo.folder import SETTINGS
from paceline.demo.stories import STORIES
from paceline.service import Published, Service
from paceline.wiring import Running, build, configuration
from slo_engine.explain import ExplainedNumber, Explanation, Selection
from slo_engine.slo import SloStatus
from slo_engine.snapshot import SloState
from slo_engine.weekly import Audience, Week, WeeklySummary, rendered

pytestmark = pytest.mark.long

STAGE = (("stage", "first_deployed_change"),)
NEW_SERVICE = (("journey", "new-service"),)
PLATFORM_HELP = (("queue", "platform-help"),)
MAP = (("method", "map"),)
PAGE = [c.text for block in blocks_of(ROOT / "docs" / "demo.md") for c in commands(block)]


@dataclass(frozen=True)
class Looking:
    """The imported example, and what can be asked of it."""

    folder: Path
    running: Running
    published: Published

    @property
    def service(self) -> Service:
        """The service that answers."""
        return self.running.service

    def explain(self, indicator: str, **selection: object) -> Explanation:
        """What `paceline explain` answers."""
        return self.service.explain(indicator, Selection(**selection))  # type: ignore[arg-type]

    def number(self, indicator: str, **selection: object) -> ExplainedNumber:
        """The one number that a selection is about, or the first of several."""
        return self.explain(indicator, **selection).numbers[0]

    def value(self, indicator: str, **selection: object) -> float:
        """Its leading statistic."""
        return next(iter(self.number(indicator, **selection).stats.values()))

    def planted(self, source: str, story: str) -> set[str]:
        """The ids of a source's events whose native id names a story."""
        lines = (json.loads(line) for line in (self.folder / f"events/{source}.jsonl").read_bytes().splitlines())
        return {
            event_id(line["kind"], source, line["native_id"]) for line in lines if line["native_id"].startswith(story)
        }

    def slo(self, name: str) -> SloState:
        """Where an SLO stands."""
        return next(s for s in self.published.snapshot.slos if s.slo.name == name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example is made."""
    return tmp_path_factory.mktemp("demo") / "example"


@pytest.fixture(scope="module")
def said(folder: Path) -> Result:
    """What the command says when it has made and imported the example."""
    return CliRunner().invoke(cli, ["demo", "--dir", str(folder), "--weeks", "13"], catch_exceptions=False)


@pytest.fixture(scope="module")
def looking(folder: Path, said: Result) -> Iterator[Looking]:
    """The example as somebody opens it afterwards."""
    assert said.exit_code == 0
    running = build(configuration(folder / SETTINGS, {}, folder), environ={})
    yield Looking(folder, running, running.service.refresh())
    running.close()


def units(found: Explanation, outcome: str) -> set[str]:
    """The ids of the listed units that were judged so."""
    return {u.unit.id for u in found.units if u.outcome == outcome}


# --- the command -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.name)
def test_the_command_says_where_each_story_shows(said: Result, story: object) -> None:
    """Its name, what happened, and a command to look at it."""
    found = next(s for s in STORIES if s is story)
    assert f"\n{found.name}, " in said.output
    assert (
        f"  {found.what}\n  To see: {found.shows}.\n    paceline explain {found.explain[0].split()[0]}" in said.output
    )


@pytest.mark.parametrize("text", [t for t in PAGE if t.startswith("paceline explain")])
def test_the_commands_of_the_page_show_their_story(looking: Looking, text: str) -> None:
    """What the documentation's page of the example says works in the example."""
    done = CliRunner().invoke(cli, shlex.split(text)[1:], obj=looking.running)
    assert done.exit_code == 0, done.output


def test_nothing_is_set_aside(looking: Looking) -> None:
    """Every record that is written can be used."""
    assert {s.name: s.rejected_total for s in looking.published.snapshot.sources if s.rejected_total} == {}


def test_every_name_is_in_the_catalogue(looking: Looking) -> None:
    """No deployment, component or pipeline is unknown."""
    assert looking.published.unmatched == {}


# --- dns-outage ------------------------------------------------------------------------------------------


def test_the_outage_costs_its_minutes_of_uptime(looking: Looking) -> None:
    """87 minutes of silence, and what failed in the 18 after it: the bad minutes are the planted ones, no others."""
    found = looking.explain("uptime", service="dns", week="2026-W12")
    bad = units(found, "bad")
    assert 87 <= len(bad) <= 105
    assert bad <= looking.planted("probes", "dns-outage")


def test_the_week_after_the_outage_is_whole(looking: Looking) -> None:
    """Another week has all of its 10 080 minutes."""
    assert looking.number("uptime", service="dns", week="2026-W13").stats["value"] > 0.999


def test_the_outage_spends_the_budget_of_its_slo_alone(looking: Looking) -> None:
    """99.9 % of 28 days allow 40 minutes: the name service is exhausted, and the registry is not."""
    assert looking.slo("dns-is-up").status == SloStatus.EXHAUSTED
    assert looking.slo("registry-is-up").status == SloStatus.HEALTHY


def test_the_outage_is_an_incident_of_87_minutes(looking: Looking) -> None:
    """Its only incident took 5 220 s, and is the planted one."""
    found = looking.explain("incident_time_to_restore", service="dns", week="2026-W12")
    assert [u.value for u in found.units] == [5_220.0]
    assert units(found, "measured") == looking.planted("pager", "dns-outage")


# --- bad-release-week ------------------------------------------------------------------------------------


def test_most_deployments_of_the_bad_week_fail(looking: Looking) -> None:
    """More than two of five of the team's fail, in the weeks around fewer than one of six."""
    selected = {"team": "/commerce/checkout", "environment": "production"}
    rates = [looking.value("change_fail_rate", week=f"2026-W{week}", **selected) for week in (10, 11, 12)]
    assert rates[1] > 0.4
    assert max(rates[0], rates[2]) < 1 / 6


def test_the_failed_deployments_are_the_planted_ones(looking: Looking) -> None:
    """What explain lists as failed was deployed in that week."""
    found = looking.explain("change_fail_rate", team="/commerce/checkout", environment="production", week="2026-W11")
    assert units(found, "bad") <= looking.planted("forge", "bad-release-week")


def test_the_bad_week_is_the_teams_alone(looking: Looking) -> None:
    """Another team's rate stays below one of six."""
    assert looking.value("change_fail_rate", team="/commerce/search", week="2026-W11") < 1 / 6


# --- slow-onboarding -------------------------------------------------------------------------------------


def test_the_cohort_that_waits_for_access_does_not_deploy_in_time(looking: Looking) -> None:
    """None of its eight people has a change in production within ten working days."""
    found = looking.explain("onboarding_success", team="/commerce/fulfilment", labels=STAGE, window="90d")
    assert sum(u.outcome == "bad" for u in found.units) >= 8


def test_others_deploy_in_time(looking: Looking) -> None:
    """Without the cohort's team more than three of four do."""
    found = looking.explain("onboarding_success", team="/commerce/fulfilment", labels=STAGE, window="90d").numbers[0]
    whole = looking.number("onboarding_success", team="/", labels=STAGE, window="90d")
    assert None not in {found.numerator, whole.numerator, found.denominator, whole.denominator}
    good, judged = (whole.numerator or 0) - (found.numerator or 0), (whole.denominator or 0) - (found.denominator or 0)
    assert good / judged > 0.75


def test_the_cohort_takes_longer(looking: Looking) -> None:
    """Its median is beyond ten working days of 86 400 s, that of all within."""
    selected = {"labels": STAGE, "window": "90d"}
    assert looking.number("onboarding_time", team="/commerce/fulfilment", **selected).stats["p50"] > 864_000
    assert looking.number("onboarding_time", team="/", **selected).stats["p50"] < 864_000


def test_newcomers_stay_nameless(looking: Looking) -> None:
    """Their units have neither id nor evidence that names them."""
    found = looking.explain("onboarding_success", team="/commerce/fulfilment", labels=STAGE, window="90d")
    assert {(u.unit.kind, u.unit.id) for u in found.units} == {("person", "")}


# --- broken-template -------------------------------------------------------------------------------------


def test_the_broken_template_fails_until_it_is_mended(looking: Looking) -> None:
    """In its two weeks fewer than half of the requests succeed, before and afterwards more than four of five."""
    weeks = ("2026-W07", "2026-W08", "2026-W09", "2026-W10")
    before, first, second, after = (looking.value("self_service_success", labels=NEW_SERVICE, week=w) for w in weeks)
    assert max(first, second) < 0.5
    assert min(before, after) > 0.8


def test_the_failed_requests_are_the_planted_ones(looking: Looking) -> None:
    """What explain lists as bad are attempts with the broken template."""
    found = looking.explain("self_service_success", labels=NEW_SERVICE, week="2026-W08")
    assert units(found, "bad") <= looking.planted("portal", "broken-template")


def test_other_journeys_do_not_suffer(looking: Looking) -> None:
    """A database comes as ever."""
    assert looking.value("self_service_success", labels=(("journey", "provision-db"),), week="2026-W08") > 0.8


# --- support-backlog -------------------------------------------------------------------------------------


def test_answers_are_late_while_people_are_away(looking: Looking) -> None:
    """In the last week fewer than half of the questions are answered in time, before it nearly all."""
    assert looking.value("support_first_response", labels=PLATFORM_HELP, week="2026-W14") < 0.5
    assert looking.value("support_first_response", labels=PLATFORM_HELP, week="2026-W09") > 0.9


def test_the_late_answers_are_the_planted_ones(looking: Looking) -> None:
    """What explain lists as bad are questions of these weeks."""
    found = looking.explain("support_first_response", labels=PLATFORM_HELP, week="2026-W14")
    assert units(found, "bad") <= looking.planted("desk", "support-backlog")


def test_open_tickets_pile_up(looking: Looking) -> None:
    """More questions are open than in both other queues together, and their SLO has no budget left."""
    others = sum(
        looking.value("support_open_tickets", labels=(("queue", queue),)) for queue in ("access-requests", "data-help")
    )
    assert looking.value("support_open_tickets", labels=PLATFORM_HELP) > 2 * others
    assert looking.slo("platform-help-answers").status == SloStatus.EXHAUSTED
    assert looking.slo("access-requests-answers").status == SloStatus.HEALTHY


# --- docs-drift ------------------------------------------------------------------------------------------


def test_pages_of_the_drifting_team_no_longer_follow_its_code(looking: Looking) -> None:
    """Fewer than one of ten of its deployed changes are followed by the page, elsewhere four of five."""
    assert looking.value("documentation_freshness", team="/data/analytics", labels=MAP) < 0.1
    assert looking.value("documentation_freshness", team="/commerce/checkout", labels=MAP) > 0.8


def test_the_slo_of_the_drifting_team_is_exhausted_and_that_of_all_is_not(looking: Looking) -> None:
    """One team in twelve does not spend what is promised for all."""
    assert looking.slo("analytics-pages-follow").status == SloStatus.EXHAUSTED
    assert looking.slo("pages-follow-the-code").status == SloStatus.HEALTHY


# --- silent-source ---------------------------------------------------------------------------------------


def test_the_silent_source_really_fails(looking: Looking) -> None:
    """Its last run ended with an error, its last success lies twelve days back, and all others are fresh."""
    states = {s.name: s for s in looking.published.snapshot.sources}
    silent = states.pop("portal-probes")
    assert "was written to since 2026-03-24 03:00 UTC" in (silent.error or "")
    assert round((silent.staleness_seconds or 0) / 86_400) == 12
    assert all(s.fresh for s in states.values())


def test_what_rests_on_the_silent_source_is_withheld(looking: Looking) -> None:
    """The portal's uptime is not exported, though its known minutes were good; its SLO cannot say anything."""
    found = looking.number("uptime", service="portal")
    assert (found.exported, found.stale) == (None, ("portal-probes",))
    assert looking.slo("portal-is-up").status == SloStatus.INSUFFICIENT_DATA


def test_the_silent_source_was_fresh_until_it_fell_silent(looking: Looking) -> None:
    """Every hour since is bad; another source has none."""
    assert looking.value("source_freshness", labels=(("source", "portal-probes"),)) < 0.65
    assert looking.value("source_freshness", labels=(("source", "git"),)) > 0.99


# --- monorepo --------------------------------------------------------------------------------------------


def test_services_of_one_repository_have_changes_of_their_own(looking: Looking) -> None:
    """Two of them shipped different changes, and those of the library both."""
    first = {u.unit.id for u in looking.explain("change_lead_time", service="intake").units}
    second = {u.unit.id for u in looking.explain("change_lead_time", service="schemas").units}
    assert first - second
    assert second - first
    assert first & second


# --- small-group -----------------------------------------------------------------------------------------


def test_a_service_with_few_deployments_promises_nothing(looking: Looking) -> None:
    """Below ten deployments in 28 days its SLO says that it cannot say."""
    assert looking.slo("notebooks-hold").status == SloStatus.INSUFFICIENT_DATA


def test_how_many_of_three_people_were_active_is_withheld(looking: Looking) -> None:
    """Explain says that it is about fewer than five, and lists nobody; of the whole organisation it tells."""
    found = looking.explain("active_users", team="/data/research")
    assert [(number.n, number.fewer_than) for number in found.numbers] == [(None, 5)]
    assert found.units == ()
    assert (looking.number("active_users", team="/").n or 0) > 200


# --- the weekly summaries of these weeks -----------------------------------------------------------------


@pytest.fixture(scope="module")
def weekly(looking: Looking) -> Callable[..., WeeklySummary]:
    """The summary of a week; of all unless a team is told."""

    @cache
    def found(week: str, team: str = "") -> WeeklySummary:
        audience = Audience.TEAM if team else Audience.SRE
        return looking.service.summary(Week.parse(week, looking.service.zone), audience, team)

    return found


def contributors(summary: WeeklySummary, slo: str) -> dict[str, str]:
    """What an SLO's loss is charged to: by kind the one with the most bad units."""
    (loss,) = [one for one in summary.losses if one.slo == slo]
    return {c.kind: c.name for c in reversed(loss.contributors)}


def frozen(summary: WeeklySummary) -> set[str]:
    """The services whose features are to be frozen."""
    return {d.whose for d in summary.decisions if d.kind == "freeze"}


def test_the_summary_names_the_outage(weekly: Callable[..., WeeklySummary]) -> None:
    """The name service spent most in that week, by its incident; its features are frozen, and a review is due."""
    found = weekly("2026-W12")
    assert found.verdict.spent_most == "The name service is up"
    assert contributors(found, "dns-is-up") == {"incident": "of dns on 18 Mar 13:05, 87 min", "service": "dns"}
    assert "dns" in frozen(found)
    assert "incident of dns on 18 Mar 13:05, 87 min" in {d.whose for d in found.decisions if d.kind == "review"}


def test_the_summary_names_the_team_of_the_bad_week(weekly: Callable[..., WeeklySummary], looking: Looking) -> None:
    """The team's change fail rate is higher than the week before, and its services lost most of the deployments."""
    found = weekly("2026-W11")
    (team,) = [d for d in found.delivery if d.team == "/commerce/checkout"]
    (rate,) = [m for m in team.metrics if m.indicator == "change_fail_rate"]
    assert ((rate.value or 0) > 0.4, rate.change) == (True, "higher")
    assert contributors(found, "deployments-hold")["service"] in {
        s.name for s in looking.service.configuration.services if s.team == "/commerce/checkout"
    }


def test_the_summary_names_the_broken_journey(weekly: Callable[..., WeeklySummary]) -> None:
    """What the template spent is charged to its journey."""
    assert contributors(weekly("2026-W09"), "self-service-new-service") == {"journey": "new-service"}


def test_the_summary_names_the_queue_that_piles_up(weekly: Callable[..., WeeklySummary]) -> None:
    """Its SLO lost budget by its queue again, and features of support are frozen."""
    found = weekly("2026-W14")
    assert contributors(found, "platform-help-answers") == {"queue": "platform-help"}
    assert "support" in frozen(found)


def test_the_summary_begins_with_the_silent_source(weekly: Callable[..., WeeklySummary]) -> None:
    """Before any number; the SLO of the portal is without enough data, and undecided."""
    found = weekly("2026-W14")
    first = rendered(found, "text").partition("promises are kept")[0]
    assert "Data complete 91%: 11 of 12 sources cover the whole week (portal-probes was last collected on" in first
    assert "The portal is up" in found.undecided


def test_the_summary_names_the_services_whose_pages_drift(weekly: Callable[..., WeeklySummary]) -> None:
    """The team's SLO is out of budget by its own services; that of all is not among the exhausted."""
    found = weekly("2026-W14")
    status = {s.name: s.status for s in found.slos}
    assert status["analytics-pages-follow"] == SloStatus.EXHAUSTED
    assert status.get("pages-follow-the-code") != SloStatus.EXHAUSTED
    assert contributors(found, "analytics-pages-follow")["service"] in {"warehouse", "charts", "timeseries"}


def test_the_summary_names_the_promise_to_newcomers(weekly: Callable[..., WeeklySummary]) -> None:
    """Fewer than promised deployed in time; who they are, or in which team, is not told."""
    found = weekly("2026-W14")
    (line,) = [s for s in found.slos if s.name == "newcomers-deploy"]
    (own,) = [o for o in found.own if (o.indicator, o.about) == ("onboarding_success", "stage first_deployed_change")]
    assert own.stats["value"] < line.target
    assert (line.change_word, line.history) == ("not compared", ())
    assert [one for one in found.losses if one.slo == "newcomers-deploy"] == []


def test_the_summary_of_the_small_team_withholds_its_people(weekly: Callable[..., WeeklySummary]) -> None:
    """Of three people nothing is told, and its SLO has too few events to say anything."""
    found = weekly("2026-W14", "/data/research")
    assert {o.withheld for o in found.own if o.indicator == "active_users"} == {True}
    assert [(s.name, s.status) for s in found.slos] == [("notebooks-hold", SloStatus.INSUFFICIENT_DATA)]
