"""The tables. One per kind of event, made from the event's type, and the few that Paceline keeps for itself."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from collector.events import (
    EVENT_TYPES,
    Change,
    Collection,
    Commit,
    Deployment,
    DocPage,
    Event,
    Incident,
    Member,
    Milestone,
    PipelineRun,
    Probe,
    Review,
    SelfServiceAttempt,
    Ticket,
    UsageEvent,
    kind_of,
)
from collector.store.columns import columns_of
from collector.store.dialects import INDEXED_WHEN_FILLED, TEXT

BELONGS_TO: dict[type[Event], tuple[str, ...]] = {
    Change: ("repository",),
    Collection: ("collector",),
    Commit: ("repository",),
    Deployment: ("service",),
    DocPage: ("repository",),
    Incident: ("service",),
    Member: ("person",),
    Milestone: ("person",),
    PipelineRun: ("repository",),
    Probe: ("service",),
    Review: ("repository",),
    SelfServiceAttempt: ("journey",),
    Ticket: ("queue", "journey"),
    UsageEvent: ("capability",),
}
"""For kinds that are derived piece by piece: the fields that say which pieces an event belongs to."""

DATED_BY: dict[type[Event], tuple[str, ...]] = {
    Collection: ("finished_at",),
    Probe: ("at", "environment"),
    UsageEvent: ("at",),
}
"""For kinds whose pieces are derived from a time on: the fields that say where in its pieces an event lies. One whose
fields change leaves its pieces too, because what it said where it was must be derived again."""

STAYS: dict[type[Event], tuple[str, ...]] = {Collection: ("succeeded",)}
"""For kinds of which events go with time, and an event speaks of the time after it: of each piece the last one that
goes stays, and the last of which one of these columns is true."""

_INDEXES: dict[type[Event], tuple[tuple[str, ...], ...]] = {
    Change: (("repository", "revision"), ("url",)),
    Collection: (("collector", "finished_at"), ("collector", "revision")),
    Commit: (("repository", "revision"),),
    Deployment: (
        ("service", "finished_at"),
        ("service", "revision"),
        ("artifact",),
        ("sha",),
        ("url",),
        ("repository",),
    ),
    DocPage: (("repository", "revision"), ("revision",)),
    Incident: (("service", "revision"),),
    Member: (("revision",),),
    Milestone: (("revision",),),
    PipelineRun: (("repository", "revision"),),
    Probe: (("service", "at"), ("service", "revision")),
    Review: (("repository", "change_native_id"), ("repository", "revision")),
    SelfServiceAttempt: (("journey", "revision"), ("url",)),
    Ticket: (("queue", "revision"), ("journey", "revision"), ("revision",)),
    UsageEvent: (("capability", "at"), ("capability", "revision")),
}

NAMED: dict[type[Event], tuple[str, ...]] = {
    kind: tuple(columns[0] for columns in indexes if columns[1:] == ("revision",)) for kind, indexes in _INDEXES.items()
}
"""The columns whose values are asked for that have something new."""

_SELDOM_SET: dict[type[Event], tuple[str, ...]] = {Deployment: ("artifact",), Ticket: ("journey",)}
"""Columns that most events of a kind leave empty: their indexes hold the others alone, and cost nothing for these."""

FOUND_BY_NAME: tuple[type[Event], ...] = (Deployment, SelfServiceAttempt)
"""Kinds that others name by their native id. No index is needed for it: with its source it makes the event's id, so the
sources of these kinds are kept."""


def _index(event_type: type[Event], columns: tuple[str, ...]) -> sa.Index:
    name = f"ix_event_{kind_of(event_type)}_{'_'.join(columns)}"
    if columns[0] not in _SELDOM_SET.get(event_type, ()):
        return sa.Index(name, *columns)
    there = sa.text(f"{columns[0]} IS NOT NULL")
    return sa.Index(f"{name}_set", *columns, sqlite_where=there, postgresql_where=there)


def _event_table(event_type: type[Event]) -> sa.Table:
    """The table of a kind: `event_<kind>`, keyed by the event's deterministic id.

    `revision` is the revision of the kind at which this version was written: what is new since a revision is one
    range of an index.
    """
    name = f"event_{kind_of(event_type)}"
    indexes = tuple(_index(event_type, columns) for columns in _INDEXES.get(event_type, ()))
    fields: dict[str, Any] = {
        "__tablename__": name,
        "__table_args__": (*indexes, {"info": {INDEXED_WHEN_FILLED: True}}),
        "__annotations__": {"id": str},
        "__module__": __name__,
        "id": Field(sa_column=sa.Column("id", TEXT, primary_key=True)),
    }
    for column in columns_of(event_type):
        fields["__annotations__"][column.name] = Any
        fields[column.name] = Field(sa_column=sa.Column(column.name, column.sql_type, nullable=column.nullable))
    fields["__annotations__"]["revision"] = int
    fields["revision"] = Field(sa_column=sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"))
    metaclass: Any = type(SQLModel)
    row = metaclass(f"{event_type.__name__}Row", (SQLModel,), fields, table=True)
    return _table_of(row)


def _table_of(row: Any) -> sa.Table:
    table = row.__table__
    assert isinstance(table, sa.Table)  # noqa: S101 - sqlmodel types it as Any
    return table


class KindRevisionRow(SQLModel, table=True):
    """How often events of a kind changed: tells which families must be derived again."""

    __tablename__ = "kind_revision"
    kind: str = Field(sa_column=sa.Column("kind", TEXT, primary_key=True))
    revision: int = Field(sa_column=sa.Column("revision", sa.BigInteger, nullable=False))


class EventSourceRow(SQLModel, table=True):
    """A source that has had events of a kind, for kinds that are found by name."""

    __tablename__ = "event_source"
    kind: str = Field(sa_column=sa.Column("kind", TEXT, primary_key=True))
    source: str = Field(sa_column=sa.Column("source", TEXT, primary_key=True))


class CursorRow(SQLModel, table=True):
    """Where the next run of a source starts; moves only together with the events."""

    __tablename__ = "source_cursor"
    source: str = Field(sa_column=sa.Column("source", TEXT, primary_key=True))
    cursor: str = Field(sa_column=sa.Column("cursor", TEXT, nullable=False))


class SourceRunRow(SQLModel, table=True):
    """The last run of a source, and its totals. Apart from the events: it tells of Paceline, not of the platform."""

    __tablename__ = "source_run"
    source: str = Field(sa_column=sa.Column("source", TEXT, primary_key=True))
    started_at: int = Field(sa_column=sa.Column("started_at", sa.BigInteger, nullable=False))
    finished_at: int = Field(sa_column=sa.Column("finished_at", sa.BigInteger, nullable=False))
    succeeded: bool = Field(sa_column=sa.Column("succeeded", sa.Boolean, nullable=False))
    error: str | None = Field(sa_column=sa.Column("error", TEXT))
    last_success_at: int | None = Field(sa_column=sa.Column("last_success_at", sa.BigInteger))
    newest_event_at: int | None = Field(sa_column=sa.Column("newest_event_at", sa.BigInteger))
    events_total: int = Field(sa_column=sa.Column("events_total", sa.BigInteger, nullable=False))
    changed_total: int = Field(sa_column=sa.Column("changed_total", sa.BigInteger, nullable=False))
    rejected_total: int = Field(sa_column=sa.Column("rejected_total", sa.BigInteger, nullable=False))
    warnings: str = Field(sa_column=sa.Column("warnings", TEXT, nullable=False))
    truncated_total: int = Field(
        sa_column=sa.Column("truncated_total", sa.BigInteger, nullable=False, server_default="0")
    )
    removed_total: int = Field(sa_column=sa.Column("removed_total", sa.BigInteger, nullable=False, server_default="0"))
    requests_total: int = Field(
        sa_column=sa.Column("requests_total", sa.BigInteger, nullable=False, server_default="0")
    )
    truncations: str = Field(sa_column=sa.Column("truncations", TEXT, nullable=False, server_default="[]"))
    failure: str | None = Field(sa_column=sa.Column("failure", TEXT))
    quota: str = Field(sa_column=sa.Column("quota", TEXT, nullable=False, server_default="{}"))


class QuarantineRow(SQLModel, table=True):
    """A record that could not be used: where it stands and why, never what it says."""

    __tablename__ = "quarantine"
    source: str = Field(sa_column=sa.Column("source", TEXT, primary_key=True))
    location: str = Field(sa_column=sa.Column("location", TEXT, primary_key=True))
    reason: str = Field(sa_column=sa.Column("reason", TEXT, nullable=False))


class RemovedRow(SQLModel, table=True):
    """An event that its source deleted, as it was: numbers forget it, people can still ask."""

    __tablename__ = "event_removed"
    id: str = Field(sa_column=sa.Column("id", TEXT, primary_key=True))
    kind: str = Field(sa_column=sa.Column("kind", TEXT, nullable=False))
    source: str = Field(sa_column=sa.Column("source", TEXT, nullable=False))
    removed_at: int = Field(sa_column=sa.Column("removed_at", sa.BigInteger, nullable=False))
    event: str = Field(sa_column=sa.Column("event", TEXT, nullable=False))


_WAITING = sa.text("events IS NOT NULL")


class InboxRow(SQLModel, table=True):
    """A delivery of a webhook, by the sender's id for it.

    Its events wait here until they are written; then only the id stays for a while, so that a repetition does nothing.
    """

    __tablename__ = "inbox"
    __table_args__ = (sa.Index("ix_inbox_waiting", "received_at", sqlite_where=_WAITING, postgresql_where=_WAITING),)
    source: str = Field(sa_column=sa.Column("source", TEXT, primary_key=True))
    delivery: str = Field(sa_column=sa.Column("delivery", TEXT, primary_key=True))
    received_at: int = Field(sa_column=sa.Column("received_at", sa.BigInteger, nullable=False))
    events: bytes | None = Field(sa_column=sa.Column("events", sa.LargeBinary))


class SeriesRow(SQLModel, table=True):
    """What a group of observations is about: indicator, dimension, subject and the source of the judged unit."""

    __tablename__ = "series"
    __table_args__ = (
        sa.UniqueConstraint("family", "scope", "indicator", "dimension", "service", "environment", "team", "source"),
    )
    id: int | None = Field(default=None, sa_column=sa.Column("id", sa.Integer, primary_key=True))
    family: str = Field(sa_column=sa.Column("family", TEXT, nullable=False))
    indicator: str = Field(sa_column=sa.Column("indicator", TEXT, nullable=False))
    dimension: str = Field(sa_column=sa.Column("dimension", TEXT, nullable=False))
    service: str = Field(sa_column=sa.Column("service", TEXT, nullable=False))
    environment: str = Field(sa_column=sa.Column("environment", TEXT, nullable=False))
    team: str = Field(sa_column=sa.Column("team", TEXT, nullable=False))
    source: str = Field(sa_column=sa.Column("source", TEXT, nullable=False))
    scope: str = Field(sa_column=sa.Column("scope", TEXT, nullable=False, server_default=""))


class ObservationTableRow(SQLModel, table=True):
    """A judged unit. Clustered by series and time, so that a window is one range of the primary key."""

    __tablename__ = "observation"
    __table_args__ = ({"sqlite_with_rowid": False},)
    series_id: int = Field(sa_column=sa.Column("series_id", sa.Integer, primary_key=True, autoincrement=False))
    at: int = Field(sa_column=sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False))
    unit: str = Field(sa_column=sa.Column("unit", TEXT, primary_key=True))
    value: float | None = Field(sa_column=sa.Column("value", sa.Double))
    part_1: float | None = Field(sa_column=sa.Column("part_1", sa.Double))
    part_2: float | None = Field(sa_column=sa.Column("part_2", sa.Double))
    part_3: float | None = Field(sa_column=sa.Column("part_3", sa.Double))
    part_4: float | None = Field(sa_column=sa.Column("part_4", sa.Double))
    outcome: str = Field(sa_column=sa.Column("outcome", TEXT, nullable=False))
    reason: str = Field(sa_column=sa.Column("reason", TEXT, nullable=False))
    matures_at: int | None = Field(sa_column=sa.Column("matures_at", sa.BigInteger))
    rule: str = Field(sa_column=sa.Column("rule", TEXT, nullable=False))
    evidence: str = Field(sa_column=sa.Column("evidence", TEXT, nullable=False))


class EventMovedRow(SQLModel, table=True):
    """An event went from one service or repository to another: the one it left must be derived again too."""

    __tablename__ = "event_moved"
    kind: str = Field(sa_column=sa.Column("kind", TEXT, primary_key=True))
    revision: int = Field(sa_column=sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False))
    left: str = Field(sa_column=sa.Column("left", TEXT, primary_key=True))


class PieceRow(SQLModel, table=True):
    """A piece of a family: by which definitions it was derived, and what its next derivation can start from."""

    __tablename__ = "piece"
    family: str = Field(sa_column=sa.Column("family", TEXT, primary_key=True))
    scope: str = Field(sa_column=sa.Column("scope", TEXT, primary_key=True))
    definitions: str = Field(sa_column=sa.Column("definitions", TEXT, nullable=False))
    reads: str = Field(sa_column=sa.Column("reads", TEXT, nullable=False))
    state: bytes | None = Field(sa_column=sa.Column("state", sa.LargeBinary))


class RestatementRow(SQLModel, table=True):
    """A published judgement that changed afterwards: what, from, to, why, when."""

    __tablename__ = "restatement"
    id: int | None = Field(default=None, sa_column=sa.Column("id", sa.Integer, primary_key=True))
    restated_at: int = Field(sa_column=sa.Column("restated_at", sa.BigInteger, nullable=False))
    indicator: str = Field(sa_column=sa.Column("indicator", TEXT, nullable=False))
    service: str = Field(sa_column=sa.Column("service", TEXT, nullable=False))
    environment: str = Field(sa_column=sa.Column("environment", TEXT, nullable=False))
    team: str = Field(sa_column=sa.Column("team", TEXT, nullable=False))
    unit: str = Field(sa_column=sa.Column("unit", TEXT, nullable=False))
    was: str = Field(sa_column=sa.Column("was", TEXT, nullable=False))
    now: str = Field(sa_column=sa.Column("now", TEXT, nullable=False))
    why: str = Field(sa_column=sa.Column("why", TEXT, nullable=False))


class DerivationRow(SQLModel, table=True):
    """From which events a family's observations were derived; written together with them."""

    __tablename__ = "derivation"
    family: str = Field(sa_column=sa.Column("family", TEXT, primary_key=True))
    inputs: str = Field(sa_column=sa.Column("inputs", TEXT, nullable=False))


