"""Takes the service hooks of Azure DevOps: is one genuine, and which events are in it. Asks nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from collector.errors import BadRecord, ContractError
from collector.events import Event, RunState
from collector.streams import Notes
from collector.systems.azuredevops.shapes import Build, PullRequest, Released, Shapes
from collector.webhooks import Delivery, Received, bearer, id_of, is_same, password


class _Envelope(msgspec.Struct, rename="camel"):
    event_type: str
    resource: msgspec.Raw
    id: str = ""


class _Finished(msgspec.Struct):
    deployment: Released | None = None


@dataclass(frozen=True)
class AzureDevOpsHooks:
    """Takes service hooks: the secret is the password of basic authentication, or a bearer token in a header.

    `takes`: whether an event is one that polling would read.
    """

    secret: str
    shapes: Shapes
    takes: Callable[[Event], bool]

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether the secret came with it."""
        return is_same(self.secret, bearer(delivery) or password(delivery))

    def read(self, delivery: Delivery) -> Received:
        """A pull request, a finished run, or a finished deployment of a classic release."""
        try:
            envelope = msgspec.json.decode(delivery.body, type=_Envelope)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ContractError("a delivery is no service hook: it names no event and no resource") from None
        delivered = envelope.id[:200] or id_of(delivery)
        notes = Notes()
        try:
            events = self._events(envelope, notes)
        except msgspec.ValidationError as error:
            notes.reject([BadRecord(f"{envelope.event_type} {delivered}", f"it is not as documented: {error}")])
            events = []
        if events is None:
            return Received(id=delivered, ignored=f"events of the kind {envelope.event_type[:80]!r} are not read")
        return Received(id=delivered, events=[*filter(self.takes, events)], rejected=notes.taken()[0])

    def _events(self, envelope: _Envelope, notes: Notes) -> Sequence[Event] | None:
        kind, shapes = envelope.event_type, self.shapes
        if kind in {"git.pullrequest.created", "git.pullrequest.updated", "git.pullrequest.merged"}:
            return [shapes.change(msgspec.json.decode(envelope.resource, type=PullRequest), notes)]
        if kind == "build.complete":
            run = shapes.run(msgspec.json.decode(envelope.resource, type=Build), notes)
            if run.state is not RunState.COMPLETED or not run.repository:
                why = "it is not of resource version 2.0, or does not name its repository; the next run reads it"
                notes.reject([BadRecord(f"{kind} {run.native_id}", why)])
                return []
            deployment = shapes.deploying.of(run)
            return [run] if deployment is None else [run, deployment]
        if kind == "ms.vss-release.deployment-completed-event":
            found = msgspec.json.decode(envelope.resource, type=_Finished).deployment
            if found is None:
                notes.reject([BadRecord(f"{kind} {envelope.id}", "it names no deployment; the next run reads it")])
                return []
            return list(shapes.released(found, notes))
        return None
