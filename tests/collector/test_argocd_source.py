"""The `argocd` source: histories, failed operations, rollbacks, health, notifications; against a stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from names import PLANTED_LOGIN, PLANTED_MAIL
from openapi import check
from providers.argocd import (
    CHARTS,
    GIT,
    START,
    World,
    application,
    bulk,
    config,
    entry,
    in_git,
    operation,
    server,
    sha,
    small_world,
)
from providers.argocd import at as written
from pydantic import ValidationError
from replay import Provider, Reply

from collector.errors import ContractError
from collector.events import Deployment, Event, Incident, IncidentState, Result
from collector.findings import Findings
from collector.http import Wire
from collector.source import Page, SourceContext
from collector.webhooks import Delivery, Received

DESCRIBED = Path(__file__).parents[3] / "shared" / "openapi" / "argocd.json"
SECRET = "a-secret-of-webhooks"  # noqa: S105 - planted


class Desk:
    """A server, and runs of a source over it."""

    def __init__(self, context: SourceContext, world: World) -> None:
        self.world = world
        self.provider: Provider = server(world)
        wire = Wire(adapter=self.provider, sleep=lambda _: None, chance=lambda: 0.0)
        self.context = replace(context, wire=wire)
        self.cursor: str | None = None

    def pages(self, **settings: Any) -> list[Page]:
        """One run from where the last one stopped."""
        found = list(config(**settings).build(self.context).pull(self.cursor))
        self.cursor = found[-1].cursor
        return found

    def events(self, **settings: Any) -> list[Event]:
        """The events of one run."""
        return [event for page in self.pages(**settings) for event in page.events]

    def deployments(self, **settings: Any) -> dict[str, Deployment]:
        """The deployments of one run, by their native ids without what the rules made of them."""
        found = [e for e in self.events(**settings) if isinstance(e, Deployment)]
        return {d.native_id.removesuffix(f"/{d.service}/{d.environment}"): d for d in found}

    def incidents(self) -> list[Incident]:
        """The incidents of one run."""
        return [e for e in self.events(incidents_from_health=True) if isinstance(e, Incident)]


@pytest.fixture
def desk(context: SourceContext) -> Callable[..., Desk]:
    """Makes desks over applications."""
    return lambda *apps: Desk(context, World(list(apps)))


@pytest.fixture
def small(context: SourceContext) -> Desk:
    """A desk over the small world."""
    return Desk(context, small_world())


def at(minutes: float) -> datetime:
    """A time after the start of the worlds."""
    return START + timedelta(minutes=minutes)


def said(pages: list[Page], what: str) -> str:
    """What pages said: their `truncations`, `warnings` or `rejected`."""
    return "\n".join(str(one) for page in pages for one in getattr(page, what))


# --- syncs that succeeded


def test_a_sync_is_a_deployment_of_its_application(small: Desk) -> None:
    """An application is a service of its own name, deployed to its namespace when the sync ended."""
    found = small.deployments()["sync/uid-of-shop/7"]

    assert (found.service, found.environment, found.result) == ("shop", "shop", Result.SUCCESS)
    assert (found.started_at, found.finished_at, found.updated_at) == (at(58), at(60), at(60))
    assert (found.repository, found.sha, found.ref, found.version) == ("acme/deploy", sha(1), "HEAD", None)
    assert found.url == "https://argocd.example.com/argo/applications/argocd/shop"
    assert found.pipeline_run_native_id is None


def test_a_repair_of_drift_is_no_deployment(small: Desk) -> None:
    """The same deployment still running is not counted again: Argo CD only put back what somebody had changed."""
    found = small.deployments()

    assert "sync/uid-of-shop/8" in found
    assert "sync/uid-of-shop/9" not in found


def test_a_manual_sync_of_the_same_is_a_deployment(desk: Callable[..., Desk]) -> None:
    """Redeploy of the same artifact: a deployment, and no rollback."""
    found = desk(application("shop", entry(0, 0, sha(1)), entry(1, 60, sha(1)))).deployments()

    assert [found[f"sync/uid-of-shop/{n}"].rolled_back for n in (0, 1)] == [False, False]


def test_other_parameters_of_the_same_commit_are_a_deployment(desk: Callable[..., Desk]) -> None:
    """Another image through a parameter is another release, though the commit is the same."""
    first, second = (in_git(kustomize={"images": [f"registry.example.com/shop:{n}"]}, wanted="main") for n in (1, 2))
    entries = [entry(0, 0, sha(1), user=None, source=first), entry(1, 60, sha(1), user=None, source=second)]
    found = desk(application("shop", *entries)).deployments()

    assert not found["sync/uid-of-shop/1"].rolled_back
    assert len(found) == 2


def test_a_return_to_an_older_entry_is_a_rollback(small: Desk) -> None:
    """A sync of what the history holds further back counts, and is flagged as a rollback."""
    found = small.deployments()

    assert found["sync/uid-of-shop/10"].rolled_back
    assert not found["sync/uid-of-shop/8"].rolled_back


def test_a_chart_says_its_version_and_its_values_the_commit(small: Desk) -> None:
    """Of several sources the chart gives version and artifact, the one in Git repository and commit."""
    found = small.deployments()["sync/uid-of-ingress/3"]

    assert (found.version, found.artifact) == ("4.1.0", "ingress:4.1.0")
    assert (found.repository, found.sha, found.ref) == ("acme/deploy", sha(5), "main")


def test_a_chart_alone_has_no_commit(desk: Callable[..., Desk]) -> None:
    """A deployment whose commit is unknown counts all the same; the version of a chart is no commit."""
    chart = {"repoURL": CHARTS, "chart": "ingress", "targetRevision": "4.*"}
    (found,) = desk(application("ingress", entry(0, 0, "4.1.0", source=chart))).deployments().values()

    assert (found.version, found.sha, found.repository, found.service) == ("4.1.0", None, None, "ingress")


def test_who_deployed_is_hashed_and_automation_is_a_bot(small: Desk) -> None:
    """Who began a sync is a keyed hash; what Argo CD began itself is a bot's and nobody's."""
    found = small.deployments()
    by_hand, automated = found["sync/uid-of-shop/7"], found["sync/uid-of-shop/8"]

    assert (by_hand.actor, by_hand.bot) == (small.context.people.hashed(PLANTED_LOGIN), False)
    assert (automated.actor, automated.bot) == (None, True)
    assert found["sync/uid-of-shop/10"].actor == small.context.people.hashed(PLANTED_MAIL)


def test_an_application_that_is_made_anew_begins_again(desk: Callable[..., Desk]) -> None:
    """Two applications of one name, one after another, have two histories; without a uid the name must do."""
    first = application("shop", entry(0, 0, sha(1)), metadata={"uid": "one"})
    second = application("shop", entry(0, 60, sha(1)), metadata={"uid": ""})

    assert [*desk(first).deployments(), *desk(second).deployments()] == ["sync/one/0", "sync/argocd/shop/0"]


# --- operations that failed


def test_a_failed_sync_is_a_failed_deployment(small: Desk) -> None:
    """The last operation failed: a failed deployment, beside the history that does not know of it."""
    found = small.deployments()
    failed = found["operation/uid-of-basket/2026-02-01T09:38:00Z"]

    assert (failed.result, failed.finished_at, failed.sha) == (Result.FAILURE, at(100), sha(4))
    assert found["sync/uid-of-basket/0"].result is Result.SUCCESS


@pytest.mark.parametrize(
    "last",
    [
        operation("Running", 60),
        operation("Running", 60, finishedAt=written(60)),
        operation("Terminating", 60),
        operation("Succeeded", 60),
        operation("Failed", 60, sync={"dryRun": True}),
        operation("Failed", 60, sync={"resources": [{"kind": "Deployment", "name": "shop"}]}),
        operation("Failed", 60, message="Operation terminated"),
        operation("Error", 60, message="Operation termination had errors"),
        None,
    ],
    ids=["running", "waits to try again", "terminating", "kept", "dry", "partial", "terminated", "badly", "none"],
)
def test_an_operation_that_is_no_release_is_none(desk: Callable[..., Desk], last: Any) -> None:
    """Running, cancelled, a dry run, chosen resources alone: neither success nor failure."""
    assert desk(application("shop", operation=last)).deployments() == {}


@pytest.mark.parametrize(
    ("phase", "message", "expected"),
    [
        ("Error", "ComparisonError", Result.ERROR),
        ("Failed", "one or more objects failed to apply", Result.FAILURE),
        ("Failed", "Operation terminated, triggered by controller sync timeout", Result.TIMEOUT),
    ],
)
def test_how_an_operation_failed_is_kept(desk: Callable[..., Desk], phase: str, message: str, expected: Result) -> None:
    """A failure, an error and a time limit that was reached are told apart."""
    (found,) = desk(application("shop", operation=operation(phase, 60, message=message))).deployments().values()

    assert found.result is expected


def test_a_sync_that_failed_before_it_began_names_what_was_asked(desk: Callable[..., Desk]) -> None:
    """Without a result the request and the application tell what was to be deployed."""
    last = operation("Error", 60, revision=sha(9), syncResult=None)
    (found,) = desk(application("shop", operation=last)).deployments().values()

    assert (found.sha, found.repository) == (sha(9), "acme/deploy")


def test_an_unknown_phase_is_named(small: Desk) -> None:
    """New enum values: the record survives; the unknown value is counted and named."""
    pages = small.pages()

    assert (
        said(pages, "warnings") == "phase 'Dreaming' is not known here; it is taken as an operation that is under way"
    )


# --- where it goes


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "shop"),
        ({"environment_from": "cluster"}, "in-cluster"),
        ({"environment_from": "project"}, "retail"),
        ({"environment_from": "label:env"}, "production"),
        ({"environment_from": "label:stage"}, "shop"),
    ],
)
def test_the_environment_is_read_where_the_settings_say(
    desk: Callable[..., Desk], settings: dict[str, Any], expected: str
) -> None:
    """Several production environments: names come from the namespace, the cluster, the project or a label."""
    (found,) = desk(application("shop", entry(0, 0, sha(1)), project="retail")).deployments(**settings).values()

    assert found.environment == expected


@pytest.mark.parametrize(
    ("destination", "project", "expected"),
    [
        ({"name": "eu-1", "server": "https://10.0.0.1:6443"}, "shop", "eu-1"),
        ({"server": "https://eu.k8s.example.com:6443"}, "shop", "eu.k8s.example.com"),
        ({}, "shop", "shop"),
        ({}, "", "default"),
    ],
)
def test_an_environment_that_is_not_said_falls_back(
    desk: Callable[..., Desk], destination: dict[str, str], project: str, expected: str
) -> None:
    """An application without a namespace goes by its cluster, else by its project: never to production by default."""
    app = application("nodes", entry(0, 0, sha(1)), project=project, spec={"destination": destination})
    (found,) = desk(app).deployments().values()

    assert found.environment == expected


def test_rules_name_services_and_leave_out_the_rest(desk: Callable[..., Desk]) -> None:
    """With rules only what fits is a deployment; groups of an application's name make the service."""
    rules = [
        {"pipeline": "/(?P<service>.+)-(?P<stage>dev|prod)/", "service": "{service}", "to": "{stage}"},
        {"environment": "tools", "repository": "acme/*"},
    ]
    apps = [application(name, entry(0, 0, sha(1))) for name in ("shop-prod", "basket-dev", "lint", "tools")]
    found = desk(*apps).deployments(deployments=rules).values()

    assert sorted((d.service, d.environment) for d in found) == [
        ("basket", "dev"),
        ("shop", "prod"),
        ("tools", "tools"),
    ]


