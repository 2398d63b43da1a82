"""Reads exclusions from YAML files, checked like every file a person may edit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from collector.document import Document, DocumentPath, nearest, read_documents, validate
from collector.errors import ConfigError, Mistake
from slo_engine.exclusions import Exclusion, ExclusionReason, check_recurrence, exists
from slo_engine.slo import Slo
from slo_engine.windows import zone_named

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?")
_EXPECTED_TIME = "one such as 2026-03-01T22:00 (with zone) or 2026-03-01T22:00Z"


def _time(text: Any) -> datetime:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise ValueError(f"{str(text)[:40]!r} is no time; expected {_EXPECTED_TIME}")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not in the calendar; expected {_EXPECTED_TIME}") from error


def role(text: str) -> str:
    """The name of a team or a role. Raises ValueError for what is empty or a person's address."""
    if "@" in text:
        raise ValueError("a person's address would be published; expected the name of a team or a role")
    if not text.strip():
        raise ValueError("nobody is named; expected the name of a team or a role")
    return text


def ticket(value: Any) -> Any:
    """A ticket's text. Raises ValueError for a number, which would lose its form, and for empty text."""
    if isinstance(value, (bool, int, float)):
        raise ValueError("a number stands here; expected the ticket as text in quotes")  # noqa: TRY004 - pydantic collects these
    if isinstance(value, str) and not value.strip():
        raise ValueError('the ticket is empty; expected one such as "OPS-17"')
    return value


def _zone(name: str) -> str:
    return zone_named(name).key


_Time = Annotated[datetime, BeforeValidator(_time)]
Role = Annotated[str, AfterValidator(role), Field(description="the name of a team or a role.")]
Ticket = Annotated[str, BeforeValidator(ticket), Field(description='a ticket such as "OPS-17".')]


class _Exclusion(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    slo: str = ""
    service: str = ""
    reason: Literal["maintenance", "outside_hours", "other"] = Field(
        description="one of maintenance, outside_hours, other."
    )
    author: Role
    ticket: Ticket
    starts_at: _Time = Field(alias="from", description=f"a time, {_EXPECTED_TIME}.")
    ends_at: _Time = Field(alias="until", description=f"a time, {_EXPECTED_TIME}.")
    zone: Annotated[str, AfterValidator(_zone)] | None = None
    recurrence: str | None = None
    description: str = ""

    @model_validator(mode="after")
    def _for_somebody(self) -> Self:
        if bool(self.slo) == bool(self.service):
            problem = "names both an SLO and a service" if self.slo else "names no SLO and no service"
            raise ValueError(f"{problem}; expected slo (a name or a glob such as checkout-*) or service")
        return self


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    exclusions: list[_Exclusion] = Field(description="a list of exclusions.")


def load_exclusions(path: Path, slos: Sequence[Slo]) -> tuple[Exclusion, ...]:
    """The exclusions of a file, or of all `.yaml` and `.yml` files of a folder and its subfolders, in their order.

    Hidden files and folders are passed over, as for SLOs. A name, glob or service that concerns none of `slos` is a
    mistake. Raises ConfigError with every mistake of every file.
    """
    found: list[Exclusion] = []
    mistakes: list[Mistake] = []
    for file in _files(path):
        try:
            found.extend(_read(file, slos))
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    if mistakes:
        raise ConfigError(*mistakes)
    return tuple(found)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = (f for f in path.rglob("*") if f.suffix in {".yaml", ".yml"} and f.is_file())
    return sorted(f for f in files if not any(part.startswith(".") for part in f.relative_to(path).parts))


def _read(path: Path, slos: Sequence[Slo]) -> list[Exclusion]:
    document, *others = read_documents(path)
    if others:
        raise ConfigError(others[0].mistake((), "a second document", "one, with all exclusions"))
    written = validate(document, _File).exclusions
    mistakes = [m for i, e in enumerate(written) for m in _time_mistakes(document, ("exclusions", i), e)]
    if not mistakes:
        read = [_exclusion(document, ("exclusions", i), e) for i, e in enumerate(written)]
        mistakes = [
            m
            for i, (w, e) in enumerate(zip(written, read, strict=True))
            for m in _mistakes(document, ("exclusions", i), (w, e), slos)
        ]
    if mistakes:
        raise ConfigError(*mistakes)
    return read


def _time_mistakes(document: Document, at: DocumentPath, written: _Exclusion) -> Iterator[Mistake]:
    """Where a time and the zone do not say together which time is meant."""
    if written.recurrence is not None and written.zone is None:
        problem = "the recurrence has no zone whose clocks it follows"
        yield document.mistake((*at, "recurrence"), problem, "zone: an IANA name such as Europe/Berlin, or UTC")
        return
    for key, time in (("from", written.starts_at), ("until", written.ends_at)):
        if written.zone is None and time.tzinfo is None:
            yield document.mistake((*at, key), f"{time.isoformat()} has no zone", "zone, or an offset such as Z")
        elif written.zone is not None and time.tzinfo is not None:
            local = time.replace(tzinfo=None).isoformat()
            problem = f"the time has an offset, and there is a zone ({written.zone})"
            yield document.mistake((*at, key), problem, f"the local time alone, such as {local}, or no zone")
        elif written.zone is not None and not exists(time, ZoneInfo(written.zone)):
            problem = f"the clocks of {written.zone} skip {time.isoformat(' ')}"
            yield document.mistake((*at, key), problem, "a time before or after the hour they skip")


def _exclusion(document: Document, at: DocumentPath, written: _Exclusion) -> Exclusion:
    return Exclusion(
        slo=written.slo,
        service=written.service,
        reason=ExclusionReason(written.reason),
        author=written.author,
        ticket=written.ticket,
        starts_at=_aware(written.starts_at, written.zone),
        ends_at=_aware(written.ends_at, written.zone),
        zone=written.zone or "",
        recurrence=written.recurrence or "",
        description=written.description,
        file=document.file,
        line=document.line(at),
    )


def _aware(time: datetime, zone: str | None) -> datetime:
    """In UTC: two times of one zone would otherwise be compared as wall times."""
    return (time if zone is None else time.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def _mistakes(
    document: Document, at: DocumentPath, both: tuple[_Exclusion, Exclusion], slos: Sequence[Slo]
) -> Iterator[Mistake]:
    """What no part alone can say."""
    written, read = both
    if not read.starts_at < read.ends_at:
        problem = f"{written.ends_at.isoformat()} is not after from ({written.starts_at.isoformat()})"
        yield document.mistake((*at, "until"), problem, "a later time")
    elif written.recurrence is not None and written.zone is not None:
        try:
            check_recurrence(written.recurrence, ZoneInfo(written.zone), read.starts_at)
        except ValueError as error:
            problem, _, expected = str(error).partition("; expected ")
            yield document.mistake((*at, "recurrence"), problem, expected)
    if not any(read.concerns(slo) for slo in slos):
        yield _nobody(document, at, read, slos)


def _nobody(document: Document, at: DocumentPath, read: Exclusion, slos: Iterable[Slo]) -> Mistake:
    """The mistake of an exclusion that concerns no SLO."""
    if read.slo:
        known = sorted({slo.name for slo in slos})
        key, name, problem = "slo", read.slo, f"there is no SLO {read.slo[:60]!r}"
    else:
        known = sorted({name for slo in slos for name in (slo.owner_service, slo.service) if name})
        key, name, problem = "service", read.service, f"no SLO is of a service {read.service[:60]!r}"
    near = nearest(name, known)
    listed = f"one of {', '.join(known[:5])}" if known else "none while there are no SLOs"
    return document.mistake((*at, key), problem, near or listed)
