"""What `paceline init` proposes, suggests and writes, part by part; tests/integration/test_init.py runs it whole."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from replay import Provider, Reply

from collector.document import read_documents
from collector.errors import ConfigError, SourceError
from collector.http import Wire
from collector.name_rules import checked_rule
from collector.patterns import Pattern, any_matches
from collector.people import People
from collector.source import SourceContext
from paceline.catalogue import ServiceSettings
from paceline.commands.init import ended_as_interrupted
from paceline.doctor import Diagnosis
from paceline.init.files import SETTINGS, comment, place, refuse_existing, settings_text
from paceline.init.forges import KINDS, Listing, Owner, incident_labels, listing, owner_of
from paceline.init.looking import Looking, as_one_service, forge_of, kind_at, read_once, unnamed
from paceline.init.proposals import NOTHING, PUBLISHED, deployment_proposals, exactly, incident_proposal
from paceline.init.repositories import App, RepositoryFound, apps_of, host_of, service_name
from paceline.init.sources import Plan, Planned, Subject, plan_of
from paceline.init.starters import DELIVERY, HOLD, PIPELINES, STEPS, candidates, suggested
from paceline.resources import starter_slos
from slo_engine.indicator import indicators
from slo_engine.openslo import load_slos
from slo_engine.slo import EventCounts, SloStatus
from slo_engine.snapshot import SloState

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GITHUB = KINDS["github"]
SHOP = RepositoryFound(place="/srv/shop", name="acme/shop", host="github.com", branch="main", branches=2, commits=5)
SEEN = Diagnosis(source="github", type="github", finished_runs=9)


def settings_of(*subjects: Subject, base_dir: Path = Path("/srv")) -> list[dict[str, Any]]:
    """The settings of the sources that are planned."""
    return [dict(p.settings) for p in plan_of(subjects, base_dir).sources]


# --- proposals -------------------------------------------------------------------------------------------


def test_the_most_direct_evidence_comes_first() -> None:
    """Own deployments to production, then release tags, then runs that sound like it, then commits."""
    looked = replace(
        SEEN,
        environments={"preview": 40, "prod": 7},
        lookalikes=(("acme/shop: Deploy", 3), ("acme/web: Deploy", 2)),
    )
    found = deployment_proposals(replace(SHOP, releases=("v1.0", "v1.1"), other_tags=("nightly",)), looked, 30)

    assert [p.text for p in found] == [
        "GitHub's own deployments: environment prod: 7 deployments in the last 30 days; not production: preview (40)",
        "release tags: 2 match, last v1.1; 1 does not: nightly",
        "pipeline Deploy: 5 of 9 finished runs and jobs in the last 30 days",
        "each commit on main: 5 in the last 30 days",
        "nothing counts as a deployment yet",
    ]


def test_an_environment_that_is_no_production_proposes_nothing() -> None:
    """Deployments to `preview` alone are no releases: the tags are."""
    looked = replace(SEEN, environments={"preview": 40})
    found = deployment_proposals(replace(SHOP, releases=("v1.0",)), looked, 30)

    assert found[0].text == "release tags: 1 match, last v1.0"


@pytest.mark.parametrize("name", ["non-prod", "pre-prod", "prod-like", "preview/live", "live-demo"])
def test_what_only_has_production_in_its_name_is_none(name: str) -> None:
    """A word beside it says that it is something else."""
    (first, *_) = deployment_proposals(None, replace(SEEN, environments={name: 4}), 30)

    assert first is NOTHING


def test_published_releases_stand_for_tags_where_only_the_forge_is_read() -> None:
    """Without a clone to look at, what was published is the evidence, written as the source wants it."""
    (first, _) = deployment_proposals(None, replace(SEEN, environments={PUBLISHED: 4}), 30)
    (gitea, _) = deployment_proposals(None, replace(SEEN, type="gitea", environments={PUBLISHED: 4}), 30)

    assert first.text == "published releases: 4 in the last 30 days"
    assert first.forge == {"releases": {"environment": "production"}}
    assert gitea.forge == {"releases": "production"}


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("acme/shop: Deploy", {"pipeline": "Deploy"}),
        ("acme/shop: pipeline / deploy-eu (eu)", {"job": "deploy-eu"}),
        ("acme/shop: Deploy [eu]", {"pipeline": r"/Deploy\ \[eu\]/"}),
    ],
)
def test_what_sounds_like_deploying_becomes_a_rule(name: str, rule: Mapping[str, str]) -> None:
    """A run by its pipeline, a job by its name; what reads as a glob is written so that it fits itself alone."""
    (first, _) = deployment_proposals(None, replace(SEEN, lookalikes=((name, 3),)), 30)

    assert first.forge == {"deployments": [{**rule, "to": "production"}]}


@pytest.mark.parametrize("name", ["prod", "[type] incident", "/prod", "a*", "is it?"])
def test_a_name_is_a_rule_that_fits_it(name: str) -> None:
    """Whatever a system calls something, the rule that is written finds it."""
    assert Pattern(checked_rule(exactly(name))).matches(name)


def test_incidents_are_counted_by_label() -> None:
    """Each label that sounds like incidents, with how many issues carry it; none is none."""
    found = incident_proposal(("incident", "sev1"), replace(SEEN, incidents={"incident": 3}), 30)

    assert found.text == "issues labelled incident: 3 · labelled sev1: 0 in the last 30 days"
    assert incident_proposal((), SEEN, 30).text == "no label of issues sounds like an incident"


# --- forges ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("git@github.com:acme/shop.git", "github.com"),
        ("https://someone@gitlab.example.com/acme/shop", "gitlab.example.com"),
        ("ssh://git@codeberg.org/acme/shop", "codeberg.org"),
        ("https://git.example.com:8443/acme/shop.git", "git.example.com:8443"),
        ("ssh://git@git.example.com:2222/acme/shop.git", "git.example.com"),
        ("https://[broken/acme/shop", ""),
        ("/srv/git/shop.git", ""),
    ],
)
def test_the_server_of_a_remote(address: str, host: str) -> None:
    """By every form in which remotes are written, with the port of a web server; a path has none."""
    assert host_of(address) == host


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("github.com", "github"),
        ("github.example.com", "github"),
        ("gitlab.com", "gitlab"),
        ("git.gitea.example.com", "gitea"),
        ("codeberg.org", "gitea"),
        ("notgithub.com", None),
        ("", None),
    ],
)
def test_a_forge_is_known_by_the_name_of_its_server(host: str, kind: str | None) -> None:
    """Whole parts of the name: a server that only sounds like it is none."""
    found = kind_at(host)

    assert (found and found.type) == kind


def test_a_forge_is_read_beside_a_repository_where_its_token_is_there() -> None:
    """Without a token nothing is asked."""
    assert forge_of(SHOP, {}) is None
    assert forge_of(SHOP, {"GITHUB_TOKEN": "t"}) == Owner(kind=GITHUB, name="acme")


def test_a_token_goes_to_no_server_that_only_a_remote_names() -> None:
    """Whoever runs `github.evil.example` would have it of everybody who tries `init` in a clone from there."""
    found, environ = replace(SHOP, host="github.evil.example"), {"GITHUB_TOKEN": "t"}
    by_url = replace(found, place="https://github.evil.example/acme/shop.git")

    assert forge_of(found, environ) is None
    assert unnamed(found, environ).startswith("github.evil.example is not asked: GITHUB_TOKEN goes to")
    assert forge_of(by_url, environ) == Owner(kind=GITHUB, name="acme", url="https://github.evil.example/api/v3")
    assert [unnamed(*asked) for asked in ((by_url, environ), (found, {}), (SHOP, environ))] == ["", "", ""]


@pytest.mark.parametrize(
    ("kind", "text", "name", "url"),
    [
        ("github", "acme", "acme", ""),
        ("github", "https://github.com/acme", "acme", ""),
        ("github", "https://git.example.com/acme", "acme", "https://git.example.com/api/v3"),
        ("gitlab", "acme/platform", "acme/platform", ""),
        ("gitea", "https://git.example.com:8443/acme/", "acme", "https://git.example.com:8443"),
    ],
)
def test_an_owner_by_name_or_by_address(kind: str, text: str, name: str, url: str) -> None:
    """`OWNER` at the usual server, or the address of one's own."""
    assert owner_of(KINDS[kind], text) == Owner(kind=KINDS[kind], name=name, url=url)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("gitea", "acme"),
        ("github", "https://u:pass@git.example.com/acme"),
        ("github", "a b"),
        ("gitlab", "https://[broken/acme"),
    ],
)
def test_what_names_no_owner_is_refused(kind: str, text: str) -> None:
    """With the form that is expected, and never with a password in it."""
    with pytest.raises(ConfigError, match=r"expected .*https://HOST/OWNER") as caught:
        owner_of(KINDS[kind], text)

    assert "pass" not in str(caught.value)


