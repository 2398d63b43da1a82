"""One month of four services, judged by hand: the tables below are the history, the expectations and the test's data.

Times are `day hour` in April 2026, UTC: `07 10` is Tuesday 7 April, 10:00, and a difference is counted on the fingers.
Weeks begin on Monday: W14 with 30 March, W15 with the 6th, W16 with the 13th, W17 with the 20th, W18 with the 27th.
All numbers are asked for on Monday 4 May, 00:00: the 28 days before are exactly W15 to W18. `-` means none or unknown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text
from source_states import source_state

from collector.events import (
    Change,
    ChangeState,
    Commit,
    Deployment,
    Event,
    Incident,
    IncidentState,
    PipelineRun,
    Result,
    Review,
    ReviewState,
    RunKind,
    RunState,
    Transition,
)
from collector.patterns import patterns
from collector.store import Database, DerivationStore, EventStore, ObservationStore
from slo_engine.derive import derive
from slo_engine.evaluate import evaluate
from slo_engine.exposition import expose
from slo_engine.indicator import families, indicators
from slo_engine.indicators.delivery import FAMILY
from slo_engine.observation import Observation, Outcome
from slo_engine.organisation import DeliveryRules, Organisation, Service
from slo_engine.plain_events import PlainEvents
from slo_engine.snapshot import SourceState

COMMITS = """
name | repository | parents | authored | committed | line | paths        | what
s0   | shop       | -       | 01 08    | 01 09     | yes  | -            | before everything
x1   | shop       | s0      | 06 08    | 06 08     | -    | -            | own commit of request hub 1
x2   | shop       | x1      | 06 12    | 06 12     | -    | -            | own commit of request hub 1
s1   | shop       | s0      | 07 10    | 07 10     | yes  | -            | squash of x1 and x2
y1   | shop       | s0      | 07 09    | 07 09     | -    | -            | own commit of request hub 2
y2   | shop       | y1      | 07 11    | 07 11     | -    | -            | own commit of request hub 2
s2   | shop       | s1      | 07 09    | 08 09     | yes  | -            | y1 after the rebase
s3   | shop       | s2      | 07 11    | 08 09     | yes  | -            | y2 after the rebase
z1   | shop       | s3      | 08 12    | 08 12     | -    | -            | the branch of request hub 3
s4   | shop       | s3 z1   | 08 15    | 08 15     | yes  | -            | merge of z1
s5   | shop       | s4      | 09 08    | 09 10     | yes  | -            | pushed directly
s6   | shop       | s5      | 10 08    | 10 10     | yes  | -            | squash of request hub 4
s7   | shop       | s6      | 13 08    | 13 09     | yes  | -            | reverts s6
s8   | shop       | s7      | 13 13    | 13 14     | yes  | -            | squash of request hub 5, a hotfix
s9   | shop       | s8      | 14 18    | 14 20     | yes  | -            | squash of request hub 6, by a bot
s10  | shop       | s9      | 15 16    | 15 17     | yes  | -            | pushed directly
s11  | shop       | s10     | 24 09    | 24 10     | yes  | -            | pushed directly, still waiting
m0   | mono       | -       | 01 08    | 02 09     | yes  | api/a web/a  | before everything
m1   | mono       | m0      | 06 21    | 07 09     | yes  | api/handler  | squash of request lab 1
m2   | mono       | m1      | 08 07    | 08 09     | yes  | shared/money | squash of request lab 2: both services
m3   | mono       | m2      | 09 08    | 09 09     | yes  | docs/readme  | no service
m4   | mono       | m3      | 13 09    | 13 10     | yes  | web/app      | web only
r0   | search     | -       | 01 08    | 02 09     | yes  | -            | before everything
r1   | search     | r0      | 07 09    | 07 10     | yes  | -            | on the new line after a forced push
r2   | search     | r1      | 10 08    | 10 09     | yes  | -            | pushed directly
"""

REQUESTS = """
source | id | repository | state  | opened | ready | reviewed | merged | merge commit | own commits | what
hub    | 1  | shop       | merged | 06 14  | -     | 06 16    | 07 10  | s1           | x1 x2       | squash
hub    | 2  | shop       | merged | 07 13  | 07 17 | 07 20    | 08 09  | s3           | y1 y2       | rebase; a draft
hub    | 3  | shop       | merged | 08 14  | -     | -        | 08 15  | s4           | z1          | nobody reviewed it
hub    | 4  | shop       | merged | 10 09  | -     | 10 09    | 10 10  | s6           | -           | will be reverted
hub    | 5  | shop       | merged | 13 13  | -     | -        | 13 14  | s8           | -           | hotfix
hub    | 6  | shop       | merged | 14 19  | -     | -        | 14 20  | s9           | -           | bot
hub    | 7  | shop       | closed | 15 09  | -     | 15 10    | -      | -            | -           | closed unmerged
lab    | 1  | mono       | merged | 06 22  | -     | 06 23    | 07 09  | m1           | -           | api only
lab    | 2  | mono       | merged | 08 08  | -     | -        | 08 09  | m2           | -           | shared path
lab    | 3  | search     | merged | 10 09  | -     | -        | 10 10  | lost2        | -           | commit unknown
"""

DEPLOYMENTS = """
name | source | id  | service | environment | at    | commit | result       | link | what
d1   | cd     | d1  | shop    | production  | 03 10 | s0     | success      | -    | opens the horizon
d2   | cd     | d2  | shop    | production  | 07 12 | s1     | success      | -    |
t1   | cd     | t1  | shop    | staging     | 08 10 | s3     | success      | -    | ships nothing
d3   | cd     | d3  | shop    | production  | 08 11 | s3     | success      | -    |
d4   | cd     | d4  | shop    | production  | 08 16 | s4     | cancellation | -    | ships nothing
d5   | cd     | d5  | shop    | production  | 08 20 | s4     | success      | -    |
d6   | cd     | d6  | shop    | production  | 09 12 | s5     | success      | -    |
d7   | cd     | d7  | shop    | production  | 09 14 | s4     | success      | -    | back to what d5 deployed
d8   | cd     | d8  | shop    | production  | 09 16 | s5     | success      | -    | forward again
d9   | cd     | d9  | shop    | production  | 10 12 | s6     | success      | -    |
d10  | cd     | d10 | shop    | production  | 13 10 | s7     | success      | -    | ships a revert
d11  | cd     | d11 | shop    | production  | 13 15 | s8     | success      | -    | ships a hotfix
d12  | cd     | d12 | shop    | production  | 15 08 | s9     | success      | -    |
d13  | cd     | d13 | shop    | production  | 15 18 | s10    | failure      | -    | its pipeline is green
d14  | cd     | 42  | shop    | production  | 16 10 | s10    | success      | -    | another "42" than w3
e1   | cd     | e1  | api     | production  | 03 09 | m0     | success      | -    | opens the horizon
e2   | cd     | e2  | api     | production  | 07 13 | m1     | success      | -    |
e3   | cd     | e3  | api     | production  | 08 12 | m2     | success      | -    |
e4   | cd     | e4  | api     | production  | 14 10 | m4     | success      | i7   | remedy of an incident
w1   | hook   | w1  | web     | production  | 03 09 | m0     | success      | -    | opens the horizon
w2   | hook   | w2  | web     | production  | 08 18 | m2     | success      | -    |
w3   | hook   | 42  | web     | production  | 13 13 | m4     | success      | -    | another "42" than d14
w4   | hook   | w4  | web     | production  | 13 15 | m4     | success      | -    | redeploy
g1   | cd     | g1  | search  | production  | 03 09 | r0     | success      | -    | opens the horizon
g2   | cd     | g2  | search  | production  | 08 09 | lost1  | success      | -    | its commit was pushed away
g3   | cd     | g3  | search  | production  | 09 12 | r1     | success      | -    | its base is unknown
g4   | cd     | g4  | search  | production  | 10 11 | r2     | success      | -    |
"""

INCIDENTS = """
name | service | started | restored | names | link | changes of state                                 | what
i1   | shop    | 08 21   | 09 01    | -     | -    | -                                                | an hour after d5
i2   | shop    | 08 22   | 09 03    | s4 z1 | -    | -                                                | two of d5's
i3   | shop    | 14 09   | -        | -     | -    | acknowledged 14 10                               | open
i4   | shop    | 15 09   | -        | d12   | -    | resolved 15 11 / detected 15 12 / resolved 15 16 | reopened
i5   | shop    | 22 09   | 22 11    | -     | -    | -                                                | long after d14
i6   | shop    | 17 12   | 17 10    | -     | -    | -                                                | ends too early
i7   | api     | 13 16   | 14 11    | m2    | -    | -                                                | long after e3
i8   | web     | 13 20   | 13 23    | -     | w3   | -                                                | w4 is nearer
"""

# What the history means, in hours. A change counts from its first commit to the deployment that first contains it.

CHANGES = """
service | change | shipped | outcome        | lead | coding | pickup | review | delivery | why
shop    | s0     | d1      | before_horizon | -    | -      | -      | -      | -        | the first deployment has it
shop    | hub 1  | d2      | measured       | 28   | 6      | 2      | 18     | 2        | x1 06 08 to 07 12
shop    | hub 2  | d3      | measured       | 26   | 8      | 3      | 13     | 2        | y1 07 09; ready 07 17
shop    | hub 3  | d5      | measured       | 8    | 2      | -      | -      | 5        | z1 08 12; d4 shipped nothing
shop    | s5     | d6      | measured       | 4    | -      | -      | -      | 2        | and never again with d8
shop    | hub 4  | d9      | measured       | 4    | 1      | 0      | 1      | 2        | reviewed as it was opened
shop    | s7     | d10     | measured       | 2    | -      | -      | -      | 1        | a revert is a change, too
shop    | hub 5  | d11     | measured       | 2    | 0      | -      | -      | 1        |
shop    | hub 6  | d12     | measured       | 14   | 1      | -      | -      | 12       | bots count by default
shop    | s10    | d14     | measured       | 18   | -      | -      | -      | 17       | d13 failed
shop    | s11    | -       | pending        | -    | -      | -      | -      | -        | no deployment has it yet
api     | m0     | e1      | before_horizon | -    | -      | -      | -      | -        |
api     | lab 1  | e2      | measured       | 16   | 1      | 1      | 10     | 4        | 06 21 to 07 13
api     | lab 2  | e3      | measured       | 5    | 1      | -      | -      | 3        | 08 07 to 08 12
web     | m0     | w1      | before_horizon | -    | -      | -      | -      | -        |
web     | lab 2  | w2      | measured       | 11   | 1      | -      | -      | 9        | six hours after e3
web     | m4     | w3      | measured       | 4    | -      | -      | -      | 3        | and never again with w4
search  | r0     | g1      | before_horizon | -    | -      | -      | -      | -        |
search  | r1     | g3      | unknown_base   | -    | -      | -      | -      | -        | who knows what lost1 had
search  | lab 3  | -       | unknown_commit | -    | -      | -      | -      | -        |
search  | r2     | g4      | measured       | 3    | -      | -      | -      | 2        | 10 08 to 10 11
"""

VERDICTS = """
deployment | flag     | verdict | because | recovered | hours | rework | why
d1         | -        | good    | -       | -         | -     | -      |
d2         | -        | good    | -       | -         | -     | -      |
d3         | -        | good    | -       | -         | -     | -      |
d5         | -        | bad     | i1 i2   | 09 03     | 7     | -      | two incidents: failed once, over with the last
d6         | -        | bad     | d7      | 09 14     | 2     | -      | rolled back two hours later
d7         | rollback | good    | -       | -         | -     | yes    | i2 names its commit, but began before it
d8         | -        | good    | -       | -         | -     | -      |
d9         | -        | bad     | s7      | 13 10     | 70    | -      | s6, which it shipped, was reverted
d10        | -        | bad     | d11     | 13 15     | 5     | yes    | repaired by a hotfix; itself a revert
d11        | -        | bad     | i3      | open      | -     | yes    | i3 is open; itself a hotfix
d12        | -        | bad     | i4      | 15 16     | 8     | -      | named; over with the last resolution
d14        | -        | good    | -       | -         | -     | -      | i5 and i6 began more than a day later
e1         | -        | good    | -       | -         | -     | -      |
e2         | -        | good    | -       | -         | -     | -      |
e3         | -        | bad     | i7      | 14 11     | 143   | -      | named, however long ago: 5 days 23 h
e4         | -        | good    | -       | -         | -     | yes    | the remedy of i7
w1         | -        | good    | -       | -         | -     | -      |
w2         | -        | good    | -       | -         | -     | -      | shipped m2, too, but i7 was of api
w3         | -        | bad     | i8      | 13 23     | 10    | -      | linked, which comes before nearness
w4         | redeploy | good    | -       | -         | -     | -      | a redeploy is planned work
g1         | -        | good    | -       | -         | -     | -      |
g2         | -        | good    | -       | -         | -     | -      | unknown commits can go well
g3         | -        | good    | -       | -         | -     | -      |
g4         | -        | good    | -       | -         | -     | -      |
"""

UNATTRIBUTED = """
incident | why
i5       | d14 finished six days before, and nothing is named or linked; i6 is set aside
"""

RESTORED = """
incident | service | outcome  | hours | why
i1       | shop    | measured | 4     | 08 21 to 09 01
i2       | shop    | measured | 5     | 08 22 to 09 03
i3       | shop    | pending  | -     | acknowledged is not resolved
i4       | shop    | measured | 7     | to the last resolution
i5       | shop    | measured | 2     | no deployment's fault, an incident all the same
i6       | shop    | excluded | -     | resolved before it began
i7       | api     | measured | 19    | 13 16 to 14 11
i8       | web     | measured | 3     | 13 20 to 13 23
"""

CADENCE = """
service | week     | verdict | why
shop    | 2026-W15 | good    | seven successes, one was promised
shop    | 2026-W16 | good    |
shop    | 2026-W17 | bad     | s11 waits since the 24th
shop    | 2026-W18 | bad     | s11 still waits
api     | 2026-W15 | good    | after that week nothing of api's was merged
web     | 2026-W15 | bad     | two are promised, w2 alone came
web     | 2026-W16 | good    | w3 and w4
search  | 2026-W15 | good    |
"""

# What the 28 days up to 4 May show. Hours are medians; n counts units with a value; coverage is of the final ones.

NUMBERS = """
service | metric                              | stage    | n  | value   | pending | coverage | units
shop    | platform_change_lead_time           | -        | 9  | 8 h     | 1       | 1        | 2 2 4 4 8 14 18 26 28
shop    | platform_change_lead_time           | coding   | 6  | 1.5 h   | 1       | 1        | 0 1 1 2 6 8
shop    | platform_change_lead_time           | pickup   | 3  | 2 h     | 1       | 1        | 0 2 3
shop    | platform_change_lead_time           | review   | 3  | 13 h    | 1       | 1        | 1 13 18
shop    | platform_change_lead_time           | delivery | 9  | 2 h     | 1       | 1        | 1 1 2 2 2 2 5 12 17
shop    | platform_change_delivery_time       | -        | 9  | 2 h     | 1       | 1        | the same nine
shop    | platform_deployments                | -        | 11 | 11/28 d | 0       | 1        | d2 to d14 but d4, d13
shop    | platform_change_fail                | -        | 11 | 6/11    | 0       | 11/12    | d5 d6 d9 d10 d11 d12; i5
shop    | platform_failed_deployment_recovery | -        | 5  | 7 h     | 1       | 1        | 2 5 7 8 70; d11 open
shop    | platform_deployment_rework          | -        | 11 | 3/11    | 0       | 1        | d7 d10 d11
shop    | platform_incident_restore           | -        | 4  | 4.5 h   | 1       | 4/5      | 2 4 5 7; i3 open; not i6
shop    | platform_deploy_cadence             | -        | 4  | 2/4     | 0       | 1        |
api     | platform_change_lead_time           | -        | 2  | 10.5 h  | 0       | 1        | 5 16
api     | platform_change_delivery_time       | -        | 2  | 3.5 h   | 0       | 1        | 3 4
api     | platform_deployments                | -        | 3  | 3/28 d  | 0       | 1        | e2 e3 e4
api     | platform_change_fail                | -        | 3  | 1/3     | 0       | 1        | e3
api     | platform_failed_deployment_recovery | -        | 1  | 143 h   | 0       | 1        | e3
api     | platform_deployment_rework          | -        | 3  | 1/3     | 0       | 1        | e4
api     | platform_incident_restore           | -        | 1  | 19 h    | 0       | 1        | i7
api     | platform_deploy_cadence             | -        | 1  | 1/1     | 0       | 1        |
web     | platform_change_lead_time           | -        | 2  | 7.5 h   | 0       | 1        | 4 11
web     | platform_change_delivery_time       | -        | 2  | 6 h     | 0       | 1        | 3 9
web     | platform_deployments                | -        | 3  | 3/28 d  | 0       | 1        | w2 w3 w4
web     | platform_change_fail                | -        | 3  | 1/3     | 0       | 1        | w3
web     | platform_failed_deployment_recovery | -        | 1  | 10 h    | 0       | 1        | w3
web     | platform_deployment_rework          | -        | 3  | 0/3     | 0       | 1        |
web     | platform_incident_restore           | -        | 1  | 3 h     | 0       | 1        | i8
web     | platform_deploy_cadence             | -        | 2  | 1/2     | 0       | 1        |
search  | platform_change_lead_time           | -        | 1  | 3 h     | 0       | 1/3      | r2; not r1, lab 3
search  | platform_change_delivery_time       | -        | 1  | 2 h     | 0       | 1/3      | r2
search  | platform_deployments                | -        | 3  | 3/28 d  | 0       | 1        | g2 g3 g4
search  | platform_change_fail                | -        | 3  | 0/3     | 0       | 1        |
search  | platform_deployment_rework          | -        | 3  | 0/3     | 0       | 1        |
search  | platform_deploy_cadence             | -        | 1  | 1/1     | 0       | 1        |
"""

ABSENT = """
service | metric                                      | why
search  | platform_failed_deployment_recovery_seconds | no deployment failed
search  | platform_incident_restore_seconds           | there was no incident
"""

ASKED_AT = datetime(2026, 5, 4, tzinfo=UTC)
ORGANISATION = Organisation(
    zone=ZoneInfo("UTC"),
    judged=patterns(("staging",)),
    services=(
        Service(name="shop", repositories=patterns(("o/shop",))),
        Service(name="api", repositories=patterns(("o/mono",)), paths=patterns(("api/*", "shared/*"))),
        Service(name="web", repositories=patterns(("o/mono",)), paths=patterns(("web/*", "shared/*")), cadence=2),
        Service(name="search", repositories=patterns(("o/search",))),
    ),
)
ADA, BOB = "person:" + "a" * 32, "person:" + "b" * 32
REPOSITORY = {"shop": "o/shop", "api": "o/mono", "web": "o/mono", "search": "o/search"}
Row = dict[str, str]


# --- from tables to events ----------------------------------------------------------------------------------------


def rows(table: str) -> list[Row]:
    """The rows of a table, each by the names of its columns; empty text for `-`."""
    lines = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return [{n: "" if c == "-" else c for n, c in zip(lines[0], line, strict=True)} for line in lines[1:]]


def time(text: str) -> datetime:
    """`07 10` as 7 April 2026, 10:00 UTC."""
    day, hour = text.split()
    return datetime(2026, 4, int(day), int(hour), tzinfo=UTC)


def maybe_time(text: str) -> datetime | None:
    """A time, None where there is none."""
    return time(text) if text else None


def sha(name: str) -> str:
    """The id of a commit of that name."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def shas(names: str) -> tuple[str, ...]:
    """The ids of some commits."""
    return tuple(map(sha, names.split()))


