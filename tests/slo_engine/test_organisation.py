"""The catalogue's answers: which names are whose, what production is, and when judging starts anew."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.patterns import patterns
from slo_engine.organisation import DeliveryRules, Organisation, Service, levels, unmatched


def service(name: str, **fields: Any) -> Service:
    """A service; tuples are rules, given as texts."""
    written: dict[str, Any] = {k: patterns(v) if isinstance(v, tuple) else v for k, v in fields.items()}
    return Service(name=name, **written)


def organisation(*services: Service) -> Organisation:
    """An organisation of some services."""
    return Organisation(services=services)


# ---- whose a name is


def test_the_most_precise_rule_decides() -> None:
    """An exact name wins over a glob, a glob over an expression, whatever their order."""
    found = organisation(
        service("wide", deployed_as=("/shop.*/",)),
        service("glob", deployed_as=("shop-*",)),
        service("exact", deployed_as=("shop-eu",)),
    )

    assert [found.deployed(n) for n in ("shop-eu", "shop-us", "shops")] == ["exact", "glob", "wide"]


def test_two_rules_that_tie_decide_nothing() -> None:
    """A service matched by two patterns → not "last wins": nobody's."""
    found = organisation(service("a", deployed_as=("shop-*",)), service("b", deployed_as=("*-eu",)))

    assert [found.deployed(n) for n in ("shop-eu", "shop-us", "api-eu")] == [None, "a", "b"]


def test_two_rules_of_one_service_do_not_tie() -> None:
    """A service may be named by several of its own rules."""
    assert organisation(service("a", deployed_as=("shop-*", "*-eu"))).deployed("shop-eu") == "a"


def test_a_services_own_name_is_among_its_names() -> None:
    """A deployment that calls a service by its name is its own without a rule."""
    found = organisation(service("shop"), service("wide", deployed_as=("*",)))

    assert (found.deployed("shop"), found.deployed("else")) == ("shop", "wide")


def test_without_a_catalogue_no_name_is_known() -> None:
    """Without a catalogue nothing is mapped: names stay as they came."""
    found = Organisation()

    assert (found.deployed("shop"), found.component("shop"), found.of_run("o/shop", "ci")) == (None, None, None)
    assert (found.of_repository("o/shop"), found.service("shop"), found.team("shop")) == ((), None, "")


def test_a_name_of_two_services_is_nobodys() -> None:
    """An exact name that two services give is not the first one's, and no glob decides instead."""
    found = organisation(
        service("a", deployed_as=("x",)), service("b", deployed_as=("x",)), service("c", deployed_as=("*",))
    )

    assert found.deployed("x") is None


def test_a_component_is_a_deployments_name_unless_a_rule_says_else() -> None:
    """A tracker's component goes by its own rules first, then by what deployments call the service."""
    found = organisation(
        service("shop", deployed_as=("shop-live",)),
        service("tills", components=("shop-live", "Tills")),
    )

    assert [found.component(n) for n in ("shop-live", "Tills", "shop", "else")] == ["tills", "tills", "shop", None]


def test_a_repository_may_be_shared() -> None:
    """A monorepo's services are all named, sorted; a repository nobody lists has none."""
    found = organisation(
        service("shop", repositories=("team/mono",)),
        service("api", repositories=("team/*",)),
        service("other", repositories=("else",)),
    )

    assert (found.of_repository("team/mono"), found.of_repository("o/r")) == (("api", "shop"), ())


def test_a_pipeline_is_found_within_its_repository() -> None:
    """In a monorepo the pipeline tells the services apart; the same name elsewhere is somebody else's."""
    found = organisation(
        service("shop", repositories=("team/mono",), pipelines=("deploy-shop",)),
        service("api", repositories=("team/mono",), pipelines=("deploy-*",)),
        service("tool", repositories=("team/tool",)),
        service("anywhere", pipelines=("nightly",)),
    )
    runs = [
        ("team/mono", "deploy-shop"),
        ("team/mono", "deploy-api"),
        ("team/mono", "lint"),
        ("team/tool", "deploy-shop"),
        ("team/else", "deploy-shop"),
        ("team/else", "nightly"),
    ]

    assert [found.of_run(*r) for r in runs] == ["shop", "api", None, "tool", None, "anywhere"]


# ---- production


def test_production_is_production_unless_told() -> None:
    """Without a word in the settings exactly `production` is production."""
    found = Organisation()

    assert [found.is_production("shop", e) for e in ("production", "prod", "Production", "staging")] == [
        True,
        False,
        False,
        False,
    ]


def test_no_rule_for_production_makes_nothing_production() -> None:
    """No rule for "production" is configured → nothing is production."""
    assert not Organisation(production=()).is_production("shop", "production")


def test_several_environments_may_be_production() -> None:
    """Several production environments (eu, us, canary): names come from a list, not from one magic word."""
    found = Organisation(production=patterns(("live-eu", "live-us", "canary-*")))

    assert [e for e in ("live-eu", "live-us", "canary-1", "production") if found.is_production("shop", e)] == [
        "live-eu",
        "live-us",
        "canary-1",
    ]


def test_a_services_own_production_replaces_the_organisations() -> None:
    """A service with environments of its own is judged by these alone."""
    found = organisation(service("shop", production=("live",)), service("api"))

    assert [found.is_production(*p) for p in (("shop", "live"), ("shop", "production"), ("api", "live"))] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("rules", "name"), [(("live-*", "live-eu", "live-us"), "live-eu"), (("live-*",), "production"), ((), "production")]
)
def test_the_default_environment_is_the_first_that_is_named(rules: tuple[str, ...], name: str) -> None:
    """Where nobody says which environment, it is the first production one that has a name and not a rule."""
    assert Organisation(production=patterns(rules)).default_environment == name


