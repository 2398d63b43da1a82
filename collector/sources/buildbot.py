"""Builds of a Buildbot master: how long each waited and ran, how it ended, and by rules what it deployed.

Read are the lists of its REST API (`/api/v2`) by ascending ids, so that a place in them stays a place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import msgspec
from pydantic import Field

from collector import remotes
from collector.api import CiConfig
from collector.deploying import Deployments
from collector.errors import ContractError
from collector.events import Deployment, Event, PipelineRun, Result, RunState
from collector.http import Answer, ApiClient
from collector.name_rules import NameRules
from collector.paging import side_by_side
from collector.patterns import Pattern
from collector.people import People
from collector.secrets import reveal
from collector.source import About, Page, SourceContext
from collector.streams import Notes, Part, State, Stream, pull
from collector.times import from_epoch
from collector.webhooks import Delivery, Received, bearer, id_of, is_same, password

T = TypeVar("T")

_PAGE = 200
_MOST_PAGES = 100_000
_MOST_BUILDERS = 300
"""So many ids of builders fit into an address; more of them are sorted out here."""
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_MAIL = re.compile(r"<([^<>]+)>")
_RESULTS = {
    0: Result.SUCCESS,
    1: Result.SUCCESS,  # with warnings
    2: Result.FAILURE,
    3: Result.SKIP,
    4: Result.ERROR,
    5: Result.CANCELLATION,  # lost its worker: another build of the same request follows
    6: Result.CANCELLATION,
}
_ABOUT = About(
    system="Buildbot",
    gives=("pipeline_run", "deployment"),
    tested="real server",
    scopes=(
        ("nothing where the API is open", "as it is by default"),
        ("what a proxy before the master asks for", "as a bearer token, or as the password of `username`"),
    ),
    costs=(
        ("builds", "10 requests for 1 000: 200 builds and their requests at a time"),
        ("deployments", "1 more for each, for the changes in it (`changes: false` leaves them out)"),
        ("a run in which nothing happened", "3 requests, and 1 for each 200 builds that still run"),
    ),
    limits=(
        "Builds that the master has deleted are not handed out; what was read of them before stays.",
        "A build request that no worker has taken yet is no run yet; its waiting counts once it is one.",
        "A build that began before `history` and never ended is asked for no more, which is said.",
    ),
    example="""\
sources:
  - type: buildbot
    name: ci
    url: https://buildbot.example.com
    deployments:
      - pipeline: deploy-*
        to: production
""",
    more="""\
**What becomes what.** A build is a pipeline run whose pipeline is its builder (`virtual_builder_name` where a build
has one). It was created when its request was submitted, so the wait for a worker is known. Success with warnings is a
success, an exception an error; a build that is retried on another worker, or cancelled, is neither success nor failure.

**Commits.** The commit is `got_revision`, which a source step sets, else the `revision` that was asked for. Of a
build of several codebases the first by name counts. The repository's name is the path of its address; where others
call it otherwise, `repositories` says so. A build without a repository counts for its project, else its builder.

**Deployments.** Rules take a builder as `pipeline`, and the property named by `environment_property` as `environment`.
The changes since the builder's last successful build come with a deployment.