def url(name: str) -> str:
    """Where a deployment or an incident is looked at."""
    return f"https://tools.example/{name}"


def urls(names: str) -> tuple[str, ...]:
    """The addresses of some deployments or incidents."""
    return tuple(map(url, names.split()))


def commit(row: Row) -> Commit:
    """A commit of the table."""
    return Commit(
        source="git",
        native_id=row["name"],
        repository="o/" + row["repository"],
        sha=sha(row["name"]),
        parents=shas(row["parents"]),
        authored_at=time(row["authored"]),
        committed_at=time(row["committed"]),
        on_default_branch=row["line"] == "yes",
        paths=tuple(row["paths"].split()) or None,
        reverts=shas(row["what"].removeprefix("reverts ")) if row["what"].startswith("reverts ") else (),
        author=ADA,
    )


def request(row: Row) -> Change:
    """A request of the table; its hotfix branch and its bot are said in the last column."""
    return Change(
        source=row["source"],
        native_id=row["id"],
        repository="o/" + row["repository"],
        state=ChangeState(row["state"]),
        created_at=time(row["opened"]),
        ready_at=maybe_time(row["ready"]),
        merged_at=maybe_time(row["merged"]),
        closed_at=time(row["merged"] or "15 12"),
        merge_sha=sha(row["merge commit"]) if row["merge commit"] else None,
        commit_shas=shas(row["own commits"]),
        source_branch="hotfix/pay" if row["what"] == "hotfix" else "feature",
        target_branch="main",
        bot=row["what"] == "bot",
        author=ADA,
    )