def test_what_rules_took_is_noted(desk: Callable[..., Desk]) -> None:
    """Findings count rules that were written, and nothing where none was."""
    bench = desk(application("shop", entry(0, 0, sha(1))))
    bench.pages()
    assert bench.context.findings == Findings()
    bench.cursor = None
    bench.pages(deployments=[{"pipeline": "shop"}])

    assert bench.context.findings.matched == {0: {"shop (shop)": 1}}


@pytest.mark.parametrize("value", ["", "region", "label:", "label: env"])
def test_a_place_that_is_none_is_refused(value: str) -> None:
    """What names the environment is one of four."""
    with pytest.raises(ValidationError, match="expected namespace, cluster, project, or label:name"):
        config(environment_from=value)


# --- which applications


def test_only_wanted_applications_are_read(small: Desk) -> None:
    """Applications are chosen by name, and left out by it; projects are asked for."""
    found = small.deployments(projects=["shop"], applications=["*s*"], exclude="basket")

    assert {d.service for d in found.values()} == {"shop"}
    assert [a.query["projects"] for a in small.provider.asked if a.path.endswith("applications")] == [["shop"]]


def test_a_list_of_nothing_is_said(desk: Callable[..., Desk]) -> None:
    """An account that may see nothing gets an empty list, or null: that is a warning, never silence."""
    bench = desk()
    assert said(bench.pages(), "warnings") == "no application is visible"
    bench.provider.faults = {len(bench.provider.asked) + 1: Reply({"metadata": {}, "items": None})}

    assert said(bench.pages(projects=["shop"]), "warnings") == "no application is visible in the project shop"


