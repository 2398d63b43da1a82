"""Imports: what other formats say arrives in OpenSLO v1, what has no place is noted, and the rest is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.document import Document, dump
from collector.errors import ConfigError
from slo_engine.importers import Imported, import_file, pyrra, sloth
from slo_engine.importers.queries import events, quotient, same_unit, selector, written
from slo_engine.indicator import indicators
from slo_engine.openslo import load_slos
from slo_engine.promql import BooleanGauge, CounterRatio, Histogram, NativeHistogram
from slo_engine.slo import Operator

HERE = Path(__file__).parent
GOOD = sorted(p for p in (HERE / "importers").glob("*.yaml"))
BAD = sorted((HERE / "bad" / "importers").glob("*.bad.yaml"))
Golden = Callable[[Path, str], None]


def told(path: Path) -> list[str]:
    """What is said about a bad file, without its folder."""
    with pytest.raises(ConfigError) as caught:
        import_file(path)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


def as_text(imported: Imported, folder: Path) -> str:
    """The documents, and the notes as comments before them."""
    notes = "".join(f"# {note}\n".replace(f"{folder}/", "") for note in imported.notes)
    return notes + dump(imported.documents)


def slo_of_sloth(**slo: Any) -> dict[str, Any]:
    """A file of Sloth with one SLO, to be changed by a test."""
    queries = {"error_query": "sum(rate(e_total[{{.window}}]))", "total_query": "sum(rate(r_total[{{.window}}]))"}
    one = {"name": "availability", "objective": 99.9, "sli": {"events": queries}} | slo
    return {"version": "prometheus/v1", "service": "checkout", "slos": [one]}


def slo_of_pyrra(**spec: Any) -> dict[str, Any]:
    """An object of Pyrra, to be changed by a test."""
    one = {"target": "99.9", "window": "4w", "indicator": {"bool_gauge": {"metric": "up"}}} | spec
    return {
        "apiVersion": "pyrra.dev/v1alpha1",
        "kind": "ServiceLevelObjective",
        "metadata": {"name": "api"},
        "spec": one,
    }


def document(value: Any) -> Document:
    """A document without a file."""
    return Document("slo.yaml", value, {})


def spec_of(imported: Imported) -> dict[str, Any]:
    """The specification of the only document."""
    [one] = imported.documents
    found: dict[str, Any] = one["spec"]
    return found


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_file_of_each_format_becomes_openslo_v1(path: Path, golden: Golden) -> None:
    """What each format says stands in the golden file, and above it in words what it could not carry over."""
    imported = import_file(path)

    golden(HERE / "golden" / "importers" / path.name, as_text(imported, path.parent))


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_what_is_imported_is_read_without_a_mistake(path: Path, tmp_path: Path) -> None:
    """Paceline's own loader takes every imported file as it is."""
    imported = import_file(path)
    written_to = tmp_path / path.name
    written_to.write_text(dump(imported.documents), encoding="utf-8")

    assert len(load_slos(written_to, indicators())) >= 1


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name.split(".")[0])
def test_every_mistake_is_answered_with_line_path_and_what_to_write(path: Path) -> None:
    """A bad file gives exactly the sentences in its first lines: one for each mistake, no other."""
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]

    assert told(path) == expected


def test_there_is_a_bad_file_for_each_kind_of_mistake() -> None:
    """The folder of mistakes is not empty, so that the test above cannot pass by reading nothing."""
    assert len(BAD) >= 35


# ---- what arrives


def test_what_sloth_counts_is_what_prometheus_counts(tmp_path: Path) -> None:
    """The bad events of an imported SLO are the author's own query over the window, zero-filled from the total."""
    path = tmp_path / "slo.yaml"
    path.write_text(dump(import_file(HERE / "importers" / "sloth-object.yaml").documents), encoding="utf-8")

    [slo] = load_slos(path, indicators())

    assert slo.sli == CounterRatio(
        total_query="sum(rate(logins_total[$__window]))",
        bad_query='sum(rate(logins_total{result="error"}[$__window]))',
    )


