"""The gate: what an error-budget policy says of a service, what overrides make of it, and mistakes in their files."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.errors import ConfigError
from slo_engine.gate import (
    EXIT_CODES,
    STRICT_EXIT_CODES,
    Decision,
    Override,
    Policy,
    Rule,
    Spend,
    Verdict,
    decide,
    of_service,
    spends_of,
)
from slo_engine.gate_files import load_overrides, load_policy
from slo_engine.slo import EventCounts, IndicatorSli, Slo, SloStatus
from slo_engine.snapshot import SloState
from slo_engine.windows import parse_window

ROOT = Path(__file__).parents[2]
BAD = Path(__file__).parent / "bad" / "policies"
DEFAULT = load_policy(ROOT / "config" / "policies" / "default.yaml")
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
BADNESS = {Verdict.ALLOW: 0, Verdict.WARN: 1, Verdict.UNKNOWN: 2, Verdict.BLOCK: 3}


def slo(name: str = "merge-to-production", tier: str = "2", owner: str = "delivery-platform", service: str = "") -> Slo:
    return Slo(
        name=name,
        title=name,
        description="",
        owner_service=owner,
        sli=IndicatorSli(indicator="change_fail_rate", service=service),
        target=Decimal("0.9"),
        window=parse_window("28d"),
        tier=tier,
    )


def state(
    remaining: float | None,
    name: str = "merge-to-production",
    tier: str = "2",
    status: SloStatus = SloStatus.HEALTHY,
    why: str = "",
) -> SloState:
    return SloState(
        slo=slo(name, tier),
        status=status,
        why=why,
        counts={},
        attainment=None,
        budget_remaining=remaining,
        budget_remaining_events=None,
        burn_rates={},
        time_to_exhaustion_seconds=None,
        coverage=0.5,
        totals=EventCounts(),
    )


def override(
    pattern: str = "*",
    *,
    until: datetime = NOW + timedelta(hours=1),
    since: datetime = NOW - timedelta(hours=1),
    lifts: tuple[Verdict, ...] = (Verdict.BLOCK,),
    ticket: str = "OPS-17",
) -> Override:
    return Override(
        slo=pattern,
        author="platform-team",
        reason="A security fix.",
        ticket=ticket,
        starts_at=since,
        ends_at=until,
        lifts=frozenset(lifts),
    )


def incident(share: float, name: str = "merge-to-production") -> Spend:
    return Spend(slo=name, kind="incident", name="INC-7", share=share)


def said(decision: Decision) -> list[str]:
    return [str(reason) for reason in decision.reasons]


UNKNOWN = state(None, "unknown", status=SloStatus.INSUFFICIENT_DATA, why="no events in 28d")

budgets = st.floats(min_value=-10, max_value=1)
known = st.builds(state, budgets, st.sampled_from("abcd"), st.sampled_from("12"))
states = st.lists(known | st.just(UNKNOWN), max_size=5)
spends = st.lists(st.builds(incident, st.floats(0, 2), st.sampled_from("abcd")), max_size=3)
overrides = st.lists(
    st.builds(
        lambda pattern, hours, lifts: override(pattern, until=NOW + timedelta(hours=hours), lifts=tuple(lifts)),
        st.sampled_from(["*", "a", "[bc]"]),
        st.sampled_from([-0.5, 1, 2]),
        st.sampled_from([[Verdict.BLOCK], [Verdict.UNKNOWN], [Verdict.BLOCK, Verdict.UNKNOWN]]),
    ),
    max_size=3,
)


# ---- laws


@given(known, budgets, states, overrides, spends)
@example(state(0.25), 0.2, [], [], [])
@example(state(0.0), -0.01, [], [], [])
def test_more_budget_never_makes_the_verdict_worse(
    one: SloState, other: float, rest: list[SloState], lifted: list[Override], spent: list[Spend]
) -> None:
    """Whatever else is known of a service: with more left of one budget the gate is at most as strict."""
    assert one.budget_remaining is not None
    low, high = sorted((one.budget_remaining, other))
    poor, rich = (state(budget, one.slo.name, one.slo.tier) for budget in (low, high))
    worse, better = (decide(DEFAULT, [s, *rest], lifted, NOW, spent).verdict for s in (poor, rich))

    assert BADNESS[better] <= BADNESS[worse]


@given(states, overrides, spends, st.randoms())
def test_order_changes_nothing(
    some: list[SloState], lifted: list[Override], spent: list[Spend], random: Random
) -> None:
    """SLOs, overrides and spends in any order give the same decision, with the same words."""
    decision = decide(DEFAULT, some, lifted, NOW, spent)
    shuffled = random.sample(some, len(some))
    reversed_overrides, reversed_spends = lifted[::-1], spent[::-1]

    assert decide(DEFAULT, shuffled, reversed_overrides, NOW, reversed_spends) == decision


@given(states, overrides, spends)
def test_every_reason_names_its_slo_and_numbers(
    some: list[SloState], lifted: list[Override], spent: list[Spend]
) -> None:
    """Whoever is stopped reads which SLO stops them, and how much of its budget is left."""
    decision = decide(DEFAULT, some, lifted, NOW, spent)

    assert {r.slo for r in decision.reasons} == ({s.slo.name for s in some} or {""})
    assert all(str(r).startswith(r.slo) and any(c.isdigit() for c in r.text) for r in decision.reasons)


@given(states, states, spends)
def test_another_slo_never_makes_the_verdict_better(
    some: list[SloState], more: list[SloState], spent: list[Spend]
) -> None:
    """The worst of all SLOs of a service counts; only where there was none can one more tell something."""
    both, alone = (decide(DEFAULT, s, [], NOW, spent).verdict for s in (some + more, some))

    assert BADNESS[both] >= BADNESS[alone] or some == []


@given(states, overrides, spends)
def test_what_is_not_known_never_reads_as_allowed(
    some: list[SloState], lifted: list[Override], spent: list[Spend]
) -> None:
    """With one unknown SLO the verdict is not allow, whatever is overridden."""
    assert decide(DEFAULT, [*some, UNKNOWN], lifted, NOW, spent).verdict is not Verdict.ALLOW


@given(states, overrides, spends)
def test_overrides_never_make_the_verdict_worse_nor_an_allow_of_it(
    some: list[SloState], lifted: list[Override], spent: list[Spend]
) -> None:
    """An override makes a warning of what it lifts; the warning stays."""
    without, overridden = (decide(DEFAULT, some, o, NOW, spent).verdict for o in ([], lifted))

    assert min(BADNESS[without], BADNESS[Verdict.WARN]) <= BADNESS[overridden] <= BADNESS[without]


@given(states, spends)
def test_reasons_stand_the_worst_first(some: list[SloState], spent: list[Spend]) -> None:
    """The first reason is that of the verdict."""
    decision = decide(DEFAULT, some, [], NOW, spent)

    assert decision.verdict is decision.reasons[0].verdict
    assert all(BADNESS[a.verdict] >= BADNESS[b.verdict] for a, b in pairwise(decision.reasons))


# ---- budgets


@pytest.mark.parametrize(
    ("remaining", "tier", "verdict", "text"),
    [
        (1.0, "2", "allow", "100.0% of the error budget of 28d is left"),
        (0.25, "2", "allow", "25.0% of the error budget of 28d is left"),
        (0.2499, "2", "warn", "24.9% of the error budget of 28d is left; default: warn below 25%"),
        (0.001, "2", "warn", "0.1% of the error budget of 28d is left; default: warn below 25%"),
        (
            0.0,
            "2",
            "block",
            "nothing is left of the error budget of 28d (0.0%); default: block when nothing is left (0%)",
        ),
        (
            -0.5,
            "2",
            "block",
            "nothing is left of the error budget of 28d (-50.0%); default: block when nothing is left (0%)",
        ),
        (0.1, "1", "warn", "10.0% of the error budget of 28d is left; critical: warn below 25%"),
        (0.0999, "1", "block", "9.9% of the error budget of 28d is left; critical: block below 10%"),
    ],
)
def test_the_default_policy_warns_and_blocks_by_what_is_left(
    remaining: float, tier: str, verdict: str, text: str
) -> None:
    """Warned below a quarter, as `at_risk`; blocked when nothing is left, tier 1 while a tenth is; bounds are exact."""
    decision = decide(DEFAULT, [state(remaining, tier=tier)], [], NOW)

    assert (decision.verdict, said(decision)) == (verdict, [f"merge-to-production: {text}"])


def test_the_worst_slo_of_a_service_counts() -> None:
    """One exhausted budget blocks, however much the others have left, and every SLO says its number."""
    decision = decide(DEFAULT, [state(0.9, "a"), state(-1, "b"), state(0.1, "c")], [], NOW)

    assert decision.verdict is Verdict.BLOCK
    assert [(r.slo, r.verdict) for r in decision.reasons] == [("b", "block"), ("c", "warn"), ("a", "allow")]


def test_a_block_is_worse_than_what_is_not_known() -> None:
    """What is known to be exhausted blocks, also beside an SLO without data."""
    assert decide(DEFAULT, [UNKNOWN, state(-1)], [], NOW).verdict is Verdict.BLOCK


@pytest.mark.parametrize("remaining", [None, math.nan, math.inf, 0.9])
def test_insufficient_data_is_unknown_with_its_reason(remaining: float | None) -> None:
    """Too few events or too little coverage is no permission, whatever the number says."""
    decision = decide(
        DEFAULT, [state(remaining, status=SloStatus.INSUFFICIENT_DATA, why="5 of 10 events in 28d")], [], NOW
    )

    assert decision.verdict is Verdict.UNKNOWN
    assert said(decision) == ["merge-to-production: insufficient data (5 of 10 events in 28d): 50.0% of 28d is covered"]


@pytest.mark.parametrize("remaining", [None, math.nan, math.inf, -math.inf])
def test_a_budget_without_a_number_is_unknown(remaining: float | None) -> None:
    """A healthy status cannot make up for a missing number."""
    assert decide(DEFAULT, [state(remaining)], [], NOW).verdict is Verdict.UNKNOWN


def test_a_service_without_slos_is_unknown() -> None:
    """A misspelt service is not allowed by having no SLO."""
    decision = decide(DEFAULT, [], [], NOW)

    assert (decision.verdict, said(decision)) == ("unknown", ["there is no SLO to decide by: 0 were found"])


def test_an_slo_without_a_rule_is_unknown() -> None:
    """A policy that says nothing of an SLO does not allow."""
    policy = Policy(source="", rules=(Rule(name="some", slos=("other-*",)),), longest_override=timedelta(days=1))

    assert decide(policy, [state(1.0)], [], NOW).verdict is Verdict.UNKNOWN


def test_the_first_rule_that_concerns_an_slo_holds() -> None:
    """Rules are for name patterns, tiers, both or all."""
    rules = (
        Rule(name="named", slos=("checkout-*", "search"), tiers=("1",)),
        Rule(name="tier", tiers=("1", "2")),
        Rule(name="all"),
    )
    policy = Policy(source="", rules=rules, longest_override=timedelta(days=1))
    asked = [slo("checkout-latency", "1"), slo("checkout-latency", "2"), slo("search", "1"), slo("other", "")]

    assert [getattr(policy.rule_for(s), "name", None) for s in asked] == ["named", "tier", "named", "all"]


# ---- one incident or deployment


@pytest.mark.parametrize(("share", "verdict"), [(0.2, "allow"), (0.2001, "warn"), (3.0, "warn")])
def test_one_incident_above_a_fifth_of_the_budget_is_to_be_reviewed(share: float, verdict: str) -> None:
    """Exactly 20 % is not above it."""
    assert decide(DEFAULT, [state(0.7)], [], NOW, [incident(share)]).verdict == verdict


def test_a_due_review_names_what_spent_the_budget() -> None:
    """The share is rounded up: what is above 20 % does not read as 20 %."""
    decision = decide(DEFAULT, [state(0.7)], [], NOW, [incident(0.20001)])

    assert said(decision) == [
        (
            "merge-to-production: incident INC-7 spent 20.1% of the error budget of 28d; "
            "default: a review is due above 20%"
        ),
        "merge-to-production: 70.0% of the error budget of 28d is left",
    ]


def test_a_share_is_the_bad_events_over_those_the_budget_allows() -> None:
    """Of 1000 events at 90 % a hundred may be bad: 30 of them are 30 % of the budget."""
    found = spends_of(slo(), EventCounts(good=960, bad=40), "deployment", {"v2": 30, "v1": 10})

    assert [(s.name, s.kind, s.share) for s in found] == [("v1", "deployment", 0.1), ("v2", "deployment", 0.3)]


def test_without_events_nothing_was_spent() -> None:
    """There is no budget to divide by."""
    assert spends_of(slo(), EventCounts(), "incident", {"INC-7": 0}) == []


# ---- overrides


def test_an_override_makes_a_warning_of_a_block() -> None:
    """The reason keeps the numbers, and says who answers for it, how long and why."""
    chosen = override()
    decision = decide(DEFAULT, [state(-0.5)], [chosen], NOW)

    assert (decision.verdict, decision.applied) == (Verdict.WARN, (chosen,))
    assert said(decision) == [
        (
            "merge-to-production: nothing is left of the error budget of 28d (-50.0%); default: block when nothing is "
            "left (0%); platform-team (OPS-17) overrides block until 2026-03-10 13:00 UTC: A security fix."
        )
    ]


def test_an_expired_override_is_said_and_ignored() -> None:
    """From its end on an override holds no more."""
    decision = decide(DEFAULT, [state(-0.5)], [override(until=NOW)], NOW)

    assert (decision.verdict, decision.applied) == (Verdict.BLOCK, ())
    assert decision.notes == ("the override of platform-team (OPS-17) expired on 2026-03-10 12:00 UTC and is ignored",)


def test_an_override_does_not_hold_before_its_beginning() -> None:
    """One for tomorrow is said and ignored today."""
    tomorrow = override(since=NOW + timedelta(days=1), until=NOW + timedelta(days=2))
    decision = decide(DEFAULT, [state(-0.5)], [tomorrow], NOW)

    assert decision.verdict is Verdict.BLOCK
    assert decision.notes == (
        "the override of platform-team (OPS-17) begins on 2026-03-11 12:00 UTC and is ignored until then",
    )


def test_an_override_of_another_slo_is_not_spoken_of() -> None:
    """It changes nothing here, whether it holds or has expired."""
    others = [override("other"), override("other", until=NOW)]

    assert decide(DEFAULT, [state(-0.5)], others, NOW) == decide(DEFAULT, [state(-0.5)], [], NOW)


def test_an_override_lifts_only_what_it_names() -> None:
    """Who overrides a block has not said that data may be missing."""
    lifting = override(lifts=(Verdict.UNKNOWN,))

    assert decide(DEFAULT, [UNKNOWN], [override()], NOW).verdict is Verdict.UNKNOWN
    assert decide(DEFAULT, [UNKNOWN], [lifting], NOW).verdict is Verdict.WARN
    assert decide(DEFAULT, [state(-1)], [lifting], NOW).verdict is Verdict.BLOCK


def test_an_override_that_was_not_needed_is_not_applied() -> None:
    """Only what made a verdict less is logged."""
    assert decide(DEFAULT, [state(0.9)], [override()], NOW).applied == ()


def test_of_several_overrides_the_one_that_holds_longest_is_applied() -> None:
    """One answer is given, not one for each."""
    longer = override(until=NOW + timedelta(hours=5), ticket="OPS-18")

    assert decide(DEFAULT, [state(-1)], [longer, override()], NOW).applied == (longer,)


# ---- services and exit codes


def test_the_slos_of_a_service_are_those_it_owns_and_those_that_count_its_events() -> None:
    """A platform's SLO over all services belongs to the platform alone."""
    found = [
        state(1.0, "owned"),
        SloState(**{**vars(state(1.0)), "slo": slo("measured", owner="other", service="delivery-platform")}),
        SloState(**{**vars(state(1.0)), "slo": slo("pooled", owner="other")}),
    ]

    assert [s.slo.name for s in of_service(found, "delivery-platform")] == ["owned", "measured"]


