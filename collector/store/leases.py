"""What a lease is, and what fences off who does not hold it any more. Knows no driver: every service has it loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from collector.errors import StoreError
from collector.store.database import Transaction

SCHEMA = "paceline_work"
"""The schema of what processes on one PostgreSQL agree on; see `collector.store.coordination`."""
_FENCED = (
    "SELECT 1 FROM paceline_work.lease "
    "WHERE name = %s AND holder = %s AND token = %s AND expires_at > clock_timestamp()"
)


class NoLongerHolder(StoreError):  # noqa: N818 - it says what happened
    """The lease is over: somebody else may write by now, so this process does not."""


class Claimed(NamedTuple):
    """A lease that is held: its token, which grows with each holder, and who held it before."""

    token: int
    before: str | None


@dataclass(frozen=True)
class Fence:
    """Lets a transaction write only while a lease is held. Raises NoLongerHolder."""

    name: str
    holder: str
    token: int

    def __call__(self, transaction: Transaction) -> None:
        """Look whether it is."""
        if not transaction.rows(_FENCED, (self.name, self.holder, self.token)):
            raise NoLongerHolder("this replica is not the elected evaluator any more, nothing was written")


def connections_of(holder: str) -> str:
    """What the connections of a process are called, by which another one can end them."""
    return f"paceline {holder}"
