"""A small organisation of three services and two teams, and the weekly summaries of it: for tests of what they say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from source_states import source_state

from collector.events import Deployment, Event, Incident, IncidentState, Result
from collector.store import Database, DerivationStore, EventStore, ObservationStore, Replacement, Series
from paceline.slo_files import packaged_policy
from slo_engine.exclusions import Exclusion, ExclusionReason
from slo_engine.indicator import indicators
from slo_engine.observation import Observation, Outcome, Subject, as_row, labelled
from slo_engine.organisation import Organisation, Service
from slo_engine.slo import IndicatorSli, Operator, Slo
from slo_engine.snapshot import SourceState
from slo_engine.weekly import Audience, Known, Week, WeeklySummary, weekly
from slo_engine.windows import parse_window

BERLIN = ZoneInfo("Europe/Berlin")
WEEK = Week.parse("2026-W10", BERLIN)
HOSTILE = "<script>alert(1)</script> *b* _i_ ~s~ `c` | @channel <!here> \u202eneve\u202c\n# " + "x" * 10_000
INDICATORS = indicators()
TEAMS = Organisation(
    zone=BERLIN,
    services=(
        Service(name="api", team="/shop/checkout", tier="1"),
        Service(name="pay", team="/shop/payments"),
        Service(name="lake", team="/data"),
    ),
)


_OF_SLI = ("operator", "threshold", "service", "environment", "dimension", "labels")


class Small:
    """A store that holds the observations and events it is given."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.observations, self.events = ObservationStore(database), EventStore(database)

    def put(self, *observations: Observation) -> Small:
        """Hold these observations and no others."""
        rows: dict[Series, list[tuple[Any, ...]]] = {}
        for key, values in map(as_row, observations):
            indicator, dimension, service, environment, team, source = key
            series = Series("test", indicator, dimension, service, environment, team, source)
            rows.setdefault(series, []).append(values)
        new = Replacement(family="test", scope="", rows=rows, definitions="", reads=(), state=None)
        DerivationStore(self.database).replace(new, 0, "")
        return self

    def write(self, *events: Event) -> Small:
        """Hold these events, too."""
        with self.database.transaction() as transaction:
            self.events.write(transaction, events)
        return self

    def known(self, *slos: Slo, **fields: Any) -> Known:
        """What a summary is made from: everything of the small organisation unless told otherwise."""
        given: dict[str, Any] = {
            "observations": self.observations,
            "events": self.events,
            "indicators": INDICATORS,
            "slos": slos,
            "sources": (source(),),
            "policy": packaged_policy(),
            "organisation": TEAMS,
        }
        return Known(**given | fields)

    def told(
        self,
        *slos: Slo,
        week: Week = WEEK,
        now: datetime | None = None,
        audience: str = "sre",
        team: str = "",
        **f: Any,
    ) -> WeeklySummary:
        """The summary of a week, asked for a day after its end unless told otherwise."""
        asked_at = now or week.end + timedelta(days=1)
        return weekly(week, self.known(*slos, **f), asked_at, audience=Audience(audience), team=team)


def source(name: str = "ci", until: datetime | None = WEEK.end) -> SourceState:
    """A source that was last collected at a time; fresh where that is known."""
    return source_state(
        name, fresh=until is not None, last_success_at=until, last_run_at=until, last_duration_seconds=1.0
    )


def slo(name: str, indicator: str, target: str = "0.9", **fields: Any) -> Slo:
    """An SLO on an indicator over 28 days; fields of its SLI may be given as well."""
    sli = {key: fields.pop(key) for key in _OF_SLI if key in fields}
    given: dict[str, Any] = {"title": name, "description": "", "owner_service": "", "minimum_coverage": 0.0}
    return Slo(
        name=name,
        target=Decimal(target),
        window=parse_window("28d"),
        sli=IndicatorSli(indicator=indicator, **sli),
        **given | {"minimum_events": 3} | fields,
    )


def unit(indicator: str, name: str, after_monday: timedelta = timedelta(hours=1), **fields: Any) -> Observation:
    """A good unit of api in production some time after the week began, unless told otherwise."""
    given: dict[str, Any] = {
        "indicator": indicator,
        "unit": name,
        "at": WEEK.start + after_monday,
        "subject": Subject("api", "production"),
        "source": "ci",
        "outcome": Outcome.GOOD,
    }
    return Observation(**given | fields)


