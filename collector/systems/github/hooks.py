"""What GitHub sends, as the same events as what it lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from collector.deploying import Deployments
from collector.errors import BadRecord, ContractError
from collector.events import Event
from collector.secrets import reveal
from collector.streams import Notes
from collector.systems.github.events import Shaping, undated
from collector.systems.github.settings import GitHubSettings, last_part
from collector.systems.github.shapes import (
    Issue,
    Job,
    OwnDeployment,
    PullRequest,
    ReleaseItem,
    Repository,
    ReviewItem,
    Run,
    StatusItem,
)
from collector.webhooks import Delivery, Received, id_of, is_signed

_CHANGES_NOTHING = frozenset({"pinned", "unpinned"})
"""What is sent with these lacks most of the issue."""


class _Hook(msgspec.Struct, kw_only=True):
    """What all webhooks have."""

    repository: Repository | None = None
    action: str = ""


class _ChangeHook(_Hook, kw_only=True):
    pull_request: PullRequest


class _ReviewHook(_ChangeHook, kw_only=True):
    review: ReviewItem


class _RunHook(_Hook, kw_only=True):
    workflow_run: Run


class _JobHook(_Hook, kw_only=True):
    workflow_job: Job


class _DeploymentHook(_Hook, kw_only=True):
    deployment: OwnDeployment
    deployment_status: StatusItem


class _IssueHook(_Hook, kw_only=True):
    issue: Issue


class _ReleaseHook(_Hook, kw_only=True):
    release: ReleaseItem


_H = TypeVar("_H", bound=_Hook)
_Events = Sequence[Event | BadRecord | None] | str
"""What a delivery holds, or why nothing comes of it."""


@dataclass(frozen=True)
class GitHubReceiver:
    """Takes what GitHub sends. What is deleted is not taken from here: the daily reading finds it."""

    config: GitHubSettings
    shaping: Shaping
    deploying: Deployments

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether the body is signed with the secret."""
        signature = delivery.headers.get("x-hub-signature-256", "")
        return is_signed(reveal(self.config.webhook_secret), delivery.body, signature, prefix="sha256=")

    def read(self, delivery: Delivery) -> Received:
        """The events of a delivery. Raises ContractError for a body that is not as documented."""
        event, identity = delivery.headers.get("x-github-event", ""), id_of(delivery, "x-github-delivery")
        found = self._found(event, delivery.body)
        if isinstance(found, str):
            return Received(id=identity, ignored=f"{event if event.isidentifier() else 'unnamed'}: {found}")
        return Received(
            id=identity,
            events=[one for one in found if isinstance(one, Event)],
            rejected=[one for one in found if isinstance(one, BadRecord)],
        )

    def _found(self, event: str, body: bytes) -> _Events:
        readers: dict[str, tuple[Any, Callable[[str, Any, Notes], _Events]]] = {
            "pull_request": (_ChangeHook, self._change),
            "pull_request_review": (_ReviewHook, self._review),
            "workflow_run": (_RunHook, self._run),
            "workflow_job": (_JobHook, self._job),
            "deployment_status": (_DeploymentHook, self._deployment),
            "issues": (_IssueHook, self._issue),
            "release": (_ReleaseHook, self._release),
        }
        if event not in readers:
            return "this kind of delivery is not read"
        kind, read = readers[event]
        if _decoded(event, body, _Hook).action in _CHANGES_NOTHING:
            return "this action changes nothing that is read"
        hook = _decoded(event, body, kind)
        repository = self._repository(hook.repository)
        return "its repository is not read here" if repository is None else read(repository, hook, Notes())

    def _repository(self, found: Repository | None) -> str | None:
        """The name under which a repository is read; None for one that is not."""
        if found is None:
            return None
        named = {name.lower(): name for name in self.config.repositories}
        if found.full_name.lower() in named:
            return named[found.full_name.lower()]
        owner = found.full_name.partition("/")[0].lower()
        belongs = owner in {name.lower() for name in self.config.organisations}
        return found.full_name if belongs and self.config.wants(found.full_name) else None

    def _change(self, repository: str, hook: _ChangeHook, _notes: Notes) -> _Events:
        return [self.shaping.pushed_change(repository, hook.pull_request, hook.action)]

    def _review(self, repository: str, hook: _ReviewHook, notes: Notes) -> _Events:
        review = self.shaping.review(repository, str(hook.pull_request.id), hook.review, notes)
        return [review] if review else "nobody has submitted it yet"

    def _run(self, repository: str, hook: _RunHook, notes: Notes) -> _Events:
        if bad := undated(hook.workflow_run, "webhook workflow_run"):
            return [bad]
        run = self.shaping.run(repository, hook.workflow_run, notes)
        return [run, self.deploying.of(run)]

    def _job(self, repository: str, hook: _JobHook, notes: Notes) -> _Events:
        job = hook.workflow_job
        if job.workflow_name is None:
            return [BadRecord(f"webhook workflow_job (id {job.id})", "it names no workflow; the next run reads it")]
        if job.carried_over or not self.config.wants_jobs(repository, job.workflow_name, job.head_branch or ""):
            return "this job is not read here"
        run = self.shaping.job(repository, job.workflow_name, job, None, notes)
        return [run, self.deploying.of(run)]

    def _deployment(self, repository: str, hook: _DeploymentHook, _notes: Notes) -> _Events:
        if not self.config.reads_own_deployments:
            return "rules say what deployments are"
        found = hook.deployment
        place = self.deploying.place(repository, found.environment or "production", found.ref or "")
        deployed = self.shaping.deployment(repository, place, found, [hook.deployment_status], listed=False)
        return [deployed] if deployed else "it has not ended, or it ended before"

    def _issue(self, repository: str, hook: _IssueHook, _notes: Notes) -> _Events:
        if self.config.issues is None or hook.action in {"deleted", "transferred"}:
            return "issues are not read here" if self.config.issues is None else "the daily reading finds what is gone"
        issue = self.shaping.issue(repository, last_part(repository), hook.issue, self.config.issues, None)
        return [issue] if issue else "its labels make it neither an incident nor a ticket"

    def _release(self, repository: str, hook: _ReleaseHook, _notes: Notes) -> _Events:
        settings, found = self.config.releases, hook.release
        if settings is None:
            return "releases are not deployments here"
        if hook.action == "deleted" or (found.prerelease and not settings.prereleases):
            return "it deploys nothing"
        place = self.deploying.place(repository, settings.environment, found.tag_name)
        released = self.shaping.release(repository, place, found, None, listed=False)
        return [released] if released else "it is not published"


def _decoded(event: str, body: bytes, kind: type[_H]) -> _H:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise ContractError(f"webhook {event}: the body is not as documented: {error}") from None
    except (msgspec.DecodeError, RecursionError):
        raise ContractError(f"webhook {event}: the body is no JSON; is its content type application/json?") from None