def review(row: Row) -> Review:
    """The first review of a request."""
    return Review(
        source=row["source"],
        native_id="review " + row["id"],
        repository="o/" + row["repository"],
        change_native_id=row["id"],
        at=time(row["reviewed"]),
        state=ReviewState.APPROVED,
        author=BOB,
    )


def deployment(row: Row) -> Deployment:
    """A deployment of the table."""
    return Deployment(
        source=row["source"],
        native_id=row["id"],
        url=url(row["name"]),
        service=row["service"],
        environment=row["environment"],
        repository=REPOSITORY[row["service"]],
        finished_at=time(row["at"]),
        sha=sha(row["commit"]),
        result=Result(row["result"]),
        links=urls(row["link"]),
    )


def transition(text: str) -> Transition:
    """`resolved 15 11` as a change of state."""
    state, when = text.split(maxsplit=1)
    return Transition(state=state, at=time(when))


def incident(row: Row) -> Incident:
    """An incident of the table. Its last change of state is its state; without one, a restored one is resolved."""
    changes = tuple(map(transition, filter(None, row["changes of state"].split(" / "))))
    last = changes[-1].state if changes else "resolved"
    return Incident(
        source="pager",
        native_id=row["name"],
        url=url(row["name"]),
        service=row["service"],
        environment="production",
        state=IncidentState(last),
        started_at=time(row["started"]),
        restored_at=maybe_time(row["restored"]),
        transitions=changes,
        deployment_native_id=row["names"] if row["names"].startswith("d") else None,
        shas=() if row["names"].startswith("d") else shas(row["names"]),
        links=urls(row["link"]),
    )


