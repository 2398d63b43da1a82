"""What a change of SLOs does to SLOs, alerts and rules; and rule files read back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.document import read_documents
from collector.errors import ConfigError
from slo_engine.alert_windows import load_tiers
from slo_engine.annotations import Links
from slo_engine.burn import Tier
from slo_engine.plan import Change, FieldChange, Plan, compare, compare_rules
from slo_engine.promql import CounterRatio
from slo_engine.rule_files import render_mimir, render_prometheus_rule, render_rules
from slo_engine.rule_reading import groups_of, is_rule_file
from slo_engine.rules import groups
from slo_engine.slo import AlertPolicy, IndicatorSli, Slo
from slo_engine.windows import parse_window

ROOT = Path(__file__).parents[2]
TIERS = load_tiers(ROOT / "config" / "alert-windows" / "sre-workbook.yaml")
SLO = Slo(
    name="checkout",
    title="checkout",
    description="",
    owner_service="shop",
    target=Decimal("0.99"),
    window=parse_window("30d"),
    sli=CounterRatio(total_query="requests_total", bad_query='requests_total{code="500"}'),
    alert_class="rate",
)
COUNTED = replace(SLO, name="failures", sli=IndicatorSli(indicator="change_fail_rate"), alert_class="count")
POLICY = AlertPolicy(name="burst", severity="page", factor=Decimal(2), lookback=parse_window("1h"))


def planned(before: Sequence[Slo], after: Sequence[Slo]) -> Plan:
    """The plan of a change with the packaged tiers."""
    return compare(before, after, TIERS)


def names(changes: Sequence[Change], action: str) -> set[str]:
    """What has an action."""
    return {change.name for change in changes if change.action == action}


def test_nothing_changes_where_nothing_was_changed() -> None:
    """The same SLOs in another order are no change."""
    assert planned([SLO, COUNTED], [COUNTED, SLO]) == Plan()
    assert not Plan().changes


def test_a_field_is_told_where_it_stands_in_the_file() -> None:
    """A new target is one field, before and after, exactly."""
    found = planned([SLO], [replace(SLO, target=Decimal("0.9950"))])

    assert found.slos == (
        Change(
            action="changed",
            name="checkout",
            fields=(FieldChange(field="spec.objectives[0].target", before="0.99", after="0.995"),),
            about="99.5% in 30d, Prometheus: counters requests_total",
        ),
    )


def test_a_field_that_comes_has_nothing_before() -> None:
    """A runbook is added: the side where it is not says so."""
    (changed,) = planned([SLO], [replace(SLO, runbook="https://example.com/r")]).slos

    assert changed.fields == (
        FieldChange(field="metadata.annotations.paceline.dev/runbook", before=None, after="https://example.com/r"),
    )


def test_an_slo_of_prometheus_that_comes_has_two_recordings() -> None:
    """Its SLO, its alerts and its two recordings are added, and nothing goes."""
    found = planned([COUNTED], [COUNTED, SLO])

    assert names(found.slos, "added") == {"checkout"}
    assert {
        'record slo:sli_bad:rate5m{slo="checkout"}',
        'record slo:sli_total:rate5m{slo="checkout"}',
    } <= names(found.rules, "added")
    assert names(found.slos, "removed") | names(found.rules, "removed") == set()


def test_an_slo_that_goes_takes_its_alerts_with_it() -> None:
    """What nobody is told of any more is named."""
    found = planned([SLO, COUNTED], [COUNTED])

    assert names(found.alerts, "removed") == {"checkout: page Fast", "checkout: page Slow", "checkout: ticket Steady"}
    assert "alert PlatformSloBurnPage" in names(found.rules, "removed")


def test_a_new_target_moves_the_alerts() -> None:
    """The generic rules stay as they are, and each alert of the SLO says from when to when."""
    found = planned([SLO], [replace(SLO, target=Decimal("0.999"))])

    assert found.rules == ()
    assert next((c.name, c.fields[0].before, c.fields[0].after) for c in found.alerts) == (
        "checkout: page Fast",
        "burn rate above 14.4 (14.4% bad) over 1h and 5m, at least 3 bad events",
        "burn rate above 14.4 (1.44% bad) over 1h and 5m, at least 3 bad events",
    )


def test_an_alert_that_can_fire_no_more_says_why() -> None:
    """Below 93.06 % the fast page is out of reach: a plan shows it before a night does."""
    found = planned([SLO], [replace(SLO, target=Decimal("0.9"))])
    (fast,) = (c for c in found.alerts if c.name == "checkout: page Fast")

    assert fast.fields[0].after == (
        "never: a burn rate above 14.4 is out of reach: with a target of 0.9 total failure burns at 10"
    )


def test_another_class_changes_who_is_woken() -> None:
    """From tickets about a budget to pages about burn rates."""
    found = planned([SLO], [replace(SLO, alert_class="count")])

    assert names(found.alerts, "added") == {"checkout: ticket budget"}
    assert "checkout: page Fast" in names(found.alerts, "removed")


def test_an_alert_policy_is_an_alert_of_its_slo() -> None:
    """OpenSLO's own policies are told like the tiers."""
    found = planned([COUNTED], [replace(COUNTED, alert_policies=(POLICY,))])

    assert [(c.action, c.name, c.fields[0].after) for c in found.alerts] == [
        ("added", "failures: page burst", "burn rate of at least 2 (2% bad) over 1h, at least 2 bad events")
    ]
    assert names(found.rules, "added") == {"alert PlatformSloPolicyBurst"}


