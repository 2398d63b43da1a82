"""What Jira sends, as far as it is the whole of an issue: a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import msgspec

from collector.errors import BadRecord
from collector.http import Answer
from collector.streams import Notes
from collector.systems.jira.shapes import Chosen, Listed, Project, Shapes, read
from collector.tracking import Tracking
from collector.webhooks import Delivery, Received, id_of, is_signed

_CREATED = "jira:issue_created"
_BEFORE_THE_LISTED = timedelta(microseconds=1)
"""What is sent of an issue is never more than what is listed of it at the same time."""


class _Kind(msgspec.Struct, rename="camel"):
    webhook_event: str = ""


class _Hook(msgspec.Struct):
    issue: Listed


@dataclass(frozen=True)
class JiraReceiver:
    """Takes what Jira sends. An update names one change and neither the others nor all comments: a run reads it whole.

    `projects`: those that are read, all where there are none. `undecided`: why it cannot be told here what is read.
    """

    secret: str = field(repr=False)
    projects: Sequence[str]
    undecided: str
    shapes: Shapes = field(repr=False)
    chosen: Chosen
    tracking: Tracking = field(repr=False)

    def is_genuine(self, delivery: Delivery) -> bool:
        """Whether the body is signed with the secret."""
        signature = delivery.headers.get("x-hub-signature", "")
        return is_signed(self.secret, delivery.body, signature, prefix="sha256=")

    def read(self, delivery: Delivery) -> Received:
        """The new issue in a delivery. Raises ContractError for a body that is not as documented."""
        answer = Answer(200, {}, delivery.body, "webhook")
        known = id_of(delivery, "x-atlassian-webhook-identifier")
        if answer.read(_Kind).webhook_event != _CREATED:
            return Received(id=known, ignored="no new issue; the next run reads what has changed")
        if self.undecided:
            return Received(id=known, ignored=f"{self.undecided}; the next run reads it")
        try:
            found = read(answer.read(_Hook).issue, self.chosen, "webhook")
        except BadRecord as bad:
            return Received(id=known, rejected=[bad])
        if not self._wants(found.fields.project):
            return Received(id=known, ignored="an issue of a project that is not read")
        issue = self.shapes.issue(found, (), Notes())
        event = self.tracking.event(replace(issue, updated_at=found.updated_at - _BEFORE_THE_LISTED))
        if event is None:
            return Received(id=known, ignored="by the rules this issue is neither a ticket nor an incident")
        return Received(id=known, events=[event])

    def _wants(self, project: Project) -> bool:
        return not self.projects or any(name in self.projects for name in (project.key, project.name, project.id))