def test_a_server_that_is_no_address_is_a_mistake() -> None:
    """What the source's own settings refuse is told by its option."""
    with pytest.raises(ConfigError, match=r"--github:.* url: .*no web address"):
        Owner(kind=GITHUB, name="acme", url="ftp://x").config("t0ken")


LISTED = [
    {"full_name": "acme/new", "path_with_namespace": "acme/new", "pushed_at": "2026-03-01", "last_activity_at": "2026"},
    {"full_name": "acme/old", "path_with_namespace": "acme/old", "archived": True},
    {"full_name": "acme/own", "path_with_namespace": "acme/own"},
    {"full_name": "acme/copy", "path_with_namespace": "acme/copy", "fork": True, "forked_from_project": {"id": 1}},
    "nonsense",
]


@pytest.mark.parametrize(
    ("kind", "path", "labels"),
    [
        ("github", "api/v3/users/acme/repos", "api/v3/repos/acme/new/labels"),
        ("gitlab", "api/v4/groups/acme/projects", "api/v4/projects/acme%2Fnew/labels"),
        ("gitea", "api/v1/users/acme/repos", "api/v1/repos/acme/new/labels"),
    ],
)
def test_each_forge_lists_repositories_and_labels(kind: str, path: str, labels: str, tmp_path: Path) -> None:
    """In its own words: archived ones, forks and what is beyond the limit are told apart; labels that sound like it."""
    provider = Provider("https://git.example.com")
    provider.route(path)(lambda _: Reply(LISTED))
    provider.route(labels)(lambda _: Reply([{"name": "Incident"}, {"name": "coincidence"}, {"name": "sev-1"}]))
    wire = Wire(adapter=provider, sleep=lambda _: None)
    context = SourceContext(data_dir=tmp_path, base_dir=tmp_path, people=People(b"k" * 32), clock=lambda: AT, wire=wire)
    owner = owner_of(KINDS[kind], "https://git.example.com/acme")
    config = owner.config("t0ken")

    assert listing(owner, config, context, 1) == Listing(
        read=("acme/new",), archived=("acme/old",), forks=("acme/copy",), beyond=("acme/own",), unusable=1
    )
    assert incident_labels(owner.kind, config, context, ["acme/new", "acme/own"], 1) == ("Incident", "sev-1")


