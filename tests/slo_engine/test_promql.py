"""SLIs of PromQL: what they say parses, and what it evaluates to is the count of events."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo_engine import promql
from slo_engine.comparison import Operator
from slo_engine.promql import BooleanGauge, CounterRatio, Histogram, NativeHistogram, PromqlSli, TimeSlices

BAD_OF_TOTAL = CounterRatio(total_query='requests{job="a"}', bad_query='requests{code=~"5.."}')
GOOD_OF_TOTAL = CounterRatio(total_query="requests", good_query='requests{code="200"}')
AGGREGATED = CounterRatio(
    total_query="sum by (code) (rate(requests[$__window]))", bad_query="sum(rate(errors[$__window])) or vector(0)"
)
LATENCY = Histogram(metric="latency_seconds", matchers='job="a"', threshold=1)
SLOW = Histogram(metric="latency_seconds", threshold=0.25, operator=Operator.GT)
NATIVE = NativeHistogram(metric="latency_seconds", matchers='job="a"', threshold=0.25)
PROBE = BooleanGauge(selector='probe_success{job="login"}')
PLAIN = (BAD_OF_TOTAL, GOOD_OF_TOTAL, AGGREGATED, LATENCY, SLOW, NATIVE, PROBE)
KINDS: tuple[PromqlSli, ...] = (
    *PLAIN,
    *(TimeSlices(sli=sli, slice="1m", target=Decimal("0.95")) for sli in PLAIN),
    *(TimeSlices(sli=sli, slice="1m") for sli in PLAIN),
)


# ---- the text


@pytest.mark.parametrize("sli", KINDS, ids=repr)
@pytest.mark.parametrize("by", [(), ("cluster",), ("cluster", "route")], ids=len)
@pytest.mark.parametrize("window", ["5m", "1h"])
def test_whatever_an_sli_says_is_promql(sli: PromqlSli, by: tuple[str, ...], window: str) -> None:
    """Total and bad of every kind parse, alone and inside other expressions."""
    assert promql_parser.parse(sli.total(window, by))
    assert promql_parser.parse(sli.bad(window, by))


@pytest.mark.parametrize(
    ("sli", "total", "bad"),
    [
        (
            BAD_OF_TOTAL,
            'sum by (cluster) (rate(requests{job="a"}[5m]))',
            (
                '(sum by (cluster) (rate(requests{code=~"5.."}[5m]))) or '
                '(0 * (sum by (cluster) (rate(requests{job="a"}[5m]))))'
            ),
        ),
        (
            GOOD_OF_TOTAL,
            "sum by (cluster) (rate(requests[5m]))",
            (
                '(sum by (cluster) (rate(requests[5m]))) - ((sum by (cluster) (rate(requests{code="200"}[5m]))) or '
                "(0 * (sum by (cluster) (rate(requests[5m])))))"
            ),
        ),
        (
            LATENCY,
            'sum by (cluster) (rate(latency_seconds_count{job="a"}[5m]))',
            (
                '(sum by (cluster) (rate(latency_seconds_count{job="a"}[5m]))) - '
                '(sum by (cluster) (rate(latency_seconds_bucket{job="a", le=~"1|1[.]0"}[5m])))'
            ),
        ),
        (
            SLOW,
            "sum by (cluster) (rate(latency_seconds_count[5m]))",
            'sum by (cluster) (rate(latency_seconds_bucket{le="0.25"}[5m]))',
        ),
        (
            NATIVE,
            'histogram_count(sum by (cluster) (rate(latency_seconds{job="a"}[5m])))',
            (
                '((histogram_fraction(0.25, Inf, sum by (cluster) (rate(latency_seconds{job="a"}[5m])))) * '
                '((histogram_count(sum by (cluster) (rate(latency_seconds{job="a"}[5m])))) > 0)) or '
                '(0 * (histogram_count(sum by (cluster) (rate(latency_seconds{job="a"}[5m])))))'
            ),
        ),
        (
            PROBE,
            '(sum by (cluster) (count_over_time(probe_success{job="login"}[5m]))) / 300',
            (
                '(sum by (cluster) ((count_over_time(probe_success{job="login"}[5m])) - '
                '(sum_over_time(probe_success{job="login"}[5m])))) / 300'
            ),
        ),
    ],
    ids=["bad", "good", "histogram", "slow", "native", "boolean"],
)
def test_rates_come_before_sums_and_operands_stand_in_parentheses(sli: PromqlSli, total: str, bad: str) -> None:
    """The text of each kind, to the letter."""
    assert (sli.total("5m", ("cluster",)), sli.bad("5m", ("cluster",))) == (total, bad)


@pytest.mark.parametrize(
    ("threshold", "matcher"),
    [
        (1, 'le=~"1|1[.]0"'),
        (0.25, 'le="0.25"'),
        (2.5, 'le="2.5"'),
        (1e6, 'le=~"1000000|1000000[.]0|1e[+]06"'),
        (2.5e7, 'le=~"25000000|25000000[.]0|2[.]5e[+]07"'),
        (1e-5, 'le=~"0[.]00001|1e-05"'),
    ],
)
def test_a_bound_is_found_however_its_client_writes_it(threshold: float, matcher: str) -> None:
    """`le` is text: `1`, `1.0` and exponents are one bound, and nothing else is."""
    assert promql.bound(threshold) == matcher


@pytest.mark.parametrize(
    ("sli", "names"),
    [
        (BAD_OF_TOTAL, ("requests",)),
        (AGGREGATED, ("errors", "requests")),
        (LATENCY, ("latency_seconds_bucket", "latency_seconds_count")),
        (NATIVE, ("latency_seconds",)),
        (PROBE, ("probe_success",)),
        (TimeSlices(sli=PROBE, slice="1m"), ("probe_success",)),
        (BooleanGauge(selector='{__name__="up", job="a"}'), ("up",)),
        (BooleanGauge(selector='{job="a"}'), ()),
    ],
)
def test_an_sli_names_the_metrics_it_reads(sli: PromqlSli, names: tuple[str, ...]) -> None:
    """Every metric of every query, once; a selector without a name has none."""
    assert sli.metrics() == names


# ---- what people write


@pytest.mark.parametrize(
    "text", ["up", 'up{a="b"}', "sum(rate(a[$__window]))", "rate(a[$__window]) + rate(b[$__window])"]
)
def test_a_selector_or_an_expression_over_the_window_is_kept_as_it_is(text: str) -> None:
    """What is right is not changed."""
    assert promql.counter(text) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("up # all of them", "holds a comment"),
        ("(" * 300 + "up" + ")" * 300, "more than 200 pairs"),
        ("-" * 5000 + "up", "longer than 4000 characters"),
        ("1", "is no selector"),
        ("vector($__window)", "is no range here"),
        ("up offset $__window", "is no range here"),
        ("up[1h:$__window]", "is a range without a function"),
        ("irate(a[$__window])", "gives no events per second"),
        ("", "is no PromQL"),
    ],
)
def test_what_counts_no_events_is_refused(text: str, problem: str) -> None:
    """Each text that parses to something else is refused with its reason."""
    with pytest.raises(ValueError, match=problem):
        promql.counter(text)


def test_a_hash_inside_of_a_matcher_is_no_comment() -> None:
    """Only what stands outside of quotes comments out the rest."""
    assert promql.gauge("""up{a="#", b='\\'#', c=`#`}""")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("latency_seconds", ("latency_seconds", "")),
        ("latency_seconds{a=\"b\",c!~'d|e'}", ("latency_seconds", 'a="b", c!~"d|e"')),
        ('latency_seconds{a=~"x\\\\.y\\"z"}', ("latency_seconds", 'a=~"x\\\\.y\\"z"')),
    ],
)
def test_a_histogram_is_a_name_and_matchers(text: str, found: tuple[str, str]) -> None:
    """Matchers keep their meaning, quotes and backslashes too."""
    assert promql.histogram(text) == found