**Webhooks.** `reporters.HttpStatusPush("https://paceline.example.com/webhooks/ci", headers={"Authorization":
"Bearer …"})`, or its `auth=("any", "…")`, with `webhook_secret` as the secret. Builds arrive as they begin and end.
Unless its `BuildStatusGenerator` has `mode="all"`, a master does not post the end of cancelled builds: the next run
reads it.
""",
)


class BuildbotConfig(CiConfig):
    """Settings of a Buildbot master."""

    type: Literal["buildbot"]
    about: ClassVar[About] = _ABOUT

    username: str = Field(default="", description="The user, where a proxy before the master wants a password.")
    builders: NameRules = Field(default_factory=list, description="Builders that are read; all unless given.")
    repositories: dict[str, str] = Field(
        default_factory=dict,
        description="What other sources call a repository, by its address in the master's settings.",
    )
    environment_property: str = Field(
        default="environment", description="The property of a build that names its environment."
    )
    version_property: str = Field(default="version", description="The property of a build that names what it releases.")
    changes: bool = Field(default=True, description="Whether the changes in each deployment are read.")

    def build(self, context: SourceContext) -> BuildbotSource:
        """The source."""
        token = reveal(self.token)
        client = self.client(
            context,
            url=f"{self.url}/api/v2",
            headers={"Authorization": f"Bearer {token}"} if token and not self.username else None,
            basic=(self.username, token) if self.username else None,
        )
        return BuildbotSource(client, self, context, self._shapes(context))

    def receiver(self, context: SourceContext) -> BuildbotReceiver | None:
        """What takes the posts of `HttpStatusPush`; None without `webhook_secret`."""
        secret = reveal(self.webhook_secret)
        return BuildbotReceiver(secret, self, self._shapes(context)) if secret else None

    def wants(self, builder: str) -> bool:
        """Whether the builds of a builder are read."""
        return not self.builders or any(Pattern(rule).matches(builder) for rule in self.builders)

    def _shapes(self, context: SourceContext) -> Shapes:
        return Shapes(self, context.people, self.deploying(context))


# ---- what the API hands out


class Builder(msgspec.Struct):
    """A builder."""

    builderid: int
    name: str


class Stamp(msgspec.Struct):
    """A source stamp: the state of one codebase."""

    codebase: str = ""
    repository: str | None = None
    revision: str | None = None
    branch: str | None = None
    project: str | None = None


class Buildset(msgspec.Struct):
    """What was asked for at once."""

    bsid: int
    sourcestamps: list[Stamp] = []


class Request(msgspec.Struct):
    """A build that was asked for."""

    buildrequestid: int
    buildsetid: int | None = None
    submitted_at: float | None = None


class Build(msgspec.Struct):
    """A build. Its properties are pairs of a value and where that comes from; times are seconds since 1970."""

    buildid: int
    number: int
    builderid: int
    buildrequestid: int
    started_at: float | None = None
    complete_at: float | None = None
    results: int | None = None
    properties: dict[str, list[Any]] | None = None

    def property(self, name: str) -> Any:
        """The value of a property; None where the build has none."""
        pair = (self.properties or {}).get(name)
        return pair[0] if pair else None

    def text(self, name: str) -> str:
        """A property that is a text; empty otherwise."""
        value = self.property(name)
        return value if isinstance(value, str) else ""


class Pushed(Build):
    """A build as a post brings it, with all around it."""

    builder: Builder | None = None
    buildrequest: Request | None = None
    buildset: Buildset | None = None


class _Change(msgspec.Struct):
    revision: str | None = None


class _Kind(msgspec.Struct):
    buildid: int | None = None


# ---- events


class _Origin(NamedTuple):
    """Where the code of a build comes from."""

    repository: str
    sha: str | None
    ref: str | None


@dataclass(frozen=True)
class Shapes:
    """Makes events of builds, the same however a build came here."""

    config: BuildbotConfig
    people: People
    deployments: Deployments
    _names: dict[str, str] = field(default_factory=dict)

    def events(
        self, build: Build, builder: str, request: Request | None, stamps: Sequence[Stamp], notes: Notes
    ) -> tuple[PipelineRun, Deployment | None]:
        """The run that a build is, and the deployment that it is by the rules."""
        run = self._run(build, builder, request, self._origin(build, builder, stamps), notes)
        return run, self.deployments.of(run, version=build.text(self.config.version_property) or None)

    def _run(self, build: Build, builder: str, request: Request | None, origin: _Origin, notes: Notes) -> PipelineRun:
        started_at, finished_at = _time(build.started_at), _time(build.complete_at)
        owner = self._owner(build)
        return PipelineRun(
            source=self.config.name,
            native_id=f"run/{build.buildid}",
            updated_at=finished_at or started_at,
            url=f"{self.config.url}/#/builders/{build.builderid}/builds/{build.number}",
            repository=origin.repository,
            pipeline=build.text("virtual_builder_name") or builder,
            state=RunState.COMPLETED if finished_at else RunState.EXECUTING,
            result=_result(build.results, notes) if finished_at else None,
            created_at=_time(request.submitted_at) if request else None,
            started_at=started_at,
            finished_at=finished_at,
            sha=origin.sha,
            ref=origin.ref,
            environment=build.text(self.config.environment_property) or None,
            actor=self.people.hashed(owner) if owner else None,
            bot=self.people.is_bot(owner) if owner else False,
        )

    def _owner(self, build: Build) -> str:
        """Whose build it is: who forced it, else the only author of its changes."""
        owners = build.property("owners")
        only = owners[0] if isinstance(owners, list) and len(owners) == 1 else ""
        said = build.text("owner") or (only if isinstance(only, str) else "")
        mail = _MAIL.search(said)
        return (mail[1] if mail else said).strip()

    def _origin(self, build: Build, builder: str, stamps: Sequence[Stamp]) -> _Origin:
        stamp = min((s for s in stamps if s.repository), key=lambda s: s.codebase, default=Stamp())
        address = build.text("repository") or stamp.repository or ""
        project = build.text("project") or stamp.project or ""
        got = build.property("got_revision")
        if isinstance(got, dict):
            got = got.get(build.text("codebase") or stamp.codebase)
        found = (_sha(one) for one in (got, build.property("revision"), stamp.revision))
        sha = next(filter(None, found), None)
        return _Origin(
            self._repository(address) or project or builder, sha, build.text("branch") or stamp.branch or None
        )

    def _repository(self, address: str) -> str:
        known = self._names.get(address)
        if known is None:
            known = self._names[address] = self.config.repositories.get(address) or repository_of(address)
        return known


def repository_of(address: str) -> str:
    """The name of a repository by its address, as forges call it; the folder's name of a path here."""
    place = address.strip().rstrip("/")
    return remotes.repository_of(place) or place.removesuffix(".git").rpartition("/")[2]