def test_an_application_that_may_not_be_read_is_cut_off(small: Desk) -> None:
    """One that is refused, or gone, is reported; the others are read."""
    small.world.hidden.add("shop")
    pages = small.pages()

    assert "/api/v1/applications/shop: answered 403" in said(pages, "truncations")
    assert any("basket" in event.native_id for page in pages for event in page.events)


def test_an_entry_of_another_shape_is_set_aside(desk: Callable[..., Desk]) -> None:
    """One bad entry of a history is set aside, and the rest survives; so does one application of a list."""
    broken = {**entry(0, 0, sha(1)), "deployedAt": "yesterday"}
    app = application("shop", broken, entry(1, 60, sha(2)), operation=operation("Succeeded", 60))
    nameless = {**application("basket"), "metadata": {"name": 7}}
    bench = desk(app, nameless)
    pages = bench.pages()

    assert "argocd/shop history item 1: it is not as documented" in said(pages, "rejected")
    assert "applications item 2: it is not as documented" in said(pages, "rejected")
    assert [e.native_id for page in pages for e in page.events] == ["sync/uid-of-shop/1/shop/shop"]


# --- again and again


def test_a_second_run_asks_only_for_applications_that_moved(small: Desk) -> None:
    """Applications without a new operation cost nothing beyond the list."""
    small.pages(overlap="1m")
    before = len(small.provider.asked)
    small.world.apps[1] = application("basket", entry(0, 90, sha(3)), entry(1, 500, sha(4)))
    found = small.deployments(overlap="1m")

    assert [asked.path for asked in small.provider.asked[before:]] == [
        "api/v1/applications",
        "api/v1/applications/basket",
        "api/v1/applications/queue",
    ]
    assert [*found] == ["sync/uid-of-basket/1"]


