"""The values of OpenSLO files, one at a time: each function reads one or raises ValueError.

The message is a sentence of two parts, `problem; expected what to write`. Pure.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from collector.document import nearest
from collector.durations import EXPECTED, parse_duration
from slo_engine.comparison import Operator
from slo_engine.windows import BURN_WINDOWS, CALENDAR_SIGNS, Window, parse_window, zone_named

SHORTEST_WINDOW = timedelta(days=1)
_WINDOW = re.compile(r"[1-9][0-9]*[a-zA-Z]")
_CALENDAR = re.compile(rf"([1-9][0-9]{{0,4}})([{''.join(CALENDAR_SIGNS)}])")
_START = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?))?")
_MOST_DECIMALS = 9
"""Beyond them the floats of a metric no longer tell targets apart."""
_LONGEST_THRESHOLD = timedelta(days=36_500).total_seconds()
_HEAVIEST = Decimal(1_000_000)
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_OBJECT_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_SEVERITY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_OPERATOR_SIGNS = {"<=": "lte", "<": "lt", ">=": "gte", ">": "gt", "≤": "lte", "≥": "gte"}
_METHODS = ("Occurrences", "Timeslices", "RatioTimeslices")
_NO_WINDOW = frozenset({"0s", "0m", "0h", "0d"})


def slug(text: str) -> str:
    """The text as part of a name: lower-case letters, digits and `-`; empty where nothing of it is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def name(text: str) -> str:
    """The name of an SLO: a DNS label."""
    if not _DNS_LABEL.fullmatch(text):
        suggestion = slug(text)[:63].strip("-") or "my-slo"
        expected = f"a DNS label: at most 63 lower-case letters, digits and '-', such as {suggestion}"
        raise ValueError(f"{text[:80]!r} is no name; expected {expected}")
    return text


def object_name(text: str) -> str:
    """The name of another object."""
    if not _OBJECT_NAME.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is no name; expected at most 63 letters, digits, '-', '.' and '_'")
    return text


# ---- windows


def duration(text: str) -> str:
    """How long a window is: `28d`, or with the calendar's units `1M`."""
    if not _WINDOW.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no window; expected a number of d or w, such as 28d, or of M, Q, Y")
    if _CALENDAR.fullmatch(text) and text[-1] not in "dw":
        return text
    try:
        window = parse_window(text)
    except ValueError as error:
        expected = "a number of d or w, such as 28d, or of M, Q, Y"
        raise ValueError(f"{text[:40]!r} is no window; expected {expected}") from error
    if window.length < SHORTEST_WINDOW:
        hint = f" (m is a minute; a calendar month is {text[:-1]}M)" if text[-1] == "m" else ""
        raise ValueError(f"{text!r} is shorter than a day; expected at least 1d, such as 28d{hint}")
    return text


def zone(text: str) -> str:
    """The name of an IANA time zone."""
    zone_named(text)
    return text


def start(value: Any) -> date:
    """The first day of a calendar window, from `2026-01-01 00:00:00`."""
    match = _START.fullmatch(value) if isinstance(value, str) else None
    try:
        day = date.fromisoformat(match[1]) if match else None
    except ValueError:
        day = None
    if match is None or day is None:
        raise ValueError(f"{str(value)[:40]!r} is no day; expected one such as 2026-01-01 00:00:00")
    if match[2] and match[2].strip("0:"):
        raise ValueError(f"{value!r} is not midnight, when windows begin; expected {day} 00:00:00")
    return day


def slice_window(value: Any) -> timedelta:
    """How long a slice of time is; a number without a unit is minutes."""
    text = f"{value}m" if isinstance(value, int) and not isinstance(value, bool) else value
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ValueError(f"{str(value)[:40]!r} is no slice of time; expected {EXPECTED}") from error


def lookback(value: Any) -> Window:
    """The window of a burn rate: one of those that are measured."""
    offered = ", ".join(w.label for w in BURN_WINDOWS)
    try:
        length = parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{str(value)[:40]!r} is no duration; expected one of {offered}") from error
    found = next((w for w in BURN_WINDOWS if w.length == length), None)
    if found is None:
        raise ValueError(f"burn rates are not measured over {value}; expected one of {offered}")
    return found


def waiting(value: Any) -> timedelta:
    """How long a condition must hold; `0m` is at once."""
    return timedelta(0) if isinstance(value, str) and value in _NO_WINDOW else parse_duration(value)


# ---- numbers


def _number(value: Any, example: str = "a ratio such as 0.999") -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"{str(value)[:40]!r} is no number; expected {example}") from error
    if not number.is_finite():
        raise ValueError(f"{value} is no finite number; expected {example}")
    return number


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def target(value: Any) -> Decimal:
    """A ratio between 0 and 1, both excluded."""
    number = _number(value)
    if number in {1, 100}:
        problem = f"a target of {value} leaves no error budget"
        raise ValueError(f"{problem}; expected a ratio above 0 and below 1, such as 0.999")
    if number <= 0:
        problem = f"a target of {value} is met by anything"
        raise ValueError(f"{problem}; expected a ratio above 0 and below 1, such as 0.999")
    if number > 1:
        meant = _plain(number / 100) if number < 100 else "0.999"  # noqa: PLR2004 - per cent
        raise ValueError(f"{value} is no ratio; expected a number above 0 and below 1: {meant}")
    return _metric(number)


def _metric(number: Decimal) -> Decimal:
    """A target that a metric can carry."""
    if number != round(number, _MOST_DECIMALS):
        raise ValueError(f"the target has too many decimals; expected a ratio of at most {_MOST_DECIMALS} decimals")
    return number


