"""What GitHub's answers and webhooks look like, as far as they are used. Asks nothing, and judges nothing.

Times are RFC 3339. Numeric ids are the same by REST, by GraphQL (`fullDatabaseId`) and in webhooks, and survive that a
repository is renamed or moved; they make the native ids.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from collector.events import Integer, Timestamp


class Actor(msgspec.Struct):
    """An account. REST says `type`, GraphQL `__typename`, and leaves the `[bot]` of a bot's login out."""

    login: str
    type: str | None = None
    typename: str | None = msgspec.field(name="__typename", default=None)


class Label(msgspec.Struct):
    """A label; old answers give its name alone."""

    name: str | None = None


class PageInfo(msgspec.Struct, rename="camel"):
    """Whether a connection goes on, and where."""

    has_next_page: bool
    end_cursor: str | None = None


class ReviewNode(msgspec.Struct, rename="camel"):
    """A review, by GraphQL."""

    full_database_id: int | str
    state: str
    updated_at: Timestamp
    submitted_at: Timestamp | None = None
    author: Actor | None = None
    url: str | None = None


class Reviews(msgspec.Struct, rename="camel"):
    """Some of the reviews of a change."""

    nodes: list[ReviewNode | None]
    page_info: PageInfo


class _Moment(msgspec.Struct, rename="camel"):
    created_at: Timestamp | None = None


class _Moments(msgspec.Struct):
    nodes: list[_Moment | None] = []


class _CommitDates(msgspec.Struct, rename="camel"):
    authored_date: Timestamp | None = None
    oid: str | None = None


class _CommitNode(msgspec.Struct):
    commit: _CommitDates | None = None


class _Commits(msgspec.Struct):
    nodes: list[_CommitNode | None] = []


class _Labels(msgspec.Struct):
    nodes: list[Label | None] = []


class ChangeNode(msgspec.Struct, rename="camel"):
    """A pull request, by GraphQL."""

    full_database_id: int | str
    number: Integer
    state: str
    created_at: Timestamp
    updated_at: Timestamp
    reviews: Reviews
    timeline_items: _Moments
    commits: _Commits
    title: str | None = None
    url: str | None = None
    is_draft: bool = False
    merged_at: Timestamp | None = None
    closed_at: Timestamp | None = None
    head_ref_oid: str | None = None
    head_ref_name: str | None = None
    base_ref_name: str | None = None
    merge_commit: _CommitDates | None = None
    author: Actor | None = None
    labels: _Labels | None = None


class StatusNode(msgspec.Struct, rename="camel"):
    """A status of a deployment: GraphQL writes its state in capitals."""

    state: str
    created_at: Timestamp


class StatusItem(msgspec.Struct):
    """A status of a deployment, by REST and in webhooks."""

    state: str
    created_at: Timestamp


class Statuses(msgspec.Struct, rename="camel"):
    """Some of the statuses of a deployment."""

    nodes: list[StatusNode | None]
    page_info: PageInfo


class CommentNode(msgspec.Struct, rename="camel"):
    """A comment on an issue, by GraphQL."""

    created_at: Timestamp
    author: Actor | None = None


class Comments(msgspec.Struct, rename="camel"):
    """Some of the comments on an issue."""

    nodes: list[CommentNode | None]
    page_info: PageInfo


class TurnNode(msgspec.Struct, rename="camel"):
    """What happened to an issue, by GraphQL."""

    kind: str = msgspec.field(name="__typename")
    created_at: Timestamp
    state_reason: str | None = None
    label: Label | None = None


class Turns(msgspec.Struct, rename="camel"):
    """Some of what happened to an issue."""

    nodes: list[TurnNode | None]
    page_info: PageInfo


class TurnItem(msgspec.Struct):
    """What happened to an issue, by REST."""

    event: str
    created_at: Timestamp
    state_reason: str | None = None
    label: Label | None = None


class Node(msgspec.Struct, rename="camel"):
    """A thing asked for by its global id, with the lists that were wanted of it."""

    statuses: Statuses | None = None
    comments: Comments | None = None
    timeline_items: Turns | None = None


class CommentItem(msgspec.Struct):
    """A comment on an issue, by REST."""

    created_at: Timestamp
    user: Actor | None = None


class ReleaseNode(msgspec.Struct, rename="camel"):
    """A release, by GraphQL, which knows the commit of its tag."""

    database_id: int
    tag_name: str
    created_at: Timestamp
    updated_at: Timestamp | None = None
    published_at: Timestamp | None = None
    is_draft: bool = False
    is_prerelease: bool = False
    url: str | None = None
    author: Actor | None = None
    tag_commit: _CommitDates | None = None