def test_each_indicator_of_pyrra_becomes_its_own_kind(tmp_path: Path) -> None:
    """Ratio, latency by a bucket, latency by two counters, native histogram and gauge stay what they were."""
    path = tmp_path / "slo.yaml"
    path.write_text(dump(import_file(HERE / "importers" / "pyrra.yaml").documents), encoding="utf-8")

    found = {slo.name: slo.sli for slo in load_slos(path, indicators())}

    assert found == {
        "api-errors": CounterRatio(
            bad_query='http_requests_total{job="api",code=~"5.."}', total_query='http_requests_total{job="api"}'
        ),
        "api-latency": Histogram(
            metric="http_request_duration_seconds", matchers='code!~"5..", job="api"', threshold=0.5
        ),
        "api-latency-of-good-answers": CounterRatio(
            good_query='http_request_duration_seconds_bucket{code!~"5..",job="api",le=~"1|1[.]0"}',
            total_query='http_request_duration_seconds_count{job="api"}',
        ),
        "rpc-latency": NativeHistogram(
            metric="rpc_duration_seconds", matchers='job="rpc"', threshold=1.2, operator=Operator.LTE
        ),
        "probes": BooleanGauge(selector='probe_success{job="blackbox"}'),
    }


def test_grouping_arrives(tmp_path: Path) -> None:
    """An SLO per route and method stays one."""
    path = tmp_path / "slo.yaml"
    path.write_text(dump(import_file(HERE / "importers" / "pyrra.yaml").documents), encoding="utf-8")

    found = {slo.name: slo.group_by for slo in load_slos(path, indicators())}

    assert found["api-errors"] == ("route", "method")


@given(st.decimals(min_value="1.1", max_value="99.9999999", places=7))
def test_per_cent_become_ratios_exactly(percent: Decimal) -> None:
    """A target in per cent is a hundred times its ratio, whatever its digits: no float stands between them."""
    [one] = pyrra.convert(document(slo_of_pyrra(target=str(percent)))).documents

    assert one["spec"]["objectives"][0]["target"] * 100 == percent


@pytest.mark.parametrize(
    ("window", "duration"),
    [("4w", "4w"), ("30d", "30d"), ("720h", "30d"), ("1w3d", "10d"), ("1y", "365d"), ("36h", "36h"), ("1440m", "1d")],
)
def test_a_window_of_prometheus_keeps_its_length(window: str, duration: str) -> None:
    """`m` is a minute, a year has 365 days, and units that are written together are added."""
    found = pyrra.convert(document(slo_of_pyrra(window=window)))

    assert spec_of(found)["timeWindow"] == [{"duration": duration, "isRolling": True}]


def test_the_period_of_sloth_is_said_by_whoever_imports(tmp_path: Path) -> None:
    """Sloth is told its window outside its files, and so is the import."""
    path = tmp_path / "slo.yaml"
    path.write_text(json.dumps(slo_of_sloth()), encoding="utf-8")

    assert spec_of(import_file(path, period="28d"))["timeWindow"] == [{"duration": "28d", "isRolling": True}]


def test_a_secret_of_a_data_source_is_not_copied() -> None:
    """Details of a connection stay where they are; that they were left out is noted without their text."""
    imported = import_file(HERE / "importers" / "openslo-v2alpha.yaml")

    assert "hidden" not in as_text(imported, HERE)


def test_an_address_of_a_person_is_not_copied() -> None:
    """A label that holds somebody's address is left out, and the note does not repeat it."""
    imported = import_file(HERE / "importers" / "sloth.yaml")

    assert "ada@" not in as_text(imported, HERE)


def test_disabled_pages_make_an_slo_that_never_pages() -> None:
    """`page_alert: disable` becomes the class of alerts that has tickets only."""
    imported = sloth.convert(document(slo_of_sloth(alerting={"page_alert": {"disable": True}})))

    assert imported.documents[0]["metadata"]["annotations"] == {"paceline.dev/alert-class": "count"}


def test_every_mistake_of_every_document_is_told_at_once() -> None:
    """One round of editing mends a file of several documents."""
    assert len(told(HERE / "bad" / "importers" / "v2alpha-sli.bad.yaml")) == 6