# --- the small organisation ------------------------------------------------------------------------------

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OUTAGE = Incident(
    source="ci",
    native_id="outage",
    service="api",
    environment="production",
    state=IncidentState.RESOLVED,
    started_at=datetime(2026, 3, 4, 9, 0, tzinfo=UTC),
    restored_at=datetime(2026, 3, 4, 10, 30, tzinfo=UTC),
    title=HOSTILE,
)
MAINTENANCE = Exclusion(
    reason=ExclusionReason.MAINTENANCE,
    author="operations",
    ticket="OPS-18",
    starts_at=datetime(2026, 3, 7, 1, 0, tzinfo=UTC),
    ends_at=datetime(2026, 3, 7, 3, 0, tzinfo=UTC),
    service="api",
)
UP = slo(
    "api-is-up", "uptime", "0.99", title=f"Up {HOSTILE}", service="api", owner_service="api", team="/shop/checkout"
)
HOLD = slo("deployments-hold", "change_fail_rate", title="Deployments hold", owner_service="delivery", team="/platform")
FAST = slo(
    "fast", "change_lead_time", title="Changes are fast", owner_service="pay", operator=Operator.LTE, threshold=86_400.0
)
SELF = slo("db", "self_service_success", title="A database", owner_service="self", labels=(("journey", "db"),))
QUIET = slo("quiet", "change_fail_rate", title="Quiet", service="notebooks", owner_service="lake")
SLOS = (UP, HOLD, FAST, SELF, QUIET)


def deployment(service: str, day: int, number: int) -> Deployment:
    """A deployment so many days after the week began."""
    return Deployment(
        source="ci",
        native_id=f"{service}-{day}-{number}",
        service=service,
        environment="production",
        finished_at=WEEK.start + day * DAY + (8 + number) * HOUR,
        result=Result.SUCCESS,
        version=f"v{day + 100}.{number}",
    )


def delivered(service: str, team_days: Iterable[int]) -> Iterator[tuple[Deployment, list[Observation]]]:
    """Three deployments a day, each with a change; those of api on Wednesday of the week fail."""
    for day in team_days:
        for number in range(3):
            event = deployment(service, day, number)
            at, subject = event.finished_at, Subject(service, "production")
            failed = (service, day) == ("api", 2)
            evidence = (event.id, OUTAGE.id) if failed else (event.id,)
            judged: dict[str, Any] = {"at": at, "subject": subject, "evidence": evidence}
            bad = Outcome.BAD if failed else Outcome.GOOD
            yield (
                event,
                [
                    unit(
                        "deployment_frequency", event.id, dimension="success", **judged | {"outcome": Outcome.MEASURED}
                    ),
                    unit("change_fail_rate", event.id, **judged | {"outcome": bad}),
                    unit("deployment_rework_rate", event.id, **judged),
                    unit(
                        "change_lead_time",
                        f"{event.id}-change",
                        at=at,
                        subject=subject,
                        outcome=Outcome.MEASURED,
                        value=3_600.0 * (10 + number + day % 5),
                    ),
                ],
            )


def hours_of_uptime() -> Iterator[Observation]:
    """An hour of api is a unit; those of the outage are bad, and one within the maintenance."""
    for hour in range(-28 * 24, 7 * 24):
        at = WEEK.start + hour * HOUR
        bad = at in {
            datetime(2026, 3, 4, 9, 0, tzinfo=UTC),
            datetime(2026, 3, 4, 10, 0, tzinfo=UTC),
            MAINTENANCE.starts_at,
        }
        yield unit("uptime", f"api-{hour}", at=at, outcome=Outcome.BAD if bad else Outcome.GOOD)


def self_service() -> Iterator[Observation]:
    """Two requests a day of each of two journeys by people of a team; on Monday of the week both of db fail."""
    for day in range(-28, 7):
        for number in range(2):
            for journey in ("db", "vm"):
                bad = (day, journey) == (0, "db")
                yield unit(
                    "self_service_success",
                    f"{journey}-{day}-{number}",
                    day * DAY + 9 * HOUR,
                    dimension=labelled(journey),
                    subject=Subject(team="/shop/checkout"),
                    outcome=Outcome.BAD if bad else Outcome.GOOD,
                )


def active() -> Iterator[Observation]:
    """Eight people of one team and three of another used the portal."""
    for team, people in (("/shop/checkout", 8), ("/data", 3)):
        for number in range(people):
            yield unit(
                "active_users",
                f"person:{team}{number}",
                -number * DAY,
                dimension=labelled("portal", ""),
                subject=Subject(team=team),
                outcome=Outcome.MEASURED,
            )


def organisation(store: Small, *more: Observation) -> Small:
    """The store with five weeks of the small organisation, the last of which is WEEK, and with more units."""
    found = [one for service in ("api", "pay") for one in delivered(service, range(-28, 7))]
    judged = [o for _, several in found for o in several]
    store.put(*judged, *hours_of_uptime(), *self_service(), *active(), *more)
    return store.write(OUTAGE, *(event for event, _ in found))


def whole(store: Small, audience: str = "sre", **fields: Any) -> WeeklySummary:
    """The summary of the small organisation's week."""
    return store.told(*SLOS, audience=audience, **{"exclusions": (MAINTENANCE,), **fields})
