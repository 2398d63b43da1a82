"""Alert policies of OpenSLO: written in the SLO or named, with their condition and their targets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from collector.errors import ConfigError, Mistake
from slo_engine.openslo_model import (
    ConditionFile,
    ConditionSpec,
    InlineCondition,
    InlinePolicy,
    ObjectMetadata,
    PolicyFile,
    PolicySpec,
    TargetFile,
)
from slo_engine.openslo_objects import Objects, Place, collected
from slo_engine.slo import AlertPolicy, Operator


@dataclass(frozen=True)
class Alert:
    """A policy, and where its burn rate stands."""

    policy: AlertPolicy
    threshold: Place


def policies_of(spec: Place, objects: Objects) -> list[Alert]:
    """The alert policies of the `spec` of an SLO.

    Raises ConfigError with every mistake.
    """
    mistakes: list[Mistake] = []
    found = [collected(mistakes, _policy, place, objects) for place in spec.items("alertPolicies")]
    made = [one for one in found if one is not None]
    for i, alert in enumerate(made):
        if alert.policy.name in {other.policy.name for other in made[:i]}:
            place = spec.at("alertPolicies", i)
            mistakes.append(place.mistake(f"a second policy named {alert.policy.name!r}", "each policy once"))
    if mistakes or len(made) != len(found):
        raise ConfigError(*mistakes)
    return made


def out_of_reach(alerts: Iterable[Alert], slo: str, fastest: Decimal) -> Iterator[Mistake]:
    """A mistake for each policy whose burn rate even a total outage, which burns at `fastest`, does not reach."""
    for alert in alerts:
        factor = alert.policy.factor
        if factor > fastest or (factor == fastest and alert.policy.operator is Operator.GT):
            problem = f"a burn rate of {factor} is never reached by {slo}, even when all events are bad"
            expected = f"less than {float(fastest):.4g}, its fastest, or a higher target"
            yield alert.threshold.mistake(problem, expected)


def _policy(item: Place, objects: Objects) -> Alert:
    name = item.get()
    reference = item if isinstance(name, str) else item.at("alertPolicyRef")
    if reference.get() is not None:
        _alone(item, "alertPolicyRef")
        place, value = objects.named("AlertPolicy", reference, PolicyFile)
        return _made(value.metadata, value.spec, place, objects)
    inline = item.read(InlinePolicy)
    _whole(item, "alertPolicyRef")
    assert inline.metadata is not None  # noqa: S101 - checked by _whole
    assert inline.spec is not None  # noqa: S101 - likewise
    return _made(inline.metadata, inline.spec, item.at("spec"), objects)


def _made(metadata: ObjectMetadata, spec: PolicySpec, place: Place, objects: Objects) -> Alert:
    condition, at = _condition(place, spec, objects)
    rule = condition.condition
    policy = AlertPolicy(
        name=metadata.name,
        title=metadata.display_name,
        description=spec.description or condition.description,
        severity=condition.severity,
        operator=rule.op,
        factor=rule.threshold,
        lookback=rule.lookback_window,
        after=rule.alert_after,
        targets=_targets(place, objects),
    )
    return Alert(policy, at.at("condition", "threshold"))


def _condition(policy: Place, spec: PolicySpec, objects: Objects) -> tuple[ConditionSpec, Place]:
    conditions = policy.items("conditions")
    if len(conditions) != 1:
        raise policy.at("conditions").refused(f"{len(conditions)} conditions", "one; write a policy for each")
    item, inline = conditions[0], spec.conditions[0]
    if inline.condition_ref is not None:
        _alone(item, "conditionRef")
        place, value = objects.named("AlertCondition", item.at("conditionRef"), ConditionFile)
        return value.spec, place
    _whole(item, "conditionRef")
    return _given(inline), item.at("spec")


def _given(inline: InlineCondition) -> ConditionSpec:
    assert inline.spec is not None  # noqa: S101 - checked by _whole
    return inline.spec


def _targets(policy: Place, objects: Objects) -> tuple[str, ...]:
    """The names of the notification targets, in the order of the file."""
    names: list[str] = []
    for item in policy.items("notificationTargets"):
        reference = item.at("targetRef")
        if reference.get() is None:
            _whole(item, "targetRef")
            names.append(str(item.get("metadata", "name")))
        else:
            _alone(item, "targetRef")
            objects.named("AlertNotificationTarget", reference, TargetFile)
            names.append(str(reference.get()))
    return tuple(dict.fromkeys(names))


def _alone(item: Place, reference: str) -> None:
    """A reference stands alone: what is written beside it would be ignored."""
    beside = item.keys() & {"kind", "metadata", "spec"}
    if beside:
        raise item.at(min(beside)).refused(f"stands beside {reference}", "one of the two")


def _whole(item: Place, reference: str) -> None:
    """What is written in place has a name and a spec."""
    missing = [key for key in ("metadata", "spec") if item.get(key) is None]
    if missing:
        raise item.at(missing[0]).refused("is missing", f"it, or {reference} with a name")