def run(native_id: str, result: Result, **fields: Any) -> PipelineRun:
    """The run behind d13: its pipeline is green although its production job, which may fail, failed."""
    return PipelineRun(
        source="ci",
        native_id=native_id,
        repository="o/shop",
        pipeline="release",
        state=RunState.COMPLETED,
        result=result,
        started_at=time("15 17"),
        finished_at=time("15 18"),
        sha=sha("s10"),
        **fields,
    )


RUNS = (
    run("p", Result.SUCCESS),
    run(
        "j",
        Result.FAILURE,
        run_kind=RunKind.TASK,
        task="deploy",
        parent_native_id="p",
        environment="production",
        allow_failure=True,
    ),
)
NAMED: dict[str, Event] = {
    **{r["name"]: commit(r) for r in rows(COMMITS)},
    **{f"{r['source']} {r['id']}": request(r) for r in rows(REQUESTS)},
    **{r["name"]: deployment(r) for r in rows(DEPLOYMENTS)},
    **{r["name"]: incident(r) for r in rows(INCIDENTS)},
}
HISTORY: tuple[Event, ...] = (*NAMED.values(), *(review(r) for r in rows(REQUESTS) if r["reviewed"]), *RUNS)
NAME_OF = {event.id: name for name, event in NAMED.items()}