# ---- queries


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("sum(rate(a[{{.window}}]))", "sum(rate(a[$__window]))"),
        ("sum(rate(a[{{- .window -}}]))", "sum(rate(a[$__window]))"),
        ("sum(increase(a[{{.window}}])) or vector(0)", "sum(rate(a[$__window])) or vector(0)"),
        ("2 * sum(increase(a[{{.window}}]))", "2 * sum(rate(a[$__window]))"),
        ("sum(increase(a[{{.window}}])) / 2", "sum(rate(a[$__window])) / 2"),
        ("-sum(increase(a[{{.window}}]))", "-sum(rate(a[$__window]))"),
        ("clamp_min(increase(a[{{.window}}]), 0)", "clamp_min(rate(a[$__window]), 0)"),
        ('sum(increase(a{q="increase(x)"}[{{.window}}]))', 'sum(rate(a{q="increase(x)"}[$__window]))'),
        ("sum(a)", "a"),
        ("(sum((a)))", "a"),
        ("a # all of them", "a"),
        ('a{path="/#/{{id}}"}', 'a{path="/#/{{id}}"}'),
    ],
)
def test_queries_count_events_per_second(query: str, text: str) -> None:
    """Windows, increases and sums of counters become what Paceline reads; strings stay as they are."""
    assert events(query).text == text


@pytest.mark.parametrize(
    "query",
    [
        "sum(increase(a[{{.window}}])) * sum(increase(b[{{.window}}]))",
        "sum(increase(a[{{.window}}])) + sum(b)",
        "count(increase(a[{{.window}}]))",
        "2 / sum(increase(a[{{.window}}]))",
        "clamp_min(increase(a[{{.window}}]), 1)",
        "abs(increase(a[{{.window}}]))",
    ],
)
def test_an_increase_that_is_more_than_scaled_is_refused(query: str) -> None:
    """Where the result does not grow with the window alone, a rate in its place would mean something else."""
    with pytest.raises(ValueError, match="used with other numbers"):
        events(query)


@pytest.mark.parametrize(
    ("query", "by"),
    [
        ("sum by (a, b) (rate(x[{{.window}}]))", ("a", "b")),
        ("sum by (a) (rate(x[{{.window}}])) or vector(0)", ("a",)),
        ("vector(0) or sum by (a) (rate(x[{{.window}}]))", ("a",)),
        ("sum(rate(x[{{.window}}]))", ()),
        ("sum without (a) (rate(x[{{.window}}]))", None),
        ("rate(x[{{.window}}])", None),
    ],
)
def test_the_groups_of_a_query_are_those_it_names(query: str, by: tuple[str, ...] | None) -> None:
    """Labels are known where the query says `by`, and nowhere else."""
    assert events(query).by == by


def test_one_series_per_label_is_noted_where_no_label_is_named(tmp_path: Path) -> None:
    """A query that keeps series apart without naming labels is summed, and a note says how to keep them apart."""
    rates = {"error_query": "rate(e_total[{{.window}}])", "total_query": "rate(r_total[{{.window}}])"}

    imported = sloth.convert(document(slo_of_sloth(sli={"events": rates})))

    assert "summed over all series" in str(imported.notes)


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        ("sum(e) / sum(t)", ("sum(e)", "sum(t)", False)),
        ("(sum(e)) / (sum(t))", ("(sum(e))", "(sum(t))", False)),
        ("1 - (sum(g) / sum(t))", ("sum(g)", "sum(t)", True)),
        ("1 - sum(rate(g[{{.window}}])) / sum(t)", ("sum(rate(g[$__window]))", "sum(t)", True)),
    ],
)
def test_a_quotient_is_taken_apart(query: str, parts: tuple[str, str, bool]) -> None:
    """What stands above and below the line, and whether it is the share of the good that is taken from one."""
    assert quotient(query) == parts


@pytest.mark.parametrize("query", ["2 - a / b", "a / on (x) b", "a", "1 - a"])
def test_what_is_no_quotient_stays_whole(query: str) -> None:
    """A ratio without its two counts is refused."""
    with pytest.raises(ValueError, match="no quotient"):
        quotient(query)


def test_a_rate_and_an_increase_have_no_ratio() -> None:
    """One query per second beside one per window is a mistake of the author's, not to be imported."""
    part, total = events("sum(increase(a[{{.window}}]))"), events("sum(rate(b[{{.window}}]))")

    assert not same_unit(part, total)


@given(
    st.lists(
        st.tuples(st.from_regex("[a-z]{1,5}", fullmatch=True), st.sampled_from(["=", "!="]), st.text(max_size=8)),
        max_size=3,
    )
)
def test_a_selector_is_written_as_it_was_read(matchers: list[tuple[str, str, str]]) -> None:
    """Matchers survive quotes, backslashes and line breaks in their values."""
    kept = tuple(m for m in matchers if "\x00" not in m[2])

    found = selector(written("up", kept))

    assert (found.name, found.matchers) == ("up", kept)
