"""Surveys, case by case: times are days after the start, numbers are of the 90 days up to day 100.

Of 30 answers 12 are 9 or 10 (promoters), 6 are 0 to 6 (detractors): 12/30 - 6/30 = 0.2, and the margin is
1.96·√((0.4 + 0.2 - 0.04) / 30) = 0.268: "20 ± 27". Of 60 answers in the same shares it is 0.189: "20 ± 19".
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_states import source_state

from collector.events import SurveyResponse, SurveyScale
from collector.store import Database, DerivationStore, EventStore, ObservationStore
from slo_engine.derive import derive
from slo_engine.evaluate import Evaluator
from slo_engine.identities import Identities
from slo_engine.indicator import Indicator
from slo_engine.indicators import satisfaction
from slo_engine.indicators.satisfaction import (
    SURVEY_CSAT,
    SURVEY_CSAT_SCORE,
    SURVEY_NPS,
    SURVEY_RESPONSE_RATE,
)
from slo_engine.measure import OUTCOME_CODES, Measured, Sample
from slo_engine.observation import Observation, Subject, labelled, to_micros
from slo_engine.organisation import Organisation
from slo_engine.plain_events import PlainEvents

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NOBODY = Organisation()
FORMS = source_state("forms", events_total=0)
TWELVE_NINE_SIX = [9] * 6 + [10] * 6 + [7] * 8 + [8] * 4 + [0] * 2 + [6] * 4
"""30 scores: 12 promoters, 12 neither, 6 detractors."""


def answer(name: str, score: int, day: float = 90, **more: Any) -> SurveyResponse:
    """The answer of a person of that name to "recommend", in the wave "spring"."""
    fields = {"source": "forms", "native_id": f"{name}/{day}", "survey": "platform", "wave": "spring"}
    fields |= {"question": "recommend", "scale": SurveyScale.NPS, "respondent": f"person:{name}"}
    return SurveyResponse(**{**fields, "score": score, "at": START + day * DAY, **more})


def rated(name: str, score: int, day: float = 90, **more: Any) -> SurveyResponse:
    """The answer of a person to "docs", 1 to 5."""
    return answer(
        name, score, day, **{"native_id": f"docs/{name}", "question": "docs", "scale": SurveyScale.CSAT, **more}
    )


def answers(scores: list[int], **more: Any) -> list[SurveyResponse]:
    """Answers of as many people."""
    return [answer(str(n), score, **more) for n, score in enumerate(scores)]


def observed(*given: SurveyResponse, organisation: Organisation = NOBODY) -> list[Observation]:
    """The units of all indicators."""
    return sorted(
        satisfaction.observe(PlainEvents(given), organisation), key=lambda o: (o.indicator, o.dimension, o.at, o.unit)
    )


def measured(indicator: Indicator, *given: SurveyResponse, days: int = 90) -> Measured:
    """The number of an indicator in so many days up to day 100, of all units together."""
    known = [o for o in observed(*given) if o.indicator == indicator.observed_as]
    dimensions, units = sorted({o.dimension for o in known}), sorted({o.unit for o in known})
    end = START + 100 * DAY
    reach = [o for o in known if end - 2 * days * DAY < o.at <= end]
    assert indicator.measure is not None
    return indicator.measure(
        Sample(
            after=to_micros(end - days * DAY),
            until=to_micros(end),
            now=to_micros(end),
            subject=Subject(),
            organisation=NOBODY,
            at=np.array([to_micros(o.at) for o in reach], dtype=np.int64),
            value=np.array([np.nan if o.value is None else o.value for o in reach], dtype=np.float64),
            outcome=np.array([OUTCOME_CODES[o.outcome] for o in reach], dtype=np.int16),
            matures_at=np.full(len(reach), -(2**62)),
            unit=np.array([units.index(o.unit) for o in reach], dtype=np.int64),
            dimension=np.array([dimensions.index(o.dimension) for o in reach], dtype=np.int64),
            dimensions=dimensions,
        )
    )


# --- the net promoter score ------------------------------------------------------------------------------


@pytest.mark.parametrize(("times", "margin"), [(1, 0.27), (2, 0.19)])
def test_few_answers_have_a_wide_margin(times: int, margin: float) -> None:
    """NPS 20 from 30 answers → ±27 beside it (60: ±19)."""
    found = measured(SURVEY_NPS, *answers(TWELVE_NINE_SIX * times))

    assert found.n == 30 * times
    assert found.stats["value"] == pytest.approx(0.2)
    assert found.stats["high"] - found.stats["value"] == pytest.approx(margin, abs=0.005)
    assert found.stats["value"] - found.stats["low"] == pytest.approx(margin, abs=0.005)


@pytest.mark.parametrize(("score", "net"), [(0, -1.0), (6, -1.0), (7, 0.0), (8, 0.0), (9, 1.0), (10, 1.0)])
def test_each_score_is_on_one_side(score: int, net: float) -> None:
    """9 and 10 promote, 0 to 6 detract, 7 and 8 do neither; all of one mind leave no margin."""
    found = measured(SURVEY_NPS, answer("a", score))

    assert found.stats == {"value": net, "low": net, "high": net}


def test_the_margin_stays_on_the_scale() -> None:
    """Five promoters and a detractor: 0.667 ± 0.60 would end beyond 1."""
    found = measured(SURVEY_NPS, *answers([10] * 5 + [0]))

    assert found.stats["high"] == 1.0


def test_an_empty_window_has_no_value() -> None:
    """Empty wave → no value."""
    assert measured(SURVEY_NPS) == Measured(0)


def test_a_wave_before_the_window_has_no_value() -> None:
    """Answers of 95 days ago say nothing about the last 90."""
    assert measured(SURVEY_NPS, answer("a", 9, 5)) == Measured(0)


def test_a_respondent_counts_once_with_the_last_answer() -> None:
    """One respondent twice → last answer, whichever is read first."""
    found = measured(SURVEY_NPS, answer("a", 10, 91), answer("a", 0, 92), answer("b", 9, 91))

    assert (found.n, found.stats["value"], found.excluded) == (2, 0.0, {"superseded": 1})
    assert found.coverage == 1.0


def test_two_accounts_of_one_person_are_one_respondent() -> None:
    """Who answered with two accounts answered once, with the last answer."""
    organisation = Organisation(identities=Identities(people={"person:b": "person:a"}))
    given = [answer("a", 10, 91), answer("b", 0, 92)]

    found = [o for o in observed(*given, organisation=organisation) if o.indicator == "survey_nps"]

    assert [(o.unit, o.reason) for o in found] == [(given[0].id, "superseded"), ("person:a", "")]
    assert found[1].evidence == (given[1].id,)


def test_answers_of_nobody_known_are_each_counted() -> None:
    """Anonymous answers cannot be told apart by person: each is one."""
    assert measured(SURVEY_NPS, answer("a", 9, respondent=None), answer("b", 9, respondent=None)).n == 2


@pytest.mark.parametrize("score", [11, -1, 100])
def test_a_score_outside_the_scale_is_set_aside_and_counted(score: int) -> None:
    """Score 11 → bad record: it decides nothing, lowers the coverage, and an earlier answer stays."""
    found = measured(SURVEY_NPS, answer("a", 9, 91), answer("a", score, 92))

    assert (found.n, found.stats["value"], found.excluded, found.coverage) == (1, 1.0, {"impossible": 1}, 0.5)


def test_a_wave_of_bad_records_has_no_value() -> None:
    """Only impossible scores: no value, and they are counted."""
    assert measured(SURVEY_NPS, answer("a", 11)) == Measured(0, excluded={"impossible": 1}, coverage=0.0)


# --- waves -----------------------------------------------------------------------------------------------


def test_the_latest_wave_counts_alone() -> None:
    """Two waves in the window: the one that began last is the number, the other one is not mixed in."""
    autumn = answers([0] * 9, day=20, wave="autumn")

    found = measured(SURVEY_NPS, *autumn, answer("a", 9, 80), answer("b", 10, 85))

    assert (found.n, found.stats["value"]) == (2, 1.0)


def test_a_late_answer_does_not_bring_an_old_wave_back() -> None:
    """The wave that began last counts, though the one before has the newest answer."""
    found = measured(
        SURVEY_NPS, answer("a", 0, 20, wave="autumn"), answer("b", 9, 80), answer("c", 0, 99, wave="autumn")
    )

    assert (found.n, found.stats["value"]) == (1, 1.0)


def test_a_wave_that_began_before_the_window_counts_whole() -> None:
    """Of ten days the wave's answers of the ten days before belong to it: 9 and 0, not the 9 alone."""
    found = measured(SURVEY_NPS, answer("a", 0, 85), answer("b", 9, 95), days=10)

    assert (found.n, found.stats["value"]) == (2, 0.0)


