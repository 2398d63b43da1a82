"""How a system writes times and durations, as the settings say it: read, and written into what is asked."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from collector.document import nearest
from collector.times import as_rfc3339, from_epoch, parsed

NAMED = ("rfc3339", "date", "epoch", "epoch_ms")
UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_HOURS = re.compile(r"%[HIcXTR]")
_SECONDS = re.compile(r"%[ScXT]")
_EXAMPLE = datetime(2026, 1, 31, 13, 5, 9, tzinfo=UTC)
_WESTERNMOST = timedelta(hours=12)
_EPOCH = datetime.fromtimestamp(0, UTC)
_NO_DAY = "0000-00-00"
"""How some databases write that there is no time."""


def _format(text: str) -> str:
    if text in NAMED:
        return text
    if "%" not in text:
        near = nearest(text, NAMED)
        meant = (
            f"; expected {near}?" if near else f"; expected one of {', '.join(NAMED)}, or a pattern such as %d.%m.%Y"
        )
        raise ValueError(f"{text!r} is no format of times{meant}")
    try:
        read = datetime.strptime(_EXAMPLE.strftime(text), text)  # noqa: DTZ007 - only whether the pattern can be read
    except ValueError:
        raise ValueError(f"{text!r} cannot be read; expected a pattern such as %d.%m.%Y %H:%M") from None
    if read.date() != _EXAMPLE.date() or read.hour not in {0, _EXAMPLE.hour}:
        raise ValueError(f"{text!r} says no whole time; expected year, month, day, and %p beside %I")
    return text


def lacks_zone(form: str, zone: str) -> bool:
    """Whether times of a format are never of use: they say an hour, but no offset, and nobody says whose they are."""
    return "%" in form and "%z" not in form and not zone and bool(_HOURS.search(form))


def _zone(text: str) -> str:
    if text and text not in available_timezones():
        near = nearest(text, available_timezones())
        raise ValueError(f"{text!r} is no time zone; expected {near or 'an IANA zone such as Europe/Berlin'}")
    return text


FormatText = Annotated[str, AfterValidator(_format)]
"""`rfc3339`, `date`, `epoch`, `epoch_ms`, or a pattern of strftime."""
ZoneText = Annotated[str, AfterValidator(_zone)]
"""An IANA time zone."""


class TimeForm(BaseModel):
    """How times are written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: FormatText = Field(
        default="rfc3339",
        description="`rfc3339` (with an offset, or in `zone`), `date`, `epoch` (seconds), `epoch_ms`, or a pattern "
        "such as `%d.%m.%Y %H:%M`.",
    )
    zone: ZoneText = Field(default="", description="The zone of times that are written without one; a date's is UTC.")

    @model_validator(mode="after")
    def _says_whose(self) -> Self:
        if lacks_zone(self.format, self.zone):
            raise ValueError(f"times as {self.format!r} say no offset; expected `zone` beside `format`, or %z in it")
        return self

    @property
    def is_number(self) -> bool:
        """Whether a time is a number."""
        return self.format in {"epoch", "epoch_ms"}

    @property
    def grain(self) -> timedelta:
        """How far apart two times are at least that are written differently."""
        if self.format == "date" or ("%" in self.format and not _HOURS.search(self.format)):
            return timedelta(days=1)
        if "%" in self.format and not _SECONDS.search(self.format):
            return timedelta(minutes=1)
        return timedelta(seconds=1)

    @property
    def slack(self) -> timedelta:
        """How much later a time as it is written may be meant: a date whose zone nobody says may begin in the west."""
        return _WESTERNMOST if self.grain == timedelta(days=1) and not self.zone else timedelta()

    def read(self, value: Any) -> datetime | None:
        """A time in UTC; None for nothing, and for 0, 1970 or the year 1, by which systems say "not yet".

        Raises ValueError for what is no time, and for a time without an offset where no `zone` is given.
        """
        at = self._read(value)
        return None if at is None or at <= _EPOCH else at

    def _read(self, value: Any) -> datetime | None:
        if value is None or value == "":
            return None
        if self.is_number:
            return _from_number(value, 1000 if self.format == "epoch_ms" else 1)
        if not isinstance(value, str):
            raise ValueError(f"expected a time as {self.format}")  # noqa: TRY004 - the one error of unreadable times
        if self.format == "rfc3339" and (at := parsed(value)) is not None:
            return at
        return None if value.startswith(_NO_DAY) else self._local(value)

    def _local(self, value: str) -> datetime:
        """A time that may say no zone of its own."""
        try:
            if self.format == "rfc3339":
                found = datetime.fromisoformat(value.strip())
            else:
                found = datetime.strptime(value.strip(), "%Y-%m-%d" if self.format == "date" else self.format)  # noqa: DTZ007 - looked at below
        except ValueError:
            raise ValueError(f"expected a time as {self.format}") from None
        if found.tzinfo is None and not self.zone and self.grain < timedelta(days=1):
            raise ValueError("expected a time with an offset, or its `zone` in the settings")
        if found.tzinfo is None:
            found = found.replace(tzinfo=ZoneInfo(self.zone or "UTC"))
        # In the first and the last year a time may have none in UTC; no system means the first.
        return found.replace(tzinfo=UTC) if found.year in {1, 9999} else found.astimezone(UTC)

    def truncated(self, at: datetime) -> datetime:
        """A time as it is left once it was written."""
        written = self._read(self.write(at))
        assert written is not None  # noqa: S101 - what was written is a time
        return written

    def write(self, at: datetime) -> str:
        """A time as the system is asked for it, cut to what the format holds."""
        whole = at.replace(microsecond=0)
        if self.is_number:
            seconds = int(whole.timestamp())
            return str(seconds * 1000 if self.format == "epoch_ms" else seconds)
        local = whole.astimezone(ZoneInfo(self.zone or "UTC"))
        if self.format == "rfc3339":
            return local.replace(tzinfo=None).isoformat() if self.zone else as_rfc3339(whole)
        return local.strftime("%Y-%m-%d" if self.format == "date" else self.format)


def _from_number(value: Any, parts: int) -> datetime | None:
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or number != number:  # noqa: PLR0124 - NaN is no time
        raise ValueError("expected a time as a number")
    return from_epoch(number / parts)


def seconds_of(value: Any, unit: str) -> float | None:
    """A duration in seconds; None for nothing. Raises ValueError for what is no number."""
    if value is None:
        return None
    try:
        seconds = float(value) * UNIT_SECONDS[unit]
        timedelta(seconds=seconds)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("expected a duration as a number") from None
    return seconds
