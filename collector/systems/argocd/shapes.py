"""What Argo CD says of applications, their history and operations, and how these become events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import msgspec

from collector.deploying import Deployments
from collector.errors import BadRecord
from collector.events import Deployment, Incident, IncidentState, PipelineRun, Result, RunState
from collector.people import People
from collector.remotes import repository_of
from collector.streams import Notes
from collector.times import as_rfc3339, parsed

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_HERE = "https://kubernetes.default.svc"
"""The address of the cluster that Argo CD itself runs in, which it calls `in-cluster`."""
_FAILED = {"Failed": Result.FAILURE, "Error": Result.ERROR}
_OTHER_PHASES = frozenset({"Succeeded", "Running", "Terminating", ""})
_TERMINATED = "Operation terminat"
"""How the message of an operation begins that somebody, or a time limit, ended."""
_TIMED_OUT = "timeout"
_DEGRADED, _HEALTHY = "Degraded", "Healthy"
_OTHER_HEALTH = frozenset({"Progressing", "Suspended", "Missing", "Unknown", ""})
_LABEL = "label:"


class _Metadata(msgspec.Struct):
    name: str
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None


class _Destination(msgspec.Struct):
    name: str = ""
    server: str = ""
    namespace: str = ""


class _Source(msgspec.Struct):
    """What is deployed. The parameters stay as they are written: they are only compared."""

    address: str = msgspec.field(name="repoURL", default="")
    path: str = ""
    chart: str = ""
    wanted: str = msgspec.field(name="targetRevision", default="")
    helm: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    kustomize: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    directory: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    plugin: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class _Spec(msgspec.Struct):
    project: str = ""
    destination: _Destination = msgspec.field(default_factory=_Destination)
    source: _Source | None = None
    sources: list[_Source] | None = None


class _Initiator(msgspec.Struct):
    automated: bool = False
    username: str = ""


class _Result(msgspec.Struct):
    revision: str = ""
    revisions: list[str] | None = None
    source: _Source | None = None
    sources: list[_Source] | None = None


class _Sync(_Result):
    dry: bool = msgspec.field(name="dryRun", default=False)
    resources: list[msgspec.Raw] | None = None


class _Requested(msgspec.Struct):
    initiator: _Initiator | None = msgspec.field(name="initiatedBy", default=None)
    sync: _Sync | None = None


class _Operation(msgspec.Struct):
    phase: str = ""
    message: str = ""
    started_at: datetime | None = msgspec.field(name="startedAt", default=None)
    finished_at: datetime | None = msgspec.field(name="finishedAt", default=None)
    operation: _Requested = msgspec.field(default_factory=_Requested)
    result: _Result | None = msgspec.field(name="syncResult", default=None)


class Entry(_Result, kw_only=True):
    """A sync that succeeded, as the history keeps it."""

    id: int
    deployed_at: datetime = msgspec.field(name="deployedAt")
    started_at: datetime | None = msgspec.field(name="deployStartedAt", default=None)
    initiator: _Initiator | None = msgspec.field(name="initiatedBy", default=None)


class _Health(msgspec.Struct):
    status: str = ""
    at: datetime | None = msgspec.field(name="lastTransitionTime", default=None)


class _Status(msgspec.Struct):
    history: list[msgspec.Raw] | None = None
    operation: _Operation | None = msgspec.field(name="operationState", default=None)
    health: _Health | None = None


class Application(msgspec.Struct):
    """An application, whole or as far as a list shows it."""

    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)

    @property
    def key(self) -> str:
        """Its namespace and name, by which it is unique."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def moved_at(self) -> datetime | None:
        """When its last operation began or ended."""
        operation = self.status.operation or _Operation()
        return max(filter(None, (operation.started_at, operation.finished_at)), default=None)


class _Deployed(NamedTuple):
    """What a sync deployed: sources with what of each, in their order."""

    what: tuple[tuple[_Source, str], ...]

    @property
    def git(self) -> tuple[_Source, str]:
        """The source whose commit counts: the first one in Git that is a directory of its own, else the first one."""
        found = [one for one in self.what if not one[0].chart]
        return next((one for one in found if one[0].path), next(iter(found), (_Source(), "")))

    @property
    def chart(self) -> tuple[_Source, str]:
        """The first chart."""
        return next((one for one in self.what if one[0].chart), (_Source(), ""))


