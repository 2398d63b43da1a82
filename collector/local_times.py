"""Times and dates as spreadsheets and forms write them: without an offset, in a form and a zone that settings name.

Nothing is guessed: a time without an offset is none without a zone, and 03/04 is whatever the form says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

from collector.times import parsed

ISO, SERIAL, ENGLISH = "iso", "serial", "english"
_PLAIN = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)(?:[T ] *(\d\d?):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?)?", re.ASCII)
_ENGLISH = re.compile(
    r"(\d{4})/(\d\d?)/(\d\d?) (\d\d?):(\d\d):(\d\d) (AM|PM)"
    r"(?:( (?:GMT|UTC)(?:([+-])(\d\d?)(?::?(\d\d))?)?)| [A-Z]{3,5})?",
    re.ASCII,
)
"""Letters such as EST or CST, which mean several zones, state none."""
_SERIAL = re.compile(r"\d{1,6}(?:[.,]\d+)?", re.ASCII)
_SERIAL_START = datetime(1899, 12, 30)  # noqa: DTZ001 - local times of a zone that is put to them
_NOON = 12
_DAY_SECONDS = 86_400
_MIDNIGHT = time()


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is no time zone; expected an IANA name, for example Europe/Berlin") from error
    return value


def _form(value: str) -> str:
    if value in {ISO, SERIAL, ENGLISH} or ("%" in value and _is_readable(value)):
        return value
    expected = f"{ISO}, {SERIAL}, {ENGLISH}, or a form of Python's strptime, for example %d.%m.%Y %H:%M"
    raise ValueError(f"{value!r} is no form of times; expected {expected}")


def _is_readable(form: str) -> bool:
    """Whether what is written in a form can be read by it."""
    try:
        datetime.strptime(datetime(2001, 2, 3, tzinfo=UTC).strftime(form), form)  # noqa: DTZ007 - it is only tried
    except (ValueError, re.error):
        return False
    return True


ZoneName = Annotated[str, AfterValidator(_zone)]
"""The name of a time zone."""
TimeForm = Annotated[str, AfterValidator(_form)]
"""`iso` (2026-01-31 09:00), `serial` (days as spreadsheets count them), `english` (2026/01/31 9:00:00 AM GMT+1), or a
form of strptime."""


@dataclass(frozen=True)
class LocalTimes:
    """Reads times of a form. What states its offset needs no zone; an ISO time is read whatever the form."""

    form: str = ISO
    zone: str | None = None

    def at(self, text: str) -> datetime | None:
        """A time in UTC; a date alone is its midnight in the zone. None for what is no time, or lacks a zone."""
        found = parsed(text) or self._read(text.strip())
        if found is None or (found.tzinfo is None and self.zone is None):
            return None
        try:
            return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(self.zone or ""))).astimezone(UTC)
        except OverflowError:
            return None

    def date(self, text: str) -> date | None:
        """A date that has no time of day, or midnight; None for anything else."""
        found = self._read(text.strip())
        return found.date() if found is not None and found.time() == _MIDNIGHT and not found.tzinfo else None

    def _read(self, text: str) -> datetime | None:
        """A time as it stands there: aware only where an offset stands there too."""
        if self.form == SERIAL and _SERIAL.fullmatch(text):
            return _SERIAL_START + timedelta(seconds=round(float(text.replace(",", ".")) * _DAY_SECONDS))
        if self.form == ENGLISH and (found := _ENGLISH.fullmatch(text)):
            return _english(*found.groups())
        if "%" in self.form:
            try:
                return datetime.strptime(text, self.form)  # noqa: DTZ007 - the zone is put to it
            except ValueError:
                pass  # an ISO time is no harm
        found = _PLAIN.fullmatch(text)
        return None if found is None else _made(*(int(n or 0) for n in found.groups()))


def _english(*parts: str | None) -> datetime | None:
    """From the parts of a time with AM or PM, which may state an offset."""
    *numbers, half, stated, sign, hours, minutes = parts
    year, month, day, hour, minute, second = (int(n or 0) for n in numbers)
    made = _made(year, month, day, hour % _NOON + (_NOON if half == "PM" else 0), minute, second)
    if made is None or stated is None:
        return made
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    return made.replace(tzinfo=timezone(offset))


def _made(*numbers: int) -> datetime | None:
    try:
        return datetime(*numbers)  # type: ignore[arg-type] # noqa: DTZ001 - the zone is put to it
    except ValueError:
        return None
