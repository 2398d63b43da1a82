"""Commits, and deployments by a rule, from a Git repository: in place, or through a bare clone without files.

Git itself gives the whole commit graph at its own speed and without API limits. Read are HEAD, branches and tags;
never `refs/pull/*`, which hold what was never merged. Author times, merges and ancestry come from the objects;
nothing in the repository is executed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from collector.errors import BadRecord, ContractError, Mistake, SourceError
from collector.events import Commit, Deployment, Event, Result
from collector.gitcommand import LOG_FIELDS, Git
from collector.people import People
from collector.source import Page, SourceConfig, SourceContext

_Paths: TypeAlias = tuple[str, ...] | None
_PAGE = 2_000
_PATHS_OF_A_PAGE = 200_000
_CO_AUTHOR = re.compile(r"^co-authored-by:[^<\n]*<([^>\n]+)>", re.IGNORECASE | re.MULTILINE)
_REVERTS = re.compile(r"\bThis reverts commit ([0-9a-f]{7,64})")

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
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{error}; expected a regular expression") from error
        return value


class BranchRule(BaseModel):
    """Each commit on the first-parent line of a branch was released when it was committed there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Literal["branch"]
    branch: str | None = Field(default=None, description="A branch; the default branch unless given.")


DeploymentRule = Annotated[TagRule | BranchRule, Field(discriminator="rule")]


