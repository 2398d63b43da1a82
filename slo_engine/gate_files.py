"""Reads error-budget policies and overrides of the gate from YAML, checked like every file a person may edit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from collector.document import Document, DocumentPath, validate
from collector.durations import Duration
from collector.errors import ConfigError, Mistake
from slo_engine.accountable import Accountable, backwards, only_document, unconcerned
from slo_engine.gate import Override, Policy, Rule, Verdict
from slo_engine.slo import Slo

_LONGEST_OVERRIDE = timedelta(days=90)
"""What stands longer than a quarter is a policy, and belongs into it."""


def _share(value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"{str(value)[:40]!r} is no number; expected a share of the budget such as 0.1") from error
    if isinstance(value, bool) or not number.is_finite() or number < 0:
        raise ValueError(f"{value} is no share; expected a number from 0 to 1, such as 0.1")
    if number > 1:
        meant = f"{number.scaleb(-2).normalize():f}" if number <= 100 else "0.1"  # noqa: PLR2004 - per cent
        raise ValueError(f"{value} is more than the whole budget; expected a share from 0 to 1: {meant}")
    return number


def _days(length: timedelta) -> str:
    return f"{length / timedelta(days=1):g} days"


def _short(length: timedelta) -> timedelta:
    if length > _LONGEST_OVERRIDE:
        raise ValueError(f"an override of {_days(length)} is a rule; expected at most {_LONGEST_OVERRIDE.days}d")
    return length


def _pattern(value: Any) -> Any:
    if isinstance(value, (bool, int, float)):
        raise ValueError(f"{value} is no text; expected it in quotes")  # noqa: TRY004 - pydantic collects these
    if value == "":
        raise ValueError("empty text is nobody's name; expected a name or a glob such as checkout-*")
    return value


def _some(value: Any) -> Any:
    if value == [] or value is None:
        raise ValueError("nothing is listed; expected a name, or none of this key for all SLOs")
    return value


_Share = Annotated[Decimal | None, BeforeValidator(_share)]
_Patterns = Annotated[list[Annotated[str, BeforeValidator(_pattern)]] | None, BeforeValidator(_some)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Rule(_Model):
    name: str = Field(pattern="^[a-z][a-z0-9-]*$", description="a word in small letters, such as critical.")
    slos: _Patterns = None
    tiers: _Patterns = None
    block_below: _Share = None
    warn_below: _Share = None
    review_above: _Share = None


class _Policy(_Model):
    source: str = Field(min_length=1, description="where the policy comes from.")
    longest_override: Annotated[Duration, AfterValidator(_short)] = Field(description="a duration such as 14d.")
    rules: list[_Rule] = Field(min_length=1, description="a list of rules, the last one for every SLO.")


class _Override(Accountable):
    reason: str = Field(min_length=1, description="why changes go on, in a sentence.")
    lifts: list[Literal["block", "unknown"]] = Field(
        default=["block"], min_length=1, description="what becomes a warning: block, unknown or both."
    )


class _Overrides(_Model):
    overrides: list[_Override] = Field(description="a list of overrides.")


def load_policy(path: Path) -> Policy:
    """The policy of a file. Raises ConfigError with every mistake."""
    document = only_document(path, "rules")
    written = validate(document, _Policy)
    mistakes = [m for i, r in enumerate(written.rules) for m in _rule_mistakes(document, i, r, written.rules)]
    last = written.rules[-1]
    if last.slos is not None or last.tiers is not None:
        problem = f"SLOs for which {last.name} is not have no rule"
        mistakes.append(
            document.mistake(("rules", len(written.rules) - 1), problem, "a last rule without slos and tiers")
        )
    if mistakes:
        raise ConfigError(*mistakes)
    return Policy(
        source=written.source,
        longest_override=written.longest_override,
        rules=tuple(_rule(rule) for rule in written.rules),
    )


def _rule(written: _Rule) -> Rule:
    return Rule(
        name=written.name,
        slos=tuple(written.slos or ()),
        tiers=tuple(written.tiers or ()),
        block_below=written.block_below,
        warn_below=written.warn_below,
        review_above=written.review_above,
    )


def _rule_mistakes(document: Document, position: int, rule: _Rule, rules: Sequence[_Rule]) -> Iterator[Mistake]:
    """What one rule alone cannot say."""
    at = ("rules", position)
    if rule.name in {r.name for r in rules[:position]}:
        yield document.mistake((*at, "name"), f"{rule.name!r} is already the name of a rule", "another name")
    if rule.slos is None and rule.tiers is None and position < len(rules) - 1:
        problem = f"{rule.name} is for every SLO, so the rules after it are for none"
        yield document.mistake(at, problem, "slos or tiers, or this rule as the last one")
    if rule.block_below is None and rule.warn_below is None:
        yield document.mistake(at, "the rule allows whatever is left of the budget", "block_below, warn_below or both")
    elif rule.block_below is not None and rule.warn_below is not None and not rule.warn_below > rule.block_below:
        problem = f"nothing is left to warn of: below {rule.block_below} changes are blocked"
        yield document.mistake((*at, "warn_below"), problem, "a larger share than block_below")


def load_overrides(path: Path, policy: Policy, slos: Sequence[Slo]) -> tuple[Override, ...]:
    """The overrides of a file, also those that have expired.

    One that is for none of `slos`, or holds longer than the policy allows, is a mistake. Raises ConfigError with every
    mistake.
    """
    document = only_document(path, "overrides")
    written = validate(document, _Overrides).overrides
    mistakes = [
        m for i, o in enumerate(written) for m in _override_mistakes(document, ("overrides", i), o, (policy, slos))
    ]
    if mistakes:
        raise ConfigError(*mistakes)
    return tuple(_override(document, ("overrides", i), o) for i, o in enumerate(written))


def _override_mistakes(
    document: Document, at: DocumentPath, written: _Override, judged_by: tuple[Policy, Sequence[Slo]]
) -> Iterator[Mistake]:
    """What no part alone can say."""
    policy, slos = judged_by
    yield from unconcerned(document, at, written, slos)
    naive = [k for k, t in (("from", written.starts_at), ("until", written.ends_at)) if t.tzinfo is None]
    for key in naive:
        yield document.mistake((*at, key), "the time has no zone", "an offset such as Z at its end")
    if naive:
        return
    longest = policy.longest_override
    if not written.starts_at < written.ends_at:
        yield backwards(document, at, written)
    elif written.ends_at - written.starts_at > longest:
        last = (written.starts_at + longest).isoformat()
        problem = f"the override holds longer than the policy's longest_override ({_days(longest)})"
        yield document.mistake((*at, "until"), problem, f"{last} or earlier")


def _override(document: Document, at: DocumentPath, written: _Override) -> Override:
    return Override(
        slo=written.slo,
        service=written.service,
        author=written.author,
        reason=written.reason,
        ticket=written.ticket,
        starts_at=written.starts_at.astimezone(UTC),
        ends_at=written.ends_at.astimezone(UTC),
        lifts=frozenset(Verdict(verdict) for verdict in written.lifts),
        file=document.file,
        line=document.line(at),
    )