class ReportDeliveryRow(SQLModel, table=True):
    """What became of a week's summary on its way to a place: how often it was tried, and who is at it."""

    __tablename__ = "report_delivery"
    week: str = Field(sa_column=sa.Column("week", TEXT, primary_key=True))
    delivery: str = Field(sa_column=sa.Column("delivery", TEXT, primary_key=True))
    state: str = Field(sa_column=sa.Column("state", TEXT, nullable=False))
    edition: int = Field(sa_column=sa.Column("edition", sa.Integer, nullable=False))
    attempts: int = Field(sa_column=sa.Column("attempts", sa.Integer, nullable=False))
    due_at: int = Field(sa_column=sa.Column("due_at", sa.BigInteger, nullable=False))
    first_tried_at: int | None = Field(sa_column=sa.Column("first_tried_at", sa.BigInteger))
    last_tried_at: int | None = Field(sa_column=sa.Column("last_tried_at", sa.BigInteger))
    sent_at: int | None = Field(sa_column=sa.Column("sent_at", sa.BigInteger))
    error: str | None = Field(sa_column=sa.Column("error", TEXT))
    digest: str | None = Field(sa_column=sa.Column("digest", TEXT))
    holder: str | None = Field(sa_column=sa.Column("holder", TEXT))
    held_until: int | None = Field(sa_column=sa.Column("held_until", sa.BigInteger))