class GitConfig(SourceConfig):
    """Settings of a Git repository."""

    type: Literal["git"]
    repository: str = Field(min_length=1, description="A path, read in place, or a URL, cloned bare and without files.")
    repository_name: str | None = Field(
        default=None,
        description="What other sources call this repository; from its path or URL unless given.",
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
        if is_url(self.repository):
            digest = hashlib.sha256(self.repository.encode()).hexdigest()[:16]
            location = context.data_dir / "git" / f"{digest}.git"
        else:
            location = self._path(context)
        return GitSource(
            source=self.name,
            git=Git(location),
            url=self.repository if is_url(self.repository) else None,
            repository=name,
            service=self.service or name.rpartition("/")[2],
            environment=self.environment,
            rule=self.deployments,
            branch=self.branch,
            paths=self.paths,
            people=context.people,
        )

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """A path that is no repository is a mistake; a URL is not visited."""
        if is_url(self.repository):
            return ()
        path = self._path(context)
        try:
            Git(path).text("rev-parse", "--git-dir")
        except SourceError as error:
            problem = f"no Git repository at {path}" if path.is_dir() else f"{path} does not exist"
            if "git was not found" in str(error):
                problem = str(error)
            if "dubious ownership" in str(error):
                problem = f"Git refuses {path}, which belongs to another user (see `git help config`, safe.directory)"
            return (
                Mistake(
                    file="",
                    line=0,
                    path="repository",
                    problem=problem,
                    expected="the path of a Git repository, or its URL",
                ),
            )
        return ()

    def _path(self, context: SourceContext) -> Path:
        return (context.base_dir / Path(self.repository).expanduser()).resolve()


def is_url(repository: str) -> bool:
    """True for `scheme://…` and the `user@host:path` form; everything else is a path."""
    return "://" in repository or re.match(r"[\w.-]+@[\w.-]+:", repository) is not None


def repository_name(repository: str) -> str:
    """`owner/name` of a URL, without its host and what stands before it; the folder's name of a path."""
    place = repository.rstrip("/").removesuffix("/.git").removesuffix(".git")
    if not is_url(repository):
        return Path(place or ".").expanduser().resolve().name or "repository"
    path = re.sub(r"^[^/]*://[^/]*/?|^[^/:]*:", "", place)
    return "/".join([part for part in path.split("/") if part][-2:]) or "repository"


def has_tag(repository: str, pattern: str) -> bool:
    """True where a repository, by path or URL, has a tag that the whole pattern matches. Raises SourceError."""
    if is_url(repository):
        listed = Git(Path.cwd()).lines("ls-remote", "--tags", "--refs", "--", repository)
        names = [line.partition("\trefs/tags/")[2] for line in listed]
    else:
        names = Git(Path(repository)).lines("for-each-ref", "--format=%(refname:strip=2)", "refs/tags")
    return any(re.fullmatch(pattern, name) for name in names)


class _Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """What the last run saw. The same refs under the same rule mean there is nothing new."""

    repository: str
    refs: dict[str, str]
    head: str | None
    shallow: str
    rule: str
    paths: bool = False


@dataclass
class _Line:
    """Follows the first-parent line of the default branch through commits as they come by."""

    expected: str | None
    marked: set[str] = field(default_factory=set)
    late: list[str] = field(default_factory=list)
    _passed: dict[str, str | None] = field(default_factory=dict)

    def contains(self, sha: str, parents: Sequence[str]) -> bool:
        """True where this commit is the next on the line. Git mostly shows children first, so one pass suffices.

        With clocks gone wrong a parent comes before its child: then it is among `late`, to be read once more.
        """
        if sha != self.expected:
            self._passed[sha] = parents[0] if parents else None
            return False
        parent = parents[0] if parents else None
        self.marked.add(sha)
        while parent is not None and parent in self._passed:
            self.marked.add(parent)
            self.late.append(parent)
            parent = self._passed[parent]
        self.expected = parent
        return True


@dataclass(frozen=True, kw_only=True)
class GitSource:
    """See GitConfig. One pull reads the refs, and where they moved, the commits that are new."""

    source: str
    git: Git
    url: str | None
    repository: str
    service: str
    environment: str
    rule: TagRule | BranchRule | None
    branch: str | None
    paths: bool
    people: People
    authors: dict[tuple[str, str], tuple[str | None, bool]] = field(default_factory=dict)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """Commits and deployments that are new since the cursor's refs; no page where nothing moved."""
        seen = _decoded(cursor) if cursor else None
        if self.url is not None:
            self._update_clone(self.url)
        elif self.paths and self._treeless():
            how = "`git fetch --refetch --filter=blob:none`"
            raise SourceError(f"{self.git.path} is a clone without trees, so `paths` cannot be read; {how} brings them")
        now = self._look()
        if seen == now:
            return
        if seen is not None and (seen.shallow, seen.repository) != (now.shallow, now.repository):
            seen = None  # a deepened clone gives known commits their parents: read all again
        if seen is not None and now.paths and not seen.paths:
            seen = None  # known commits have paths now
        next_cursor = msgspec.json.encode(now).decode()
        warnings = ["the clone is shallow: history before its boundary is unknown"] if now.shallow else []
        if now.refs and now.head is None:
            warnings.append("HEAD names no branch that exists, so nothing counts as merged; set `branch`")
        yield Page(cursor=next_cursor, warnings=warnings)
        for events, rejected in self._commits(seen, now):
            yield Page(events=events, rejected=rejected, cursor=next_cursor)
        for deployments in _pages(self._deployments(seen, now)):
            yield Page(events=deployments, cursor=next_cursor)

    def _update_clone(self, url: str) -> None:
        """Clone once; later only fetch, which leaves out what the clone left out."""
        path = self.git.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name(f".{path.name}.lock")):
            if not path.exists() or (self.paths and self._treeless()):
                self._clone(url)
            else:
                self._fetch()

    def _treeless(self) -> bool:
        return self.git.text("config", "--default", "", "--get", "remote.origin.partialCloneFilter").startswith("tree:")

    def _clone(self, url: str) -> None:
        """Clone beside and move into place, so that a crash leaves a whole clone or none."""
        path = self.git.path
        draft, old = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.old")
        for left in (draft, old):
            shutil.rmtree(left, ignore_errors=True)
        wanted = "blob:none" if self.paths else "tree:0"
        Git(path.parent).text("clone", "--quiet", "--bare", f"--filter={wanted}", "--", url, str(draft))
        if path.exists():
            path.rename(old)
        draft.rename(path)
        shutil.rmtree(old, ignore_errors=True)

    def _fetch(self) -> None:
        # A fetch does not move HEAD, and the remote's default branch may have become another one. Both ask the
        # remote, so they ask at the same time.
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.git.text, "ls-remote", "--symref", "origin", "HEAD")
            self.git.text(
                *("fetch", "--quiet", "--prune", "--force", "--no-write-fetch-head", "origin"),
                *("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"),
            )
            answer = asked.result()
        if found := re.search(r"^ref: (refs/heads/\S+)\tHEAD$", answer, re.MULTILINE):
            self.git.text("symbolic-ref", "HEAD", found[1])

    def _head_exists(self) -> bool:
        try:
            self.git.text("rev-parse", "--verify", "--quiet", "HEAD")
        except SourceError:
            return False
        return True

    def _refs(self) -> dict[str, str]:
        listed = self.git.lines("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
        return {name: sha for sha, _, name in (line.partition(" ") for line in listed)}

    def _look(self) -> _Cursor:
        refs = self._refs()
        rule = self.rule.model_dump_json() if self.rule else ""
        place = f"{self.service}\n{self.environment}\n{self.branch or ''}\n{rule}"
        boundary = self._boundary()
        return _Cursor(
            repository=self.repository,
            refs=refs,
            head=self._default_tip(refs),
            shallow=hashlib.sha256(boundary).hexdigest()[:16] if boundary else "",
            rule=hashlib.sha256(place.encode()).hexdigest()[:16],
            paths=self.paths,
        )

    def _boundary(self) -> bytes:
        """The commits at which a shallow clone is cut off, one a line; empty for a whole one."""
        if self.git.text("rev-parse", "--is-shallow-repository").strip() != "true":
            return b""
        return (self.git.path / self.git.text("rev-parse", "--git-path", "shallow").strip()).read_bytes()

    def _default_tip(self, refs: dict[str, str]) -> str | None:
        """The commit at the tip of the default branch: as configured, else as the clone's origin says, else HEAD."""
        if self.branch is not None:
            if f"refs/heads/{self.branch}" not in refs and refs:
                raise ContractError(f"the repository has no branch {self.branch!r}")
            return refs.get(f"refs/heads/{self.branch}")
        if self.url is None:
            try:
                origin = self.git.text("symbolic-ref", "--quiet", "refs/remotes/origin/HEAD").strip()
            except SourceError:
                origin = ""
            local = origin.replace("refs/remotes/origin/", "refs/heads/", 1)
            if local in refs:  # a checkout of some feature branch does not make that the default branch
                return refs[local]
        return self.git.text("rev-parse", "--verify", "HEAD").strip() if self._head_exists() else None

    def _commits(self, seen: _Cursor | None, now: _Cursor) -> Iterator[tuple[list[Event], list[BadRecord]]]:
        line = _Line(now.head)
        wanted = [*now.refs.values(), *([now.head] if now.head else [])]
        known = self._existing(seen, now)
        revisions = [*dict.fromkeys(wanted), *(f"^{sha}" for sha in known)]
        if wanted:
            yield from self._parsed(self._records(revisions, "--ignore-missing"), line)
        missed = self._missed(line, seen, now)
        if missed:
            yield from self._parsed(self._records(missed, "--no-walk=unsorted"), _Everywhere())

    def _existing(self, seen: _Cursor | None, now: _Cursor) -> list[str]:
        """The objects of the last run that are still there; a pruned one would make git refuse the whole walk."""
        if seen is None:
            return []
        tips = set(seen.refs.values()) | ({seen.head} if seen.head else set())
        gone = tips - set(now.refs.values())
        checked = self.git.lines("cat-file", "--batch-check", stdin="".join(f"{sha}\n" for sha in sorted(gone)))
        missing = {text.split()[0] for text in checked if text.endswith(" missing")}
        return sorted(tips - missing)

    def _missed(self, line: _Line, seen: _Cursor | None, now: _Cursor) -> list[str]:
        """Commits of the default branch's line that did not come by in order, or were read before as a side branch."""
        before = seen.head if seen else None
        if line.expected is None or line.expected == before or now.head is None:
            return line.late
        old = set(self._first_parents(before)) if before in self._existing(seen, now) else set()
        rest = [sha for sha in self._first_parents(now.head) if sha not in old and sha not in line.marked]
        return line.late + rest

    def _first_parents(self, tip: str | None) -> list[str]:
        return self.git.lines("rev-list", "--first-parent", tip) if tip else []

    def _records(self, revisions: Sequence[str], *options: str) -> Iterable[tuple[Sequence[str], _Paths]]:
        """The fields of each commit, and its paths where they are wanted and known."""
        if self.paths:
            return self._records_with_paths(revisions, *options)
        blocks = self.git.log(revisions, *options)
        return zip(
            chain.from_iterable(zip(*[iter(b)] * len(LOG_FIELDS), strict=True) for b in blocks),
            repeat(None),
            strict=False,
        )

    def _records_with_paths(self, revisions: Sequence[str], *options: str) -> Iterator[tuple[Sequence[str], _Paths]]:
        # Where a shallow clone is cut off, a commit looks like a root, as if it had brought every file.
        cut_off = set(self._boundary().decode().split())
        for fields, paths in self.git.log_with_paths(revisions, *options):
            yield fields, None if fields[0] in cut_off else tuple(sorted(paths))

    def _parsed(
        self, records: Iterable[tuple[Sequence[str], _Paths]], line: _Line | _Everywhere
    ) -> Iterator[tuple[list[Event], list[BadRecord]]]:
        events: list[Event] = []
        rejected: list[BadRecord] = []
        held = 0
        for record, paths in records:
            commit = self._commit(record, paths, line)
            (events if isinstance(commit, Commit) else rejected).append(commit)  # type: ignore[arg-type]
            if paths:
                held += len(paths)
            if len(events) == _PAGE or held > _PATHS_OF_A_PAGE:
                yield events, rejected
                events, rejected, held = [], [], 0
        if events or rejected:
            yield events, rejected

    def _commit(self, record: Sequence[str], paths: _Paths, line: _Line | _Everywhere) -> Commit | BadRecord:
        sha, tree, parent_list, author_time, commit_time, name, mail, message = record
        parents = tuple(parent_list.split())
        on_line = line.contains(sha, parents)
        committed_at = _time(commit_time) or _time(author_time)
        if committed_at is None:
            return BadRecord(f"{self.repository}@{sha}", "it has no usable time; it is left out of the graph")
        authored_at = committed_at if author_time == commit_time else _time(author_time) or committed_at
        author, bot = self._author(name, mail)
        lowered = message.lower() if "-by:" in message or "-By:" in message or "-BY:" in message else ""
        return Commit(
            source=self.source,
            native_id=sha,
            repository=self.repository,
            sha=sha,
            tree_sha=tree,
            parents=parents,
            authored_at=authored_at,
            committed_at=committed_at,
            author=author,
            co_authors=tuple(self.people.hashed(m) for m in _CO_AUTHOR.findall(lowered)) if lowered else (),
            bot=bot,
            on_default_branch=on_line,
            reverts=tuple(_REVERTS.findall(message)) if "This reverts commit" in message else (),
            paths=paths,
        )

    def _author(self, name: str, mail: str) -> tuple[str | None, bool]:
        """The author's hash, and whether it is a bot; remembered, since a history repeats few authors."""
        found = self.authors.get((name, mail))
        if found is None:
            by_name = self.people.named(name) if name else None
            hashed = self.people.hashed(mail) if mail else by_name
            found = self.authors[name, mail] = (hashed, self.people.is_bot(name, mail))
        return found

    def _deployments(self, seen: _Cursor | None, now: _Cursor) -> Iterator[Deployment]:
        if isinstance(self.rule, TagRule):
            yield from self._tagged(self.rule, now)
        elif isinstance(self.rule, BranchRule):
            yield from self._on_branch(self.rule, seen, now)

    def _tagged(self, rule: TagRule, now: _Cursor) -> Iterator[Deployment]:
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
        return {name: found for at, _, name in pairs if at != "0" and (found := _time(at)) is not None}

    def _commit_dates(self, shas: Sequence[str]) -> dict[str, datetime]:
        if not shas:
            return {}
        listed = self.git.lines("log", "--no-walk=unsorted", "--format=%H %ct", "--stdin", stdin="\n".join(shas) + "\n")
        pairs = (line.partition(" ") for line in listed)
        return {sha: found for sha, _, at in pairs if (found := _time(at)) is not None}

    def _on_branch(self, rule: BranchRule, seen: _Cursor | None, now: _Cursor) -> Iterator[Deployment]:
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
            old = self._first_parents(before) if before in self._existing(seen, now) else []
        known = set(old)
        for text in self.git.lines("log", "--first-parent", "--format=%H %ct", tip):
            sha, _, seconds = text.partition(" ")
            at = _time(seconds)
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


def _decoded(cursor: str) -> _Cursor | None:
    """What a cursor says; None for one of another version, so that all is read again, which is harmless."""
    try:
        return msgspec.json.decode(cursor, type=_Cursor)
    except msgspec.DecodeError:
        return None


def _time(seconds: str) -> datetime | None:
    """The time that git printed as seconds since 1970; None for a clock that was far out."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One at a time: several sources may read one URL, for the services that share a repository."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Everywhere:
    """Stands for the line where every commit asked for is on it."""

    def contains(self, sha: str, parents: Sequence[str]) -> bool:
        """Always."""
        del sha, parents
        return True


def _pages(events: Iterable[Event]) -> Iterator[list[Event]]:
    page: list[Event] = []
    for event in events:
        page.append(event)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page