def test_a_running_sync_is_looked_at_again(small: Desk) -> None:
    """Running: no deployment yet, and looked at again until it is over."""
    assert not [key for key in small.deployments() if "queue" in key]
    small.world.apps[3] = application("queue", entry(0, 5000, sha(1)), project="platform")

    assert small.deployments()["sync/uid-of-queue/0"].finished_at == at(5000)


def test_an_application_is_asked_for_in_its_own_namespace(desk: Callable[..., Desk]) -> None:
    """Applications of one name in several namespaces are several."""
    apps = [application("shop", entry(0, 0, sha(n)), metadata={"namespace": f"team-{n}", "uid": ""}) for n in (1, 2)]
    found = desk(*apps).deployments()

    assert [(key, d.sha) for key, d in found.items()] == [
        ("sync/team-1/shop/0", sha(1)),
        ("sync/team-2/shop/0", sha(2)),
    ]


def test_syncs_that_the_history_dropped_are_a_truncation(desk: Callable[..., Desk]) -> None:
    """Every cap is visible: a history that begins after what was read before lost some; one that does not, did not."""
    bench = desk(application("shop", entry(4, 0, sha(1)), entry(5, 60, sha(2))))
    cut = "the history of 1 applications dropped syncs before they were read: shop"
    assert said(bench.pages(), "truncations") == cut
    bench.world.apps[0] = application("shop", entry(5, 60, sha(2)), entry(6, 600, sha(3)))
    assert said(bench.pages(), "truncations") == ""
    bench.world.apps[0] = application("shop", entry(9, 900, sha(4)), entry(10, 960, sha(5)))

    assert said(bench.pages(), "truncations") == cut


