"""What people have deleted: a source, or somebody. Deletes, derives anew, and looks whether anything is left."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from collector.people import People
from collector.store import Database, Deletion, Traces
from slo_engine.identities import Identities

_ROUNDS = 3
"""Another process may be deriving from what was there: what it writes is found in the next round."""


@dataclass(frozen=True)
class Proof:
    """How many rows of a table held what was deleted, and how many do now."""

    table: str
    before: int
    after: int


def delete_source(database: Database, derive: Callable[[], None], name: str) -> list[Proof]:
    """Delete a source with everything derived from it; what else rested on it is derived anew. Raises StoreError."""
    deletion = Deletion(database)
    before, last = deletion.source_rows(name), deletion.last_restatement()
    deletion.source(name)
    derive()
    deletion.after_source(name, last)
    return _proof(before, deletion.source_rows(name))


def keyed(people: People, identities: Identities, told: Collection[str]) -> frozenset[str]:
    """The keyed hashes of logins, addresses or names, and of all that reviewed files say are the same people's."""
    own = {key for one in told for key in (people.hashed(one), people.named(one))}
    persons = {identities.people[key] for key in own if key in identities.people} | own
    return frozenset(persons | {account for account, person in identities.people.items() if person in persons})


def erase(database: Database, derive: Callable[[], None], people: Collection[str]) -> list[Proof]:
    """Erase keyed hashes of people from every table: by table what held one, and what still does. Raises StoreError."""
    deletion = Deletion(database)
    before = left = deletion.traces(people)
    deletion.person(people)
    for _ in range(_ROUNDS):
        derive()
        deletion.after_person(people)
        left = deletion.traces(people)
        if not any(one.rows for one in left):
            break
        deletion.person(people)
    database.compact()
    return _proof(before, left)


def _proof(before: Collection[Traces], after: Collection[Traces]) -> list[Proof]:
    were, are = ({one.table: one.rows for one in some} for some in (before, after))
    return [Proof(table, were.get(table, 0), are.get(table, 0)) for table in sorted({*were, *are})]
