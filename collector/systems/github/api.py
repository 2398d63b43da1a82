"""Asks GitHub: by REST, and by GraphQL where one query says what takes many requests; as somebody, or as an App.

An App's token lasts an hour. It is asked for with a signed statement, and renewed before it ends.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, TypeVar

import msgspec

from collector.errors import AuthError, BadRecord, ConfigError, ContractError, Mistake, RetryableError, SourceError
from collector.http import Answer, ApiClient, retry_after
from collector.systems.github.shapes import PageInfo

T = TypeVar("T")

_MEDIA = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_RENEWED_BEFORE = timedelta(minutes=5)
_STATEMENT_LASTS = timedelta(minutes=9)  # GitHub refuses more than ten
_CLOCKS_DIFFER = timedelta(minutes=1)
_SMALLEST_PAGE = 5
_MOST_PAGES = 100_000
_SERVER_ERRORS = 500
_MOST_NODES = 100

_LIMITED = frozenset({"RATE_LIMIT", "RATE_LIMITED"})
_FORBIDDEN = frozenset({"FORBIDDEN", "INSUFFICIENT_SCOPES", "SAML_FAILURE"})
_TOO_MUCH = frozenset({None, "INTERNAL", "RESOURCE_LIMITS_EXCEEDED", "SERVICE_UNAVAILABLE", "TIMEOUT"})
"""Errors of a query that was too much at once: one that took too long has no type at all."""
_GONE = "NOT_FOUND"
_STALE_PLACE = "INVALID_CURSOR_ARGUMENTS"

_PERSON = "fragment person on Actor { __typename login }"
_REVIEW = """fragment reviewed on PullRequestReview {
  fullDatabaseId state submittedAt updatedAt url author { ...person }
}"""

CHANGES = (
    """query($owner: String!, $name: String!, $first: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequests(orderBy: {field: UPDATED_AT, direction: DESC}, first: $first, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes {
        fullDatabaseId number state title url isDraft createdAt updatedAt mergedAt closedAt
        headRefOid headRefName baseRefName
        mergeCommit { oid }
        author { ...person }
        labels(first: 100) { nodes { name } }
        commits(first: 1) { nodes { commit { authoredDate } } }
        timelineItems(last: 1, itemTypes: [READY_FOR_REVIEW_EVENT]) {
          nodes { ... on ReadyForReviewEvent { createdAt } }
        }
        reviews(first: 30) { pageInfo { hasNextPage endCursor } nodes { ...reviewed } }
      }
    }
  }
}
"""
    f"{_REVIEW}\n{_PERSON}"
)
"""Pull requests, last updated first, with what takes four requests each by REST. None may have more than 100 labels."""

REVIEWS = (
    """query($owner: String!, $name: String!, $number: Int!, $first: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      reviews(first: $first, after: $after) { pageInfo { hasNextPage endCursor } nodes { ...reviewed } }
    }
  }
}
"""
    f"{_REVIEW}\n{_PERSON}"
)
"""The reviews of one pull request that has many."""

RELEASES = (
    """query($owner: String!, $name: String!, $first: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    releases(orderBy: {field: CREATED_AT, direction: DESC}, first: $first, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes {
        databaseId tagName createdAt updatedAt publishedAt isDraft isPrerelease url
        author { ...person }
        tagCommit { oid }
      }
    }
  }
}
"""
    f"{_PERSON}"
)
"""Releases with the commits of their tags, which REST does not tell."""

STATUSES = """query($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on Deployment {
      statuses(first: 50) { pageInfo { hasNextPage endCursor } nodes { state createdAt } }
    }
  }
}"""
"""The statuses of up to 100 deployments."""

HISTORY = (
    """query($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on Issue {
      comments(first: 50) { pageInfo { hasNextPage endCursor } nodes { createdAt author { ...person } } }
      timelineItems(first: 50, itemTypes: [CLOSED_EVENT, REOPENED_EVENT, LABELED_EVENT, UNLABELED_EVENT]) {
        pageInfo { hasNextPage endCursor }
        nodes {
          __typename
          ... on ClosedEvent { createdAt stateReason }
          ... on ReopenedEvent { createdAt }
          ... on LabeledEvent { createdAt label { name } }
          ... on UnlabeledEvent { createdAt label { name } }
        }
      }
    }
  }
}
"""
    f"{_PERSON}"
)
"""The comments on up to 100 issues; when they were closed and reopened, and had which labels."""


class _Problem(msgspec.Struct):
    message: str = ""
    type: str | None = None
    path: list[str | int] = []
    extensions: dict[str, msgspec.Raw] | None = None


class _Reply(msgspec.Struct):
    data: dict[str, msgspec.Raw] | None = None
    errors: list[_Problem] | None = None


class Connection(msgspec.Struct, rename="camel"):
    """A part of a list, its items not yet looked at."""

    nodes: list[msgspec.Raw]
    page_info: PageInfo


class _Grant(msgspec.Struct):
    token: str
    expires_at: datetime


@dataclass(frozen=True)
class App:
    """A GitHub App where it is installed. `key`: its private key in PEM."""

    app_id: str
    installation_id: str
    key: str = field(repr=False)

    def statement(self, now: datetime) -> str:
        """A signed JSON Web Token that says who asks. Raises ConfigError for what is no RSA key."""
        said = {
            "iat": int((now - _CLOCKS_DIFFER).timestamp()),
            "exp": int((now + _STATEMENT_LASTS).timestamp()),
            "iss": self.app_id,
        }
        text = f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{_part(said)}"
        return f"{text}.{_encoded(self._signed(text.encode()))}"

    def _signed(self, text: bytes) -> bytes:
        # Imported where it is used: who has a token needs no cryptography.
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - see above
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415 - see above
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - see above
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - see above

        try:
            # In an environment variable the lines of a key are often joined by a written-out \n.
            key = load_pem_private_key(self.key.replace("\\n", "\n").encode(), password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, RSAPrivateKey):
            raise ConfigError(
                Mistake(
                    file="",
                    line=0,
                    path="private_key",
                    problem="this is no private key of an App",
                    expected="the RSA key in PEM that GitHub made, without a password",
                )
            )
        return key.sign(text, PKCS1v15(), SHA256())


@dataclass
class Access:
    """Makes clients that are let in. `client`: makes one of some address with some headers; `clock`: the time."""

    url: str
    client: Callable[[str, Mapping[str, str]], ApiClient]
    clock: Callable[[], datetime]
    token: str = field(default="", repr=False)
    app: App | None = None
    _granted: str = field(default="", repr=False)
    _rest: ApiClient | None = None
    _graph: ApiClient | None = None
    _ends_at: datetime | None = None
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def rest(self) -> ApiClient:
        """A client of the REST API."""
        return self._clients()[0]

    @property
    def graph(self) -> ApiClient:
        """A client of the address below which GraphQL is."""
        return self._clients()[1]

    @property
    def credential(self) -> str:
        """The token that lets clients, and Git, in now; empty for nobody."""
        self._clients()
        return self._granted

    def _clients(self) -> tuple[ApiClient, ApiClient]:
        with self._lock:
            over = self._ends_at is not None and self.clock() + _RENEWED_BEFORE >= self._ends_at
            if self._rest is None or self._graph is None or over:
                self._granted = self._ask_for_one() if self.app else self.token
                headers = {**_MEDIA, **({"Authorization": f"Bearer {self._granted}"} if self._granted else {})}
                self._rest = self.client(self.url, headers)
                # A server of one's own has REST below /api/v3, and GraphQL beside it.
                beside = self.url.removesuffix("/v3")
                self._graph = self._rest if beside == self.url else self.client(beside, headers)
            return self._rest, self._graph

    def _ask_for_one(self) -> str:
        assert self.app is not None  # noqa: S101 - asked before
        signed = {**_MEDIA, "Authorization": f"Bearer {self.app.statement(self.clock())}"}
        answer = self.client(self.url, signed).post(
            f"app/installations/{self.app.installation_id}/access_tokens", {}, repeatable=True
        )
        grant = answer.read(_Grant)
        self._ends_at = grant.expires_at
        return grant.token


@dataclass(frozen=True)
class Graph:
    """GraphQL. An answer with errors is an error of ours, or says which of its items cannot be used."""

    access: Access
    reset: Callable[[Answer], float | None] = field(repr=False)
    """In how many seconds a limit that an answer speaks of is set back, where it tells."""

    def connection(
        self, query: str, repository: str, path: Sequence[str], first: int, after: str | None = None, **more: Any
    ) -> Iterator[tuple[Connection, list[BadRecord]]]:
        """The pages of a list of a repository, from a place on; and of each the items that cannot be used.

        `path`: its fields below the repository. A server that fails on a page is asked for smaller ones, and one that
        no longer knows the place for the list from its start.
        """
        owner, _, name = repository.partition("/")
        variables = {"owner": owner, "name": name, "first": first, "after": after, **more}
        seen: set[str] = set()
        while True:
            data, problems, asked = self._shrinking(query, variables)
            if variables["after"] and any(p.type == _STALE_PLACE for p in problems):
                variables["after"] = None
                continue
            found, rejected = _connection(data, ("repository", *path), problems, f"{asked} {repository}")
            place = found.page_info.end_cursor if found.page_info.has_next_page else None
            yield found, rejected
            if place is None:
                return
            if place in seen or len(seen) >= _MOST_PAGES:
                raise ContractError(f"{asked} {repository}: its pages never end: one comes again as the next")
            seen.add(place)
            variables["after"] = place

    def nodes(self, query: str, ids: Sequence[str], kind: type[T]) -> list[T | None]:
        """Things by their global ids, in their order; None for one that is not there any more."""
        found: list[T | None] = []
        start, size = 0, _MOST_NODES
        while start < len(ids):
            try:
                found += self._nodes(query, list(ids[start : start + size]), kind)
            except RetryableError as error:
                if not _may_be_smaller(error, size):
                    raise
                size //= 2
                continue
            start += size
        return found

    def _nodes(self, query: str, ids: list[str], kind: type[T]) -> list[T | None]:
        data, problems, asked = self._ask(query, {"ids": ids})
        for problem in problems:
            if problem.type != _GONE:
                raise _error(problem, asked)
        nodes = _decoded(data.get("nodes", msgspec.Raw(b"null")), list[kind | None], asked)  # type: ignore[valid-type]
        if len(nodes) != len(ids):
            raise ContractError(f"{asked}: {len(ids)} things were asked for, and {len(nodes)} answered")
        return nodes

    def _shrinking(self, query: str, variables: dict[str, Any]) -> tuple[dict[str, msgspec.Raw], list[_Problem], str]:
        while True:
            try:
                return self._ask(query, variables)
            except RetryableError as error:
                if not _may_be_smaller(error, variables["first"]):
                    raise
                variables["first"] //= 2

    def _ask(self, query: str, variables: Mapping[str, Any]) -> tuple[dict[str, msgspec.Raw], list[_Problem], str]:
        """What was answered, and what was wrong with a part of it. Raises where nothing of use came."""
        answer = self.access.graph.post("graphql", {"query": query, "variables": variables}, repeatable=True)
        reply = answer.read(_Reply)
        problems = reply.errors or []
        for problem in problems:
            if problem.type in _LIMITED:
                wished = retry_after(answer.headers) or self.reset(answer)
                raise RetryableError(
                    f"{answer.asked}: its limit of points is used up", retry_after_seconds=wished, status=answer.status
                )
            if problem.type is None and problem.extensions and "code" in problem.extensions:
                raise ContractError(f"{answer.asked}: it does not know the query; this server may be too old for it")
            if problem.type in _TOO_MUCH:  # what came beside it is not whole
                raise RetryableError(f"{answer.asked}: it could not finish the query", status=_SERVER_ERRORS)
        if reply.data is None and not problems:
            raise ContractError(f"{answer.asked}: the answer is not as documented: it has no data")
        return reply.data or {}, problems, answer.asked


def _may_be_smaller(error: RetryableError, size: int) -> bool:
    """Whether asking for less may help: the server broke, or gave up, and did not ask for patience."""
    broken = error.status is not None and error.status >= _SERVER_ERRORS
    return broken and error.retry_after_seconds is None and size // 2 >= _SMALLEST_PAGE


def _connection(
    data: Mapping[str, msgspec.Raw], path: Sequence[str], problems: Sequence[_Problem], asked: str
) -> tuple[Connection, list[BadRecord]]:
    """The list at a path. What an error speaks of is set aside: half a record would say what is not so."""
    bad: dict[int, _Problem] = {}
    for problem in problems:
        place = problem.path[len(path) + 1 : len(path) + 2]
        if list(problem.path[: len(path) + 1]) != [*path, "nodes"] or not place or not isinstance(place[0], int):
            raise _error(problem, asked)
        bad[place[0]] = problem
    fields: Mapping[str, msgspec.Raw] = data
    for name in path[:-1]:
        fields = _decoded(fields.get(name, msgspec.Raw(b"null")), dict[str, msgspec.Raw], asked)
    found = _decoded(fields.get(path[-1], msgspec.Raw(b"null")), Connection, asked)
    rejected = [
        BadRecord(f"{asked} item {n + 1}", f"the server refused a part of it: {p.type}") for n, p in bad.items()
    ]
    kept = [node for n, node in enumerate(found.nodes) if n not in bad and bytes(node) != b"null"]
    return Connection(kept, found.page_info), rejected


def decoded_nodes(found: Connection, kind: type[T], asked: str) -> tuple[list[T], list[BadRecord]]:
    """The items of a list, and those that are not as documented."""
    items: list[T] = []
    rejected: list[BadRecord] = []
    for number, node in enumerate(found.nodes, start=1):
        try:
            items.append(msgspec.json.decode(node, type=kind))
        except (msgspec.DecodeError, RecursionError) as error:
            rejected.append(BadRecord(f"{asked} item {number}", f"it is not as documented: {error}"))
    return items, rejected


def _decoded(raw: msgspec.Raw, kind: type[T], asked: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ContractError(f"{asked}: the answer is not as documented: {error}") from None


def _error(problem: _Problem, asked: str) -> SourceError:
    """The error of ours for one of GraphQL's; its message may name people, so it is not repeated."""
    if problem.type in _FORBIDDEN:
        return AuthError(f"{asked}: answered {problem.type}; check what the token may read", status=403)
    if problem.type == _GONE:
        return SourceError(f"{asked}: answered {problem.type}; check the name, and what the token may read", status=404)
    return ContractError(f"{asked}: answered {problem.type or 'an error'}, which is not expected")


def _part(value: Mapping[str, object]) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