class PublishedCounterRow(SQLModel, table=True):
    """The highest value published of a counter. A restatement may lower a count, a counter must not fall."""

    __tablename__ = "published_counter"
    series: str = Field(sa_column=sa.Column("series", TEXT, primary_key=True))
    value: float = Field(sa_column=sa.Column("value", sa.Double, nullable=False))


class ErasedPersonRow(SQLModel, table=True):
    """Somebody who was erased: what tells their keyed hash when it comes again, and tells nobody who they were."""

    __tablename__ = "erased_person"
    mark: str = Field(sa_column=sa.Column("mark", TEXT, primary_key=True))


class ForgottenRow(SQLModel, table=True):
    """Before when events of a kind are not kept, how many were pruned, and how many came when they were too old."""

    __tablename__ = "forgotten"
    kind: str = Field(sa_column=sa.Column("kind", TEXT, primary_key=True))
    before: int = Field(sa_column=sa.Column("before", sa.BigInteger, nullable=False))
    pruned: int = Field(sa_column=sa.Column("pruned", sa.BigInteger, nullable=False))
    ignored: int = Field(sa_column=sa.Column("ignored", sa.BigInteger, nullable=False))


EVENT_TABLES: dict[type[Event], sa.Table] = {t: _event_table(t) for t in EVENT_TYPES}
KIND_REVISION = _table_of(KindRevisionRow)
EVENT_SOURCE = _table_of(EventSourceRow)
CURSOR = _table_of(CursorRow)
SOURCE_RUN = _table_of(SourceRunRow)
QUARANTINE = _table_of(QuarantineRow)
REMOVED = _table_of(RemovedRow)
INBOX = _table_of(InboxRow)
SERIES = _table_of(SeriesRow)
OBSERVATION = _table_of(ObservationTableRow)
DERIVATION = _table_of(DerivationRow)
PUBLISHED_COUNTER = _table_of(PublishedCounterRow)
EVENT_MOVED = _table_of(EventMovedRow)
PIECE = _table_of(PieceRow)
RESTATEMENT = _table_of(RestatementRow)
REPORT_DELIVERY = _table_of(ReportDeliveryRow)
ERASED_PERSON = _table_of(ErasedPersonRow)
FORGOTTEN = _table_of(ForgottenRow)
METADATA = SQLModel.metadata
