"""Reads the published tables from `config/benchmarks/`, checked like every file a person may edit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from collector.document import Document, read_documents, validate
from collector.durations import parse_duration
from collector.errors import ConfigError, Mistake
from slo_engine.benchmarks import QUICK_CHECK, Benchmarks, BenchmarkTier, Cell, Publication

_FRACTION = re.compile(r"[0-9]{1,6}(/[1-9][0-9]{0,5})?")
_LOWER = ("at_least", "more_than")
_UPPER = ("at_most", "less_than")


def _per_day(text: Any) -> float:
    if not isinstance(text, (str, int)) or not _FRACTION.fullmatch(str(text)):
        raise ValueError(f"{text!r} is no frequency; expected deployments per day such as 2 or 1/7")
    return float(Fraction(str(text)))


def _seconds(text: Any) -> float:
    return parse_duration(text).total_seconds()


_Seconds = Annotated[float, BeforeValidator(_seconds)]
_PerDay = Annotated[float, BeforeValidator(_per_day)]
_Ratio = Annotated[float, Field(ge=0, le=1)]
_Score = Annotated[float, Field(ge=0, le=10)]
_Text = Annotated[str, Field(min_length=1)]
_Bound = TypeVar("_Bound", bound=float)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Cell(_Model, Generic[_Bound]):
    """What a table prints, and one range of values."""

    words: str = Field(min_length=1, description="the words of the table.")
    at_least: _Bound | None = None
    more_than: _Bound | None = None
    at_most: _Bound | None = None
    less_than: _Bound | None = None

    @model_validator(mode="after")
    def _one_range(self) -> Self:
        lower = [found for name in _LOWER if (found := getattr(self, name)) is not None]
        upper = [found for name in _UPPER if (found := getattr(self, name)) is not None]
        if not lower + upper:
            raise ValueError(f"has no bound; expected one or two of {', '.join(_LOWER + _UPPER)}")
        if len(lower) > 1 or len(upper) > 1:
            raise ValueError("has two bounds on one side; expected one of them")
        if lower and upper and not lower[0] < upper[0]:
            raise ValueError("holds no value; expected a lower bound below the upper one")
        return self


class _Tier(_Model):
    name: str = Field(pattern="^[a-z]{2,}$", description="the word of the report, in small letters.")
    change_lead_time: _Cell[_Seconds] | None = None
    deployment_frequency: _Cell[_PerDay] | None = None
    failed_deployment_recovery_time: _Cell[_Seconds] | None = None
    incident_time_to_restore: _Cell[_Seconds] | None = None
    change_fail_rate: _Cell[_Ratio] | None = None
    deployment_rework_rate: _Cell[_Ratio] | None = None

    def cells(self) -> dict[str, Cell]:
        """The cells that the file has."""
        found = self.model_dump(exclude={"name"}, exclude_none=True)
        return {indicator: Cell(**cell) for indicator, cell in found.items()}


class _Means(_Model):
    change_lead_time: _Score | None = None
    deployment_frequency: _Score | None = None
    failed_deployment_recovery_time: _Score | None = None
    change_fail_rate: _Score | None = None
    deployment_rework_rate: _Score | None = None


class _Source(_Model):
    title: _Text
    publisher: _Text
    section: _Text
    url: str = Field(pattern="^https://", description="the address of the report.")


class _File(_Model):
    year: int = Field(ge=2014, le=2100, description="the year of the report.")
    source: _Source = Field(description="where the numbers come from.")
    tiers: list[_Tier] = Field(default=[], description="the performance levels of the report.")
    mean_scores: _Means | None = Field(default=None, description="the industry's mean scores.")


def load_benchmarks(path: Path) -> Benchmarks:
    """The published numbers in a file. Raises ConfigError with every mistake."""
    document, *others = read_documents(path)
    if others:
        raise ConfigError(others[0].mistake((), "a second document", "one year a file"))
    found = validate(document, _File)
    mistakes = list(_mistakes(document, found))
    if mistakes:
        raise ConfigError(*mistakes)
    means = found.mean_scores.model_dump(exclude_none=True) if found.mean_scores else {}
    return Benchmarks(
        year=found.year,
        source=Publication(**found.source.model_dump()),
        tiers=tuple(BenchmarkTier(name=tier.name, cells=tier.cells()) for tier in found.tiers),
        mean_scores={name: means[name] for name in QUICK_CHECK if name in means},
    )


def _mistakes(document: Document, found: _File) -> Iterator[Mistake]:
    """What no part alone can say."""
    if not found.tiers and found.mean_scores is None:
        yield document.mistake((), "the year has no numbers", "tiers, mean_scores or both")
    for position, tier in enumerate(found.tiers):
        if tier.name in {t.name for t in found.tiers[:position]}:
            problem = f"{tier.name!r} is already the name of a tier"
            yield document.mistake(("tiers", position, "name"), problem, "another name")