@pytest.fixture
def nothing_there(tmp_path: Path) -> SourceContext:
    """A forge that knows nothing of what it is asked for."""
    provider = Provider("https://git.example.com")
    provider.route(r".*")(lambda _: Reply({}, status=404))
    wire = Wire(adapter=provider, sleep=lambda _: None)
    return SourceContext(data_dir=tmp_path, base_dir=tmp_path, people=People(b"k" * 32), clock=lambda: AT, wire=wire)


@pytest.mark.parametrize(("kind", "what"), [("github", "organisation or user"), ("gitlab", "group")])
def test_an_owner_that_is_not_there_is_said(nothing_there: SourceContext, kind: str, what: str) -> None:
    """With what could own repositories: a user of GitLab is no group."""
    owner = owner_of(KINDS[kind], "https://git.example.com/acme")

    with pytest.raises(SourceError, match=rf"^acme is no {what} at https://git.example.com.*, or none that the token"):
        listing(owner, owner.config("t0ken"), nothing_there, 1)


def test_a_forge_that_does_not_answer_can_be_left_out(nothing_there: SourceContext) -> None:
    """The token may be for something else: the repository is there all the same."""
    looking = Looking(context=nothing_there, environ={"GITHUB_TOKEN": "t"}, days=30, most=1)
    owner = Owner(kind=GITHUB, name="acme", url="https://git.example.com/api/v3")

    with pytest.raises(SourceError, match="Without GITHUB_TOKEN the repository is read alone"):
        looking.beside(SHOP, owner)


def test_a_repository_of_a_listed_owner_is_read_once() -> None:
    """Beside all of its owner it would count twice."""
    listed = Subject(owner=Owner(kind=GITHUB, name="acme"), listing=Listing(("ACME/shop",)))

    assert read_once([Subject(repository=SHOP), listed]) == ([listed], ["acme/shop"])