def test_what_was_judged_with_its_predecessor_is_not_judged_without(desk: Callable[..., Desk]) -> None:
    """A repair stays one when the sync before it has left the history."""
    entries = [entry(0, 0, sha(1), user=None), entry(1, 30, sha(1), user=None), entry(2, 60, sha(2), user=None)]
    bench = desk(application("shop", *entries[:2]))
    assert [*bench.deployments()] == ["sync/uid-of-shop/0"]
    bench.world.apps[0] = application("shop", *entries[1:])

    assert [*bench.deployments()] == ["sync/uid-of-shop/2"]


def test_a_restored_application_without_an_operation_is_read(desk: Callable[..., Desk]) -> None:
    """A first run reads histories that no operation dates; later ones have nothing to tell that they moved."""
    bench = desk(application("shop", entry(0, 0, sha(1)), operation=None), application("basket", entry(0, 9, sha(1))))

    assert {d.service for d in bench.deployments().values()} == {"shop", "basket"}
    assert {d.service for d in bench.deployments().values()} == set()


def test_a_history_is_read_as_far_as_it_was_asked_for(small: Desk) -> None:
    """A first run reads as far back as `history` says; `--since` reads from then on, whatever the cursor says."""
    assert small.deployments(history="1d") == {}
    small.context = replace(small.context, since=at(0))

    assert "sync/uid-of-shop/7" in small.deployments(history="1d")


def test_a_sync_that_begins_while_others_are_read_is_not_lost(small: Desk) -> None:
    """Items are added while reading: the next pass starts from what the list showed, not from what came since."""
    pages = config(overlap="1m").build(small.context).pull(None)
    next(page for page in pages if '"after":"argocd/basket"' in page.cursor)
    small.world.apps[1] = application("basket", entry(0, 90, sha(3)), entry(1, 1000, sha(4)))
    small.world.apps[0] = application("shop", entry(11, 2000, sha(4)))
    small.cursor = list(pages)[-1].cursor

    assert "sync/uid-of-basket/1" in small.deployments(overlap="1m")


# --- health


def degraded(name: str, minutes: float | None, status: str = "Degraded") -> dict[str, Any]:
    """An application that changed its health then."""
    when = {} if minutes is None else {"lastTransitionTime": written(minutes)}
    return application(name, status={"health": {"status": status, **when}})