def _sha(value: object) -> str | None:
    return value.lower() if isinstance(value, str) and _SHA.fullmatch(value.lower()) else None


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else from_epoch(seconds)


def _result(code: int | None, notes: Notes) -> Result:
    known = None if code is None else _RESULTS.get(code)
    if known is None:
        notes.unknown("results", str(code), "cancelled")
    return known or Result.CANCELLATION


# ---- reading


@dataclass(frozen=True)
class BuildbotSource:
    """See BuildbotConfig. One stream: the master's builds, by their ids."""

    client: ApiClient
    config: BuildbotConfig
    context: SourceContext = field(repr=False)
    shapes: Shapes = field(repr=False)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Builds since the cursor's, and those that had not ended."""
        streams = [Stream("builds", self._builds)]
        return pull(None if self.context.since else cursor, streams, Notes())

    def _builds(self, state: State, notes: Notes) -> Iterator[Part]:
        names = self._builders(notes)
        for first in range(0, len(state.open), _PAGE):
            asked = state.open[first : first + _PAGE]
            builds = self._read({"buildid__eq": list(asked)}, notes)
            gone = set(asked) - {str(b.buildid) for b in builds}  # the master has deleted them
            state = self._kept_open(state, builds, gone, notes)
            yield Part(self._events(builds, names, notes), state)
        floor = self.config.horizon(self.context) if state.since is None else state.since - self.config.overlap
        for _ in range(_MOST_PAGES):
            builds = self._following(state.after, floor, names, notes)
            if not builds:
                yield Part((), state.ended())
                return
            state = self._kept_open(state, builds, set(), notes)
            state = msgspec.structs.replace(state, after=str(builds[-1].buildid))
            for build in builds:
                state = state.begun(_time(build.started_at))
            yield Part(self._events(builds, names, notes), state)
        raise ContractError("GET builds: its pages never end")

    def _builders(self, notes: Notes) -> Mapping[int, str]:
        """The names of the builders that are read, by their ids."""
        answer = self.client.get("builders", {"field": ["builderid", "name"]})
        wanted = {b.builderid: b.name for b in _items(answer, Builder, "builders", notes) if self.config.wants(b.name)}
        if not wanted and self.config.builders:
            notes.warn("no builder fits `builders`, so no build is read")
        return wanted

    def _following(self, after: str | None, floor: datetime, names: Mapping[int, str], notes: Notes) -> list[Build]:
        """The next builds by their ids that started at a time or later; none at the end."""
        if not names:
            return []
        asked: dict[str, str | list[str]] = {"order": "buildid", "limit": str(_PAGE)}
        asked["started_at__ge"] = str(int(floor.timestamp()))
        asked["buildid__gt"] = after or "0"
        if self.config.builders and len(names) <= _MOST_BUILDERS:
            asked["builderid__eq"] = [str(n) for n in names]
        builds = self._read(asked, notes)
        ids = [b.buildid for b in builds]
        # Buildbot passes over a filter that it does not know without a word.
        if ids != sorted(set(ids)) or (ids and ids[0] <= int(after or "0")):
            raise ContractError("GET builds: not in the order that was asked for; is a proxy leaving parameters out?")
        if any(b.started_at is not None and b.started_at < int(floor.timestamp()) for b in builds):
            raise ContractError("GET builds: `started_at__ge` was passed over; is a proxy leaving parameters out?")
        return builds

    def _read(self, asked: Mapping[str, str | list[str]], notes: Notes) -> list[Build]:
        properties = [
            *("got_revision", "revision", "branch", "repository", "codebase", "project", "owner", "owners"),
            *("virtual_builder_name", self.config.environment_property, self.config.version_property),
        ]
        return _items(self.client.get("builds", {**asked, "property": properties}), Build, "builds", notes)

    def _kept_open(self, state: State, builds: Sequence[Build], gone: set[str], notes: Notes) -> State:
        """The state with the ids of builds that have not ended, apart from those that never will."""
        oldest = self.context.clock() - self.config.history
        running = {str(b.buildid): _time(b.started_at) for b in builds if b.complete_at is None}
        lost = {name for name, at in running.items() if at is not None and at < oldest}
        if lost:
            notes.warn(
                f"builds that began before {oldest:%Y-%m-%d} never ended, and are asked for no more: {len(lost)}"
            )
        ended = {str(b.buildid) for b in builds} - running.keys()
        still = dict.fromkeys([*(o for o in state.open if o not in ended | gone | lost), *running.keys() - lost])
        return msgspec.structs.replace(state, open=tuple(sorted(still, key=int)))

    def _events(self, builds: Sequence[Build], names: Mapping[int, str], notes: Notes) -> list[Event]:
        """What builds of the builders that are read give, in their order."""
        wanted = [b for b in builds if b.builderid in names]
        requests = self._requests(wanted, notes)
        stamps = self._stamps(wanted, requests, notes)
        made = [
            self.shapes.events(
                build,
                names[build.builderid],
                request := requests.get(build.buildrequestid),
                stamps.get(request.buildsetid, ()) if request else (),
                notes,
            )
            for build in wanted
        ]
        deployed = [(build, found) for build, (_, found) in zip(wanted, made, strict=True) if found is not None]
        runs = [run for run, _ in made]
        return [*runs, *side_by_side(lambda one: self._with_changes(*one, notes), deployed, self.config.parallel)]

    def _requests(self, builds: Sequence[Build], notes: Notes) -> Mapping[int, Request]:
        """The requests of builds: when each was submitted."""
        if not builds:
            return {}
        ids = [str(n) for n in sorted({b.buildrequestid for b in builds})]
        fields = ["buildrequestid", "buildsetid", "submitted_at"]
        answer = self.client.get("buildrequests", {"buildrequestid__eq": ids, "field": fields})
        return {r.buildrequestid: r for r in _items(answer, Request, "buildrequests", notes)}

    def _stamps(
        self, builds: Sequence[Build], requests: Mapping[int, Request], notes: Notes
    ) -> Mapping[int | None, Sequence[Stamp]]:
        """The source stamps of builds of several codebases, whose properties name no repository."""
        of = (requests.get(b.buildrequestid) for b in builds if b.property("repository") is None)
        ids = sorted({r.buildsetid for r in of if r is not None and r.buildsetid is not None})
        if not ids:
            return {}
        asked = {"bsid__eq": [str(n) for n in ids], "field": ["bsid", "sourcestamps"]}
        return {
            s.bsid: s.sourcestamps for s in _items(self.client.get("buildsets", asked), Buildset, "buildsets", notes)
        }

    def _with_changes(self, build: Build, deployment: Deployment, notes: Notes) -> Deployment:
        """A deployment with the changes since the last successful build of its builder."""
        if not self.config.changes:
            return deployment
        answer = self.client.get(f"builds/{build.buildid}/changes", {"field": "revision"})
        shas = [sha for c in _items(answer, _Change, "changes", notes) if (sha := _sha(c.revision))]
        return msgspec.structs.replace(deployment, change_shas=tuple(dict.fromkeys(shas)))


