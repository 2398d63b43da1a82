"""The one reader for times that systems write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from collector.times import as_rfc3339, from_epoch, parsed

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2022-01-03 10:00:00 UTC", datetime(2022, 1, 3, 10, tzinfo=UTC)),
        ("2023-4-10 6:51:47 Z", datetime(2023, 4, 10, 6, 51, 47, tzinfo=UTC)),
        ("2026-03-02T10:00:00+01:00", AT),
        ("2026-03-02T10:00:00.123456789+0100", AT + timedelta(microseconds=123_457)),
        ("2026-03-02T09:00Z", AT),
        ("2026-03-02T09:00:00", None),
        ("2026-02-30T09:00:00Z", None),
        ("yesterday", None),
    ],
)
def test_one_parser_reads_what_systems_write(text: str, at: datetime | None) -> None:
    """Offsets, `UTC`, unpadded numbers, nine-digit fractions → UTC; a naive time is refused."""
    assert parsed(text) == at


@pytest.mark.parametrize(
    ("value", "at"),
    [(AT.timestamp(), AT), (AT.timestamp() * 1000, AT), (0, None), (-62135596800, None), (1e30, None)],
)
def test_numbers_are_seconds_or_milliseconds(value: float, at: datetime | None) -> None:
    """Epoch in s or ms; 0 and below stand for "not yet"."""
    assert from_epoch(value) == at


def test_a_time_is_asked_for_as_rfc_3339() -> None:
    """Servers ignore another form, and silently send everything."""
    assert as_rfc3339(AT.astimezone(timezone(timedelta(hours=5)))) == "2026-03-02T09:00:00Z"
