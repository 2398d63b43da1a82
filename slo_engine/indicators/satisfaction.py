"""Satisfaction: what people answer in surveys, wave by wave. Pure.

definitions.md §5. A number is of one wave alone, the latest that has answers in the window: so no wave is ever mixed or
compared with one whose questions changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import sqrt
from typing import NamedTuple

import numpy as np

from collector.events import SurveyResponse, SurveyScale
from slo_engine.indicator import Events, Family, Indicator, Reach, Shape, Unit
from slo_engine.measure import Mask, Measured, Sample
from slo_engine.observation import Observation, Outcome, Reason, Subject, from_micros, labelled
from slo_engine.organisation import Organisation
from slo_engine.statistics import DEVIATIONS, wilson

_LABELS = ("kind", "")
"""What was asked; and the wave, which nobody is shown."""
_SCALES = {SurveyScale.NPS: range(11), SurveyScale.CSAT: range(1, 6)}
_PROMOTER, _DETRACTOR = 9, 6
_SATISFIED = 4


def _latest(sample: Sample, usable: Mask) -> Mask:
    """The units of the wave that began last, of those with something usable in the window; none where there is none."""
    waves = np.unique(sample.dimension[usable & sample.inside]).tolist()
    begun = {w: (int(sample.at[usable & (sample.dimension == w)].min()), sample.dimensions[w]) for w in waves}
    found: Mask = sample.dimension == max(waves, key=lambda w: begun[w], default=-1)
    return found


def _set_aside(sample: Sample, wave: Mask, scale: range) -> dict[str, int]:
    """How many answers of a wave were set aside, or in the window where there is no wave, by reason."""
    aside = sample.is_(Outcome.EXCLUDED) & (wave if wave.any() else sample.inside)
    outside = aside & ((sample.value < scale[0]) | (sample.value > scale[-1]))
    impossible = int(np.count_nonzero(outside))
    superseded = int(np.count_nonzero(aside)) - impossible
    counts = {Reason.IMPOSSIBLE.value: impossible, Reason.SUPERSEDED.value: superseded}
    return {reason: n for reason, n in counts.items() if n}


def _coverage(n: int, excluded: dict[str, int]) -> float | None:
    """The share of the answers that could be used: who answered again is there with the last answer."""
    asked = n + excluded.get(Reason.IMPOSSIBLE.value, 0)
    return n / asked if asked else None


def _net_promoters(sample: Sample) -> Measured:
    """The share of promoters (9, 10) less that of detractors (0 to 6), -1 to 1, of the latest wave.

    `low` and `high` are its margin away, 1.96·√((p + d - (p - d)²) / n), at most -1 and 1.
    """
    usable = sample.is_(Outcome.MEASURED)
    wave = _latest(sample, usable)
    scores = sample.value[usable & wave]
    n = int(scores.size)
    excluded = _set_aside(sample, wave, _SCALES[SurveyScale.NPS])
    if not n:
        return Measured(0, excluded=excluded, coverage=_coverage(0, excluded))
    promoters, detractors = (int(np.count_nonzero(m)) for m in (scores >= _PROMOTER, scores <= _DETRACTOR))
    net = (promoters - detractors) / n
    margin = DEVIATIONS * sqrt(max((promoters + detractors) / n - net * net, 0.0) / n)
    stats = {"value": net, "low": max(net - margin, -1.0), "high": min(net + margin, 1.0)}
    return Measured(n, stats, excluded=excluded, coverage=_coverage(n, excluded))


def _mean_score(sample: Sample) -> Measured:
    """The mean score, 1 to 5, of the latest wave."""
    usable = sample.is_(Outcome.GOOD) | sample.is_(Outcome.BAD)
    wave = _latest(sample, usable)
    scores = sample.value[usable & wave]
    excluded = _set_aside(sample, wave, _SCALES[SurveyScale.CSAT])
    stats = {"value": float(np.sum(scores)) / scores.size} if scores.size else {}
    return Measured(int(scores.size), stats, excluded=excluded, coverage=_coverage(int(scores.size), excluded))


def _share_answered(sample: Sample) -> Measured:
    """The share of those invited to the latest wave who answered, with Wilson's interval; n of them were invited."""
    wave = _latest(sample, sample.is_(Outcome.MEASURED))
    answered = int(np.count_nonzero(wave))
    told = sample.value[wave & ~np.isnan(sample.value)]
    if not told.size:
        return Measured(0, excluded={Reason.UNKNOWN.value: answered} if answered else {})
    invited = int(told.max())
    bounds = wilson(answered, invited) if answered <= invited else None
    if bounds is None:
        return Measured(0, excluded={Reason.IMPOSSIBLE.value: answered})
    return Measured(invited, {"value": answered / invited, "low": bounds[0], "high": bounds[1]}, coverage=1.0)