def test_exit_codes_follow_from_the_verdict() -> None:
    """A pipeline stops for block and unknown, and with --strict for a warning; 1 and 2 are no verdicts otherwise."""
    assert EXIT_CODES == {"allow": 0, "warn": 0, "block": 3, "unknown": 4}
    assert STRICT_EXIT_CODES == {"allow": 0, "warn": 1, "block": 3, "unknown": 4}


# ---- files

Put = Callable[[str], Path]

OVERRIDES = """\
overrides:
  - slo: merge-to-*
    author: platform-team
    reason: A security fix.
    ticket: OPS-17
    from: 2026-03-10T10:00Z
    until: 2026-03-11T10:00+02:00
  - service: delivery-platform
    author: platform-team
    reason: The probe is down.
    ticket: OPS-18
    from: 2025-03-10T10:00Z
    until: 2025-03-11T10:00Z
    lifts: [block, unknown]
"""


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes a file into the test's folder."""

    def write(text: str) -> Path:
        path = tmp_path / "file.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_shipped_policy_is_that_of_its_source() -> None:
    """The SRE workbook halts changes when the budget is spent, and reviews an incident above a fifth of it."""
    everybody = DEFAULT.rule_for(slo())

    assert DEFAULT.source.startswith("Google SRE Workbook")
    assert everybody is not None
    assert (everybody.block_below, everybody.review_above) == (Decimal(0), Decimal("0.2"))
    assert DEFAULT.longest_override == timedelta(days=14)


