"""What a source noticed while it read, for whoever sets it up: what rules took, and what looked like a deployment.

A leaf. Nothing of it is a number that is published, and nothing of it names a person.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

_MOST_NAMES = 200
_LONGEST_WORD = 60


@dataclass
class Findings:
    """Counts by name, of the runs that a source read."""

    matched: dict[int, Counter[str]] = field(default_factory=dict)
    """By the rule's place in the settings: how many runs of each `pipeline / job` it took."""
    lookalikes: Counter[str] = field(default_factory=Counter)
    """What sounds like a deployment and was taken by no rule: `repository: pipeline / job (environment)`."""
    runs: int = 0
    """Finished runs and jobs that rules were tried on."""

    unmapped: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Words of a system that no setting maps: what they are (`status`), the word, and what it was taken as."""

    def unmap(self, what: str, word: str, taken_as: str) -> None:
        """A word that no setting maps. One that could tell of a person is only counted."""
        plain = len(word) <= _LONGEST_WORD and word.isprintable() and "@" not in word
        known = (what, word if plain else "…", taken_as)
        if known in self.unmapped or len(self.unmapped) < _MOST_NAMES:
            self.unmapped[known] += 1

    def take(self, rule: int, name: str) -> None:
        """A rule made a deployment of a run."""
        self.runs += 1
        _count(self.matched.setdefault(rule, Counter()), name)

    def leave(self, name: str, *, lookalike: bool) -> None:
        """No rule took a run."""
        self.runs += 1
        if lookalike:
            _count(self.lookalikes, name)


def _count(names: Counter[str], name: str) -> None:
    if name in names or len(names) < _MOST_NAMES:
        names[name] += 1