def test_two_alerts_of_one_name_are_told_apart() -> None:
    """Equal names of different policies are numbered, so that none hides the other."""
    other = replace(COUNTED, name="other", alert_policies=(replace(POLICY, factor=Decimal(3)),))

    found = planned([COUNTED], [replace(COUNTED, alert_policies=(POLICY,)), other])

    assert names(found.rules, "added") >= {"alert PlatformSloPolicyBurst", "alert PlatformSloPolicyBurst (2)"}


targets = st.integers(900, 999).map(lambda n: Decimal(n) / 1000)
sets = st.lists(targets, max_size=4).map(
    lambda some: [replace(SLO, name=f"s{n}", target=t) for n, t in enumerate(some)]
)


@given(sets, sets)
def test_the_way_back_is_the_way_there_turned_round(before: list[Slo], after: list[Slo]) -> None:
    """What is added one way is removed the other, and what changes has its sides exchanged."""
    there, back = compare(before, after, TIERS[:1]), compare(after, before, TIERS[:1])

    for one, other in ((there.slos, back.slos), (there.alerts, back.alerts), (there.rules, back.rules)):
        assert names(one, "added") == names(other, "removed")
        assert names(one, "changed") == names(other, "changed")
        assert {(f.before, f.after) for c in one for f in c.fields} == {
            (f.after, f.before) for c in other for f in c.fields
        }


# --- rule files


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a file."""

    def write(text: str) -> Path:
        path = tmp_path / "rules.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("render", [render_rules, render_prometheus_rule, render_mimir])
def test_a_rule_file_is_read_back_as_its_rules(
    render: Callable[[Sequence[Slo], Sequence[Tier], Links], str], put: Callable[[str], Path]
) -> None:
    """Whatever its format, it holds what was made for it: nothing changes."""
    links = Links(paceline="https://p.example.com")
    documents = read_documents(put(render([SLO, COUNTED], TIERS, links)))

    assert is_rule_file(documents[0])
    assert compare_rules(groups_of(documents), groups([SLO, COUNTED], TIERS, links)) == ()


def test_a_rule_that_was_edited_is_found(put: Callable[[str], Path]) -> None:
    """A change by hand is named with its field: applying the rules would undo it."""
    text = render_rules([COUNTED], TIERS).replace("for: 15m", "for: 1h")
    (change, *_) = compare_rules(groups_of(read_documents(put(text))), groups([COUNTED], TIERS))

    assert (change.action, change.fields) == ("changed", (FieldChange(field="for", before="1h", after="15m"),))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("groups: rules", ":1: groups: no list; expected a list of groups, as rule files have it"),
        ("groups:\n  - a", ":2: groups[0]: no mapping; expected the keys of a rule file"),
        ("groups:\n  - name: a", ":2: groups[0].rules: no list; expected a list of rules, as rule files have it"),
        (
            "groups:\n  - name: a\n    rules:\n      - record: b",
            ":4: groups[0].rules[0]: no rule; expected expr, and record or alert",
        ),
        (
            "kind: PrometheusRule\nspec: {}",
            ":2: spec.groups: no list; expected a list of groups, as rule files have it",
        ),
    ],
)
def test_a_broken_rule_file_is_answered_with_its_place(put: Callable[[str], Path], text: str, said: str) -> None:
    """File, line, key, and what was expected."""
    with pytest.raises(ConfigError) as caught:
        groups_of(read_documents(put(text)))

    assert [str(m) for m in caught.value.mistakes] == [f"{put(text)}{said}"]