# --- from observations to tables -----------------------------------------------------------------------------------


def observed(indicator: str, organisation: Organisation = ORGANISATION, *, of: str = "production") -> list[Observation]:
    """The observations of an indicator in an environment, up to the time of asking."""
    found = FAMILY.observe(PlainEvents(HISTORY), organisation)
    return [o for o in found if o.indicator == indicator and o.subject.environment == of and o.at <= ASKED_AT]


def judged(indicator: str) -> list[Observation]:
    """The observations of an indicator that are final: good or bad."""
    return [o for o in observed(indicator) if o.outcome in {Outcome.GOOD, Outcome.BAD}]


def once(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """A mapping; no unit is judged twice."""
    found = list(pairs)
    assert len(dict(found)) == len(found)
    return dict(found)


def hours(seconds: float | None) -> str:
    """Seconds as whole hours, empty where there are none."""
    return "" if seconds is None else f"{seconds / 3600:g}"


def day_hour(at: datetime) -> str:
    """A time as the tables have it."""
    return f"{at:%d %H}"


def as_row(o: Observation) -> tuple[str, ...]:
    """A change as its table has it: shipped by, outcome, lead time and stages."""
    shipped = [NAME_OF[e] for e in o.evidence if isinstance(NAMED[NAME_OF[e]], Deployment)]
    outcome = str(o.reason or o.outcome)
    return (" ".join(shipped), outcome, *map(hours, (o.value, *(o.parts or (None,) * 4))))


_CHANGE_COLUMNS = ("shipped", "outcome", "lead", "coding", "pickup", "review", "delivery")


# --- unit by unit ---------------------------------------------------------------------------------------------------


def test_each_change_ships_once_and_counts_as_worked_out() -> None:
    """Each change of each service: the deployment that shipped it, lead time and stages; no other change is judged."""
    found = once(((o.subject.service, NAME_OF[o.unit]), as_row(o)) for o in observed("change_lead_time"))

    assert found == {(r["service"], r["change"]): tuple(r[c] for c in _CHANGE_COLUMNS) for r in rows(CHANGES)}


def test_a_shipped_change_is_dated_at_its_deployment() -> None:
    """A change is dated when the deployment that shipped it finished, and a waiting one at its merge."""
    found = once(((o.subject.service, NAME_OF[o.unit]), o.at) for o in observed("change_lead_time"))
    dates = {r["name"]: r["at"] for r in rows(DEPLOYMENTS)} | {"": ""}

    shipped = {(r["service"], r["change"]): dates[r["shipped"]] for r in rows(CHANGES)}
    waiting = {("shop", "s11"): "24 10", ("search", "lab 3"): "10 10"}
    assert {k: day_hour(at) for k, at in found.items()} == shipped | waiting


def test_each_successful_deployment_is_judged_as_worked_out() -> None:
    """Good or bad once per successful deployment, and what failed it is among the evidence."""
    found = once((NAME_OF[o.unit], o) for o in judged("change_fail_rate"))

    assert {n: str(o.outcome) for n, o in found.items()} == {r["deployment"]: r["verdict"] for r in rows(VERDICTS)}
    evidence = {r["deployment"]: set(r["because"].split()) for r in rows(VERDICTS)}
    assert {n: evidence[n] & {NAME_OF.get(e) for e in o.evidence} for n, o in found.items()} == evidence


def test_what_no_rule_attributes_lowers_the_coverage() -> None:
    """An incident that no rule attributes is no deployment's failure: it stands beside the rate, with its reason."""
    left_out = [o for o in observed("change_fail_rate") if o.outcome is Outcome.EXCLUDED]

    assert {NAME_OF[o.unit]: str(o.reason) for o in left_out} == {
        r["incident"]: "unattributed" for r in rows(UNATTRIBUTED)
    }


def test_a_verdict_says_by_which_rule() -> None:
    """A bad deployment carries the rule that failed it, a good one none."""
    found = judged("change_fail_rate")

    assert {NAME_OF[o.unit] for o in found if o.rule} == {r["deployment"] for r in rows(VERDICTS) if r["because"]}


def test_a_deployment_is_judged_a_day_after_it_finished() -> None:
    """Every verdict is pending until the attribution lag of 24 hours has passed."""
    found = judged("change_fail_rate")

    assert {o.matures_at - o.at if o.matures_at else None for o in found} == {timedelta(hours=24)}
    assert {NAME_OF[o.unit]: day_hour(o.at) for o in found}.items() <= {(r["name"], r["at"]) for r in rows(DEPLOYMENTS)}


def test_each_failed_deployment_recovers_as_worked_out() -> None:
    """Each failed deployment: the hours until it recovered and when; one whose incident is open is pending."""
    found = once(
        (NAME_OF[o.unit], (day_hour(o.at) if o.value is not None else "open", hours(o.value), str(o.outcome)))
        for o in observed("failed_deployment_recovery_time")
    )

    outcome = {True: "pending", False: "measured"}
    assert found == {
        r["deployment"]: (r["recovered"], r["hours"], outcome[r["recovered"] == "open"])
        for r in rows(VERDICTS)
        if r["verdict"] == "bad"
    }


def test_unplanned_deployments_are_as_worked_out() -> None:
    """Rollback, revert, hotfix and an incident's remedy are rework; a redeploy and rolling forward are not."""
    found = once((NAME_OF[o.unit], str(o.outcome)) for o in observed("deployment_rework_rate"))

    assert found == {r["deployment"]: {"yes": "bad", "": "good"}[r["rework"]] for r in rows(VERDICTS)}


def test_every_deployment_is_counted_under_its_result() -> None:
    """Successes count, with rollbacks and redeploys flagged; the cancelled and the failed one are left out."""
    found = once((NAME_OF[o.unit], (o.dimension, str(o.reason), o.rule)) for o in observed("deployment_frequency"))
    flags = {r["deployment"]: r["flag"] for r in rows(VERDICTS)}

    assert found == {
        r["name"]: (r["result"], "" if r["result"] == "success" else "not_successful", flags.get(r["name"], ""))
        for r in rows(DEPLOYMENTS)
        if r["environment"] == "production"
    }


def test_each_incident_is_restored_as_worked_out() -> None:
    """Each incident: the hours to its last resolution; open is pending, resolved before it began is left out."""
    found = once(
        (NAME_OF[o.unit], (o.subject.service, str(o.outcome), hours(o.value)))
        for o in observed("incident_time_to_restore")
    )

    assert found == {r["incident"]: (r["service"], r["outcome"], r["hours"]) for r in rows(RESTORED)}


def test_each_week_with_work_is_judged_as_worked_out() -> None:
    """Weeks with merged, undeployed changes are good where the promised deployments came; others are not judged."""
    found = once((o.unit, str(o.outcome)) for o in observed("deploy_cadence"))

    assert found == {f"{r['service']} {r['week']}": r["verdict"] for r in rows(CADENCE)}


# --- the history told otherwise -------------------------------------------------------------------------------------


def test_a_staging_deployment_has_its_own_chain() -> None:
    """The deployment to staging is its environment's first, so everything it contains is before its horizon."""
    found = {NAME_OF[o.unit]: str(o.reason) for o in observed("change_lead_time", of="staging") if o.evidence}

    assert set(found.values()) == {"before_horizon"}
    assert "hub 2" in found


def test_bots_do_not_count_where_the_organisation_says_so() -> None:
    """With bots left out the bot's change is excluded with that reason, and every other stays as it was."""
    without = replace(ORGANISATION, delivery=DeliveryRules(bots=False))

    def told(organisation: Organisation) -> dict[tuple[str, str], str]:
        found = observed("change_lead_time", organisation)
        return once(((o.subject.service, NAME_OF[o.unit]), str(o.reason or o.outcome)) for o in found)

    assert told(without) == told(ORGANISATION) | {("shop", "hub 6"): "bot"}


def test_the_order_of_telling_changes_nothing() -> None:
    """Told backwards, and each event twice, the history gives the same observations."""
    forwards = FAMILY.observe(PlainEvents(HISTORY), ORGANISATION)
    backwards = FAMILY.observe(PlainEvents([*reversed(HISTORY), *HISTORY]), ORGANISATION)

    assert sorted(map(repr, backwards)) == sorted(map(repr, forwards))


# --- number by number, through the store ----------------------------------------------------------------------------


def source(name: str) -> SourceState:
    """A source that is fresh."""
    return source_state(
        name, last_success_at=ASKED_AT, last_run_at=ASKED_AT, last_duration_seconds=1.0, newest_event_at=ASKED_AT
    )


Samples = list[tuple[str, dict[str, str], float]]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    """All samples that a scrape at the time of asking returns, with the history in a real store."""
    database = Database.open(tmp_path_factory.mktemp("history"))
    events, observations = EventStore(database), ObservationStore(database)
    with database.transaction() as transaction:
        events.write(transaction, HISTORY)
    derive(families(), events, DerivationStore(database), ORGANISATION)
    sources = [source(name) for name in sorted({e.source for e in HISTORY})]
    snapshot = evaluate(observations, indicators(), [], sources, ASKED_AT)
    text = expose(snapshot, indicators(), "1").text.decode()
    yield [(s.name, s.labels, s.value) for family in parse_text(text) for s in family.samples]
    database.close()


def sample(samples: Samples, name: str, **labels: str) -> float | None:
    """The one sample of a name with these labels, whatever others it has; None where there is none."""
    found = [value for sample, its, value in samples if sample == name and labels.items() <= its.items()]
    assert len(found) <= 1, (name, labels)
    return found[0] if found else None


def expected(row: Row) -> tuple[str, dict[str, str], float]:
    """Suffix, further labels and value of a number: `8 h` in seconds, `3/28 d` a day, `6/11` a share."""
    number, _, unit = row["value"].partition(" ")
    if unit == "h":
        return "_seconds", {"stat": "p50"}, float(number) * 3600
    if unit == "d":
        return "_per_day", {}, float(Fraction(number))
    return "_ratio", {"stat": "value"}, float(Fraction(number))


@pytest.mark.parametrize("row", rows(NUMBERS), ids=lambda r: f"{r['service']}-{r['metric']}-{r['stage']}")
def test_a_number_is_published_as_worked_out(published: Samples, row: Row) -> None:
    """Median, ratio or frequency of the 28 days, with n, pending and coverage, as a scrape sees them."""
    suffix, stat, value = expected(row)
    subject = {"service": row["service"], "environment": "production", "window": "28d"}
    stage = {"stage": row["stage"]} if row["metric"] == "platform_change_lead_time" else {}

    assert sample(published, row["metric"] + suffix, **subject, **stage, **stat) == pytest.approx(value)
    assert sample(published, row["metric"] + "_samples", **subject, **stage) == int(row["n"])
    assert sample(published, row["metric"] + "_pending", **subject) == int(row["pending"])
    coverage = sample(published, row["metric"] + "_coverage_ratio", **subject)
    assert coverage == pytest.approx(float(Fraction(row["coverage"])))


@pytest.mark.parametrize("row", rows(ABSENT), ids=lambda r: f"{r['service']}-{r['metric']}")
def test_what_did_not_happen_has_no_value(published: Samples, row: Row) -> None:
    """Without a unit there is no median: absent, not 0."""
    assert sample(published, row["metric"], service=row["service"], window="28d", stat="p50") is None


def test_every_deployment_ever_is_in_the_total(published: Samples) -> None:
    """The counter holds all deployments by result, those before the window too."""
    found = {
        labels["outcome"]: value
        for name, labels, value in published
        if name == "platform_deployments_total" and (labels["service"], labels["environment"]) == ("shop", "production")
    }

    assert found == {"success": 12, "failure": 1, "cancellation": 1}


def test_nobody_is_named(published: Samples) -> None:
    """No person, not even as a hash, is in what a scrape returns."""
    assert "person:" not in repr(published)