def test_waves_of_two_surveys_are_two_waves() -> None:
    """A wave's name is its survey's: the one that began last counts."""
    found = measured(SURVEY_NPS, answer("a", 0, 80, survey="other"), answer("b", 9, 85))

    assert (found.n, found.stats["value"]) == (1, 1.0)


def test_a_question_that_changed_is_another_number() -> None:
    """Wording or question ids changed between waves → not compared: each question has its own label."""
    found = observed(answer("a", 9, 10, wave="autumn"), answer("a", 9, 90, question="recommend-2"))

    assert [o.dimension for o in found if o.indicator == "survey_nps"] == [
        labelled("recommend", "platform/autumn"),
        labelled("recommend-2", "platform/spring"),
    ]


# --- satisfaction ----------------------------------------------------------------------------------------


def test_four_and_five_are_satisfied() -> None:
    """On the scale of 1 to 5: 4 and 5 are good, the others bad; 0 and 6 are no score."""
    found = observed(*(rated(str(n), n, 90 + n) for n in range(7)))

    judged = [o.reason or str(o.outcome) for o in found if o.indicator == "survey_csat"]
    assert judged == ["impossible", "bad", "bad", "bad", "good", "good", "impossible"]


def test_the_mean_stands_beside_the_share() -> None:
    """Scores 5, 4 and 1 of the latest wave: 10/3; an older wave's 1 is not in it."""
    found = measured(
        SURVEY_CSAT_SCORE, rated("a", 5), rated("b", 4), rated("c", 1), rated("d", 1, 20, wave="autumn"), rated("e", 9)
    )

    assert (found.n, found.excluded) == (3, {"impossible": 1})
    assert found.stats["value"] == pytest.approx(10 / 3)


