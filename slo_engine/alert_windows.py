"""Reads the alert tiers from `config/alert-windows/`, checked like every file a person may edit."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from collector.document import read_documents, validate
from slo_engine.burn import Severity, Tier
from slo_engine.windows import BURN_WINDOWS, Window, parse_window

_KNOWN = {w.label: w for w in BURN_WINDOWS}


def _exported(label: str) -> str:
    if label not in _KNOWN:
        parse_window(label)
        raise ValueError(f"{label!r} is not counted; expected one of {', '.join(_KNOWN)}")
    return label


_Label = Annotated[str, AfterValidator(_exported)]


class _Tier(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern="^[A-Z][A-Za-z]*$", description="Ends the alert's name.")
    severity: Severity
    budget_share: Decimal = Field(gt=0, le=1)
    long: _Label
    short: _Label
    minimum_bad_events: int = Field(ge=2, description="One bad event alone never alerts.")


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1, description="Where the numbers come from.")
    tiers: list[_Tier] = Field(min_length=1)


def load_tiers(path: Path) -> tuple[Tier, ...]:
    """The tiers of a file. Raises ConfigError with every mistake."""
    found = validate(read_documents(path)[0], _File)
    return tuple(
        Tier(
            name=t.name,
            severity=t.severity,
            budget_share=t.budget_share,
            long=_window(t.long),
            short=_window(t.short),
            minimum_bad_events=t.minimum_bad_events,
        )
        for t in found.tiers
    )


def _window(label: str) -> Window:
    return _KNOWN[label]