@pytest.mark.parametrize("text", ['{job="a"}', 'a{b="c" or d="e"}', "a_sum", 'a{le="1"}', "a offset 5m", "sum(a)"])
def test_what_is_no_histogram_is_refused(text: str) -> None:
    """Without a name, with alternatives, a part of a histogram, a bucket, another time, and an expression."""
    with pytest.raises(ValueError, match="; expected "):
        promql.histogram(text)


@given(text=st.text(alphabet="abc01{}[]()=~\"'$_#-+ ,:m\n", max_size=40))
def test_whatever_is_written_is_kept_or_refused(text: str) -> None:
    """No text ends in another error, and what is kept becomes PromQL."""
    try:
        kept = promql.counter(text)
    except ValueError as error:
        assert "; expected " in str(error)  # noqa: PT017 - the law has two sides
    else:
        assert promql_parser.parse(CounterRatio(total_query=kept, bad_query=kept).bad("5m"))


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("requests", ""),
        ("sum by (cluster, route) (rate(a[$__window]))", ""),
        ("sum without (code) (rate(a[$__window]))", ""),
        ("(sum by (route) (rate(a[$__window])))", "cluster"),
        ("sum without (cluster) (rate(a[$__window]))", "cluster"),
        ("sum(rate(a[$__window]))", "cluster"),
    ],
)
def test_a_label_to_group_by_that_is_summed_away_is_found(text: str, lost: str) -> None:
    """Groups need their label in what the author aggregated."""
    assert promql.loses(text, ("cluster",)) == lost


