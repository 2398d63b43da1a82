"""Every published metric once: name, type, help, labels. Exposition, rules, dashboards and docs derive from it.

Names and labels follow the Prometheus conventions: base units, ratios 0 to 1, nobody's name in a label.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from slo_engine.indicator import Indicator, Shape, Unit

ALLOWED_LABELS = frozenset(
    (
        *("service", "team", "environment", "journey", "queue", "slo", "window", "source"),
        *("outcome", "kind", "method", "stat", "status", "stage", "reason", "metric", "part"),
    )
)
"""The labels a metric may have. `_info` metrics may have more: they carry versions and owners, never numbers."""

SUBJECT_LABELS = ("service", "environment", "team")

SERIES_LABELS = ("journey", "queue", "kind", "method", "stage", "source")
"""Labels of indicators that tell the series of an SLO apart, beside those of its subject."""

QUANTILES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95}
"""The statistics of a duration; `low` and `high` are the 95 % interval of the median."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric family as it is published."""

    name: str
    type: Literal["gauge", "counter"]
    help: str
    labels: tuple[str, ...] = ()
    of_process: bool = False
    """Whether a counter begins at 0 with each start, as counters usually do; others are kept in the store."""


def _gauge(name: str, labels: str, text: str) -> Metric:
    return Metric(name=name, type="gauge", help=text, labels=tuple(labels.split()))


def _counter(name: str, labels: str, text: str) -> Metric:
    return Metric(name=name, type="counter", help=text, labels=tuple(labels.split()))


SLO_INFO = _gauge(
    "platform_slo_info",
    "slo service team tier owner kind unit",
    "What an SLO is about, and what its events are called; always 1.",
)
SLO_OBJECTIVE = _gauge(
    "platform_slo_objective_ratio", "slo", "Target of the SLO: the share of events that must be good."
)
SLO_PERIOD = _gauge("platform_slo_period_seconds", "slo", "Length of the window in which the SLO holds.")
SLO_EVENTS = _gauge(
    "platform_slo_events",
    "slo window outcome",
    "Final good and bad events of the SLO in the window, counted exactly.",
)
SLO_EXCLUDED = _gauge(
    "platform_slo_excluded_events",
    "slo window outcome",
    "Good and bad events of the SLO in the window that exclusions leave out; absent where no exclusion concerns it.",
)
SLO_SLA_OBJECTIVE = _gauge(
    "platform_slo_sla_objective_ratio", "slo", "Share of events that was promised to others; absent where none was."
)
SLO_SLA_BUDGET_RATIO = _gauge(
    "platform_slo_sla_error_budget_remaining_ratio",
    "slo",
    "Share left of what the promise to others allows in the SLO's window; negative when overspent.",
)
SLI_EVENTS = _counter(
    "platform_sli_events_total", "slo outcome", "Final good and bad events of the SLO since the beginning."
)
SLO_ATTAINMENT = _gauge(
    "platform_slo_attainment_ratio", "slo window", "Good events over all final events in the SLO's window."
)
SLO_BUDGET_RATIO = _gauge(
    "platform_slo_error_budget_remaining_ratio",
    "slo",
    "Error budget left in the SLO's window: 1 - bad / ((1 - target) * total); negative when overspent.",
)
SLO_BUDGET_EVENTS = _gauge(
    "platform_slo_error_budget_remaining_events",
    "slo",
    "Bad events that the SLO's window still allows; negative when overspent.",
)
SLO_BURN_RATE = _gauge(
    "platform_slo_burn_rate",
    "slo window",
    "Error ratio in the window over the allowed one; at 1 the budget lasts exactly as long as the SLO's window.",
)
SLO_BUDGET_SPENT = _gauge(
    "platform_slo_budget_spent_ratio",
    " ".join(("slo", *SUBJECT_LABELS, *SERIES_LABELS)),
    "Share of the SLO's error budget that the bad events of one series spent in the SLO's window: bad / ((1 - target) "
    "* total), of the five that spent most. Levels of teams are not listed beside their services; absent for "
    "indicators about people, and for slices of time that several series share.",
)
SLO_BURN_THRESHOLD = _gauge(
    "platform_slo_burn_rate_threshold",
    "slo window kind",
    "Burn rate above which a tier alerts, by its long window: a page or a ticket. Absent for SLOs that have no alerts "
    "on burn rates, and for tiers that can never fire.",
)
SLO_EXHAUSTION = _gauge(
    "platform_slo_time_to_exhaustion_seconds",
    "slo",
    "Time until the budget is used up at the burn rate of the last 3 days; absent when nothing burns.",
)
SLO_STATUS = _gauge(
    "platform_slo_status",
    "slo status",
    "1 for the SLO's status: healthy, at_risk, exhausted or insufficient_data; else 0.",
)
SLO_COVERAGE = _gauge(
    "platform_slo_coverage_ratio", "slo", "Share of the SLO's window in which its events were observed."
)
SLO_DATA_TIMESTAMP = _gauge(
    "platform_slo_data_timestamp_seconds",
    "slo",
    "When the source that is furthest behind, of those that the SLO's events come from, was last collected without an "
    "error; of a composite the oldest of its parts. Absent where that is unknown.",
)
SLO_EXCLUSION_ACTIVE = _gauge(
    "platform_slo_exclusion_active",
    "slo",
    "1 while an exclusion leaves out what happens now, else 0; absent where no exclusion concerns the SLO.",
)
SLO_PART_WEIGHT = _gauge(
    "platform_slo_part_weight", "slo part", "How much an SLO weighs as a part of a composite one; absent for others."
)
SLO_MINIMUM_EVENTS = _gauge(
    "platform_slo_minimum_events", "slo", "Events below which nothing is concluded from the SLO's window."
)
SLO_MINIMUM_COVERAGE = _gauge(
    "platform_slo_minimum_coverage_ratio", "slo", "Covered share of the SLO's window below which nothing is concluded."
)

