"""Reads exclusions from YAML files, checked like every file a person may edit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from collector.document import Document, DocumentPath, validate
from collector.errors import ConfigError, Mistake
from slo_engine.accountable import Accountable, backwards, only_document, unconcerned
from slo_engine.exclusions import Exclusion, ExclusionReason, check_recurrence, exists
from slo_engine.slo import Slo
from slo_engine.windows import zone_named


def _zone(name: str) -> str:
    return zone_named(name).key


class _Exclusion(Accountable):
    reason: Literal["maintenance", "outside_hours", "other"] = Field(
        description="one of maintenance, outside_hours, other."
    )
    zone: Annotated[str, AfterValidator(_zone)] | None = None
    recurrence: str | None = None
    description: str = ""


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
    document = only_document(path, "exclusions")
    written = validate(document, _File).exclusions
    mistakes = [m for i, e in enumerate(written) for m in _mistakes(document, ("exclusions", i), e, slos)]
    if mistakes:
        raise ConfigError(*mistakes)
    return [_exclusion(document, ("exclusions", i), e) for i, e in enumerate(written)]


def _mistakes(document: Document, at: DocumentPath, written: _Exclusion, slos: Sequence[Slo]) -> Iterator[Mistake]:
    """What no part alone can say."""
    yield from unconcerned(document, at, written, slos)
    unclear = list(_unclear_times(document, at, written))
    yield from unclear
    if unclear:
        return
    starts_at, ends_at = _aware(written.starts_at, written.zone), _aware(written.ends_at, written.zone)
    if not starts_at < ends_at:
        yield backwards(document, at, written)
    elif written.recurrence is not None and written.zone is not None:
        try:
            check_recurrence(written.recurrence, ZoneInfo(written.zone), starts_at)
        except ValueError as error:
            problem, _, expected = str(error).partition("; expected ")
            yield document.mistake((*at, "recurrence"), problem, expected)


def _unclear_times(document: Document, at: DocumentPath, written: _Exclusion) -> Iterator[Mistake]:
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
