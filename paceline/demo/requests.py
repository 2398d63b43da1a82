"""Which changes people propose, and when these are reviewed and merged: the plan that a repository's events follow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from random import Random
from typing import NamedTuple

from paceline.demo.newcomers import first_work_at
from paceline.demo.organisation import SMALL_TEAM, Example, Person, Product
from paceline.demo.period import DAY, HOUR, MINUTE, happens
from paceline.demo.rhythm import Rhythm, WorkingDay

_A_WEEK = 1.5
"""How many changes somebody proposes in a week, a newcomer more and smaller ones."""
_NEWCOMERS = 1.7
_SMALL_TEAMS = 0.15
_OF_TIER = {"1": 3.0, "2": 2.0, "3": 0.7}
_SHARED_PATH = 0.1
_MODULES = ("api", "model", "storage", "tasks")


class Request(NamedTuple):
    """A change from its first commit on, in seconds. `merged` is None where nobody ever merges it."""

    author: Person
    product: Product
    began: int
    opened: int
    ready: int
    reviewer: Person | None
    reviewed: int
    merged: int | None
    path: str
    draft: bool


def requests(example: Example) -> Mapping[str, list[Request]]:
    """The changes of each repository in the order in which they were opened."""
    found: dict[str, list[Request]] = defaultdict(list)
    for person in example.people:
        for request in _of_person(example, person) if person.codes else ():
            found[request.product.repository].append(request)
    return {name: sorted(of, key=lambda r: (r.opened, r.author.number)) for name, of in sorted(found.items())}


def _of_person(example: Example, person: Person) -> Iterator[Request]:
    dice, rhythm = example.period.dice("requests", person.number), example.rhythms[person.site]
    for opened in _opened(example, person, rhythm, dice):
        yield _request(example, person, opened, dice)


def _opened(example: Example, person: Person, rhythm: Rhythm, dice: Random) -> Iterator[int]:
    """When somebody opens changes: newcomers the first one as soon as they can."""
    first, left = first_work_at(example, person), person.left or example.period.end
    chance = _A_WEEK / 5 * (_NEWCOMERS if person.newcomer else 1) * (_SMALL_TEAMS if person.team == SMALL_TEAM else 1)
    if person.newcomer:
        yield first
    for day in rhythm.within:
        at = _busy(day, rhythm, dice, chance)
        if at is not None and first < at < left:
            yield at


def _busy(day: WorkingDay, rhythm: Rhythm, dice: Random, chance: float) -> int | None:
    at = rhythm.moment_of(day, dice)
    return at if happens(dice, chance * day.weight) else None


def _request(example: Example, author: Person, opened: int, dice: Random) -> Request:
    products = example.products_of[author.team]
    product = dice.choices(products, [_OF_TIER[p.tier] for p in products])[0]
    draft = happens(dice, 0.1)
    ready = opened + int(dice.uniform(1, 20) * HOUR if draft else 0)
    reviewer = _reviewer(example, author, opened, dice)
    reviewed = ready + int(dice.lognormvariate(0.7, 0.9) * HOUR)
    if reviewer is not None:
        reviewed = example.rhythms[reviewer.site].next(reviewed, dice)
    merged = example.rhythms[author.site].next(reviewed + int(dice.lognormvariate(0.0, 0.9) * HOUR) + 5 * MINUTE, dice)
    return Request(
        author=author,
        product=product,
        began=max(opened - int(dice.lognormvariate(1.2, 1.0) * HOUR), author.started + HOUR),
        opened=opened,
        ready=ready,
        reviewer=reviewer,
        reviewed=reviewed,
        merged=merged if happens(dice, 0.96) else None,
        path=_path(product, dice),
        draft=draft,
    )


def _reviewer(example: Example, author: Person, at: int, dice: Random) -> Person | None:
    """Somebody else of the team who is there; now and then nobody."""
    present = [
        p for p in example.people_of[author.team]
        if p is not author and p.codes and p.started + 30 * DAY < at < (p.left or example.period.end)
    ]  # fmt: skip
    return dice.choice(present) if present and happens(dice, 0.95) else None


def _path(product: Product, dice: Random) -> str:
    module = dice.choice(_MODULES)
    if product.folder and happens(dice, _SHARED_PATH):
        return f"lib/{module}.py"
    return f"{product.folder}/src/{module}.py" if product.folder else f"src/{module}.py"
