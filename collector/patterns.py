"""Rules for names, as people write them in settings: exact names, globs, `/regular expressions/`. A leaf."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property, lru_cache

from collector.backtracking import Cost, cost


@dataclass(frozen=True)
class Pattern:
    """A rule for names: `/…/` is a regular expression for the whole name, `* ? [` make a glob, else it is exact."""

    text: str

    @cached_property
    def rank(self) -> int:
        """How precise it is: 0 exact, 1 glob, 2 regular expression."""
        if len(self.text) > 1 and self.text.startswith("/") and self.text.endswith("/"):
            return 2
        return 1 if re.search(r"[*?\[]", self.text) else 0

    def matches(self, name: str) -> bool:
        """True where the whole name fits. Case counts.

        A name so long that an expression would take seconds for it does not fit.
        """
        return name == self.text if self.rank == 0 else self._found(name) is not None

    def groups(self, name: str) -> dict[str, str] | None:
        """What the named groups of an expression found where the whole name fits; None where it does not."""
        if self.rank != 2:  # noqa: PLR2004 - the rank of an expression
            return {} if self.matches(name) else None
        found = self._found(name)
        return None if found is None else {k: v for k, v in found.groupdict().items() if v is not None}

    @property
    def cost(self) -> Cost:
        """What it may cost. Raises re.error for what is no regular expression."""
        return _cost(self.text) if self.rank == 2 else Cost(endless=False, sharing=0)  # noqa: PLR2004 - as above

    def _found(self, name: str) -> re.Match[str] | None:
        compiled = _compiled(self.text, self.rank)
        return None if len(name) > _ALWAYS_READ and len(name) > self.cost.longest else compiled.fullmatch(name)

    @property
    def group_names(self) -> frozenset[str]:
        """The named groups of an expression."""
        return frozenset(_compiled(self.text, self.rank).groupindex if self.rank == 2 else ())  # noqa: PLR2004


_ALWAYS_READ = 100
"""Characters of a name that any expression which is taken reads at once."""


@lru_cache(maxsize=4096)
def _cost(text: str) -> Cost:
    return cost(text[1:-1])


@lru_cache(maxsize=4096)
def _compiled(text: str, rank: int) -> re.Pattern[str]:
    """Raises re.error for what is no regular expression."""
    return re.compile(text[1:-1] if rank == 2 else translate(text))  # noqa: PLR2004 - the rank of an expression


def patterns(texts: Iterable[str]) -> tuple[Pattern, ...]:
    """Rules from their texts."""
    return tuple(Pattern(t) for t in texts)


def any_matches(rules: Iterable[Pattern], name: str) -> bool:
    """True where one of the rules fits a name."""
    for rule in rules:  # noqa: SIM110 - asked for each deployment and request there ever was: `any` takes twice as long
        if rule.matches(name):
            return True
    return False
