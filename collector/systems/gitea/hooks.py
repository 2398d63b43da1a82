"""What Gitea and Forgejo send by themselves, and which events that is: the same as their API would give, by one id.

What a delivery does not tell (first commits, ids of reviews, replies, jobs) is left to the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from collector.errors import ContractError
from collector.events import Event, Incident
from collector.streams import Notes
from collector.systems.gitea.shapes import Details, Issue, Pull, Reader, Repository, Run
from collector.webhooks import Delivery, Received, id_of, is_signed

_PRODUCTS = ("gitea", "forgejo")


class _Delivered(msgspec.Struct, kw_only=True):
    """What most deliveries tell."""

    action: str = ""
    repository: Repository | None = None


class _OfPull(_Delivered, kw_only=True):
    pull_request: Pull


class _OfIssue(_Delivered, kw_only=True):
    issue: Issue


class _OfRun(_Delivered, kw_only=True):
    workflow_run: Run


class _RunOfRepository(Run, kw_only=True):
    repository: Repository | None = None


class _OfActionRun(_Delivered, kw_only=True):
    run: _RunOfRepository


class _IgnoredError(Exception):
    """Nothing should come of a delivery; says why."""


@dataclass(frozen=True)
class GiteaReceiver:
    """Takes the webhooks of repositories, organisations and the system that are signed with the secret.

    `is_read`: whether a repository's events are wanted.
    """

    reader: Reader
    is_read: Callable[[str], bool]
    secret: str = field(repr=False)

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether its body was signed with the secret."""
        return is_signed(self.secret, delivery.body, _header(delivery, "signature"))

    def read(self, delivery: Delivery) -> Received:
        """What is in it; of kinds that are not read, and of repositories that are not, nothing."""
        name = id_of(
            delivery, next((f"x-{p}-delivery" for p in _PRODUCTS if f"x-{p}-delivery" in delivery.headers), "")
        )
        kind = _header(delivery, "event")
        take = self._takers.get(kind)
        if take is None:
            return Received(id=name, ignored=f"the kind {kind[:40]!r} is not read")
        try:
            return Received(id=name, events=list(take(delivery)))
        except _IgnoredError as reason:
            return Received(id=name, ignored=str(reason))

    @property
    def _takers(self) -> Mapping[str, Callable[[Delivery], Iterator[Event]]]:
        runs = ("action_run_success", "action_run_failure", "action_run_recover")
        return {
            "pull_request": self._pull,
            "issues": self._issue,
            "workflow_run": self._run,
            **dict.fromkeys(runs, self._action_run),
        }

    def _pull(self, delivery: Delivery) -> Iterator[Event]:
        sent = _decoded(delivery, _OfPull)
        name = self._named(sent.repository)
        if sent.pull_request.merged and sent.action != "closed":
            raise _IgnoredError("what changes after a merge comes with the next run")
        yield from self.reader.change(name, sent.pull_request, Details(), Notes())

    def _issue(self, delivery: Delivery) -> Iterator[Event]:
        """An incident, or a new ticket: the replies of others come with the next run."""
        sent = _decoded(delivery, _OfIssue)
        found = self.reader.issue(self._named(sent.repository), sent.issue, None)
        if found is None:
            raise _IgnoredError("it is neither an incident nor a ticket")
        if not isinstance(found, Incident) and sent.action != "opened":
            raise _IgnoredError("what changes on a ticket comes with the next run")
        yield found

    def _run(self, delivery: Delivery) -> Iterator[Event]:
        sent = _decoded(delivery, _OfRun)
        yield from self.reader.run(self._named(sent.repository), sent.workflow_run, Notes())

    def _action_run(self, delivery: Delivery) -> Iterator[Event]:
        """Forgejo names the repository inside the run."""
        run = _decoded(delivery, _OfActionRun).run
        yield from self.reader.run(self._named(run.repository), run, Notes())

    def _named(self, repository: Repository | None) -> str:
        if repository is None or not self.is_read(repository.full_name):
            raise _IgnoredError("its repository is not read")
        return repository.full_name


def _header(delivery: Delivery, name: str) -> str:
    """A header of whichever product sent it."""
    return next(filter(None, (delivery.headers.get(f"x-{p}-{name}", "") for p in _PRODUCTS)), "")


def _decoded(delivery: Delivery, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(delivery.body, type=kind)
    except msgspec.ValidationError as error:
        raise ContractError(f"the delivery is not as documented: {error}") from None
    except (msgspec.DecodeError, RecursionError):
        raise ContractError("the delivery is no JSON; set the webhook's content type to application/json") from None
