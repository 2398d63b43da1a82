"""Reads the alert tiers from `config/alert-windows/`, checked like every file a person may edit."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from collector.document import Document, read_documents, validate
from collector.errors import ConfigError, Mistake
from slo_engine.burn import Severity, Tier
from slo_engine.windows import BURN_WINDOWS, parse_window

_KNOWN = {w.label: w for w in BURN_WINDOWS}


def _exported(label: str) -> str:
    if label not in _KNOWN:
        parse_window(label)
        raise ValueError(f"{label!r} is not counted; expected one of {', '.join(_KNOWN)}")
    return label


_Label = Annotated[str, AfterValidator(_exported)]


class _Tier(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern="^[A-Z][A-Za-z]*$", description="a word such as Fast, it ends the alert's name.")
    severity: Severity
    budget_share: Decimal = Field(gt=0, le=1, description="a share of the budget such as 0.02.")
    long: _Label
    short: _Label
    minimum_bad_events: int = Field(ge=2, description="one bad event alone never alerts.")
    instead_of: str = ""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1, description="where the numbers come from.")
    tiers: list[_Tier] = Field(min_length=1)


def load_tiers(path: Path) -> tuple[Tier, ...]:
    """The tiers of a file. Raises ConfigError with every mistake."""
    document, *others = read_documents(path)
    if others:
        raise ConfigError(others[0].mistake((), "a second document", "one, with all tiers"))
    found = validate(document, _File)
    mistakes = [m for i, tier in enumerate(found.tiers) for m in _mistakes(document, i, tier, found.tiers)]
    if mistakes:
        raise ConfigError(*mistakes)
    return tuple(
        Tier(
            name=t.name,
            severity=t.severity,
            budget_share=t.budget_share,
            long=_KNOWN[t.long],
            short=_KNOWN[t.short],
            minimum_bad_events=t.minimum_bad_events,
            instead_of=t.instead_of,
        )
        for t in found.tiers
    )


def _mistakes(document: Document, position: int, tier: _Tier, tiers: list[_Tier]) -> Iterator[Mistake]:
    """What one tier alone cannot say."""
    at = ("tiers", position)
    if tier.name in {t.name for t in tiers[:position]}:
        yield document.mistake((*at, "name"), f"{tier.name!r} is already the name of a tier", "another name")
    if not _KNOWN[tier.short] < _KNOWN[tier.long]:
        problem = f"{tier.short} is not shorter than {tier.long}"
        yield document.mistake((*at, "short"), problem, "a short window, about a twelfth of the long one")
    faster = {t.name: t for t in tiers if not t.instead_of}
    if tier.instead_of and tier.instead_of not in faster:
        problem = f"there is no tier {tier.instead_of[:40]!r} of its own"
        yield document.mistake((*at, "instead_of"), problem, f"one of {', '.join(faster)}")