# ---- teams


@pytest.mark.parametrize(
    ("team", "expected"),
    [
        ("/commerce/checkout", ("/", "/commerce", "/commerce/checkout")),
        ("/commerce", ("/", "/commerce")),
        ("", ()),
        ("/", ()),
    ],
)
def test_a_team_belongs_to_the_levels_above_it(team: str, expected: tuple[str, ...]) -> None:
    """The levels start with the whole organisation and end with the team; no team belongs to none."""
    assert levels(team) == expected


def test_a_services_team_is_its_entrys() -> None:
    """A service has the team of its entry, and none where it has no entry."""
    found = organisation(service("shop", team="/commerce/checkout"))

    assert (found.team("shop"), found.team("api")) == ("/commerce/checkout", "")


# ---- version

BASE = service("shop", deployed_as=("a", "b"), repositories=("o/r",))
OTHER = service("api")


@pytest.mark.parametrize(
    "changed",
    [
        Organisation(services=(OTHER, BASE)),
        Organisation(services=(service("shop", deployed_as=("b", "a", "a"), repositories=("o/r",)), OTHER)),
        Organisation(services=(service("shop", team="/x", deployed_as=("a", "b"), repositories=("o/r",)), OTHER)),
        Organisation(services=(BASE, Service(name="api", tier="1", owner="api@teams.example"))),
    ],
)
def test_what_judging_does_not_depend_on_keeps_the_version(changed: Organisation) -> None:
    """Order, repetition, team, tier and owner judge nothing: no observation is derived again for them."""
    assert changed.version == Organisation(services=(BASE, OTHER)).version


@pytest.mark.parametrize(
    "changed",
    [
        Organisation(services=(BASE, OTHER), zone=ZoneInfo("Europe/Berlin")),
        Organisation(services=(BASE, OTHER), production=patterns(("prod",))),
        Organisation(services=(BASE, OTHER), production=()),
        Organisation(services=(BASE,)),
        Organisation(services=(BASE, service("tool"))),
        Organisation(services=(BASE, service("api", cadence=2))),
        *(
            Organisation(services=(BASE, service("api", **{rule: ("x",)})))
            for rule in ("deployed_as", "repositories", "paths", "production", "pipelines", "components")
        ),
        *(
            Organisation(services=(BASE, OTHER), delivery=rules)
            for rules in (
                DeliveryRules(attribution_lag=timedelta(hours=1)),
                DeliveryRules(incident_window=timedelta(hours=1)),
                DeliveryRules(hotfix_branches=()),
                DeliveryRules(hotfix_labels=()),
                DeliveryRules(hotfix_tags=patterns(("*-hotfix",))),
                DeliveryRules(failed_rollouts=True),
                DeliveryRules(bots=False),
            )
        ),
    ],
)
def test_what_judging_depends_on_changes_the_version(changed: Organisation) -> None:
    """Each rule, option and zone that judging uses derives the observations anew."""
    assert changed.version != Organisation(services=(BASE, OTHER)).version


def test_a_rule_that_moves_to_another_kind_changes_the_version() -> None:
    """The same text as a rule of another kind is another rule."""
    first, second = organisation(service("a", paths=("x",))), organisation(service("a", pipelines=("x",)))

    assert first.version != second.version


# ---- what nothing matches


def test_what_matches_no_rule_is_counted_and_shown() -> None:
    """Names that no rule knows, or that two claim, are listed once and sorted by kind; the known ones are not."""
    found = organisation(
        service("shop", deployed_as=("shop-*",), components=("Till",), repositories=("o/shop",)),
        service("api", deployed_as=("*-eu",)),
    )

    shown = unmatched(
        found,
        deployments=["zebra", "shop-us", "shop-eu", "zebra", "api"],
        components=["Till", "Cloud"],
        runs=[("o/shop", "ci"), ("o/else", "ci")],
    )

    assert shown == {"deployment": ("shop-eu", "zebra"), "component": ("Cloud",), "pipeline": ("o/else: ci",)}


def test_a_kind_with_everything_known_is_absent() -> None:
    """Where every name is known there is nothing to show."""
    assert unmatched(organisation(service("shop")), deployments=["shop"], components=["shop"]) == {}


def test_without_a_catalogue_nothing_is_unmatched() -> None:
    """Who keeps no catalogue is not told that it is incomplete."""
    assert unmatched(Organisation(), deployments=["shop"], components=["x"], runs=[("o/r", "ci")]) == {}


RULES = st.lists(st.sampled_from(("a", "ab", "a*", "*b", "?", "/a.*/", "/.b/")), max_size=2).map(tuple)


@given(rules=st.lists(RULES, min_size=1, max_size=4), name=st.text("abc", min_size=1, max_size=3))
def test_the_order_of_services_decides_nothing(rules: list[tuple[str, ...]], name: str) -> None:
    """Whatever the rules, a service that stands first in the file has no advantage."""
    listed = tuple(
        service(f"s{n}", deployed_as=r, repositories=r, pipelines=r, components=r) for n, r in enumerate(rules)
    )
    one, other = organisation(*listed), organisation(*reversed(listed))

    assert one.deployed(name) == other.deployed(name)
    assert one.component(name) == other.component(name)
    assert one.of_run(name, name) == other.of_run(name, name)
    assert one.version == other.version