def test_a_large_monorepo_is_looked_at_once() -> None:
    """Each folder and each tag by itself: thousands take no time that anybody notices, and not all are named."""
    files, tags = [f"apps/a{n}/package.json" for n in range(4_000)], tuple(f"a{n}-1.{n}" for n in range(8_000))
    started = time.process_time()
    apps = tuple(apps_of(files, tags))
    (first, *_) = deployment_proposals(replace(SHOP, apps=apps, releases=tags), None, 30)

    assert (len(apps), len(first.by_app)) == (4_000, 4_000)
    assert " · 3990 more; 4000 do not: a7999-1.7999" in first.text
    assert time.process_time() - started < 2


# --- settings --------------------------------------------------------------------------------------------


def chosen(found: RepositoryFound, **more: Any) -> Subject:
    """A subject that takes the first proposal."""
    proposals = deployment_proposals(found, more.pop("looked", None), 30)
    return Subject(repository=found, proposals=proposals, chosen=proposals[0], **more)


def test_a_path_is_written_as_seen_from_the_settings() -> None:
    """Settings can move with their repository; they name no home of anybody."""
    (git,) = settings_of(chosen(SHOP))

    assert git == {
        "type": "git",
        "name": "shop",
        "repository": "shop",
        "repository_name": "acme/shop",
        "deployments": {"rule": "branch"},
    }


def test_tags_win_over_the_forges_deployments_so_that_none_counts_twice() -> None:
    """Commits and deployments come from the repository; changes and runs from its forge."""
    git, forge = settings_of(chosen(replace(SHOP, releases=("v1.0",)), owner=Owner(kind=GITHUB, name="acme")))

    assert git["deployments"] == {"rule": "tags"}
    assert forge == {
        "type": "github",
        "name": "github",
        "token": "${GITHUB_TOKEN}",
        "repositories": ["acme/shop"],
        "commits": False,
        "own_deployments": False,
    }


def test_the_forges_deployments_win_over_tags() -> None:
    """Then the repository gives commits alone, and production is what the forge calls it."""
    looked = replace(SEEN, environments={"prod": 7})
    subject = chosen(replace(SHOP, releases=("v1.0",)), owner=Owner(kind=GITHUB, name="acme"), looked=looked)
    plan = plan_of([subject], Path("/srv"))

    assert "deployments" not in plan.sources[0].settings
    assert plan.sources[1].settings["own_deployments"] is True
    assert plan.production == ("prod",)


def test_apps_that_are_declined_are_one_service() -> None:
    """A monorepo without services of its own: the rule for the whole repository is left."""
    apps = (App("api", "services/api", "x"), App("web", "services/web", "x"))
    subject = chosen(replace(SHOP, apps=apps, releases=("api-1.0", "web-1.0")))
    one = as_one_service(subject)

    assert len(settings_of(subject)) == 2
    assert [p.text.split(":")[0] for p in one.proposals] == ["release tags", "each commit on main", NOTHING.text]
    assert plan_of([one], Path("/srv")).services == ()


def test_nothing_chosen_is_written_down() -> None:
    """Somebody wants no rule yet: the settings say what that means, and the forge's own deployments do not count."""
    subject = replace(chosen(SHOP, owner=Owner(kind=GITHUB, name="acme")), chosen=NOTHING)
    git, forge = plan_of([subject], Path("/srv")).sources

    assert git.notes["type"][0].startswith("Deployments: nothing counts as a deployment yet. Why: lead time")
    assert forge.settings["own_deployments"] is False


def test_more_repositories_than_wanted_are_named_one_by_one() -> None:
    """Where not all of an owner are read, the settings say which; the others are in a comment."""
    listing = Listing(read=("acme/a", "acme/b"), beyond=("acme/z",))
    plan = plan_of([Subject(owner=Owner(kind=GITHUB, name="acme"), listing=listing)], Path("/srv"))

    assert plan.sources[0].settings["repositories"] == ["acme/a", "acme/b"]
    assert "1 used longer ago than these (acme/z)" in plan.sources[0].above[0]
    assert [s["name"] for s in plan.services] == ["a", "b"]


def test_a_name_is_no_variable(tmp_path: Path) -> None:
    """What somebody called `${HOME}` is read back as that; only our own token is a variable."""
    settings = {"type": "git", "name": "a", "repository": "${HOME}", "token": "${TOKEN}", "issues": {"x": ["${HOME}"]}}
    plan = Plan(sources=(Planned(settings=settings),), production=("${HOME}",))
    (tmp_path / SETTINGS).write_text(settings_text(plan, AT), encoding="utf-8")
    (read,) = read_documents(tmp_path / SETTINGS, environ={"HOME": "leaked", "TOKEN": "t"})

    assert read.value["sources"] == [{**settings, "token": "t"}]
    assert read.value["environments"]["production"] == ["${HOME}"]