def test_an_application_that_is_degraded_is_an_incident(desk: Callable[..., Desk]) -> None:
    """Degraded begins an incident of the service, and it lasts while nothing says Healthy."""
    bench = desk(degraded("shop", 60))
    (found,) = bench.incidents()
    assert (found.service, found.environment, found.state) == ("shop", "shop", IncidentState.DETECTED)
    assert (found.started_at, found.restored_at) == (at(60), None)
    bench.world.apps[0] = degraded("shop", 90, "Progressing")

    assert bench.incidents() == []


def test_a_healthy_application_restored_its_incident(desk: Callable[..., Desk]) -> None:
    """The same incident is over when the application became healthy; the next one is another."""
    bench = desk(degraded("shop", 60))
    (begun,) = bench.incidents()
    bench.world.apps[0] = degraded("shop", 95, "Healthy")
    (ended,) = bench.incidents()
    bench.world.apps[0] = degraded("shop", 120)
    (another,) = bench.incidents()

    assert (ended.native_id, ended.started_at) == (begun.native_id, begun.started_at)
    assert (ended.state, ended.restored_at, ended.updated_at) == (IncidentState.RESOLVED, at(95), at(95))
    assert another.native_id != begun.native_id


def test_health_is_no_incident_unless_asked_for(desk: Callable[..., Desk]) -> None:
    """Without the setting health says nothing, and is not even a reason to read an application."""
    assert desk(degraded("shop", 60)).events() == []


def test_incidents_follow_the_rules_for_services(desk: Callable[..., Desk]) -> None:
    """An incident is of the service that the rules make of an application; of none where they leave it out."""
    rules = [{"pipeline": "/(?P<name>.+)-prod/", "service": "{name}", "to": "production"}]
    bench = desk(degraded("shop-prod", 60), degraded("lint", 60))
    found = [e for e in bench.events(incidents_from_health=True, deployments=rules) if isinstance(e, Incident)]

    assert [(i.service, i.environment) for i in found] == [("shop", "production")]
    assert bench.context.findings.matched == {}


def test_health_without_a_time_is_a_truncation(desk: Callable[..., Desk]) -> None:
    """Older servers do not say when the health changed: a time is never guessed."""
    pages = desk(degraded("shop", None)).pages(incidents_from_health=True)

    assert "the health of applications has no time" in said(pages, "truncations")
    assert [event for page in pages for event in page.events] == []


def test_a_degraded_application_that_is_gone_is_said(desk: Callable[..., Desk]) -> None:
    """An application that was deleted while it was degraded: nobody knows whether it recovered."""
    bench = desk(degraded("shop", 60), application("basket"))
    bench.incidents()
    bench.world.apps.pop(0)

    assert "applications that were degraded are gone" in said(bench.pages(incidents_from_health=True), "warnings")
    assert said(bench.pages(incidents_from_health=True), "warnings") == ""


def test_an_unknown_health_is_named(small: Desk) -> None:
    """A health that nobody knows changes nothing, and is named."""
    assert "health 'Perplexed' is not known here; it is taken as no change" in said(
        small.pages(incidents_from_health=True), "warnings"
    )


# --- notifications


def notified(app: dict[str, Any]) -> bytes:
    """An application as the documented template sends it."""
    status = {"history": app["status"]["history"], "operationState": app["status"]["operationState"]}
    return json.dumps({"metadata": app["metadata"], "spec": app["spec"], "status": status}).encode()


def received(context: SourceContext, body: bytes, **settings: Any) -> Received:
    """What is in a notification."""
    receiver = config(webhook_secret=SECRET, **settings).receiver(context)
    assert receiver is not None
    return receiver.read(Delivery(headers={}, body=body, received_at=datetime.now(UTC)))


@pytest.mark.parametrize("place", [0, 1, 2], ids=["rolled back", "failed", "chart"])
def test_a_notification_is_what_is_read_later(small: Desk, context: SourceContext, place: int) -> None:
    """The same native id by webhook and by polling: one, and the same to the last field."""
    read = {event.id: event for event in small.events()}
    told = received(context, notified(small.world.apps[place])).events

    assert [type(event) for event in told] == [Deployment]
    assert [read[event.id] for event in told] == list(told)


