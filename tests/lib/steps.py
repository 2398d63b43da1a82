"""Families derived step by step in memory: events with revisions, and pieces that are kept as the store keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from collector.conditions import Above, Where
from collector.events import Event, kind_of
from slo_engine.indicator import Asked, Family, Piece
from slo_engine.observation import Row, as_observations, as_row
from slo_engine.organisation import Organisation
from slo_engine.plain_events import PlainEvents

_NOBODY = Organisation()


class Told(PlainEvents):
    """Events that are written one batch after the other, each with its revision."""

    def __init__(self) -> None:
        super().__init__([])
        self.revision = 0
        self._revisions: dict[str, int] = {}
        self._left: list[tuple[type[Event], int, str]] = []

    def write(self, events: Iterable[Event]) -> None:
        """Write some: what was known of an event by then is gone."""
        self.revision += 1
        for event in events:
            before = self.by_id.get(event.id)
            for name in ("repository", "person"):
                if before is not None and getattr(before, name, None) != getattr(event, name, None):
                    self._left.append((type(event), self.revision, getattr(before, name)))
            self.by_id[event.id] = event
            self._revisions[event.id] = self.revision

    def columns(self, event_type: type[Event], *names: str, **where: Where) -> list[tuple[Any, ...]]:
        """Columns of the events of a kind that fit."""
        since = where.pop("revision", None)
        after = since.value if isinstance(since, Above) else -1
        rows = super().columns(event_type, "id", *names, **where)
        place = names.index("revision") if "revision" in names else None
        found: list[tuple[Any, ...]] = []
        for key, *values in rows:
            if place is not None:
                values[place] = self._revisions[key]
            if self._revisions[key] > after:
                found.append(tuple(values))
        return found

    def distinct(self, event_type: type[Event], name: str, since: int = -1) -> list[str]:
        """The values of a column; only those of events written after a revision."""
        rows = self.columns(event_type, name, revision=Above(since))
        return sorted({value for (value,) in rows if value is not None})

    def moved(self, event_type: type[Event], since: int) -> list[str]:
        """What events of a kind left after a revision."""
        return sorted({left for kind, revision, left in self._left if kind is event_type and revision > since})


class Derived:
    """What is kept of a family that is derived from no catalogue, and replaced by its next derivation."""

    def __init__(self, family: Family) -> None:
        self.told = Told()
        self._family = family
        self.rows: dict[str, set[Row]] = {}
        self._pieces: dict[str, Piece] = {}
        self._since: dict[str, int] | None = None

    def after(self, *events: Event, meanwhile: Sequence[Event] = ()) -> list[Piece]:
        """Write events and derive what is new; `meanwhile`: what is written as soon as it has begun."""
        self.told.write(events)
        revisions = {kind_of(kind): self.told.revision for kind in self._family.inputs}
        if meanwhile:
            self.told.write(meanwhile)
        asked = Asked(
            known={scope: piece.reads for scope, piece in self._pieces.items()},
            since=self._since,
            revisions=revisions,
            state=lambda scope: self._pieces[scope].state if scope in self._pieces else None,
        )
        found = list(self._family.pieces(self.told, _NOBODY, asked)) if self._family.pieces else []
        for piece in found:
            new = set(map(as_row, as_observations(piece.observations)))
            old = self.rows.get(piece.scope, set())
            kept = {row for row in old if row.values[:2] not in piece.reopened} if piece.after is not None else set()
            self.rows[piece.scope] = new | kept
            self._pieces[piece.scope] = piece
        self._since = revisions
        return found

    @property
    def everything(self) -> list[Row]:
        """All that is kept, in order."""
        return sorted((row for rows in self.rows.values() for row in rows), key=repr)

    @property
    def anew(self) -> list[Row]:
        """All there is when nothing was known before, in order."""
        return sorted(map(as_row, self._family.observe(PlainEvents(self.told.by_id.values()), _NOBODY)), key=repr)