def test_a_folder_that_reads_as_a_rule_is_a_service_all_the_same() -> None:
    """The catalogue takes its name, and its paths are its own."""
    apps = (App(service_name("[slug]"), "services/[slug]", "x"), App("web", "services/web", "x"))
    plan = plan_of([chosen(replace(SHOP, apps=apps))], Path("/srv"))
    (slug, web) = [ServiceSettings(**{k: v for k, v in s.items() if k != "sign"}).service() for s in plan.services]

    assert any_matches(slug.paths, "services/[slug]/main.go")
    assert [p.text for p in web.paths] == ["services/web/*"]
    assert [s.settings["service"] for s in plan.sources] == [slug.name, "web"]


def test_a_repository_that_reads_as_a_rule_is_a_service_all_the_same() -> None:
    """What its deployments are called is its own."""
    found = [chosen(replace(SHOP, place=f"/srv/{name}", name=name)) for name in ("shop[old]", "web")]
    (old, web) = [ServiceSettings(**s).service() for s in plan_of(found, Path("/srv")).services]

    assert any_matches(old.repositories, "shop[old]")
    assert any_matches(old.deployed_as, "shop[old]")
    assert web.deployed_as == ()


def test_a_comment_stays_a_comment() -> None:
    """Names come from outside: nothing in them ends a line."""
    plan = Plan(sources=(Planned(settings={"type": "git"}, above=("a\nslos: [x]\u2028evil: 1\x85b",)),))

    assert [line for line in settings_text(plan, AT).splitlines() if "evil" in line and "#" not in line] == []
    assert comment("a\nb") == ["# a b"]


# --- files -----------------------------------------------------------------------------------------------