SURVEY_NPS = Indicator(
    name="survey_nps",
    noun="answers",
    version="1",
    title="Net promoter score",
    definition=(
        "Share of 9 and 10 minus share of 0 to 6, from -1 to 1, among the answers to the question in the latest wave "
        "that has answers in the window; low and high are 1.96·√((p+d-(p-d)²)/n) away."
    ),
    shape=Shape.MEASURE,
    metric="platform_survey_nps",
    labels=_LABELS,
    apart=("kind",),
    people=True,
    measure=_net_promoters,
    stats=("value", "low", "high"),
    unit=Unit.COUNT,  # a ratio would be 0 to 1
    reach=Reach.TWICE,
)
SURVEY_CSAT = Indicator(
    name="survey_csat",
    noun="answers",
    version="1",
    title="Satisfied answers",
    definition="Share of the answers to the question in the window that are 4 or 5 on the scale of 1 to 5.",
    shape=Shape.RATIO,
    metric="platform_survey_csat",
    labels=_LABELS,
    apart=("kind",),
    people=True,
)
SURVEY_CSAT_SCORE = Indicator(
    name="survey_csat_score",
    noun="answers",
    version="1",
    title="Satisfaction score",
    definition=("Mean of the answers to the question, from 1 to 5, in the latest wave that has answers in the window."),
    shape=Shape.MEASURE,
    metric="platform_survey_csat_score",
    part_of=SURVEY_CSAT,
    labels=_LABELS,
    apart=("kind",),
    people=True,
    measure=_mean_score,
    stats=("value",),
    unit=Unit.COUNT,
    reach=Reach.TWICE,
)
SURVEY_RESPONSE_RATE = Indicator(
    name="survey_response_rate",
    noun="people",
    version="1",
    title="Survey response rate",
    definition="Share of those invited who answered, in the survey's latest wave that has answers in the window.",
    shape=Shape.MEASURE,
    metric="platform_survey_response",
    labels=_LABELS,
    apart=("kind",),
    people=True,
    measure=_share_answered,
    stats=("value", "low", "high"),
    unit=Unit.RATIO,
    reach=Reach.TWICE,
)


class _Answer(NamedTuple):
    """An answer. Time in microseconds; those of one person to one question are in order, the last one counts."""

    at: int
    updated_at: int | None
    id: str
    source: str
    survey: str
    wave: str
    question: str
    scale: str
    score: int
    respondent: str | None
    team: str | None
    invited: int | None

    @property
    def possible(self) -> bool:
        """Whether its score is on its scale."""
        return self.score in _SCALES[SurveyScale(self.scale)]

    @property
    def whole_wave(self) -> str:
        """The wave of its survey: another survey's wave of that name is another."""
        return f"{self.survey}/{self.wave}"


def observe(events: Events, organisation: Organisation) -> Iterator[Observation]:
    """The answers of all surveys, each person's last one to a question of a wave, and who answered at all."""
    people = organisation.identities
    rows = sorted(map(_Answer._make, events.columns(SurveyResponse, *_Answer._fields)), key=_in_order)
    answers = [a._replace(respondent=people.person(a.respondent) or a.id) for a in rows]
    last = {(a.whole_wave, a.question, a.scale, a.respondent): a.id for a in answers if a.possible}
    kept = set(last.values())
    for answer in answers:
        if answer.id in kept:
            yield _counted(answer)
        else:
            reason = Reason.SUPERSEDED if answer.possible else Reason.IMPOSSIBLE
            yield _observation(answer, answer.id, Outcome.EXCLUDED, reason)
    yield from _participation([a for a in answers if a.possible])


def _in_order(answer: _Answer) -> tuple[int, int, str]:
    return answer.at, answer.updated_at or 0, answer.id


def _counted(answer: _Answer) -> Observation:
    """The last answer of a person."""
    outcome = Outcome.MEASURED
    if answer.scale == SurveyScale.CSAT:
        outcome = Outcome.GOOD if answer.score >= _SATISFIED else Outcome.BAD
    return _observation(answer, str(answer.respondent), outcome)


def _observation(answer: _Answer, unit: str, outcome: Outcome, reason: str = "") -> Observation:
    indicator = SURVEY_NPS if answer.scale == SurveyScale.NPS else SURVEY_CSAT
    return Observation(
        indicator=indicator.name,
        unit=unit,
        at=from_micros(answer.at),
        subject=Subject(team=_path(answer.team)),
        source=answer.source,
        outcome=outcome,
        value=float(answer.score),
        reason=reason,
        dimension=labelled(answer.question, answer.whole_wave),
        evidence=() if unit == answer.id else (answer.id,),
    )


def _participation(answers: Iterable[_Answer]) -> Iterator[Observation]:
    """Each person who answered anything in a wave, with how many were invited to it.

    The whole organisation's: of teams nobody knows how many were invited.
    """
    waves: dict[str, list[_Answer]] = defaultdict(list)
    for answer in answers:
        waves[answer.whole_wave].append(answer)
    for name, own in waves.items():
        invited = max((a.invited for a in own if a.invited is not None), default=None)
        for answer in {a.respondent: a for a in reversed(own)}.values():
            yield Observation(
                indicator=SURVEY_RESPONSE_RATE.name,
                unit=str(answer.respondent),
                at=from_micros(answer.at),
                subject=Subject(),
                source=answer.source,
                outcome=Outcome.MEASURED,
                value=None if invited is None else float(invited),
                dimension=labelled(answer.survey, name),
                evidence=() if answer.respondent == answer.id else (answer.id,),
            )


def _path(team: str | None) -> str:
    """A team's path, which begins with one slash; empty where nobody knows."""
    return "/" + team.strip("/") if team and team.strip("/") else ""


FAMILY = Family(
    name="satisfaction",
    inputs=(SurveyResponse,),
    indicators=(SURVEY_NPS, SURVEY_CSAT, SURVEY_CSAT_SCORE, SURVEY_RESPONSE_RATE),
    observe=observe,
)
