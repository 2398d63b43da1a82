"""The commits of a repository: in place, or through a bare clone without files that is fetched each time.

Git itself gives the whole commit graph at its own speed and without API limits. Read are HEAD, branches and tags;
never `refs/pull/*`, which hold what was never merged. Author times, merges and ancestry come from the objects;
nothing in the repository is executed. What deploys is no concern of this module.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from typing import TypeAlias

import msgspec

from collector.api import ApiConfig
from collector.errors import BadRecord, ContractError, RetryableError, SourceError
from collector.events import Commit, Event
from collector.gitcommand import LOG_FIELDS, Access, Git
from collector.people import People
from collector.secrets import reveal
from collector.source import SourceContext
from collector.streams import Notes, Part, State, Stream

_Paths: TypeAlias = tuple[str, ...] | None
PAGE = 2_000
"""Events of a part at most."""
_PATHS_OF_A_PAGE = 200_000
_KEPT_LOOKS = 8
_CO_AUTHOR = re.compile(r"^co-authored-by:[^<\n]*<([^>\n]+)>", re.IGNORECASE | re.MULTILINE)
_REVERTS = re.compile(r"\bThis reverts commit ([0-9a-f]{7,64})")
_OF_ONE_REPOSITORY = re.compile(r"early EOF|hung up|(HTTP|error:) 5\d\d|took longer than")
"""Failures that a repository may have by itself, for ever, while its server hands out all others."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a repository held when it was looked at. The same refs under the same rule mean there is nothing new.

    `rule` stands for what else is made of the commits: another one, and all of it is made again.
    """

    repository: str
    refs: dict[str, str]
    head: str | None
    shallow: str
    rule: str
    paths: bool = False

    @property
    def tips(self) -> list[str]:
        """The commits and tags from which everything is reached, each once."""
        return list(dict.fromkeys([*self.refs.values(), *([self.head] if self.head else [])]))

    @property
    def warnings(self) -> list[str]:
        """What a person should know of it."""
        found = ["the clone is shallow: history before its boundary is unknown"] if self.shallow else []
        if self.refs and self.head is None:
            found.append("HEAD names no branch that exists, so nothing counts as merged; set `branch`")
        return found


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


class _Everywhere:
    """Stands for the line where every commit asked for is on it."""

    def contains(self, sha: str, parents: Sequence[str]) -> bool:
        """Always."""
        del sha, parents
        return True


@dataclass(frozen=True, kw_only=True)
class Clone:
    """A bare clone without files, and without trees unless `paths` are wanted."""

    path: Path
    access: Access
    paths: bool = False

    def update(self) -> None:
        """Clone once; later only fetch, which leaves out what the clone left out. Raises SourceError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.path.with_name(f".{self.path.name}.lock")):
            if not self.path.exists() or (self.paths and is_treeless(Git(self.path))):
                self._clone()
            else:
                self._unlock()
                self._fetch()

    def _unlock(self) -> None:
        """Remove what a git that was killed has locked: it would never be fetched again, and we alone write here."""
        for left in (*self.path.glob("*.lock"), *self.path.glob("refs/**/*.lock")):
            left.unlink(missing_ok=True)

    def _clone(self) -> None:
        """Clone beside and move into place, so that a crash leaves a whole clone or none."""
        draft, old = (self.path.with_name(f".{self.path.name}.{end}") for end in ("partial", "old"))
        for left in (draft, old):
            shutil.rmtree(left, ignore_errors=True)
        wanted = "blob:none" if self.paths else "tree:0"
        Git(self.path.parent, self.access).text(
            *("clone", "--quiet", "--bare", f"--filter={wanted}", "--", self.access.url, str(draft))
        )
        if self.path.exists():
            self.path.rename(old)
        draft.rename(self.path)
        shutil.rmtree(old, ignore_errors=True)

    def _fetch(self) -> None:
        # A fetch does not move HEAD, and the remote's default branch may have become another one.
        git = Git(self.path, self.access)
        answer = git.text("ls-remote", "--symref", "origin", "HEAD", "refs/heads/*", "refs/tags/*")
        self._forget_missing(git, {line.partition("\t")[2] for line in answer.splitlines()})
        git.text(
            *("fetch", "--quiet", "--force", "--no-write-fetch-head", "origin"),
            *("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"),
        )
        if found := re.search(r"^ref: (refs/heads/\S+)\tHEAD$", answer, re.MULTILINE):
            git.text("symbolic-ref", "HEAD", found[1])

    def _forget_missing(self, git: Git, named: set[str]) -> None:
        """Delete branches and tags that the remote no longer names.

        Raises ContractError where it names none at all: an empty page is taken for an empty repository by git, which
        would forget everything because of it.
        """
        known = git.lines("for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags")
        if known and not named - {"HEAD"}:
            raise ContractError("git ls-remote: the server names no branch any more; is this still its address?")
        # In what is no UTF-8 git.lines writes a backslash, which no name holds.
        gone = [name for name in known if name not in named and "\\" not in name]
        if gone:
            git.text("update-ref", "--stdin", stdin="".join(f"delete {name}\n" for name in gone))


