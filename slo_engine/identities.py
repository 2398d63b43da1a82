"""Which accounts are one person, and which are no person at all: a reviewed file's answer, as pure data. A leaf.

Everything here is a keyed hash (`person:…`): nobody's name, login or address comes this far.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True, kw_only=True)
class Identities:
    """`people`: an account's hash → that of the person it belongs to. `bots` and `humans`: what is which, told.

    An account that nobody mentions is a person of its own, and a bot where its source said so.
    """

    people: Mapping[str, str] = field(default_factory=dict)
    bots: frozenset[str] = frozenset()
    humans: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether anything is said at all: where nothing is, nobody needs to look at accounts."""
        return bool(self.people or self.bots or self.humans)

    def person(self, account: str | None) -> str | None:
        """The person behind an account; None for none."""
        return None if account is None else self.people.get(account, account)

    def is_bot(self, account: str | None, flagged: bool = False) -> bool:  # noqa: FBT001, FBT002 - an event's field
        """Whether an account is a bot: the list decides, then what the source said of it."""
        if account in self.bots:
            return True
        return flagged and account not in self.humans

    @cached_property
    def version(self) -> str:
        """Changes with any of it."""
        text = repr((sorted(self.people.items()), sorted(self.bots), sorted(self.humans)))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
