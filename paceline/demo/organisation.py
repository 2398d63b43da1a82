"""Who the example organisation is: its services as config/demo/services.yaml lists them, sites, teams and people.

People have synthetic numbers (dev-017) and appear as hashes of these. Nobody here exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from collector.document import read_documents
from collector.events import MemberKind
from collector.people import People
from paceline.catalogue import services
from paceline.demo.period import DAY, HOUR, WEEK, Period, happens
from paceline.demo.rhythm import Rhythm
from slo_engine.calendars import WorkCalendar
from slo_engine.organisation import Service

PLATFORM = "/platform"
SMALL_TEAM = "/data/research"
"""Three people: too few for any number about them."""
COHORT_TEAM, COHORT_SITE = "/commerce/fulfilment", "bengaluru"
"""Where the newcomers start who wait for their access; see `newcomers`."""
COHORT_SIZE, COHORT_AGO = 8, 9
"""How many they are, and how many weeks before the last they start."""

SITES: Mapping[str, WorkCalendar] = {
    "berlin": WorkCalendar(zone=ZoneInfo("Europe/Berlin"), country="DE", subdivision="BE"),
    "new-york": WorkCalendar(zone=ZoneInfo("America/New_York"), country="US", subdivision="NY"),
    "bengaluru": WorkCalendar(zone=ZoneInfo("Asia/Kolkata"), country="IN", subdivision="KA"),
}
"""The sites and when they work; config/demo/paceline.yaml says the same."""
_SHARES = (0.45, 0.3, 0.25)
TEAM_SIZES: Mapping[str, int] = {
    "/commerce/checkout": 34,
    "/commerce/search": 26,
    "/commerce/storefront": 34,
    "/commerce/fulfilment": 30,
    "/commerce/identity": 22,
    "/data/ingest": 30,
    "/data/analytics": 30,
    "/data/recommendations": 24,
    SMALL_TEAM: 3,
    "/platform/network": 20,
    "/platform/delivery": 24,
    "/platform/experience": 23,
}
"""How many people each team has had: 300 in all."""
_KINDS, _KIND_SHARES = (MemberKind.HIRE, MemberKind.TRANSFER, MemberKind.CONTRACTOR), (0.75, 0.15, 0.1)
_CODING, _NEW, _LEAVING = 0.88, 0.15, 0.1
_TENURE_DAYS = (60, 2_000)
_SECOND_ACCOUNTS = 20
"""Of how many people one commits under another account than the one they review with."""


class Person(NamedTuple):
    """Somebody: a hash, a team and a site. `started` and `left` are seconds; `codes`: their work shows in commits."""

    number: int
    key: str
    second: str
    """The account they commit with: for most it is the same."""
    team: str
    site: str
    kind: MemberKind
    started: int
    left: int | None
    codes: bool
    newcomer: bool
    """Started within the period."""
    cohort: bool
    """One of those who wait for their access."""


class Product(NamedTuple):
    """A service as its people see it: what it is called, whose it is, where its code lies and how it is released."""

    name: str
    team: str
    repository: str
    folder: str
    tier: str


@dataclass(frozen=True, kw_only=True)
class Example:
    """The organisation in its weeks. The same catalogue, period and seed give the same everything."""

    period: Period
    catalogue: tuple[Service, ...]

    @cached_property
    def products(self) -> tuple[Product, ...]:
        """The services in the order of the catalogue."""
        return tuple(_product(s) for s in self.catalogue)

    @cached_property
    def products_of(self) -> Mapping[str, tuple[Product, ...]]:
        """The services of each team."""
        return {team: tuple(p for p in self.products if p.team == team) for team in TEAM_SIZES}

    @cached_property
    def rhythms(self) -> Mapping[str, Rhythm]:
        """The working days of each site."""
        return {site: Rhythm(calendar, self.period) for site, calendar in SITES.items()}

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """Everybody, team by team."""
        places = [(team, place) for team, size in TEAM_SIZES.items() for place in range(size)]
        return tuple(self._person(number, *place) for number, place in enumerate(places, 1))

    @cached_property
    def people_of(self) -> Mapping[str, tuple[Person, ...]]:
        """The people of each team."""
        return {team: tuple(p for p in self.people if p.team == team) for team in TEAM_SIZES}

    @cached_property
    def _hashes(self) -> People:
        return People(f"the example organisation, {self.period.seed}".encode())

    def hashed(self, account: str) -> str:
        """An account as it appears in events."""
        return self._hashes.hashed(account)

    def _person(self, number: int, team: str, place: int) -> Person:
        dice, name = self.period.dice("person", number), f"dev-{number:03}"
        site, kind = dice.choices(tuple(SITES), _SHARES)[0], dice.choices(_KINDS, _KIND_SHARES)[0]
        codes, newcomer, leaves = (happens(dice, share) for share in (_CODING, _NEW, _LEAVING))
        started = self.period.start - int(dice.uniform(*_TENURE_DAYS)) * DAY
        left = self.period.start + int(dice.uniform(0.1, 0.9) * self.period.weeks * WEEK)
        cohort = team == COHORT_TEAM and place < COHORT_SIZE
        if cohort:
            site, kind, codes = COHORT_SITE, MemberKind.HIRE, True
        newcomer = cohort or (newcomer and team != SMALL_TEAM)
        if newcomer:
            started = self._starts(site, COHORT_AGO if cohort else dice.randrange(self.period.weeks))
        return Person(
            number=number,
            key=self.hashed(name),
            second=self.hashed(f"{name}-laptop" if number % _SECOND_ACCOUNTS == 0 else name),
            team=team,
            site=site,
            kind=kind,
            started=started,
            left=left if leaves and not newcomer else None,
            codes=codes,
            newcomer=newcomer,
            cohort=cohort,
        )

    def _starts(self, site: str, ago: int) -> int:
        """The morning of the first working day of a week."""
        return self.rhythms[site].day_after(self.period.week(ago), 0).midnight + 9 * HOUR


def load_example(folder: Path, period: Period) -> Example:
    """The example whose catalogue lies in a folder."""
    (document,) = read_documents(folder / "services.yaml")
    return Example(period=period, catalogue=services(document, folder))


def _product(service: Service) -> Product:
    folder = next((rule.text.removesuffix("/*") for rule in service.paths), "")
    return Product(service.name, service.team, service.repositories[0].text, folder, service.tier)