def test_overrides_are_read_as_they_are_written(put: Put) -> None:
    """Also one that has expired: it is said, not refused."""
    path = put(OVERRIDES)

    assert load_overrides(path, DEFAULT, [slo()]) == (
        Override(
            slo="merge-to-*",
            author="platform-team",
            reason="A security fix.",
            ticket="OPS-17",
            starts_at=datetime(2026, 3, 10, 10, tzinfo=UTC),
            ends_at=datetime(2026, 3, 11, 8, tzinfo=UTC),
            file=str(path),
            line=2,
        ),
        Override(
            service="delivery-platform",
            author="platform-team",
            reason="The probe is down.",
            ticket="OPS-18",
            starts_at=datetime(2025, 3, 10, 10, tzinfo=UTC),
            ends_at=datetime(2025, 3, 11, 10, tzinfo=UTC),
            lifts=frozenset({Verdict.BLOCK, Verdict.UNKNOWN}),
            file=str(path),
            line=8,
        ),
    )


def test_the_examples_of_the_page_are_valid(put: Put) -> None:
    """What `docs/gate.md` shows can be copied."""
    _, policy, written = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8").split("```yml\n")
    read = load_policy(put(policy.split("```")[0]))

    assert len(load_overrides(put(written.split("```")[0]), read, [slo("checkout-availability")])) == 1


