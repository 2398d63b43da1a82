"""Items of a list become events, by the rules of the settings. Asks nobody and knows no paging."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from collector.deploying import Deployments
from collector.errors import BadRecord
from collector.events import Deployment, Event, PipelineRun
from collector.expressions import Expression, NoResultError, Template, as_text
from collector.records import Records
from collector.streams import Notes
from collector.systems.http_json.formats import TimeForm, seconds_of
from collector.systems.http_json.kinds import ISSUE, FieldOf, Holds, IssueRecord, fields_of
from collector.systems.http_json.lookups import Lookups
from collector.systems.http_json.settings import EventRule, FieldRule, ListSettings
from collector.tracking import Issue, Status, StatusChange, Tracking

_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_NEVER = datetime.fromtimestamp(0, UTC)
_FLAGS = {"true": True, "false": False}


class RefusedError(Exception):
    """Why an item cannot be used: the field and what was expected, never the value."""


@dataclass(frozen=True)
class Shapes:
    """Makes events of the items of one list."""

    settings: ListSettings
    records: Records
    deployments: Deployments = field(repr=False)
    tracking: Tracking = field(repr=False)
    lookups: Lookups = field(repr=False)

    def events(self, item: Mapping[str, Any], location: str, notes: Notes) -> list[Event]:
        """The events that an item is, deployments by the rules among them. Raises BadRecord with field and reason."""
        try:
            made = [self._event(rule, item, location, notes) for rule in self.settings.events if _is_meant(rule, item)]
        except (RefusedError, NoResultError) as error:
            raise BadRecord(location, str(error)) from None
        return [event for some in made for event in some]

    def _event(self, rule: EventRule, item: Mapping[str, Any], location: str, notes: Notes) -> list[Event]:
        values = self._values(rule.fields, fields_of(rule.type), item, notes)
        stamp = max(_times(values), default=None)
        if rule.kind == ISSUE:
            return self._of_issue(values, stamp)
        event = self.records.event({"kind": rule.kind, **values}, location, stamp or _NEVER)
        if stamp is None:
            raise RefusedError(
                "it has no time; expected one by which its versions are told apart, such as `updated_at`"
            )
        if not isinstance(event, PipelineRun) or (deployed := self.deployments.of(event)) is None:
            return [event]
        extra = self._values(rule.deployment, fields_of(Deployment), item, notes)
        known = {**msgspec.structs.asdict(deployed), **extra, "kind": deployed.kind}
        del known["source"]  # the configuration names it
        return [event, self.records.event(known, location, stamp)]

    def _of_issue(self, values: dict[str, Any], stamp: datetime | None) -> list[Event]:
        """What an issue is by the rules under `issues`; nothing where none takes it."""
        missing = [f.name for f in fields_of(IssueRecord).values() if f.required and not values.get(f.name)]
        if missing:
            raise RefusedError(f"`{missing[0]}` is missing; expected in every issue")
        self._hash_people(values)
        try:
            read = msgspec.convert(values, IssueRecord)
        except msgspec.ValidationError:
            # `from None`: what msgspec says may quote the value.
            raise RefusedError("a field holds what it cannot; see the page on any JSON API") from None
        told = msgspec.structs.asdict(read) | {"updated_at": read.updated_at or stamp}
        told["status"] = Status(read.status, told.pop("category"))
        told["changes"] = [StatusChange(change.at, Status(change.status)) for change in read.changes]
        event = self.tracking.event(Issue(**told))
        return [] if event is None else [event]

    def _hash_people(self, values: dict[str, Any]) -> None:
        """Replace who wrote an issue, and on it, by their hashes."""
        people = self.records.people
        for reply in values.get("replies", ()):
            reply["bot"] = people.is_bot(reply.get("author", ""))
        for one in (values, *values.get("replies", ())):
            if who := one.pop("author", "").strip():
                one["author"] = people.hashed(who)

    def _values(
        self, rules: Mapping[str, FieldRule], known: Mapping[str, FieldOf], item: Any, notes: Notes
    ) -> dict[str, Any]:
        """What fields are for an item; those of which it says nothing are left out."""
        found = {name: self._value(rule, known[name], item, notes) for name, rule in rules.items()}
        return {name: value for name, value in found.items() if value is not None}

    def _value(self, rule: FieldRule, field_of: FieldOf, item: Any, notes: Notes) -> Any:
        if rule.when is not None and not Expression(rule.when).holds(item):
            return None
        if rule.each is not None and field_of.records is not None:
            inner = fields_of(field_of.records)
            listed = _list(Expression(rule.each.items).of(item), field_of)
            wanted = [one for one in listed if rule.each.when is None or Expression(rule.each.when).holds(one)]
            return [self._values(rule.each.fields, inner, one, notes) for one in wanted]
        found = _found(rule, item)
        if rule.lookup and (known := as_text(found, f"`{field_of.name}`")):
            found = self.lookups.of(rule.lookup, known)
        value = _meant(rule, field_of, found, notes)
        if rule.pattern is not None:
            value = _taken(rule.pattern, value, field_of)
        try:
            if field_of.holds is Holds.TIME:
                return _time(rule, self.settings.times, value, item)
            return _converted(value, field_of, rule)
        except ValueError as error:
            raise RefusedError(f"`{field_of.name}`: {error}") from None


def _is_meant(rule: EventRule, item: Mapping[str, Any]) -> bool:
    return rule.when is None or Expression(rule.when).holds(item)


def _times(values: Mapping[str, Any]) -> Iterator[datetime]:
    """All times of a record, and of those inside it."""
    for value in values.values():
        if isinstance(value, datetime):
            yield value
        for one in value if isinstance(value, list) else ():
            yield from _times(one) if isinstance(one, dict) else ()


def _found(rule: FieldRule, item: Any) -> Any:
    """What an item holds for a field, as the system writes it."""
    if rule.found is not None:
        return Expression(rule.found).of(item)
    return Template(rule.text).of(item) if rule.text is not None else rule.value


def _meant(rule: FieldRule, field_of: FieldOf, value: Any, notes: Notes) -> Any:
    """What a value means by `map`; a value that it does not list is noted. None stays None, unless it is listed."""
    if not rule.map:
        return rule.default if value is None else value
    if isinstance(value, list):
        return [_meant(rule, field_of, one, notes) for one in value]
    written = as_text(value, f"`{field_of.name}`")
    if written is None or written in rule.map:
        return rule.map.get("null" if written is None else written)
    taken_as = f"`{rule.default}`" if rule.default is not None else "nothing"
    # A team may be told by who somebody is.
    is_hidden = field_of.is_person or field_of.name.endswith("_team")
    notes.unknown(f"`{field_of.name}`", "…" if is_hidden else written, taken_as)
    return rule.default


def _taken(pattern: str, value: Any, field_of: FieldOf) -> str | None:
    """What of a text a pattern takes; None where it finds nothing."""
    found = _compiled(pattern).search(as_text(value, f"`{field_of.name}`") or "")
    return None if found is None else found[found.re.groups]


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _time(rule: FieldRule, usual: TimeForm, value: Any, item: Any) -> datetime | None:
    """A time by its format, and later by a duration where one is added; None where either is missing."""
    at = _form(rule.format or usual.format, rule.zone or usual.zone).read(value)
    if rule.plus is None or at is None:
        return at
    seconds = seconds_of(Expression(rule.plus).of(item), rule.unit)
    try:
        return None if seconds is None else at + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError("expected a duration as a number") from None


@lru_cache(maxsize=1024)
def _form(form: str, zone: str) -> TimeForm:
    return TimeForm(format=form, zone=zone)


def _converted(value: Any, field_of: FieldOf, rule: FieldRule) -> Any:
    """A value as the kind has it: numbers as texts, texts as numbers, one text as a list. What is wrong stays so."""
    shown = f"`{field_of.name}`"
    if value is None or field_of.holds in {Holds.TEXT, Holds.CHOICE}:
        return as_text(value, shown)
    if field_of.holds is Holds.TEXTS:
        written = [as_text(one, shown) for one in (value if isinstance(value, list) else [value])]
        return [one for one in dict.fromkeys(written) if one]
    if field_of.holds is Holds.NUMBER:
        return seconds_of(value, rule.unit) if field_of.name.endswith("_seconds") else _number(value)
    return _FLAGS.get(value, value) if isinstance(value, str) else value


def _number(value: Any) -> Any:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value


def _list(value: Any, field_of: FieldOf) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise RefusedError(f"`{field_of.name}`: expected a list where `items` says")
    return value
