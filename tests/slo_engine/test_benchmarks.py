"""The Quick Check score, DORA's tables by year, and mistakes in their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf, nan
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import ConfigError
from paceline import resources
from slo_engine.benchmark_files import load_benchmarks
from slo_engine.benchmarks import (
    FREQUENCY_BANDS,
    QUICK_CHECK,
    STABILITY,
    THROUGHPUT,
    TIME_BANDS,
    Benchmarks,
    Cell,
    quick_check,
    score,
)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
BAD = Path(__file__).parent / "bad" / "benchmarks"
YEARS = {b.year: b for b in map(load_benchmarks, resources.benchmarks())}

HOUR = 3600
DAY = 24 * HOUR
WEEK = 7 * DAY
MONTH = 30 * DAY
BEST = {
    "change_lead_time": 59 * 60,
    "deployment_frequency": 4,
    "failed_deployment_recovery_time": 60,
    "change_fail_rate": 0,
    "deployment_rework_rate": 0,
}

ratios = st.floats(min_value=0, max_value=1)
seconds = st.floats(min_value=0, max_value=1000 * DAY)
frequencies = st.floats(min_value=0, max_value=100, exclude_min=True)
any_values = st.fixed_dictionaries(
    {},
    optional={
        "change_lead_time": seconds,
        "deployment_frequency": frequencies,
        "failed_deployment_recovery_time": seconds,
        "change_fail_rate": ratios,
        "deployment_rework_rate": ratios,
    },
)


MEANS = {"overall": QUICK_CHECK, "throughput": THROUGHPUT, "stability": STABILITY}


def points_of(indicator: str, value: float) -> float:
    """The score of a value that has one."""
    found = score(indicator, value)
    assert found is not None
    return found


# ---- the traps


def test_the_tables_are_by_year_without_order() -> None:
    """2024 fail rate is 20 % for high and 10 % for medium; 2025 has no tiers → by year, no order, no single letter."""
    printed = {name: cell.words for name, cell in YEARS[2024].cells("change_fail_rate").items()}

    assert printed == {"elite": "5%", "high": "20%", "medium": "10%", "low": "40%"}
    assert YEARS[2024].tiers_of("change_fail_rate", 0.15) == ("high", "low")
    assert YEARS[2025].tiers == ()
    assert YEARS[2025].tiers_of("change_fail_rate", 0.15) == ()


def test_the_quick_check_scores_as_dora_tests_it() -> None:
    """Quick Check: best band → 10, fail rate 50 % → 5; the published 2025 means average 6.72."""
    industry = YEARS[2025].industry

    assert set(quick_check(BEST).scores.values()) == {10}
    assert score("change_fail_rate", 0.5) == 5
    assert industry is not None
    assert industry.overall == pytest.approx(6.72)


# ---- the score


@pytest.mark.parametrize("indicator", ["change_lead_time", "failed_deployment_recovery_time"])
@pytest.mark.parametrize(
    ("value", "points"),
    [
        (0, 10),
        (HOUR - 1, 10),
        (HOUR, 8),
        (DAY - 1, 8),
        (DAY, 6),
        (WEEK, 6),
        (WEEK + 1, 4),
        (MONTH, 4),
        (MONTH + 1, 2),
        (6 * MONTH, 2),
        (6 * MONTH + 1, 0),
        (3650 * DAY, 0),
    ],
)
def test_a_time_has_the_score_of_its_band(indicator: str, value: float, points: float) -> None:
    """Six bands of time give 10 to 0; "less than" excludes its bound, any other bound has the better band."""
    assert score(indicator, value) == points


@pytest.mark.parametrize(
    ("deployments", "days", "points"),
    [
        (112, 28, 10),
        (56, 28, 10),
        (55, 28, 8),
        (28, 28, 8),
        (27, 28, 6),
        (4, 28, 6),
        (3, 28, 4),
        (1, 28, 4),
        (3, 90, 4),
        (1, 90, 2),
        (2, 360, 2),
        (1, 181, 0),
    ],
)
def test_a_frequency_has_the_score_of_its_band(deployments: int, days: int, points: float) -> None:
    """On demand is two deployments a day or more; four in 28 days are one a week, to the letter."""
    assert score("deployment_frequency", deployments / days) == points


@pytest.mark.parametrize("indicator", STABILITY)
@pytest.mark.parametrize(("ratio", "points"), [(0, 10), (0.19, 8.1), (0.22, 7.8), (1, 0)])
def test_a_ratio_has_a_continuous_score(indicator: str, ratio: float, points: float) -> None:
    """A fail or rework rate of p % scores 10 - p/10."""
    assert score(indicator, ratio) == pytest.approx(points)


@pytest.mark.parametrize(("indicator", "value"), [("change_lead_time", None), ("deployment_frequency", 0)])
def test_no_value_has_no_score(indicator: str, value: float | None) -> None:
    """What was not measured, and the frequency of an empty window, has no score rather than 0."""
    assert score(indicator, value) is None


def test_nothing_known_has_no_means() -> None:
    """Without any value there is no throughput, no stability and no overall score."""
    found = quick_check(dict.fromkeys(QUICK_CHECK))

    assert (found.scores, found.throughput, found.stability, found.overall) == ({}, None, None, None)


def test_means_are_over_what_is_available() -> None:
    """Without recovery and rework, throughput is of two scores, stability of one and overall of three."""
    found = quick_check({"change_lead_time": 2 * DAY, "deployment_frequency": 1, "change_fail_rate": 0.1})

    assert (found.throughput, found.stability) == (7, 9)
    assert found.overall == pytest.approx(23 / 3)


@pytest.mark.parametrize("value", [-1, nan, inf, -inf])
@pytest.mark.parametrize("indicator", QUICK_CHECK)
def test_an_impossible_value_is_refused(indicator: str, value: float) -> None:
    """A negative, endless or undefined value is a defect upstream, not a score."""
    with pytest.raises(ValueError, match=f"^{indicator}: .* is impossible; expected a "):
        score(indicator, value)


def test_a_percentage_is_refused() -> None:
    """A fail rate of 15 instead of 0.15 is refused rather than scored below 0."""
    with pytest.raises(ValueError, match=r"^change_fail_rate: 15 is impossible; expected a ratio from 0 to 1$"):
        quick_check({"change_fail_rate": 15})


def test_an_indicator_without_a_score_is_named() -> None:
    """Asking for the score of something else says which indicators have one."""
    with pytest.raises(
        ValueError, match="'survey_nps' has no score; expected one of change_lead_time, deployment_freq"
    ):
        quick_check({"survey_nps": None})


@given(any_values)
def test_every_score_is_between_0_and_10(values: dict[str, float]) -> None:
    """No value scores below 0 or above 10, and neither does a mean."""
    found = quick_check(values)
    means = [m for m in (found.throughput, found.stability, found.overall) if m is not None]

    assert all(0 <= points <= 10 for points in (*found.scores.values(), *means))


@pytest.mark.parametrize(("mean", "names"), MEANS.items())
@given(values=any_values)
def test_a_mean_is_that_of_what_is_available(mean: str, names: tuple[str, ...], values: dict[str, float]) -> None:
    """Overall, throughput and stability are the means of the scores of their indicators that have one."""
    points = [points_of(name, values[name]) for name in names if name in values]

    assert getattr(quick_check(values), mean) == (pytest.approx(fmean(points)) if points else None)


@pytest.mark.parametrize("indicator", ["change_lead_time", "failed_deployment_recovery_time"])
@given(a=seconds, b=seconds)
def test_a_longer_time_never_scores_better(indicator: str, a: float, b: float) -> None:
    """The score falls with the time."""
    assert points_of(indicator, min(a, b)) >= points_of(indicator, max(a, b))


@given(a=frequencies, b=frequencies)
def test_more_deployments_never_score_worse(a: float, b: float) -> None:
    """The score rises with the frequency."""
    assert points_of("deployment_frequency", min(a, b)) <= points_of("deployment_frequency", max(a, b))


@pytest.mark.parametrize("indicator", STABILITY)
@given(a=ratios, b=ratios)
def test_more_failures_never_score_better(indicator: str, a: float, b: float) -> None:
    """The score falls with the ratio."""
    assert points_of(indicator, min(a, b)) >= points_of(indicator, max(a, b))


@pytest.mark.parametrize("bands", [TIME_BANDS, FREQUENCY_BANDS], ids=["time", "frequency"])
def test_the_six_bands_score_in_steps_of_two(bands: tuple[tuple[float, Cell], ...]) -> None:
    """Six ordinal options are spread evenly over 0 to 10."""
    assert [points for points, _ in bands] == [10, 8, 6, 4, 2, 0]


# ---- the published tables


def test_the_years_are_shipped_with_their_tiers() -> None:
    """2022 found three clusters, 2025 none; the others four."""
    four = ["elite", "high", "medium", "low"]

    assert {year: [t.name for t in b.tiers] for year, b in YEARS.items()} == {
        2021: four,
        2022: ["high", "medium", "low"],
        2023: four,
        2024: four,
        2025: [],
    }


def test_a_file_is_named_like_its_year() -> None:
    """`dora-2024.yaml` holds 2024."""
    assert [p.name for p in resources.benchmarks()] == [f"dora-{year}.yaml" for year in YEARS]


@pytest.mark.parametrize(
    ("year", "indicator", "value", "tiers"),
    [
        (2021, "change_lead_time", HOUR - 1, ("elite",)),
        (2021, "change_lead_time", 2 * HOUR, ()),
        (2021, "incident_time_to_restore", 60, ("elite", "high")),
        (2021, "failed_deployment_recovery_time", 60, ()),
        (2021, "change_fail_rate", 0.2, ("high", "medium", "low")),
        (2021, "change_fail_rate", 0.155, ("high", "medium", "low")),
        (2021, "change_fail_rate", 3 / 20, ("elite",)),
        (2021, "deployment_frequency", 1 / 181, ("low",)),
        (2022, "deployment_frequency", 2, ("high",)),
        (2022, "change_fail_rate", 0.4, ()),
        (2022, "change_fail_rate", 0.6, ("low",)),
        (2023, "change_lead_time", 10 * DAY, ("medium", "low")),
        (2023, "change_fail_rate", 0.5, ("low",)),
        (2024, "deployment_frequency", 4 / 28, ("high", "medium")),
        (2024, "deployment_frequency", 1.5, ()),
        (2024, "failed_deployment_recovery_time", 2 * HOUR, ("high", "medium")),
        (2024, "change_fail_rate", 0.05, ("elite", "high", "medium", "low")),
        (2024, "change_fail_rate", 0.41, ()),
        (2024, "deployment_rework_rate", 0.05, ()),
        (2024, "change_fail_rate", None, ()),
    ],
)
def test_a_value_is_in_the_tiers_whose_words_hold(
    year: int, indicator: str, value: float | None, tiers: tuple[str, ...]
) -> None:
    """A value is in none, one or several tiers of a year: between two cells in neither, on a shared bound in both."""
    assert YEARS[year].tiers_of(indicator, value) == tiers


def test_the_means_of_2025_are_the_published_ones() -> None:
    """Lead time 5.5, frequency 4.8, recovery 7.4, fail 8.1, rework 7.8, and their means."""
    industry = YEARS[2025].industry

    assert industry is not None
    assert dict(industry.scores) == dict(zip(QUICK_CHECK, (5.5, 4.8, 7.4, 8.1, 7.8), strict=True))
    assert industry.throughput == pytest.approx(5.9)
    assert industry.stability == pytest.approx(7.95)


def test_the_industry_has_a_mean_for_each_kind_of_score() -> None:
    """Five indicators and the means of throughput, stability and all: 6.72 is what DORA's own tests expect."""
    industry = YEARS[2025].industry

    assert industry is not None
    assert list(industry.by_kind) == [*QUICK_CHECK, "throughput", "stability", "overall"]
    assert industry.by_kind["overall"] == pytest.approx(6.72)