def _items(answer: Answer, kind: type[T], key: str, notes: Notes) -> list[T]:
    found, rejected = answer.items(kind, key)
    notes.reject(rejected)
    return found


# ---- webhooks


@dataclass(frozen=True)
class BuildbotReceiver:
    """Takes the posts of `HttpStatusPush`: a build when it begins, and when it has ended."""

    secret: str = field(repr=False)
    config: BuildbotConfig
    shapes: Shapes = field(repr=False)

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether the secret came along, as a bearer token or as a password."""
        return is_same(self.secret, bearer(delivery)) or is_same(self.secret, password(delivery))

    def read(self, delivery: Delivery) -> Received:
        """The build in a post; other reports of a master are ignored."""
        answer = Answer(200, {}, delivery.body, "POST")
        known = id_of(delivery)
        if answer.read(_Kind).buildid is None:
            return Received(id=known, ignored="a report that is not of a build")
        build: Pushed = answer.read(Pushed)
        if build.builder is None:
            raise ContractError("POST: the build has no builder; send what `HttpStatusPush` sends by default")
        if not self.config.wants(build.builder.name):
            return Received(id=known, ignored="a build of a builder that `builders` leaves out")
        stamps = build.buildset.sourcestamps if build.buildset else ()
        run, deployment = self.shapes.events(build, build.builder.name, build.buildrequest, stamps, Notes())
        return Received(id=known, events=[run, *([deployment] if deployment else [])])
