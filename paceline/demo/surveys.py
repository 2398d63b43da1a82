"""Two waves of a survey: would people recommend the platform, and are they content with its parts."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from collector.events import Event, SurveyResponse, SurveyScale
from paceline.demo.organisation import PLATFORM, Example, Person
from paceline.demo.period import DAY, HOUR, happens, moment, opaque

SOURCE, SURVEY = "surveys", "platform"
WAVES = (14, 3)
"""How many weeks before the last each wave began."""
_ANSWERS = 0.58
_SATISFACTION = {"ci": (4.0, 4.0), "docs": (3.3, 3.2), "support": (4.1, 2.9)}
"""What is asked on a scale to 5, with the mean answer; of support in each wave, as its backlog is felt."""
_RECOMMENDS = (7.9, 7.6)


def events(example: Example) -> Iterator[Event]:
    """The answers of all waves."""
    for wave, ago in enumerate(WAVES):
        began = example.period.week(ago)
        invited = [p for p in example.people if p.started < began < (p.left or example.period.end)]
        invited = [p for p in invited if not p.team.startswith(PLATFORM)]
        for person in invited:
            dice = example.period.dice("survey", ago, person.number)
            if happens(dice, _ANSWERS):
                yield from _answers(example, person, wave, len(invited), dice)


def _answers(example: Example, person: Person, wave: int, invited: int, dice: Random) -> Iterator[SurveyResponse]:
    at = example.period.week(WAVES[wave]) + int(dice.uniform(0, 10) * DAY) + 9 * HOUR
    yield _answer(
        person, wave, "recommend", SurveyScale.NPS, _score(_RECOMMENDS[wave], 2.2, (0, 10), dice), at, invited
    )
    for question, means in _SATISFACTION.items():
        yield _answer(person, wave, question, SurveyScale.CSAT, _score(means[wave], 0.9, (1, 5), dice), at, invited)


def _score(middle: float, width: float, scale: tuple[int, int], dice: Random) -> int:
    return min(max(round(dice.gauss(middle, width)), scale[0]), scale[1])


def _answer(  # noqa: PLR0913, PLR0917 - an answer's parts
    person: Person, wave: int, question: str, scale: SurveyScale, score: int, at: int, invited: int
) -> SurveyResponse:
    name = f"wave-{wave + 1}"
    return SurveyResponse(
        source=SOURCE,
        native_id=f"{name}/{question}/{opaque(name, question, person.key)}",
        survey=SURVEY,
        wave=name,
        question=question,
        scale=scale,
        score=score,
        at=moment(at),
        respondent=person.key,
        team=person.team,
        invited=invited,
    )