def clone_path(context: SourceContext, url: str) -> Path:
    """Where the clone of a URL stands: one for all sources that read it."""
    return context.data_dir / "git" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.git"


def is_treeless(git: Git) -> bool:
    """Whether a repository is a clone that has commits alone."""
    return git.text("config", "--default", "", "--get", "remote.origin.partialCloneFilter").startswith("tree:")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One at a time: several sources may read one URL, for the services that share a repository."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, kw_only=True)
class Commits:
    """Reads the commits of a repository on this machine.

    `branch`: the default one, where HEAD does not tell. `checkout`: somebody works in it, so that HEAD may be elsewhere
    and the remote's HEAD tells. `paths`: read what each commit touches.
    """

    source: str
    git: Git
    repository: str
    people: People
    branch: str | None = None
    checkout: bool = False
    paths: bool = False
    authors: dict[tuple[str, str], tuple[str | None, bool]] = field(default_factory=dict)

    def look(self, rule: str = "") -> Look:
        """What the repository holds now. Raises SourceError, ContractError for a branch that is not there."""
        listed = self.git.lines("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
        refs = {name: sha for sha, _, name in (line.partition(" ") for line in listed)}
        boundary = self._boundary()
        return Look(
            repository=self.repository,
            refs=refs,
            head=self._default_tip(refs),
            shallow=_short(boundary) if boundary else "",
            rule=_short(rule.encode()),
            paths=self.paths,
        )

    def since(self, seen: Look | None, now: Look) -> Iterator[tuple[list[Event], list[BadRecord]]]:
        """The commits that are new, and those that came to the default branch's line, in parts of at most PAGE."""
        line = _Line(now.head)
        if now.tips:
            revisions = [*now.tips, *(f"^{sha}" for sha in self.existing(seen, now))]
            yield from self._parsed(self._records(revisions, "--ignore-missing"), line)
        missed = self._missed(line, seen, now)
        if missed:
            yield from self._parsed(self._records(missed, "--no-walk=unsorted"), _Everywhere())

    def existing(self, seen: Look | None, now: Look) -> list[str]:
        """The objects of an earlier look that are still there; a pruned one would make git refuse the whole walk."""
        if seen is None:
            return []
        tips = set(seen.tips)
        gone = tips - set(now.refs.values())
        checked = self.git.lines("cat-file", "--batch-check", stdin="".join(f"{sha}\n" for sha in sorted(gone)))
        missing = {text.split()[0] for text in checked if text.endswith(" missing")}
        return sorted(tips - missing)

    def first_parents(self, tip: str | None) -> list[str]:
        """The first-parent line of a commit, newest first."""
        return self.git.lines("rev-list", "--first-parent", tip) if tip else []

    def _head_exists(self) -> bool:
        try:
            self.git.text("rev-parse", "--verify", "--quiet", "HEAD")
        except SourceError:
            return False
        return True

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
        if self.checkout:
            try:
                origin = self.git.text("symbolic-ref", "--quiet", "refs/remotes/origin/HEAD").strip()
            except SourceError:
                origin = ""
            local = origin.replace("refs/remotes/origin/", "refs/heads/", 1)
            if local in refs:  # a checkout of some feature branch does not make that the default branch
                return refs[local]
        return self.git.text("rev-parse", "--verify", "HEAD").strip() if self._head_exists() else None

    def _missed(self, line: _Line, seen: Look | None, now: Look) -> list[str]:
        """Commits of the default branch's line that did not come by in order, or were read before as a side branch."""
        before = seen.head if seen else None
        if line.expected is None or line.expected == before or now.head is None:
            return line.late
        old = set(self.first_parents(before)) if before in self.existing(seen, now) else set()
        rest = [sha for sha in self.first_parents(now.head) if sha not in old and sha not in line.marked]
        return line.late + rest

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
            if len(events) == PAGE or held > _PATHS_OF_A_PAGE:
                yield events, rejected
                events, rejected, held = [], [], 0
        if events or rejected:
            yield events, rejected

    def _commit(self, record: Sequence[str], paths: _Paths, line: _Line | _Everywhere) -> Commit | BadRecord:
        sha, tree, parent_list, author_time, commit_time, name, mail, message = record
        parents = tuple(parent_list.split())
        on_line = line.contains(sha, parents)
        committed_at = time_of(commit_time) or time_of(author_time)
        if committed_at is None:
            return BadRecord(f"{self.repository}@{sha}", "it has no usable time; it is left out of the graph")
        authored_at = committed_at if author_time == commit_time else time_of(author_time) or committed_at
        author, bot = self._author(name, mail)
        lowered = message.lower() if "-by:" in message or "-By:" in message or "-BY:" in message else ""
        return Commit(
            source=self.source,
            native_id=f"{self.repository}@{sha}",  # forks and copies hold it too, each on branches of its own
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


def continuing(seen: Look | None, now: Look) -> Look | None:
    """The earlier look from which reading goes on; None where all must be read again.

    A deepened clone gives known commits their parents; known commits may have paths now, or another name.
    """
    if seen is None or (seen.shallow, seen.repository) != (now.shallow, now.repository):
        return None
    return None if now.paths and not seen.paths else seen


def look_of(text: str | bytes) -> Look | None:
    """What a stored look says; None for one of another version, so that all is read again, which is harmless."""
    try:
        return msgspec.json.decode(text, type=Look)
    except msgspec.DecodeError:
        return None


def time_of(seconds: str) -> datetime | None:
    """The time that git printed as seconds since 1970; None for a clock that was far out."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def forge_history(
    config: ApiConfig, context: SourceContext, repository: str, url: str, *, authorization: str = ""
) -> Stream:
    """The commits of a repository of a forge, reached as the settings of its source say."""
    return history(
        f"{repository} commits",
        repository,
        url,
        source=config.name,
        context=context,
        authorization=authorization,
        ca_file=config.trusted(context),
        proxy=reveal(config.proxy),
    )


def history(  # noqa: PLR0913 - what a server asks for differs
    key: str,
    repository: str,
    url: str,
    *,
    source: str,
    context: SourceContext,
    authorization: str = "",
    ca_file: Path | None = None,
    proxy: str = "",
) -> Stream:
    """The commits of a repository that a server holds, as a stream of a source that asks its API.

    `authorization`: the value of that header, for example `basic(user, token)`. `ca_file` and `proxy`: as in the
    source's settings, where they are given. The state holds the name of a look, which is kept beside the clone: all
    branches and tags of many repositories would make a large cursor.
    """
    access = Access(url=url, authorization=authorization, ca_file=ca_file, proxy=proxy, reach=context.wire.reach)
    clone = Clone(path=clone_path(context, url), access=access)
    commits = Commits(source=source, git=Git(clone.path), repository=repository, people=context.people)

    def read(state: State, notes: Notes) -> Iterator[Part]:
        _updated(clone)
        looks, now = _Looks(clone.path / "looks"), commits.look()
        seen = looks.get(state.after)
        name = looks.keep(now)
        if name == state.after:
            return
        for warning in now.warnings:
            notes.warn(f"{repository}: {warning}")
        # In the middle of a walk there is no place to go on from: after an interruption it is read again.
        for events, rejected in commits.since(continuing(seen, now), now):
            notes.reject(rejected)
            yield Part(events, state)
        yield Part((), msgspec.structs.replace(state, after=name))

    return Stream(key, read)


def _updated(clone: Clone) -> None:
    """Update a clone. What only it may fail at is no reason for a source to stop reading the others."""
    try:
        clone.update()
    except RetryableError as error:
        if error.retry_after_seconds is not None or not _OF_ONE_REPOSITORY.search(str(error)):
            raise
        raise SourceError(f"{error}; the next run tries again") from error


@dataclass(frozen=True)
class _Looks:
    """The last looks at a repository, in files named by what they say."""

    folder: Path

    def get(self, name: str | None) -> Look | None:
        """The look of a name, where it is still there."""
        try:
            return look_of((self.folder / f"{name}.json").read_bytes())
        except FileNotFoundError:
            return None

    def keep(self, look: Look) -> str:
        """Keep a look as the newest, and forget the oldest; its name."""
        content = msgspec.json.encode(look)
        name = hashlib.sha256(content).hexdigest()[:32]
        self.folder.mkdir(exist_ok=True)
        draft = self.folder / f".{name}.{threading.get_ident()}"
        draft.write_bytes(content)
        draft.replace(self.folder / f"{name}.json")
        for old in sorted(self.folder.glob("*.json"), key=_age)[_KEPT_LOOKS:]:
            old.unlink(missing_ok=True)
        return name


def _age(path: Path) -> float:
    """Larger for what was kept earlier; what another source has just forgotten counts as oldest."""
    try:
        return -path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