def test_nobody_s_score_has_no_mean() -> None:
    """Empty wave → no value."""
    assert measured(SURVEY_CSAT_SCORE) == Measured(0)


def test_an_answer_is_its_team_s() -> None:
    """The team that the answer names, as a path; unknown where it names none."""
    found = observed(answer("a", 9, team="commerce/checkout"), answer("b", 9, team="/data/"), answer("c", 9))

    assert [o.subject.team for o in found if o.indicator == "survey_nps"] == ["/commerce/checkout", "/data", ""]


# --- who answered ----------------------------------------------------------------------------------------


def test_the_response_rate_is_of_those_invited() -> None:
    """3 of 12 people answered, one of them both questions: 0.25, with Wilson's interval for 3 of 12."""
    found = measured(
        SURVEY_RESPONSE_RATE,
        answer("a", 9, invited=12),
        rated("a", 5, 91, invited=12),
        answer("b", 9),
        answer("c", 0, invited=12),
    )

    assert (found.n, found.stats["value"]) == (12, 0.25)
    assert found.stats["low"] == pytest.approx(0.0889, abs=1e-4)
    assert found.stats["high"] == pytest.approx(0.5323, abs=1e-4)


def test_without_knowing_who_was_invited_there_is_no_rate() -> None:
    """No answer says how many were asked: no value, and the answers are counted."""
    assert measured(SURVEY_RESPONSE_RATE, answer("a", 9)) == Measured(0, excluded={"unknown": 1})


@pytest.mark.parametrize("invited", [1, 0, -3])
def test_more_answers_than_invited_are_no_rate(invited: int) -> None:
    """Two answers of one invited cannot be: no value, never more than 1."""
    found = measured(SURVEY_RESPONSE_RATE, answer("a", 9, invited=invited), answer("b", 9))

    assert found == Measured(0, excluded={"impossible": 2})


