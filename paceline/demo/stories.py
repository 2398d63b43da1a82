"""The planted stories, newest first: what they are and when, for those that tell them and for whoever looks."""

from __future__ import annotations

from paceline.demo.organisation import COHORT_AGO, COHORT_TEAM, SMALL_TEAM
from paceline.demo.story import Story

DNS_OUTAGE = Story(
    name="dns-outage",
    what="The name service is down for 87 minutes on a Wednesday: pipelines break, deployments wait.",
    since=2,
    until=2,
    where="service dns",
    indicators=("uptime", "incident_time_to_restore", "pipeline_success"),
    shows="uptime of dns falls, its SLO has spent its budget, and pipelines fail beside it",
    explain=(
        "uptime --service dns --week {first}",
        "incident_time_to_restore --service dns --week {first}",
    ),
    slos=("dns-is-up",),
)
BAD_RELEASE_WEEK = Story(
    name="bad-release-week",
    what="A change of the checkout's database driver goes wrong again and again for a week.",
    since=3,
    until=3,
    where="team /commerce/checkout",
    indicators=("change_fail_rate", "failed_deployment_recovery_time", "deployment_rework_rate"),
    shows="most deployments of the team fail in that week, while the rest of the organisation is as ever",
    explain=("change_fail_rate --team /commerce/checkout --week {first}",),
    slos=("deployments-hold",),
)
SLOW_ONBOARDING = Story(
    name="slow-onboarding",
    what="Eight people start together and wait two weeks for their access.",
    since=COHORT_AGO,
    until=COHORT_AGO - 4,
    where=f"team {COHORT_TEAM}",
    indicators=("onboarding_success", "onboarding_time"),
    shows="none of them deploys within ten working days, where most newcomers do",
    explain=(
        f"onboarding_success --team {COHORT_TEAM} --label stage=first_deployed_change --window 90d",
        f"onboarding_time --team {COHORT_TEAM} --label stage=first_deployed_change --window 90d",
    ),
    slos=("newcomers-deploy",),
)
BROKEN_TEMPLATE = Story(
    name="broken-template",
    what="The template behind new-service pins a base image that is gone; two weeks later it is mended.",
    since=6,
    until=5,
    where="journey new-service",
    indicators=("self_service_success", "self_service_first_attempt"),
    shows="success of new-service drops to a third in these weeks, and is back afterwards",
    explain=(
        "self_service_success --label journey=new-service --week {first}",
        "self_service_success --label journey=new-service --window 7d",
    ),
    slos=("self-service-new-service",),
)
SUPPORT_BACKLOG = Story(
    name="support-backlog",
    what="Two of the people who answer platform-help are away for a month: questions pile up.",
    since=3,
    until=0,
    where="queue platform-help",
    indicators=("support_first_response", "support_open_tickets", "support_open_ticket_age"),
    shows="first responses are late, and more and more tickets stay open",
    explain=(
        "support_first_response --label queue=platform-help --week {last}",
        "support_open_tickets --label queue=platform-help",
    ),
    slos=("platform-help-answers",),
)
DOCS_DRIFT = Story(
    name="docs-drift",
    what="The analytics team ships on but no longer touches the pages that describe its services.",
    since=9,
    until=0,
    where="services of team /data/analytics",
    indicators=("documentation_freshness",),
    shows="few of the team's deployed changes are followed by a change of their page",
    explain=("documentation_freshness --team /data/analytics",),
    slos=("analytics-pages-follow",),
)
SILENT_SOURCE = Story(
    name="silent-source",
    what="The prober of the portal writes no file any more, and its source fails.",
    since=1,
    until=0,
    where="source portal-probes",
    indicators=("uptime", "source_freshness"),
    shows="uptime of the portal is withheld and its SLO says insufficient data: neither good nor bad",
    explain=(
        "uptime --service portal",
        "source_freshness --label source=portal-probes",
    ),
    slos=("portal-is-up",),
)
MONOREPO = Story(
    name="monorepo",
    what="Four services share a repository: a change belongs to those whose paths it touches.",
    since=12,
    until=0,
    where="team /data/ingest",
    indicators=("change_lead_time", "deployment_frequency"),
    shows="each of the four has changes of its own, and those of lib count for all of them",
    explain=("change_lead_time --service intake", "change_lead_time --service schemas"),
)
SMALL_GROUP = Story(
    name="small-group",
    what="A team of three people with a service that is seldom released.",
    since=12,
    until=0,
    where=f"team {SMALL_TEAM}",
    indicators=("active_users", "change_fail_rate"),
    shows="numbers about its people are withheld, and its SLO has too few events to say anything",
    explain=(f"active_users --team {SMALL_TEAM}", "change_fail_rate --service notebooks"),
    slos=("notebooks-hold",),
)
STORIES = (
    SILENT_SOURCE,
    SUPPORT_BACKLOG,
    DNS_OUTAGE,
    BAD_RELEASE_WEEK,
    BROKEN_TEMPLATE,
    SLOW_ONBOARDING,
    DOCS_DRIFT,
    MONOREPO,
    SMALL_GROUP,
)
LEAST_WEEKS = 13
"""How many weeks hold all stories that have a beginning."""