def test_every_file_that_is_there_is_named(tmp_path: Path) -> None:
    """All at once, so that one look is enough."""
    for name in ("a", "b"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as caught:
        refuse_existing(tmp_path / name for name in ("a", "b", "c"))

    assert [m.file for m in caught.value.mistakes] == [str(tmp_path / "a"), str(tmp_path / "b")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_ended_takes_its_drafts_away(tmp_path: Path, number: signal.Signals) -> None:
    """Half-way nothing is written: also where the terminal was closed or the machine shut down."""
    before = signal.getsignal(number)
    with (
        pytest.raises(KeyboardInterrupt),
        ended_as_interrupted(),
        tempfile.TemporaryDirectory(dir=tmp_path),
    ):
        signal.raise_signal(number)

    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is before


def _refused() -> None:
    raise ConfigError


def test_a_check_that_fails_takes_everything_back(tmp_path: Path) -> None:
    """All is placed, or nothing: files, folders, and what was put into folders that were there."""
    (tmp_path / "draft" / "slos").mkdir(parents=True)
    (tmp_path / "draft" / "slos" / "one.yaml").touch()
    (tmp_path / "own" / "slos").mkdir(parents=True)
    moves = {tmp_path / "draft" / "slos": tmp_path / "own" / "slos", tmp_path / "draft": tmp_path / "new" / "deep"}
    with pytest.raises(ConfigError):
        place(moves, _refused)

    assert (tmp_path / "draft" / "slos" / "one.yaml").is_file()
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["draft", "one.yaml", "own", "slos", "slos"]


def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    """What somebody else wrote while we collected is not lost."""
    for folder in ("draft", "own"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / SETTINGS).write_text(folder, encoding="utf-8")
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        place({tmp_path / "draft" / SETTINGS: tmp_path / "own" / SETTINGS}, lambda: None)

    assert (tmp_path / "own" / SETTINGS).read_text(encoding="utf-8") == "own"


# --- targets ---------------------------------------------------------------------------------------------


@pytest.fixture
def suggest(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The files that counts of the candidates suggest: good and bad of each in 90 days; in 28 days as many, or some."""

    def files(*counts: tuple[int, int], usual: EventCounts | None = None) -> dict[str, str]:
        states = {}
        for (name, text), (good, bad) in zip(candidates().items(), counts, strict=True):
            (tmp_path / name).write_text(text, encoding="utf-8")
            (slo,) = load_slos(tmp_path / name, indicators())
            states[slo.name] = SloState(
                slo=slo,
                status=SloStatus.HEALTHY,
                why="",
                counts={"90d": EventCounts(good, bad), "28d": usual or EventCounts(good, bad)},
                attainment=None,
                budget_remaining=None,
                budget_remaining_events=None,
                burn_rates={},
                time_to_exhaustion_seconds=None,
                coverage=1.0,
                totals=None,
            )
        return {name: text.replace("\n# ", " ") for name, text in suggested(states).items()}

    return files


NONE = (0, 0)


@pytest.mark.parametrize(
    ("good", "bad", "target"),
    [(312, 28, "0.9"), (999, 1, "0.999"), (1_000_000, 0, "0.999"), (40, 0, "0.95"), (10, 0, "0.9"), (5, 5, "0.5")],
)
def test_a_target_is_what_was_attained_rounded_down(
    suggest: Callable[..., dict[str, str]], good: int, bad: int, target: str
) -> None:
    """To a usual step, and so low that at least one of as many events may be bad."""
    files = suggest((good, bad), (good, bad), (good, bad), (good, bad), NONE, NONE)

    assert f"target: {target}\n" in files["merge-to-production.yaml"]
    assert "value: 86400\n" in files["merge-to-production.yaml"]


def test_a_budget_is_that_of_the_slos_own_window(suggest: Callable[..., dict[str, str]]) -> None:
    """400 of 400 in 90 days are 100 in 28: 99 % lets one of them be bad, 99.5 % none."""
    many = [(400, 0)] * 4
    text = suggest(*many, NONE, NONE, usual=EventCounts(100, 0))["merge-to-production.yaml"]

    assert "target: 0.99\n" in text
    assert "duration: 28d\n" in text
    assert "A higher step would let none of the 100 of 28d be bad" in text


def test_where_little_happens_the_window_is_long(suggest: Callable[..., dict[str, str]]) -> None:
    """Fewer events in 28 days than an SLO needs would never say anything: its window is 90 days."""
    few = [(20, 0)] * 4
    text = suggest(*few, NONE, NONE, usual=EventCounts(6, 0))["merge-to-production.yaml"]

    assert "duration: 90d\n" in text
    assert "target: 0.95\n" in text
    assert "Of 28d there are 6, and an SLO needs 10: so its window is 90d." in text


def test_changes_that_take_longer_get_a_longer_limit(suggest: Callable[..., dict[str, str]]) -> None:
    """The next bound of DORA's bands within which at least half arrived; the shorter ones are said."""
    (text,) = suggest((2, 18), (7, 13), (16, 4), (20, 0), NONE, NONE).values()

    assert "value: 2592000\n" in text
    assert "target: 0.8\n" in text
    assert "Within a day were 2 of 20" in text
    assert "Within a week were 7 of 20" in text


def test_too_few_events_suggest_nothing(suggest: Callable[..., dict[str, str]]) -> None:
    """Fewer than an SLO needs: the packaged target stays, and the comment says so."""
    (text,) = suggest((9, 0), (9, 0), (9, 0), (9, 0), NONE, NONE).values()
    (packaged,) = (slo for path in starter_slos() for slo in load_slos(path, indicators()))

    assert "Too few to suggest a target from (fewer than 10): this one comes with Paceline." in text
    assert f"target: {packaged.target}\n" in text
    assert f"value: {packaged.threshold:.0f}\n" in text


def test_what_was_never_attained_is_said(suggest: Callable[..., dict[str, str]]) -> None:
    """Not one limit was met by half: the packaged one stays, with what was counted."""
    (text,) = suggest((1, 19), (1, 19), (1, 19), (1, 19), NONE, NONE).values()

    assert "1 of 20" in text
    assert "No step from 50.0% on was attained: this target comes with Paceline." in text


def test_other_slos_are_there_where_something_was_counted(suggest: Callable[..., dict[str, str]]) -> None:
    """Failed deployments and pipelines, each with its own target."""
    files = suggest(NONE, NONE, NONE, NONE, (18, 2), (97, 3))

    assert sorted(files) == sorted(f"{s.name}.yaml" for s in (DELIVERY[0], HOLD, PIPELINES))
    assert "18 of 20 judged production deployments had no failure: 90.0%" in files["deployments-hold.yaml"]
    assert "target: 0.95\n" in files["pipelines-succeed.yaml"]
    assert "In the last 90 days nothing was counted." in files["merge-to-production.yaml"]


def test_steps_are_targets() -> None:
    """From a half to three nines, in order; all or nothing is no target."""
    assert list(STEPS) == sorted(STEPS)
    assert Decimal("0.5") == STEPS[0] < STEPS[-1] < 1