COLLECTOR_LAST_SUCCESS = _gauge(
    "platform_collector_last_success_timestamp_seconds",
    "source",
    "When the source was last collected without an error.",
)
COLLECTOR_LAST_RUN = _gauge(
    "platform_collector_last_run_timestamp_seconds", "source", "When the last run of the source ended."
)
COLLECTOR_DURATION = _gauge(
    "platform_collector_last_run_duration_seconds", "source", "How long the last run of the source took."
)
COLLECTOR_SUCCESS = _gauge(
    "platform_collector_last_run_success", "source", "1 where the last run of the source succeeded, else 0."
)
COLLECTOR_EVENTS = _counter(
    "platform_collector_events_total", "source", "Events that the source reported, repetitions included."
)
COLLECTOR_REJECTED = _counter(
    "platform_collector_rejected_records_total", "source", "Records of the source that were set aside."
)
COLLECTOR_FAILURE = _gauge(
    "platform_collector_last_run_failure",
    "source kind",
    "1 for why the last run of the source failed: credentials, unavailable, contract, refused, configuration, store "
    "or defect; absent where it succeeded.",
)
COLLECTOR_TRUNCATIONS = _counter(
    "platform_collector_truncations_total",
    "source",
    "Lists that the source's system cut off, or parts of it that it refused: what is missing there is unknown.",
)
COLLECTOR_REMOVED = _counter(
    "platform_collector_removed_events_total", "source", "Events that were found deleted at the source."
)
COLLECTOR_REQUESTS = _counter(
    "platform_collector_api_requests_total", "source", "Requests that collecting from the source took."
)
COLLECTOR_QUOTA = _gauge(
    "platform_collector_api_quota_remaining",
    "source kind",
    "Requests that the source's system still allows, at the last run, by the name of its limit.",
)
COLLECTOR_QUOTA_LIMIT = _gauge(
    "platform_collector_api_quota_limit", "source kind", "Requests that the source's system allows in all."
)
COLLECTOR_NEWEST = _gauge(
    "platform_collector_newest_event_timestamp_seconds",
    "source",
    "When the newest event of the source happened.",
)
SOURCE_STALENESS = _gauge(
    "platform_source_staleness_seconds",
    "source",
    "Time since the last success of the source, when the snapshot was made.",
)
SOURCE_FRESH = _gauge(
    "platform_source_fresh",
    "source",
    "1 where the source succeeded recently enough for its numbers to be shown, else 0.",
)
SOURCE_INFO = _gauge("platform_source_info", "source type", "Of which type a source is; always 1.")
SNAPSHOT_TIMESTAMP = _gauge("platform_snapshot_timestamp_seconds", "", "When the published numbers were computed.")
SNAPSHOT_DURATION = _gauge("platform_snapshot_duration_seconds", "", "How long computing the published numbers took.")
PUSH_FAILURES = Metric(
    name="platform_telemetry_push_failures_total",
    type="counter",
    help="Times that a receiver did not take all metrics that were sent to it, over OTLP or by remote write, since "
    "the start of the process.",
    labels=("kind",),
    of_process=True,
)
PUSH_SUCCESS = _gauge(
    "platform_telemetry_last_push_success",
    "kind",
    "1 where a receiver took all metrics the last time they were sent, over OTLP or by remote write, else 0.",
)
PUSH_TIMESTAMP = _gauge(
    "platform_telemetry_last_push_timestamp_seconds",
    "kind",
    "When a receiver last took all metrics, over OTLP or by remote write; absent before the first time.",
)
EXPOSITION_FAILED = _gauge(
    "platform_exposition_failed",
    "kind",
    "1 where this part of the metrics could not be produced and is missing, else 0.",
)
EXPOSITION_CUT = _gauge(
    "platform_exposition_cut_series",
    "metric",
    "Series of the metric that are missing because it has more than the limit; absent where none is.",
)
SERVICE_INFO = _gauge(
    "platform_service_info", "service team tier owner", "What the catalogue says about a service; always 1."
)
UNMATCHED = _gauge(
    "platform_catalogue_unmatched",
    "kind",
    "Distinct names in deployments, incidents and pipelines that no rule of the catalogue knows.",
)
QUICK_CHECK_SCORE = _gauge(
    "platform_quick_check_score",
    "service environment team window kind",
    "DORA Quick Check score, 0 (worst) to 10 (best): of an indicator, or the mean of throughput, stability or overall.",
)
QUICK_CHECK_INDUSTRY = _gauge(
    "platform_quick_check_industry_mean",
    "kind",
    "The industry's mean DORA Quick Check score in the benchmark's year, 0 (worst) to 10 (best): of an indicator, or "
    "the mean of throughput, stability or overall. Absent for a year without.",
)
SUPPRESSED = _gauge(
    "platform_suppressed_numbers",
    "metric",
    "Numbers about people that are withheld because they, or what they would reveal, concern too few.",
)
RESTATEMENTS = _counter("platform_restatements_total", "kind", "Published units of the indicator that changed later.")
PRUNED = _counter(
    "platform_store_pruned_events_total", "kind", "Events of the kind that were deleted because of their age."
)
IGNORED = _counter(
    "platform_store_ignored_events_total",
    "kind",
    "Events of the kind that a source told of when they were older than events are kept, and that were not taken in.",
)
INDICATOR_INFO = _gauge(
    "platform_indicator_info", "indicator version", "Version of an indicator's definition; always 1."
)
BUILD_INFO = _gauge("platform_build_info", "version", "Version of Paceline; always 1.")
EVALUATOR_LEADER = _gauge(
    "platform_evaluator_leader",
    "",
    "Of several replicas on one PostgreSQL, 1 at the one that exposes all the rest, else 0; absent without replicas.",
)
STORE_WRITABLE = _gauge("platform_store_writable", "", "1 where the store took what was written to try it, else 0.")
STORE_CLOCK_AHEAD = _gauge(
    "platform_store_clock_ahead_seconds",
    "",
    "By how much the database's clock is ahead of this machine's, negative where it is behind; absent for a file.",
)
DATA_FREE = _gauge("platform_data_free_bytes", "", "Space that is left where `data_dir` is, in whole steps of 16 MiB.")
DATA_SIZE = _gauge("platform_data_size_bytes", "", "Space that there is where `data_dir` is.")
INBOX_WAITING = _gauge(
    "platform_inbox_waiting_deliveries", "", "Deliveries of webhooks that are kept and not written as events yet."
)
INBOX_OLDEST = _gauge(
    "platform_inbox_oldest_delivery_seconds", "", "For how long the first of these waits; 0 where none does."
)
EVALUATION_SUCCESS = _gauge(
    "platform_evaluation_last_success", "", "1 where the last evaluation succeeded, else 0: older numbers stay shown."
)
EVALUATION_FAILURES = Metric(
    name="platform_evaluation_failures_total",
    type="counter",
    help="Evaluations that failed since the start of the process.",
    of_process=True,
)
REPORT_DELIVERY = _gauge(
    "platform_report_delivery_status",
    "kind status",
    "1 for what became of the newest weekly summary on its way to a delivery (kind): waiting, retrying, sent or "
    "failed, else 0; absent before the first.",
)
WORKER_JOBS = _counter(
    "platform_worker_jobs_total",
    "outcome",
    "Runs of sources that this worker ended; of postponed ones the turn came early.",
)
WORKER_BUSY = _gauge("platform_worker_busy", "", "Runs of sources that are going on at this worker.")
WORKER_READY = _gauge("platform_worker_ready", "", "1 while this worker takes runs from the queue, else 0.")