# ---- what it evaluates to


def _spread(values: str) -> str:
    """Values of every 15 s as promtool reads them every 5 s."""
    return " ".join(f"_ {value} _" for value in values.split())


@pytest.fixture
def evaluates(tmp_path: Path, requires_tool: Callable[[str], str]) -> Callable[..., None]:
    """Fails unless Prometheus' own code gives these values for these queries at a minute of some series.

    The series have a sample every 15 s, 5 s after the full minute: windows hold none at their edge.
    """
    promtool = requires_tool("promtool")

    def check(series: Mapping[str, str], minute: str, wanted: Mapping[str, Sequence[tuple[str, float]]]) -> None:
        test = {
            "interval": "5s",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": query,
                    "eval_time": minute,
                    "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
                }
                for query, samples in wanted.items()
            ],
        }
        (tmp_path / "test.yml").write_text(json.dumps({"rule_files": [], "tests": [test]}), encoding="utf-8")
        command = [promtool, "test", "rules", "test.yml"]
        done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    return check


def test_bad_events_are_zero_before_the_first_one(evaluates: Callable[..., None]) -> None:
    """No error series is no error, not nothing; labels of the group are kept."""
    series = {'requests{job="a",code="200",cluster="x"}': "0+5x120"}

    evaluates(
        series,
        "10m",
        {
            BAD_OF_TOTAL.total("5m", ("cluster",)): [('{cluster="x"}', 1)],
            BAD_OF_TOTAL.bad("5m", ("cluster",)): [('{cluster="x"}', 0)],
        },
    )


def test_good_of_total_and_bad_of_total_agree(evaluates: Callable[..., None]) -> None:
    """Three of four good is one of four bad, and a total outage is bad although there is no good series."""
    series = {
        'requests{job="a",code="200",cluster="x"}': "0+15x120",
        'requests{job="a",code="500",cluster="x"}': "0+5x120",
        'requests{job="a",code="500",cluster="down"}': "0+10x120",
    }
    bad = [('{cluster="x"}', 1.0), ('{cluster="down"}', 2.0)]

    evaluates(series, "10m", {GOOD_OF_TOTAL.bad("5m", ("cluster",)): bad, BAD_OF_TOTAL.bad("5m", ("cluster",)): bad})