class Span(NamedTuple):
    """Where a read stands: events are made from `since` on; up to `read` all were made before, None where none was."""

    since: datetime
    read: datetime | None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How applications become events: the same for what is asked for and what is sent."""

    source: str
    url: str
    people: People
    deploying: Deployments
    environment_from: str

    def deployments(self, app: Application, entries: Sequence[Entry], span: Span, notes: Notes) -> Iterator[Deployment]:
        """The syncs of an application that succeeded since then, and the last one if it failed."""
        made = [_deployed(entry, app) for entry in entries]
        for place, entry in enumerate(entries):
            # Without the one before it nobody can say again what it was; a read before this one could.
            judged = place == 0 and span.read is not None and entry.deployed_at <= span.read
            if entry.deployed_at >= span.since and not judged:
                yield from self._of_entry(app, entry, made[: place + 1])
        operation = app.status.operation
        if operation is not None and operation.finished_at is not None and operation.finished_at >= span.since:
            yield from self._of_failure(app, operation, notes)

    def last(self, app: Application, notes: Notes) -> Iterator[Deployment]:
        """What the last operation of an application deployed, where it is over."""
        operation = app.status.operation or _Operation()
        entries = history(app, notes)
        if operation.phase == "Succeeded" and entries:
            yield from self._of_entry(app, entries[-1], [_deployed(entry, app) for entry in entries])
        elif operation.finished_at is not None:
            yield from self._of_failure(app, operation, notes)

    def _of_entry(self, app: Application, entry: Entry, made: Sequence[_Deployed]) -> Iterator[Deployment]:
        """The deployment of a sync; `made`: what all syncs up to this one deployed."""
        *earlier, deployed = made
        initiator, again = entry.initiator or _Initiator(), earlier[-1:] == [deployed]
        if initiator.automated and again:
            return  # it repaired what had drifted: nothing was released
        native_id = f"sync/{_identity(app)}/{entry.id}"
        run = self._run(app, native_id, Result.SUCCESS, entry.started_at, entry.deployed_at, initiator)
        yield from self._deployment(run, deployed, rolled_back=not again and deployed in earlier)

    def _of_failure(self, app: Application, operation: _Operation, notes: Notes) -> Iterator[Deployment]:
        sync, started_at = operation.operation.sync or _Sync(), operation.started_at
        result = _FAILED.get(operation.phase)
        if result is None and operation.phase not in _OTHER_PHASES:
            notes.unknown("phase", operation.phase, "an operation that is under way")
        if result is None or sync.dry or sync.resources or started_at is None:
            return  # a sync of chosen resources alone is no release, as it is none in the history
        if operation.message.startswith(_TERMINATED):
            result = Result.TIMEOUT if _TIMED_OUT in operation.message else Result.CANCELLATION
        initiator = operation.operation.initiator or _Initiator()
        native_id = f"operation/{_identity(app)}/{as_rfc3339(started_at)}"
        run = self._run(app, native_id, result, started_at, operation.finished_at, initiator)
        yield from self._deployment(run, _deployed(operation.result or sync, app), rolled_back=False)

    def _run(
        self,
        app: Application,
        native_id: str,
        result: Result,
        started_at: datetime | None,
        finished_at: datetime | None,
        initiator: _Initiator,
    ) -> PipelineRun:
        """A sync as a run, so that the rules for runs say what it deploys. It is none: nobody waits for a runner."""
        who = "" if initiator.automated else initiator.username
        return PipelineRun(
            source=self.source,
            native_id=native_id,
            updated_at=finished_at,
            url=f"{self.url}/applications/{app.key.lstrip('/')}",
            repository=app.metadata.name,
            pipeline=app.metadata.name,
            state=RunState.COMPLETED,
            result=result,
            started_at=started_at,
            finished_at=finished_at,
            environment=self._environment(app),
            actor=self.people.hashed(who) if who else None,
            bot=initiator.automated or bool(who and self.people.is_bot(who)),
        )

    def _deployment(self, run: PipelineRun, deployed: _Deployed, *, rolled_back: bool) -> Iterator[Deployment]:
        (git, revision), (chart, version) = deployed.git, deployed.chart
        repository = repository_of(git.address)
        run = msgspec.structs.replace(
            run,
            repository=repository or run.repository,
            sha=revision if _SHA.fullmatch(revision) else None,
            ref=git.wanted or chart.wanted or None,
        )
        found = self.deploying.of(run, version=version or None)
        if found is not None:
            yield msgspec.structs.replace(
                found,
                repository=repository or None,
                artifact=f"{chart.chart}:{version}" if version else None,
                rolled_back=rolled_back,
                pipeline_run_native_id=None,
            )

    def _environment(self, app: Application) -> str:
        """Where an application is deployed to, as the settings say; what is not there falls back to what is."""
        spec, to = app.spec, app.spec.destination
        cluster = to.name or ("in-cluster" if to.server == _HERE else to.server.partition("://")[2].partition(":")[0])
        places = {"namespace": to.namespace, "cluster": cluster, "project": spec.project}
        chosen = places.get(self.environment_from, "")
        if self.environment_from.startswith(_LABEL):
            chosen = (app.metadata.labels or {}).get(self.environment_from.removeprefix(_LABEL), "")
        return chosen or to.namespace or cluster or spec.project or "default"

    def incidents(
        self, apps: Iterable[Application], known: MutableMapping[str, str], notes: Notes
    ) -> Iterator[Incident]:
        """Times in which applications were degraded; `known`, by application, are the native ids of those that last."""
        for app in apps:
            health, key = app.status.health or _Health(), app.key
            if health.status not in _OTHER_HEALTH | {_DEGRADED, _HEALTHY}:
                notes.unknown("health", health.status, "no change")
            if (health.status == _DEGRADED) is (key in known) or health.status not in {_DEGRADED, _HEALTHY}:
                continue
            if health.at is None:
                notes.cut("the health of applications has no time before Argo CD 3.0: no incident is made of it")
                continue
            native_id = known.setdefault(key, f"health/{key}/{as_rfc3339(health.at)}")
            if health.status == _HEALTHY:
                del known[key]
            yield from self._incident(app, native_id, health)

    def _incident(self, app: Application, native_id: str, health: _Health) -> Iterator[Incident]:
        started_at = parsed(native_id.rpartition("/")[2])
        over = health.status == _HEALTHY
        # The rules say whose it is, and where: as if the application had just been synced.
        run = self._run(app, native_id, Result.SUCCESS, started_at, started_at, _Initiator())
        for place in self._deployment(run, _deployed(_Result(), app), rolled_back=False):
            yield Incident(
                source=self.source,
                native_id=native_id,
                updated_at=health.at,
                url=place.url,
                service=place.service,
                environment=place.environment,
                state=IncidentState.RESOLVED if over else IncidentState.DETECTED,
                started_at=place.finished_at,
                restored_at=health.at if over else None,
            )


def history(app: Application, notes: Notes) -> list[Entry]:
    """The syncs that an application's history holds, the oldest first; what cannot be used of it is set aside."""
    found: list[Entry] = []
    for place, raw in enumerate(app.status.history or ()):
        try:
            found.append(msgspec.json.decode(raw, type=Entry))
        except (msgspec.DecodeError, RecursionError):
            notes.reject([BadRecord(f"{app.key} history item {place + 1}", "it is not as documented")])
    return sorted(found, key=lambda entry: entry.id)


def _deployed(of: _Result, app: Application) -> _Deployed:
    """What a sync deployed; where it does not say its sources, those of the application."""
    single = of.source if of.source is not None and of.source.address else None
    sources = of.sources or ([single] if single else app.spec.sources or ([app.spec.source] if app.spec.source else []))
    revisions = of.revisions or [of.revision] * bool(of.revision)
    return _Deployed(tuple(zip(sources, [*revisions, *[""] * len(sources)], strict=False)))


def _identity(app: Application) -> str:
    """What no other application ever has: one that is made anew under its name begins a history of its own."""
    return app.metadata.uid or app.key
