"""What a change of SLOs does before it is applied: to the SLOs, to when they alert, to the rules. Pure.

Alerts are generic rules, so a new target changes none of them; when they fire for an SLO does change, and is told by
itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from slo_engine.alerts import FEWEST_BAD_EVENTS, policy_refusal
from slo_engine.annotations import Links
from slo_engine.burn import Tier, plain, tiers_for
from slo_engine.openslo_export import exported
from slo_engine.recordings import Scope
from slo_engine.rule import Group, Rule
from slo_engine.rules import groups
from slo_engine.sli_words import measured_by
from slo_engine.slo import AlertPolicy, Operator, Slo

Action = Literal["added", "removed", "changed"]
Fields: TypeAlias = Mapping[str, str]

_ABOVE = {Operator.GT: "above", Operator.GTE: "of at least", Operator.LT: "below", Operator.LTE: "of at most"}


@dataclass(frozen=True, kw_only=True)
class FieldChange:
    """One field of a thing that changes; None where it is not on that side."""

    field: str
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Change:
    """A thing that comes, goes or changes; `fields` are those that differ, `about` says in short what it is."""

    action: Action
    name: str
    fields: tuple[FieldChange, ...] = ()
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would change. `alerts` are conditions of single SLOs, `rules` those of the rule file and their groups.

    `dashboards` are sentences about files that would differ, `notes` what could not be compared.
    """

    slos: tuple[Change, ...] = ()
    alerts: tuple[Change, ...] = ()
    rules: tuple[Change, ...] = ()
    dashboards: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything would change."""
        return bool(self.slos or self.alerts or self.rules or self.dashboards)


def compare(before: Sequence[Slo], after: Sequence[Slo], tiers: Sequence[Tier], links: Links | None = None) -> Plan:
    """What becomes of SLOs, of when they alert and of the rules. The order of SLOs means nothing."""
    about = {slo.name: _about(slo) for slo in (*before, *after)}
    return Plan(
        slos=_differences(_slos(before), _slos(after), about),
        alerts=_differences(_conditions(before, tiers), _conditions(after, tiers)),
        rules=compare_rules(groups(before, tiers, links), groups(after, tiers, links)),
    )


def compare_rules(before: Iterable[Group], after: Iterable[Group]) -> tuple[Change, ...]:
    """What becomes of the rules of some groups, and of the groups. A rule that only moves within its group is kept."""
    return _differences(_rules(before), _rules(after))


def _differences(
    before: Mapping[str, Fields], after: Mapping[str, Fields], about: Mapping[str, str] | None = None
) -> tuple[Change, ...]:
    found = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        action: Action = "added" if old is None else "removed" if new is None else "changed"
        fields = tuple(_fields(old or {}, new or {}))
        found.append(Change(action=action, name=name, fields=fields, about=(about or {}).get(name, "")))
    return tuple(found)


def _fields(before: Fields, after: Fields) -> Iterator[FieldChange]:
    for field in dict.fromkeys((*before, *after)):
        if before.get(field) != after.get(field):
            yield FieldChange(field=field, before=before.get(field), after=after.get(field))


# ---- SLOs


def _slos(slos: Iterable[Slo]) -> dict[str, Fields]:
    """SLOs as their files say them, field by field."""
    return {slo.name: dict(_flat(exported(slo), "")) for slo in slos}


def _about(slo: Slo) -> str:
    return f"{plain(slo.target.scaleb(2))}% in {slo.window.label}, {measured_by(slo.sli)}"


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _flat(one, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from _flat(one, f"{path}[{index}]")
    else:
        yield path, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return plain(value) if isinstance(value, Decimal) else str(value)


# ---- when an SLO alerts


def _conditions(slos: Sequence[Slo], tiers: Sequence[Tier]) -> dict[str, Fields]:
    """For each alert of each SLO when it fires, or why it cannot."""
    scope = Scope.of(slos)
    return {f"{slo.name}: {name}": {"fires": fires} for slo in slos for name, fires in _alerts_of(slo, tiers, scope)}


def _alerts_of(slo: Slo, tiers: Sequence[Tier], scope: Scope) -> Iterator[tuple[str, str]]:
    if slo.alert_class == "rate":
        usable, dropped = tiers_for(slo, tiers, scope.slos)
        for tier in usable:
            yield f"{tier.severity} {tier.name}", _tier(tier, slo)
        for one in dropped:
            yield f"{one.tier.severity} {one.tier.name}", f"never: {one.reason}"
    else:
        share = plain((1 - slo.target).scaleb(2))
        yield "ticket budget", f"at half, three quarters and all of the budget ({share}% bad), and one bad event before"
    for policy in slo.alert_policies:
        reason = policy_refusal(slo, policy, scope)
        yield f"{policy.severity} {policy.name}", f"never: {reason}" if reason else _policy(policy, slo)


def _tier(tier: Tier, slo: Slo) -> str:
    burns = f"burn rate above {_share(tier.factor(slo.window), slo)} over {tier.long.label} and {tier.short.label}"
    return f"{burns}, at least {tier.minimum_bad_events} bad events"


def _share(factor: Decimal, slo: Slo) -> str:
    """A burn rate, and the share of bad events that it is."""
    return f"{plain(factor)} ({plain((factor * (1 - slo.target)).scaleb(2))}% bad)"


def _policy(policy: AlertPolicy, slo: Slo) -> str:
    burns = f"burn rate {_ABOVE[policy.operator]} {_share(policy.factor, slo)} over {policy.lookback.label}"
    wait = f" for {policy.after.total_seconds():.0f} s" if policy.after else ""
    return f"{burns}{wait}, at least {FEWEST_BAD_EVENTS} bad events"


# ---- rules


def _rules(found: Iterable[Group]) -> dict[str, Fields]:
    """Rules by what they are called; of several of one name each has its number."""
    named: dict[str, Fields] = {}
    seen: Counter[str] = Counter()
    for group in found:
        named[f"group {group.name}"] = {"interval": group.interval}
        for rule in group.rules:
            name = _name(rule)
            seen[name] += 1
            named[name if seen[name] == 1 else f"{name} ({seen[name]})"] = dict(_of_rule(rule, group))
    return named


def _name(rule: Rule) -> str:
    """An alert's labels may change; those of a recording tell it from others of its name."""
    if rule.alert:
        return f"alert {rule.alert}"
    labels = ", ".join(f'{key}="{value}"' for key, value in sorted(rule.labels.items()))
    return f"record {rule.record}" + (f"{{{labels}}}" if labels else "")


def _of_rule(rule: Rule, group: Group) -> Iterator[tuple[str, str]]:
    yield "group", group.name
    yield "expr", rule.expr
    if rule.wait:
        yield "for", rule.wait
    for title, values in (("labels", rule.labels), ("annotations", rule.annotations)):
        yield from ((f"{title}.{key}", value) for key, value in sorted(values.items()))
