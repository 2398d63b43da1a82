"""The board of adoption and satisfaction: who uses the platform, comes back, and is content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dashboards import panels
from dashboards.cuts import EACH, Cut
from dashboards.making import Board, Making, board_link, datasource, team_variable, values_variable, window_variable
from dashboards.onboarding import UID as ONBOARDING
from dashboards.panels import Dashboard, Panel, Row
from dashboards.split_panels import interval, left_out, number, people_row, rows_of, table, trend

UID = "paceline-adoption"
ADOPTION = ("active_users", "active_users_retention", "capability_adoption")
SATISFACTION = ("survey_nps", "survey_csat", "survey_csat_score", "survey_response_rate")
INDICATORS = (*ADOPTION, *SATISFACTION)
_WAVE = (
    "Of the latest wave that has answers in the window; those that it had in the window before count too. Waves are "
    "neither mixed nor compared."
)
_PROMOTERS = "From -1, nobody would recommend it, to 1, everybody would."
_ONBOARDING = board_link(ONBOARDING, "Newcomers", "${team:queryparam}")


def board(making: Making) -> Dashboard | None:
    """The board of these indicators; None where none is declared."""
    declared, users = making.named(INDICATORS), making.named(ADOPTION)
    if not declared:
        return None
    return panels.board(
        UID,
        "Paceline: adoption and satisfaction",
        "Who uses the platform, comes back, and is content.",
        [
            datasource(),
            team_variable(declared, default="/"),
            *([values_variable("kind", "Capability", users)] if users else []),
            window_variable(declared, "90d"),
        ],
        (
            *rows_of(making, ADOPTION, _users_now),
            *rows_of(making, SATISFACTION, _answers_now),
            *rows_of(making, ADOPTION, _use, otherwise=False),
            *rows_of(making, SATISFACTION, _answers, otherwise=False),
            *people_row(declared),
        ),
        since="now-26w",
    )


def _users_now(cuts: Mapping[str, Cut]) -> Iterator[Row]:
    users, kept = cuts["active_users"], cuts["active_users_retention"]
    yield Row(
        title="Who uses the platform? $team, last $window",
        panels=(
            number("Active users", users, n=False, width=8),
            number("Of those active before, active again", kept, width=8, links=[_ONBOARDING]),
            interval("Active again: the share lies between", kept, width=8),
        ),
    )


def _answers_now(cuts: Mapping[str, Cut]) -> Iterator[Row]:
    promoters, answered = (cuts[name].of(kind=EACH) for name in ("survey_nps", "survey_response_rate"))
    promoters = replace(promoters, decimals=panels.HUNDREDTHS)
    yield Row(
        title="Are they content? $team, last $window",
        panels=(
            number("Net promoter score", promoters, words=f"{_PROMOTERS} {_WAVE}", width=8),
            interval("The score lies between", promoters, width=8),
            number("Of those invited, answered", answered, words=_WAVE, width=8),
            _by_question(cuts["survey_csat"], cuts["survey_csat_score"]),
        ),
    )


def _by_question(*cuts: Cut) -> Panel:
    satisfied, score = (replace(cut, titles={"kind": "Question"}).of(kind=EACH) for cut in cuts)
    return table(
        "Satisfied answers, by question",
        "Satisfied: 4 or 5 of 5, of the answers in the window; the mean is of the latest wave. Questions are not "
        "compared with each other, nor with those of a wave that asked otherwise.",
        (
            *satisfied.columns("Satisfied", "Answers (n)"),
            satisfied.used_column(),
            score.column("Mean, 1 to 5"),
            score.counted_column("In the wave (n)"),
        ),
        (satisfied, score),
    )


def _use(cuts: Mapping[str, Cut]) -> Iterator[Row]:
    users, kept, used = (replace(cuts[name], titles={"kind": "Capability"}).of(kind="$kind") for name in ADOPTION)
    used = used.of(kind="$kind", method=EACH)
    yield Row(
        title="What is used: $kind, $team, last $window",
        panels=(
            table(
                "People, by capability",
                "Who uses several counts once in each. Active again: of those active in the window before.",
                (users.column("Active users"), *kept.columns("Active again", "Active before (n)")),
                (users, kept),
                width=12,
            ),
            table(
                "Services or teams, by capability",
                "By method: whether services are counted, or teams.",
                (*used.columns("Use it", "Eligible (n)"), used.used_column()),
                (used,),
                width=12,
            ),
            trend("Active users, by capability", users, bounds=False),
            trend("Services or teams that use a capability", used, bounds=False),
            trend("Active again: over time", cuts["active_users_retention"]),
            trend("Active again, by capability", kept, bounds=False),
            trend("Active users: over time", cuts["active_users"], bounds=False),
            left_out("People left out, and why", {"People": cuts["active_users"]}),
        ),
    )


def _answers(cuts: Mapping[str, Cut]) -> Iterator[Row]:
    promoters, satisfied, answered = (
        cuts[name].of(kind=EACH) for name in ("survey_nps", "survey_csat", "survey_response_rate")
    )
    yield Row(
        title="Answers over time: $team",
        panels=(
            trend("Net promoter score: over time", promoters, from_zero=False),
            trend("Satisfied answers: over time", satisfied, bounds=False),
            trend("Of those invited, answered: over time", answered),
        ),
    )


BOARD = Board(UID, board, INDICATORS)