FIXED = (
    SLO_INFO,
    SLO_OBJECTIVE,
    SLO_PERIOD,
    SLO_EVENTS,
    SLO_EXCLUDED,
    SLO_SLA_OBJECTIVE,
    SLO_SLA_BUDGET_RATIO,
    SLI_EVENTS,
    SLO_ATTAINMENT,
    SLO_BUDGET_RATIO,
    SLO_BUDGET_EVENTS,
    SLO_BUDGET_SPENT,
    SLO_BURN_RATE,
    SLO_BURN_THRESHOLD,
    SLO_EXHAUSTION,
    SLO_STATUS,
    SLO_COVERAGE,
    SLO_DATA_TIMESTAMP,
    SLO_EXCLUSION_ACTIVE,
    SLO_PART_WEIGHT,
    SLO_MINIMUM_EVENTS,
    SLO_MINIMUM_COVERAGE,
    COLLECTOR_LAST_SUCCESS,
    COLLECTOR_LAST_RUN,
    COLLECTOR_DURATION,
    COLLECTOR_SUCCESS,
    COLLECTOR_EVENTS,
    COLLECTOR_REJECTED,
    COLLECTOR_FAILURE,
    COLLECTOR_TRUNCATIONS,
    COLLECTOR_REMOVED,
    COLLECTOR_REQUESTS,
    COLLECTOR_QUOTA,
    COLLECTOR_QUOTA_LIMIT,
    COLLECTOR_NEWEST,
    SOURCE_STALENESS,
    SOURCE_FRESH,
    SOURCE_INFO,
    SNAPSHOT_TIMESTAMP,
    SNAPSHOT_DURATION,
    PUSH_FAILURES,
    PUSH_SUCCESS,
    PUSH_TIMESTAMP,
    EXPOSITION_FAILED,
    EXPOSITION_CUT,
    SERVICE_INFO,
    UNMATCHED,
    QUICK_CHECK_SCORE,
    QUICK_CHECK_INDUSTRY,
    SUPPRESSED,
    RESTATEMENTS,
    PRUNED,
    IGNORED,
    INDICATOR_INFO,
    BUILD_INFO,
    EVALUATOR_LEADER,
    STORE_WRITABLE,
    STORE_CLOCK_AHEAD,
    DATA_FREE,
    DATA_SIZE,
    INBOX_WAITING,
    INBOX_OLDEST,
    EVALUATION_SUCCESS,
    EVALUATION_FAILURES,
    REPORT_DELIVERY,
    WORKER_JOBS,
    WORKER_BUSY,
    WORKER_READY,
)