def target_percent(value: Any) -> Decimal:
    """The ratio of a number of per cent."""
    number = _number(value)
    if not 0 < number < 100:  # noqa: PLR2004 - per cent
        problem = f"a target of {value} % leaves no error budget or asks for nothing"
        raise ValueError(f"{problem}; expected a number above 1 and below 100, such as 99.9")
    if number <= 1:
        meant = f"{_plain(number * 100)} (per cent) or target: {value}" if number < 1 else "99.9"
        raise ValueError(f"{value} looks like a ratio; expected {meant}")
    return _metric(number / 100)


def slice_target(value: Any) -> Decimal:
    """The ratio from which a slice is good: above 0, at most 1."""
    number = _number(value, "a ratio such as 0.95")
    if number > 1:
        meant = _plain(number / 100) if number <= 100 else "0.95"  # noqa: PLR2004 - per cent
        raise ValueError(f"{value} is no ratio; expected a number above 0 and at most 1: {meant}")
    if number <= 0:
        raise ValueError(f"a slice target of {value} is met by anything; expected a ratio such as 0.95")
    return _metric(number)


def weight(value: Any) -> Decimal:
    """How much a part of a composite weighs."""
    number = _number(value, "a weight such as 2")
    if not 0 < number <= _HEAVIEST:
        expected = f"a number above 0 and at most {_HEAVIEST}, such as 2 (leave out a part that does not count)"
        raise ValueError(f"a weight of {value} counts for nothing or too much; expected {expected}")
    return number


def factor(value: Any) -> Decimal:
    """The burn rate of an alert."""
    number = _number(value, "a burn rate such as 14.4")
    if number <= 0:
        problem = f"a burn rate of {value} is reached by every SLO"
        raise ValueError(f"{problem}; expected a number above 0, such as 14.4")
    return number


def operator(value: Any) -> Operator:
    """How a value is compared."""
    known = [o.value for o in Operator]
    if value not in known:
        near = _OPERATOR_SIGNS.get(str(value)) or nearest(str(value).lower(), known)
        raise ValueError(f"{value!r} is no operator; expected {near or 'one of ' + ', '.join(known)}")
    return Operator(value)


def burn_operator(value: Any) -> Operator:
    """How a burn rate is compared with an alert's threshold."""
    found = operator(value)
    if found in {Operator.LTE, Operator.LT}:
        problem = f"{value} alerts while the budget is not burning"
        raise ValueError(f"{problem}; expected {'gte' if found is Operator.LTE else 'gt'}")
    return found


def threshold(value: Any) -> float:
    """Seconds, or what a histogram measures."""
    if isinstance(value, str):
        meant = value if _NUMBER.fullmatch(value) else "86400 for a day"
        if _WINDOW.fullmatch(value) and value[-1] in "smhdw":
            meant = f"{parse_window(value).seconds:g}"
        raise ValueError(f"{value[:40]!r} is no number; expected seconds: {meant}")  # noqa: TRY004 - pydantic collects these
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("no number stands here; expected seconds, such as 86400 for a day")  # noqa: TRY004
    if value < 0:
        raise ValueError(f"{value} is negative; expected seconds, 0 or more")
    if not value < _LONGEST_THRESHOLD:
        raise ValueError("the threshold is longer than a hundred years; expected seconds, such as 86400 for a day")
    return float(value)


def minimum(text: str) -> int:
    """A number of events."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise ValueError(f'{text[:40]!r} is no number of events; expected a whole number in quotes, such as "10"')
    return int(text)


# ---- words


def budgeting_method(value: Any) -> str:
    """OpenSLO's name of what is counted."""
    if value not in _METHODS:
        near = nearest(str(value), _METHODS) if isinstance(value, str) else ""
        raise ValueError(f"{value!r} is no budgeting method; expected {near or 'one of ' + ', '.join(_METHODS)}")
    return str(value)


def team(text: str) -> str:
    """A team or a role, no person."""
    if "@" in text:
        raise ValueError("a person's address would become a label; expected the name of a team or a role")
    return text


def team_path(text: str) -> str:
    """A team or level of teams, as a path from the whole organisation on."""
    if text and (not text.startswith("/") or (text != "/" and "" in text[1:].split("/"))):
        raise ValueError(f"{text[:60]!r} is no path; expected one like /commerce/checkout")
    return text


def url(text: str) -> str:
    """An address of the web."""
    # Braces would start a template in an annotation; no address has them, or quotes, unescaped.
    if not re.fullmatch(r"https?://[^\s/\"<>\\^`{|}]+[^\s\"<>\\^`{|}]*", text):
        raise ValueError(f"{text[:60]!r} is no address; expected one like https://example.com/runbook")
    return text


def text(value: Any) -> Any:
    """Refuses a number or a boolean where text belongs: annotations are text."""
    if isinstance(value, (bool, int, float)):
        raise ValueError(f"{value} is no text; expected it in quotes")  # noqa: TRY004 - pydantic collects these
    return value


def review_at(text: str) -> date:
    """A day, as `2026-06-30`."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no day; expected one such as 2026-06-30") from None


def labels(text: str) -> tuple[str, ...]:
    """Names of labels, with commas between them."""
    found = [part.strip() for part in text.split(",")]
    for label in found:
        if not _LABEL.fullmatch(label):
            problem = f"{label[:40]!r} is no label of Prometheus"
            raise ValueError(f'{problem}; expected names with commas between them, such as "cluster, route"')
    twice = next((label for label in found if found.count(label) > 1), None)
    if twice:
        raise ValueError(f"{twice!r} stands there twice; expected each label once")
    return tuple(found)


def severity(text: str) -> str:
    """The severity of an alert: it becomes a label."""
    if not _SEVERITY.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no severity; expected a word such as page or ticket")
    return text
