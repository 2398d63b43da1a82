"""What a run keeps in mind of a list while it reads it: where it was, what it met, and what the list holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from collector.errors import ContractError
from collector.events import Event, time_fields
from collector.source import Complete
from collector.systems.http_json.kinds import fields_of
from collector.systems.http_json.places import Items, Pages, Place

MOST_PAGES = 100_000
_BEFORE_ALL = datetime.fromtimestamp(0, UTC)


class Item(NamedTuple):
    """An item, where it was found, its id, and its time by which reading goes on."""

    value: dict[str, Any]
    location: str
    id: str
    at: datetime | None


class Way:
    """The way through a list in one run: no page comes twice, and no item of the pages that overlap."""

    def __init__(self, place: Place, *, overlaps: bool) -> None:
        self._places = {place}
        self._overlaps = overlaps
        self._since = place.since
        self._met: dict[str, datetime | None] = {}
        self._before: Sequence[Any] = ()

    def new(self, items: Sequence[Item]) -> list[Item]:
        """The items that were not met as they are."""
        found = [item for item in items if item.id not in self._met or self._met[item.id] != item.at]
        if self._overlaps:
            self._met |= {item.id: item.at for item in found if item.id}
        return found

    def goes_on(self, following: Place, page: Items) -> None:
        """A page follows one. Raises ContractError where it was on the way before."""
        if following in self._places or (page.items and page.items == self._before):
            raise ContractError(f"{page.answer.asked}: its pages never end: one comes again as the next")
        self._places.add(following)
        # The same items may well come for a later time; those before it come no more.
        self._before = page.items if following.since == self._since else ()
        self._since = since = following.since
        self._met = {
            known: at for known, at in self._met.items() if since is not None and at is not None and at >= since
        }


def all_pages(pages: Pages, since: datetime | None = None) -> Iterator[Items]:
    """Every page of a list, from its first on. Raises the errors of a client, ContractError where they never end."""
    place = Place(by=pages.settings.paging.kind, since=since)
    way = Way(place, overlaps=False)
    for _ in range(MOST_PAGES):
        page = pages.ask(place)
        yield page
        following = pages.following(place, page)
        if following is None:
            return
        way.goes_on(following, page)
        place = following
    raise ContractError(f"GET {pages.settings.path}: its pages never end")


class Whole:
    """The ids of what a list holds, by kind: told where all of it was read in one run, and all of it could be used."""

    def __init__(self, kinds: Collection[type[Event]], *, begun: bool) -> None:
        self._ids: dict[type[Event], set[str]] = {kind: set() for kind in kinds}
        self._is_known = begun

    def add(self, events: Sequence[Event], *, is_usable: bool) -> None:
        """The events of a page."""
        self._is_known = self._is_known and is_usable
        for event in events:
            if type(event) in self._ids:
                self._ids[type(event)].add(event.native_id)

    def told(self) -> list[Complete]:
        """The whole lists. One that is empty may as well be hidden from the token: it says nothing."""
        if not self._is_known or not any(self._ids.values()):
            return []
        return [
            Complete(kind=kind, where={}, dated=_dated(kind), since=_BEFORE_ALL, native_ids=frozenset(ids))
            for kind, ids in self._ids.items()
        ]


def _dated(kind: type[Event]) -> str:
    """A time that every event of a kind has here."""
    known = fields_of(kind)
    return next((name for name in time_fields(kind) if known[name].required), "updated_at")