def test_a_mean_of_nothing_is_of_no_kind() -> None:
    """With a lead time alone there is no stability: absent, not 0."""
    assert quick_check({"change_lead_time": 60.0}).by_kind == {
        "change_lead_time": 10.0,
        "throughput": 10.0,
        "overall": 10.0,
    }


def test_a_year_without_means_has_no_industry() -> None:
    """Tiers are no scores: 2024 has none."""
    assert YEARS[2024].industry is None


def _rows(table: Benchmarks) -> Iterator[str]:
    """What a year prints, as a table of the page."""
    cells = {tier.name: tier.cells for tier in table.tiers} or {
        "industry mean": {name: Cell(words=f"{points:g}") for name, points in table.mean_scores.items()}
    }
    indicators = list(dict.fromkeys(name for row in cells.values() for name in row))
    yield f"### {table.year}"
    yield ""
    yield f"[{table.source.title}]({table.source.url}), {table.source.publisher} ({table.source.section})"
    yield ""
    yield f"| | {' | '.join(f'`{name}`' for name in indicators)} |"
    yield f"|---|{'---|' * len(indicators)}"
    yield from (f"| {tier} | {' | '.join(row[name].words for name in indicators)} |" for tier, row in cells.items())
    yield ""


def test_the_page_shows_what_the_files_say(golden: Callable[[Path, str], None]) -> None:
    """The tables of the page are those of the files, with their sources."""
    begin, end = "<!-- tables -->\n", "<!-- /tables -->\n"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    tables = "\n".join(line for table in YEARS.values() for line in _rows(table))

    golden(PAGE, f"{before}{begin}{tables}\n{end}{rest.partition(end)[2]}")


# ---- mistakes in a file


@pytest.mark.parametrize("path", sorted(BAD.glob("*.bad.yaml")), ids=lambda path: path.name.split(".")[0])
def test_a_mistake_in_a_table_is_answered_with_its_line(path: Path) -> None:
    """A bad file gives exactly the sentences in its first lines: one for each mistake, no other."""
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]

    with pytest.raises(ConfigError) as caught:
        load_benchmarks(path)

    assert str(caught.value).replace(f"{path.parent}/", "").splitlines() == expected


def test_there_is_a_bad_file_for_each_kind_of_mistake_in_a_table() -> None:
    """The folder of mistakes is not empty, so that the test above cannot pass by reading nothing."""
    assert len(list(BAD.glob("*.bad.yaml"))) >= 15
