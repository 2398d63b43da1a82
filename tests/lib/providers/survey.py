"""The answers to a form, as the tool that asked exports them."""

from __future__ import annotations

from pathlib import Path

from names import PLANTED_MAIL, PLANTED_NAME
from replay import Sample

from collector.sources.survey import SurveyConfig

RECOMMEND = "How likely are you to recommend the platform?"
LINES = (
    f'Timestamp,Email Address,Your name,{RECOMMEND},"What, if anything, should change?"',
    f'2026/01/31 9:00:00 AM GMT+1,{PLANTED_MAIL},{PLANTED_NAME},9,"Less waiting.\nYours, {PLANTED_NAME}"',
    f"2026/02/02 2:30:00 PM GMT+1,bob@people.example,Bob,6,Ask {PLANTED_MAIL}",
    f"2026/02/03 8:00:00 AM GMT+1,cleo@people.example,Cleo,{PLANTED_NAME},",
)


def sample(folder: Path) -> Sample:
    """Two answers, one with free text over two lines, and one that is no score."""
    path = folder / "answers.csv"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    settings = {
        "name": "sample",
        "type": "survey",
        "path": path.name,
        "format": "english",
        "respondent": "Email Address",
        "waves": "quarter",
        "questions": {"recommend": {"column": RECOMMEND, "scale": "nps"}},
    }
    return Sample(SurveyConfig.model_validate(settings), path.unlink)