def test_a_bad_record_is_no_answer() -> None:
    """Who sent only a score of 11 has not answered."""
    found = measured(SURVEY_RESPONSE_RATE, answer("a", 9, invited=4), answer("b", 11, invited=4))

    assert found.stats["value"] == 0.25


def test_participation_is_the_whole_organisation_s() -> None:
    """How many of a team were invited is not told: the rate has no team."""
    found = observed(answer("a", 9, team="/commerce", invited=3))

    assert {o.subject for o in found if o.indicator == "survey_response_rate"} == {Subject()}


# --- laws ------------------------------------------------------------------------------------------------

_given = st.builds(
    lambda person, wave, question, score, day, known: (rated if question else answer)(
        person,
        score,
        day,
        native_id=f"{person}{wave}{question}{day}",
        wave=wave,
        respondent=f"person:{person}" if known else None,
    ),
    st.sampled_from("abc"),
    st.sampled_from(["autumn", "spring"]),
    st.booleans(),
    st.integers(-1, 11),
    st.integers(80, 99),
    st.booleans(),
)


@given(st.lists(_given, max_size=9), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(given_answers: list[SurveyResponse], random: Any) -> None:
    """The same answers give the same units whatever their order, and however often they come."""
    known = list(PlainEvents(given_answers).events(SurveyResponse))
    again = [*known, *known]
    random.shuffle(again)

    assert observed(*again) == observed(*known)


@given(st.lists(_given, max_size=9))
def test_every_answer_is_used_or_set_aside(given_answers: list[SurveyResponse]) -> None:
    """Each answer is one unit of its question's indicator; each person and wave is one of the response rate."""
    known = list(PlainEvents(given_answers).events(SurveyResponse))

    found = observed(*known)

    judged = [o for o in found if o.indicator != "survey_response_rate"]
    assert sorted((o.evidence or (o.unit,))[0] for o in judged) == sorted(a.id for a in known)
    answered = [(o.dimension, o.unit) for o in found if o.indicator == "survey_response_rate"]
    assert len(answered) == len(set(answered))
    used = {(labelled("platform", f"platform/{a.wave}"), a.respondent or a.id) for a in known if _on_scale(a)}
    assert set(answered) == used


def _on_scale(one: SurveyResponse) -> bool:
    return 0 <= one.score <= 10 if one.scale == SurveyScale.NPS else 1 <= one.score <= 5


@given(st.lists(st.integers(0, 10), min_size=1, max_size=40))
def test_the_score_and_its_margin_stay_on_the_scale(scores: list[int]) -> None:
    """Whatever is answered: -1 ≤ low ≤ value ≤ high ≤ 1."""
    stats = measured(SURVEY_NPS, *answers(scores)).stats

    assert -1 <= stats["low"] <= stats["value"] <= stats["high"] <= 1


# --- from the store --------------------------------------------------------------------------------------


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Iterator[Database]:
    """A store of its own."""
    shutil.copy(migrated, tmp_path / "paceline.db")
    opened = Database.open(tmp_path)
    yield opened
    opened.close()


def test_surveys_have_their_numbers(database: Database) -> None:
    """From answers to numbers: of the organisation by question; all four indicators."""
    events = EventStore(database)
    with database.transaction() as transaction:
        events.write(
            transaction, [*answers(TWELVE_NINE_SIX, invited=60), *(rated(str(n), 1 + n % 5) for n in range(30))]
        )
    derive([satisfaction.FAMILY], events, DerivationStore(database))
    indicators = {i.name: i for i in (SURVEY_NPS, SURVEY_CSAT, SURVEY_CSAT_SCORE, SURVEY_RESPONSE_RATE)}

    snapshot = Evaluator(ObservationStore(database)).evaluate(
        indicators, (), [FORMS], START + 100 * DAY, organisation=NOBODY
    )

    found = {
        (n.indicator, n.dimension): (n.n, round(n.stats["value"], 3)) for n in snapshot.numbers if n.window == "90d"
    }
    assert found == {
        ("survey_nps", "recommend"): (30, 0.2),
        ("survey_csat", "docs"): (30, 0.4),
        ("survey_csat_score", "docs"): (30, 3.0),
        ("survey_response_rate", "platform"): (60, 0.5),
    }