@dataclass(frozen=True, kw_only=True)
class IndicatorMetrics:
    """The metrics of one indicator: the value itself, and what always stands beside it."""

    value: Metric
    samples: Metric
    coverage: Metric
    pending: Metric
    excluded: Metric
    total: Metric | None = None

    def all(self) -> tuple[Metric, ...]:
        """Every metric of the indicator."""
        found = (self.value, self.samples, self.coverage, self.pending, self.excluded, self.total)
        return tuple(m for m in found if m is not None)


_SUFFIX = {Shape.DURATION: "_seconds", Shape.RATIO: "_ratio", Shape.FREQUENCY: "_per_day"}
_UNIT_SUFFIX = {Unit.SECONDS: "_seconds", Unit.RATIO: "_ratio", Unit.COUNT: ""}


def split_by(indicator: Indicator) -> tuple[str, ...]:
    """The labels that split an indicator's value, beside those of every number."""
    if indicator.labels:
        return tuple(filter(None, indicator.labels))
    return (indicator.dimension,) if indicator.dimension and indicator.shape is not Shape.FREQUENCY else ()


def metrics_of(indicator: Indicator) -> IndicatorMetrics:
    """The metrics an indicator gets by being declared."""
    base, shape = indicator.metric, indicator.shape
    beside = " ".join([*SUBJECT_LABELS, "window", *filter(None, indicator.labels)])
    number = " ".join([*SUBJECT_LABELS, "window", *split_by(indicator)])
    stat = "" if shape is Shape.FREQUENCY else " stat"
    suffix = _UNIT_SUFFIX[indicator.unit] if shape is Shape.MEASURE else _SUFFIX[shape]
    counted = "people" if indicator.people else "units"
    total = None
    if shape is Shape.FREQUENCY:
        labels = " ".join([*SUBJECT_LABELS, *filter(None, (*indicator.labels, indicator.dimension))])
        total = _counter(f"{base}_total", labels, f"{indicator.title}, all since the beginning.")
    elif indicator.tallied:
        labels = " ".join([*SUBJECT_LABELS, "outcome"])
        told = f"{indicator.title}: {indicator.noun} that were judged since the beginning, good and bad."
        total = _counter(f"{base}_judged_total", labels, told)
    return IndicatorMetrics(
        value=_gauge(f"{base}{suffix}", number + stat, indicator.definition),
        samples=_gauge(f"{base}_samples", number, f"{indicator.title}: {counted} behind the number (n)."),
        coverage=_gauge(
            f"{base}_coverage_ratio",
            beside,
            f"{indicator.title}: share of the final units that could be used.",
        ),
        pending=_gauge(f"{base}_pending", beside, f"{indicator.title}: units that cannot be judged yet."),
        excluded=_gauge(f"{base}_excluded", beside + " reason", f"{indicator.title}: units left out, and why."),
        total=total,
    )


def catalog(indicators: Iterable[Indicator]) -> tuple[Metric, ...]:
    """Every metric that is published for these indicators, in the order of the exposition."""
    return FIXED + tuple(m for i in indicators for m in metrics_of(i).all())
