"""What a planted story says about itself. A leaf."""

from __future__ import annotations

from dataclasses import dataclass

from paceline.demo.period import Period


@dataclass(frozen=True, kw_only=True)
class Story:
    """Something that happened to the example organisation, and where Paceline shows it.

    `since` and `until` are weeks before the last one, so 0 is the last week. `explain` are the arguments of a
    `paceline explain` that shows it; `{first}` and `{last}` stand for its ISO weeks.
    """

    name: str
    what: str
    since: int
    until: int
    where: str
    indicators: tuple[str, ...]
    shows: str
    explain: tuple[str, ...]
    slos: tuple[str, ...] = ()
    """The promises that it breaks, or that cannot be judged because of it."""

    def weeks(self, period: Period) -> tuple[str, str]:
        """Its first and last ISO week."""
        return period.label(self.since), period.label(self.until)

    def told(self, period: Period) -> str:
        """What happened when and where, and what there is to see, in a few lines."""
        weeks = " to ".join(dict.fromkeys(self.weeks(period)))
        return f"{self.name}, {weeks}, {self.where}\n  {self.what}\n  To see: {self.shows}."

    def commands(self, period: Period) -> list[str]:
        """The commands that show it."""
        first, last = self.weeks(period)
        return [f"paceline explain {arguments.format(first=first, last=last)}" for arguments in self.explain]

    def holds(self, period: Period, at: float) -> bool:
        """Whether a time lies in its weeks."""
        return period.week(self.since) <= at < period.week(self.until - 1)