@pytest.mark.parametrize(
    ("app", "ignored"),
    [
        (application("queue", operation=operation("Running", 60)), "an operation that is under way"),
        (application("queue", operation=None), "an operation that is under way"),
        (application("lint", entry(0, 0, sha(1))), "an application that is not read"),
        (application("queue", entry(0, 0, sha(1)), project="other"), "an application that is not read"),
        (
            application("queue", *(entry(n, n, sha(1), user=None) for n in range(2))),
            "an operation that deployed nothing, or that no rule takes",
        ),
    ],
    ids=["running", "none", "other", "project", "repair"],
)
def test_what_is_not_read_is_named(context: SourceContext, app: dict[str, Any], ignored: str) -> None:
    """An unmatched event is listed with its reason, not gone."""
    assert received(context, notified(app), projects=["shop"], exclude="lint").ignored == ignored


def test_an_end_without_a_time_is_rejected(context: SourceContext) -> None:
    """What is read and cannot be used is set aside with its reason."""
    app = application("shop", operation=operation("Failed", 60, finishedAt=None))

    assert [str(r) for r in received(context, notified(app)).rejected] == ["argocd/shop: its operation has no end"]


@pytest.mark.parametrize("body", [b"app-deployed", b"[]", b"\xff", b'{"metadata": {"name": null}}'])
def test_a_body_that_is_no_application_is_a_contract_error(context: SourceContext, body: bytes) -> None:
    """Another template: named for what it is."""
    with pytest.raises(ContractError, match="is its template the documented one"):
        received(context, body)


@pytest.mark.parametrize(("authorization", "expected"), [(f"Bearer {SECRET}", True), ("Bearer x", False), ("", False)])
def test_a_bearer_token_opens_the_door(context: SourceContext, authorization: str, *, expected: bool) -> None:
    """The secret is a bearer token, and nothing else is."""
    receiver = config(webhook_secret=SECRET).receiver(context)

    assert receiver is not None
    delivery = Delivery(headers={"authorization": authorization}, body=b"{}", received_at=datetime.now(UTC))
    assert receiver.is_genuine(delivery) is expected


def test_without_a_secret_there_is_no_door(context: SourceContext) -> None:
    """No webhook is taken unless a secret is set."""
    assert config().receiver(context) is None


# --- shapes


def test_costs_are_those_that_are_told(desk: Callable[..., Desk]) -> None:
    """A first run asks once for the list and once for each application; the next one once."""
    bench = desk(*(application(f"app-{n:04}", entry(0, n, sha(n))) for n in range(1000)))
    bench.pages(overlap="1m")
    assert len(bench.provider.asked) == 1001
    bench.pages(overlap="1m")

    assert len(bench.provider.asked) == 1001 + 1 + 2


def test_bodies_for_measuring_hold_syncs() -> None:
    """What measurements decode is what Argo CD sends."""
    (first, *_) = bulk(20)
    app = json.loads(first)

    assert app["spec"]["source"]["repoURL"] == GIT
    assert len(app["status"]["history"]) == 10


@pytest.mark.skipif(not DESCRIBED.exists(), reason="the descriptions of APIs are not here")
def test_requests_and_answers_are_as_described(small: Desk) -> None:
    """What is asked exists, and what the stand-in answers fits the schema of the official description.

    The choice of fields alone stands beside it: the description leaves it out.
    """
    small.pages(projects=["shop", "platform"], incidents_from_health=True)
    told = [
        violation
        for asked in list(small.provider.asked)
        for violation in check(
            DESCRIBED,
            asked._replace(query={k: v for k, v in asked.query.items() if k != "fields"}),
            200,
            small.provider._reply(asked).bytes(),
        )
    ]

    assert told == []