def test_a_zero_filled_expression_of_an_author_keeps_its_parentheses(evaluates: Callable[..., None]) -> None:
    """`errors or vector(0)` as the bad side is 0 without errors, and never the total."""
    evaluates({'requests{code="200"}': "0+5x120"}, "10m", {AGGREGATED.bad("5m"): [("{}", 0)]})


def test_a_bucket_is_found_with_and_without_a_decimal_point(evaluates: Callable[..., None]) -> None:
    """`le="1"` of one instance and `le="1.0"` of another both count."""
    series = {
        'latency_seconds_bucket{job="a",le="1"}': "0+5x120",
        'latency_seconds_bucket{job="a",le="1.0",instance="b"}': "0+5x120",
        'latency_seconds_bucket{job="a",le="10"}': "0+20x120",
        'latency_seconds_count{job="a"}': "0+20x120",
    }

    evaluates(series, "10m", {LATENCY.total("5m"): [("{}", 4)], LATENCY.bad("5m"): [("{}", 2)]})


def test_a_threshold_without_a_bucket_gives_nothing(evaluates: Callable[..., None]) -> None:
    """Neither 0 nor 100 % is invented where the bucket does not exist."""
    series = {'latency_seconds_bucket{job="a",le="2"}': "0+5x120", 'latency_seconds_count{job="a"}': "0+5x120"}

    evaluates(series, "10m", {LATENCY.total("5m"): [("{}", 1)], LATENCY.bad("5m"): []})


def test_a_probe_that_is_silent_is_neither_up_nor_down(evaluates: Callable[..., None]) -> None:
    """Samples are the events: one of four is bad while it speaks, and there is none after an hour of silence."""
    series = {'probe_success{job="login"}': _spread("1 1 1 0 " * 10)}
    share = f"({PROBE.bad('5m')}) / ({PROBE.total('5m')})"

    evaluates(series, "10m", {share: [("{}", 0.25)]})
    evaluates(series, "60m", {PROBE.total("5m"): [], PROBE.bad("5m"): []})


def test_slices_are_bad_below_their_target_and_unknown_without_events(evaluates: Callable[..., None]) -> None:
    """Of five minutes one is below 95 %, one is just at it, and two have no probe: one of three is bad."""
    series = {
        'probe_success{job="login",n="0"}': _spread("1 1 1 1  1 1 1 1  1 1 1 1"),
        'probe_success{job="login",n="1"}': _spread("1 1 1 1  1 1 1 1  1 1 1 1"),
        'probe_success{job="login",n="2"}': _spread("1 1 1 1  1 1 1 1  1 1 1 1"),
        'probe_success{job="login",n="3"}': _spread("1 1 1 1  1 1 1 1  1 1 1 1"),
        'probe_success{job="login",n="4"}': _spread("1 1 1 1  1 1 1 0  1 1 0 0"),
    }
    sli = TimeSlices(sli=PROBE, slice="1m", target=Decimal("0.95"))

    evaluates(
        series,
        "5m",
        {
            f"({sli.total('5m')}) * 300": [("{}", 3)],
            f"({sli.bad('5m')}) * 300": [("{}", 1)],
            f"round(({TimeSlices(sli=PROBE, slice='1m').bad('5m')}) * 30000)": [("{}", 15)],
        },
    )


@pytest.mark.parametrize(
    "text", ["up offset 1e999", "up offset -1e+30", "up[1e999]", "up[5m:1e99]", "up offset inf", "up[NaN]"]
)
def test_a_number_that_the_parser_gives_up_on_is_a_mistake(text: str) -> None:
    """A time too large for the parser, which ends a process that does not look out for it, is a mistake in a file."""
    with pytest.raises(ValueError, match="expected"):
        promql.parsed(text)