class Run(msgspec.Struct):
    """An attempt of a run of a workflow."""

    id: int
    created_at: Timestamp
    updated_at: Timestamp | None = None
    run_started_at: Timestamp | None = None
    run_attempt: Integer = 1
    status: str | None = None
    conclusion: str | None = None
    name: str | None = None
    path: str | None = None
    head_sha: str | None = None
    head_branch: str | None = None
    html_url: str | None = None
    actor: Actor | None = None
    triggering_actor: Actor | None = None

    @property
    def pipeline(self) -> str:
        """The workflow's name; where it has none, its file."""
        return self.name or self.path or "workflow"

    @property
    def ended(self) -> bool:
        """Whether this attempt has a result."""
        return self.status == "completed" and self.conclusion is not None


class Job(msgspec.Struct):
    """A job of an attempt of a run."""

    id: int
    run_id: int
    name: str
    run_attempt: Integer = 1
    status: str | None = None
    conclusion: str | None = None
    created_at: Timestamp | None = None
    started_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    workflow_name: str | None = None
    head_sha: str | None = None
    head_branch: str | None = None
    html_url: str | None = None

    @property
    def carried_over(self) -> bool:
        """Whether it is a copy, in a later attempt, of a job that was not run again: it began before it was made."""
        return (
            self.run_attempt > 1
            and self.created_at is not None
            and self.started_at is not None
            and self.started_at < self.created_at
        )


class OwnDeployment(msgspec.Struct):
    """What GitHub itself calls a deployment."""

    id: int
    node_id: str
    created_at: Timestamp
    environment: str | None = None
    sha: str | None = None
    ref: str | None = None
    creator: Actor | None = None


class Issue(msgspec.Struct):
    """An issue, or a pull request in the list of issues."""

    id: int
    number: Integer
    state: str
    created_at: Timestamp
    updated_at: Timestamp
    node_id: str = ""
    title: str | None = None
    html_url: str | None = None
    closed_at: Timestamp | None = None
    state_reason: str | None = None
    comments: int = 0
    user: Actor | None = None
    labels: list[Label | str] = []
    pull_request: dict[str, msgspec.Raw] | None = None

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of its labels."""
        names = (label if isinstance(label, str) else label.name for label in self.labels)
        return tuple(name for name in names if name)


class Repository(msgspec.Struct):
    """A repository of an organisation."""

    full_name: str
    archived: bool = False
    disabled: bool = False
    has_issues: bool = True


class Branch(msgspec.Struct):
    """Where a pull request comes from, or goes to."""

    ref: str | None = None
    sha: str | None = None


class PullRequest(msgspec.Struct):
    """A pull request as webhooks show it: without its first commit, and without when it became ready."""

    id: int
    number: Integer
    state: str
    created_at: Timestamp
    updated_at: Timestamp
    title: str | None = None
    html_url: str | None = None
    draft: bool = False
    merged_at: Timestamp | None = None
    closed_at: Timestamp | None = None
    merge_commit_sha: str | None = None
    head: Branch | None = None
    base: Branch | None = None
    user: Actor | None = None
    labels: list[Label] = []


class ReviewItem(msgspec.Struct):
    """A review as webhooks show it."""

    id: int | str
    state: str
    submitted_at: Timestamp | None = None
    updated_at: Timestamp | None = None
    user: Actor | None = None
    html_url: str | None = None


class ReleaseItem(msgspec.Struct):
    """A release as webhooks show it: without the commit of its tag."""

    id: int
    tag_name: str
    created_at: Timestamp
    updated_at: Timestamp | None = None
    published_at: Timestamp | None = None
    draft: bool = False
    prerelease: bool = False
    html_url: str | None = None
    author: Actor | None = None


def lower(nodes: Iterable[StatusNode | None]) -> list[StatusItem]:
    """Statuses as REST writes them."""
    return [StatusItem(state=n.state.lower(), created_at=n.created_at) for n in nodes if n is not None]


def as_item(node: ReleaseNode) -> ReleaseItem:
    """A release as REST writes it."""
    return ReleaseItem(
        id=node.database_id,
        tag_name=node.tag_name,
        created_at=node.created_at,
        updated_at=node.updated_at,
        published_at=node.published_at,
        draft=node.is_draft,
        prerelease=node.is_prerelease,
        html_url=node.url,
        author=node.author,
    )