@pytest.mark.parametrize(
    "path", sorted(set(BAD.glob("*.bad.yaml")) - set(BAD.glob("override-*"))), ids=lambda path: path.name.split(".")[0]
)
def test_a_mistake_in_a_policy_is_answered_with_its_line(path: Path) -> None:
    """A bad file gives exactly the sentences in its first lines: one for each mistake, no other."""
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]

    with pytest.raises(ConfigError) as caught:
        load_policy(path)

    assert str(caught.value).replace(f"{path.parent}/", "").splitlines() == expected


@pytest.mark.parametrize("path", sorted(BAD.glob("override-*.bad.yaml")), ids=lambda path: path.name.split(".")[0])
def test_a_mistake_in_an_override_is_answered_with_its_line(path: Path) -> None:
    """A bad file gives exactly the sentences in its first lines: one for each mistake, no other."""
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]

    with pytest.raises(ConfigError) as caught:
        load_overrides(path, DEFAULT, [slo(service="checkout")])

    assert str(caught.value).replace(f"{path.parent}/", "").splitlines() == expected


def test_there_is_a_bad_file_for_each_kind_of_mistake() -> None:
    """The folder of mistakes is not empty, so that the tests above cannot pass by reading nothing."""
    assert len(list(BAD.glob("override-*.bad.yaml"))) >= 15
    assert len(list(BAD.glob("*.bad.yaml"))) >= 35
