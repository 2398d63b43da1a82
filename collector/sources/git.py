"""Commits, and deployments by a rule, from a Git repository: in place, or through a bare clone without files.

How commits are read is `collector/history.py`'s; here is what of them was deployed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from collector.errors import ContractError, Mistake, PacelineError, SourceError
from collector.events import Deployment, Event, Result
from collector.gitcommand import Access, Git, basic
from collector.history import PAGE, Clone, Commits, Look, clone_path, continuing, is_treeless, look_of, time_of
from collector.name_rules import checked_expression
from collector.reach import Reach
from collector.repositories import is_url, repository_name
from collector.secrets import Secret, reveal
from collector.source import About, Page, SourceConfig, SourceContext

_PRE_RELEASE = "(?i:rc|alpha|beta|pre|dev|snapshot|nightly)"
RELEASE_TAG = rf"(?!(.*[-_/])?{_PRE_RELEASE}\d*[-_/])(.*[-_/])?v?\d+(\.\d+)+([-+.](?!\d*{_PRE_RELEASE})\w+)*"
"""Tags that look like a release (`v1.2.3`, `api/2.0`): not a pre-release, and not a floating `v1` or `latest`."""


class TagRule(BaseModel):
    """Each commit that carries a matching tag was released once, at the time of its earliest matching tag."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Literal["tags"]
    pattern: str = Field(default=RELEASE_TAG, description="A regular expression that the whole tag must match.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        return checked_expression(value)


class BranchRule(BaseModel):
    """Each commit on the first-parent line of a branch was released when it was committed there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Literal["branch"]
    branch: str | None = Field(default=None, description="A branch; the default branch unless given.")


DeploymentRule = Annotated[TagRule | BranchRule, Field(discriminator="rule")]


class GitConfig(SourceConfig):
    """Settings of a Git repository."""

    about: ClassVar[About | None] = About(
        system="Git",
        gives=("commit", "deployment"),
        tested="real server",
        scopes=(("reading the repository", "a URL is cloned without files and fetched; a path needs no token"),),
        costs=(("commits", "one fetch, however many"),),
        limits=("A shallow clone is cut off where it ends: commits before are unknown, and deployments say so.",),
        example=(
            "sources:\n  - type: git\n    name: shop\n    repository: https://git.example.com/team/shop.git\n"
            "    token: ${SHOP_TOKEN:-}\n    service: shop\n    deployments: {rule: tags}\n"
        ),
        more="[Sources](../sources.md#git) shows how deployments are read from tags and branches.",
    )

    type: Literal["git"]
    repository: str = Field(min_length=1, description="A path, read in place, or a URL, cloned bare and without files.")
    repository_name: str | None = Field(
        default=None,
        description="What other sources call this repository; from its path or URL unless given.",
    )
    token: Secret = Field(
        default=SecretStr(""),
        description="Opens a URL with https://: give it as ${NAME} or as file:/path, never inside the URL.",
    )
    username: str = Field(
        default="x-access-token", description="The user that goes with the token, where the server wants a certain one."
    )
    branch: str | None = Field(default=None, description="The default branch, where HEAD does not tell.")
    service: str | None = Field(default=None, description="The service it is; the repository's name unless given.")
    environment: str = Field(default="production", description="The environment that its deployments go to.")
    paths: bool = Field(
        default=False,
        description="Read which paths each commit touches, for services that share a repository; a clone gets trees.",
    )
    deployments: DeploymentRule | None = Field(
        default=None, description="What counts as a deployment. Without a rule nothing does."
    )

    def build(self, context: SourceContext) -> GitSource:
        """The source; a clone is made at the first pull, not here."""
        name = self.repository_name or repository_name(self.repository)
        remote = is_url(self.repository)
        return GitSource(
            source=self.name,
            commits=Commits(
                source=self.name,
                git=Git(clone_path(context, self.repository) if remote else self._path(context)),
                repository=name,
                people=context.people,
                branch=self.branch,
                checkout=not remote,
                paths=self.paths,
            ),
            url=self.repository if remote else None,
            service=self.service or name.rpartition("/")[2],
            environment=self.environment,
            rule=self.deployments,
            token=self.token,
            username=self.username,
            reach=context.wire.reach,
        )

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """A path that is no repository is a mistake, and a token that does not reach its server; no URL is visited."""
        return [*self._check_place(context), *self._check_token()]

    def _check_token(self) -> Iterator[Mistake]:
        try:
            unused = bool(reveal(self.token)) and not self.repository.startswith(("https://", "http://"))
        except PacelineError:
            yield _mistake("token", "its file cannot be read", "a file with the token, readable by Paceline")
            return
        if unused:
            yield _mistake("token", "only a URL with https:// takes a token", "no token here, or such a URL")

    def _check_place(self, context: SourceContext) -> Sequence[Mistake]:
        if is_url(self.repository):
            return ()
        path = self._path(context)
        try:
            Git(path).text("rev-parse", "--git-dir")
        except SourceError as error:
            problem = f"no Git repository at {path}" if path.is_dir() else f"{path} does not exist"
            passing = True
            if "git was not found" in str(error):
                problem, passing = str(error), False
            if "dubious ownership" in str(error):
                problem = f"Git refuses {path}, which belongs to another user (see `git help config`, safe.directory)"
                passing = False
            return (_mistake("repository", problem, "the path of a Git repository, or its URL", passing=passing),)
        return ()

    def _path(self, context: SourceContext) -> Path:
        return (context.base_dir / Path(self.repository).expanduser()).resolve()


def _mistake(path: str, problem: str, expected: str, *, passing: bool = False) -> Mistake:
    return Mistake(file="", line=0, path=path, problem=problem, expected=expected, passing=passing)


def has_tag(repository: str, pattern: str) -> bool:
    """True where a repository, by path or URL, has a tag that the whole pattern matches. Raises SourceError."""
    if is_url(repository):
        listed = Git(Path.cwd(), Access(url=repository)).lines("ls-remote", "--tags", "--refs", "--", repository)
        names = [line.partition("\trefs/tags/")[2] for line in listed]
    else:
        names = Git(Path(repository)).lines("for-each-ref", "--format=%(refname:strip=2)", "refs/tags")
    return any(re.fullmatch(pattern, name) for name in names)


@dataclass(frozen=True, kw_only=True)
class GitSource:
    """See GitConfig. One pull reads the refs, and where they moved, the commits that are new."""

    source: str
    commits: Commits
    url: str | None
    service: str
    environment: str
    rule: TagRule | BranchRule | None
    token: SecretStr
    username: str
    reach: Reach

    @property
    def git(self) -> Git:
        """Runs git in the repository or its clone."""
        return self.commits.git

    @property
    def repository(self) -> str:
        """What other sources call the repository."""
        return self.commits.repository

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Commits and deployments that are new since the cursor's refs; no page where nothing moved."""
        seen = look_of(cursor) if cursor else None
        if self.url is not None:
            self._clone(self.url).update()
        elif self.commits.paths and is_treeless(self.git):
            how = "`git fetch --refetch --filter=blob:none`"
            raise SourceError(f"{self.git.path} is a clone without trees, so `paths` cannot be read; {how} brings them")
        now = self.commits.look(self._rule())
        if seen == now:
            return
        seen = continuing(seen, now)
        next_cursor = msgspec.json.encode(now).decode()
        yield Page(cursor=next_cursor, warnings=now.warnings)
        for events, rejected in self.commits.since(seen, now):
            yield Page(events=events, rejected=rejected, cursor=next_cursor)
        for deployments in _pages(self._deployments(seen, now)):
            yield Page(events=deployments, cursor=next_cursor)

    def _clone(self, url: str) -> Clone:
        token = reveal(self.token)
        authorization = basic(self.username, token) if token else ""
        access = Access(url=url, authorization=authorization, reach=self.reach)
        return Clone(path=self.git.path, access=access, paths=self.commits.paths)

    def _rule(self) -> str:
        """All that decides which deployments are made of commits."""
        rule = self.rule.model_dump_json() if self.rule else ""
        return f"{self.service}\n{self.environment}\n{self.commits.branch or ''}\n{rule}"

    def _deployments(self, seen: Look | None, now: Look) -> Iterator[Deployment]:
        if isinstance(self.rule, TagRule):
            yield from self._tagged(self.rule, now)
        elif isinstance(self.rule, BranchRule):
            yield from self._on_branch(self.rule, seen, now)

    def _tagged(self, rule: TagRule, now: Look) -> Iterator[Deployment]:
        """One release for each commit with matching tags, at the earliest of them.

        Tags of tags are followed to their commit; tags of trees and blobs release nothing.
        """
        pattern = re.compile(rule.pattern)
        names = [r for r in now.refs if r.startswith("refs/tags/") and pattern.fullmatch(r[len("refs/tags/") :])]
        if not names:
            return
        peeled = self.git.lines(
            "cat-file",
            "--batch-check=%(objectname) %(objecttype)",
            stdin="".join(f"{now.refs[n]}^{{commit}}\n" for n in names),
        )
        commits = {n: p.split()[0] for n, p in zip(names, peeled, strict=True) if p.endswith(" commit")}
        dates = self._tag_dates()
        fallback = self._commit_dates([c for n, c in commits.items() if n not in dates])
        releases: dict[str, list[tuple[datetime, int, str]]] = {}
        for name, sha in commits.items():
            at = dates.get(name, fallback.get(sha))
            if at is not None:
                version = name[len("refs/tags/") :]
                releases.setdefault(sha, []).append((at, len(version), version))
        for sha, tags in sorted(releases.items()):
            at, _, version = min(tags)
            yield self._deployment(sha, at, version)

    def _tag_dates(self) -> dict[str, datetime]:
        """When each tag was made, where its tagger's clock told; git prints 0 for what is no time."""
        listed = self.git.lines("for-each-ref", "--format=%(creatordate:unix) %(refname)", "refs/tags")
        pairs = (line.partition(" ") for line in listed)
        return {name: found for at, _, name in pairs if at != "0" and (found := time_of(at)) is not None}

    def _commit_dates(self, shas: Sequence[str]) -> dict[str, datetime]:
        if not shas:
            return {}
        listed = self.git.lines("log", "--no-walk=unsorted", "--format=%H %ct", "--stdin", stdin="\n".join(shas) + "\n")
        pairs = (line.partition(" ") for line in listed)
        return {sha: found for sha, _, at in pairs if (found := time_of(at)) is not None}

    def _on_branch(self, rule: BranchRule, seen: Look | None, now: Look) -> Iterator[Deployment]:
        tip = now.refs.get(f"refs/heads/{rule.branch}") if rule.branch else now.head
        if tip is None and not now.refs:
            return  # an empty repository: its first commit may come
        if tip is None:
            raise ContractError(
                f"the repository has no branch {rule.branch or 'that HEAD names'!r} to take deployments from"
            )
        old: list[str] = []
        if seen is not None and seen.rule == now.rule:
            before = seen.refs.get(f"refs/heads/{rule.branch}") if rule.branch else seen.head
            old = self.commits.first_parents(before) if before in self.commits.existing(seen, now) else []
        known = set(old)
        for text in self.git.lines("log", "--first-parent", "--format=%H %ct", tip):
            sha, _, seconds = text.partition(" ")
            at = time_of(seconds)
            if sha not in known and at is not None:
                yield self._deployment(sha, at, None)

    def _deployment(self, sha: str, at: datetime, version: str | None) -> Deployment:
        return Deployment(
            source=self.source,
            native_id=f"{self.service}/{self.environment}@{sha}",
            service=self.service,
            environment=self.environment,
            repository=self.repository,
            sha=sha,
            finished_at=at,
            result=Result.SUCCESS,
            version=version,
        )


def _pages(events: Iterable[Event]) -> Iterator[list[Event]]:
    page: list[Event] = []
    for event in events:
        page.append(event)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page
