"""Pages of documentation in a Git repository: when each was changed, what code it covers, when it was reviewed.

What of it is a page's history is `collector/systems/docs/versions.py`'s; what pages and maps say is `told.py`'s.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal

import msgspec
from pydantic import Field, SecretStr, field_validator

from collector.cursors import decoded
from collector.errors import ContractError, Mistake, PacelineError, SourceError
from collector.events import DocPage
from collector.gitcommand import Access, Git, basic
from collector.history import PAGE, Clone, Commits, clone_path, is_treeless
from collector.name_rules import NameRules
from collector.patterns import any_matches, patterns
from collector.reach import Reach
from collector.repositories import is_url, repository_name
from collector.secrets import Secret, reveal
from collector.source import About, Complete, Page, SourceConfig, SourceContext
from collector.systems.docs.told import DocsMap, Told, docs_map, front_matter
from collector.systems.docs.versions import (
    MOST_PAGE_BYTES,
    History,
    Version,
    bring,
    continues,
    files_of,
    steps,
    texts_of,
)

_BEFORE_ALL = datetime(1800, 1, 1, tzinfo=UTC)
_FORGOTTEN_AFTER = timedelta(days=1)
_MOST_NAMED = 3
_ABOUT = About(
    system="Documentation in Git",
    gives=("doc_page",),
    tested="real server",
    scopes=(("reading the repository", "a URL is cloned without files, of which only the pages are fetched"),),
    costs=(("pages", "two fetches when the default branch moved, one when it did not, however many pages"),),
    limits=(
        "A page that moved and changed in one commit begins anew: nobody can see there that it is the same.",
        "A shallow clone knows no page's history before it was cut off.",
    ),
    example="""\
sources:
  - type: docs
    name: handbook
    repository: https://git.example.com/team/shop.git
    token: ${SHOP_TOKEN:-}
    pages: [docs/*.md]
    map: docs/map.yaml
""",
    more="""\
**What becomes what.** Each commit of the default branch that changed a page is a version of it; a merge counts when it
was merged. The last version carries what is said of the page now. A page that moves keeps its versions, a deleted one
is forgotten. Commits by whose subject a rule of `ignore_commits` fits, such as `style: *`, are no versions.

**Pages** are the files that a rule of `pages` fits (`*` also takes `/`), and those that the map names by their paths.

**What a page covers**, so that it is asked for when that code is deployed, stands in the map or in its front matter;
where both speak the map counts.

```yaml
pages:                        # the map: a YAML file in the repository
  docs/payments.md:
    covers: [src/pay, shop-api:openapi/*.yaml]
    service: shop
    team: payments
    reviewed: 2026-01-31
  docs/runbooks/*: [deploy]   # a rule, and what it covers alone
```

Front matter knows the same keys, and `last_reviewed`. A path is one of the page's own repository, or of the one before
a colon; `code_repository` says where else paths without one belong. `owner` counts where it is a team
(`group:payments`): an owner may be a person, and nobody is kept.
""",
)


class DocsConfig(SourceConfig):
    """Settings of a repository with documentation."""

    about: ClassVar[About | None] = _ABOUT

    type: Literal["docs"]
    repository: str = Field(min_length=1, description="A path, read in place, or a URL, cloned bare.")
    repository_name: str | None = Field(
        default=None, description="What other sources call this repository; from its path or URL unless given."
    )
    token: Secret = Field(
        default=SecretStr(""),
        description="Opens a URL with https://: give it as ${NAME} or as file:/path, never inside the URL.",
    )
    username: str = Field(
        default="x-access-token", description="The user that goes with the token, where the server wants a certain one."
    )
    branch: str | None = Field(default=None, description="The default branch, where HEAD does not tell.")
    pages: list[str] = Field(
        default=["docs/*.md", "docs/*.mdx", "docs/*.rst", "docs/*.adoc"],
        description="Which files are pages: paths, or globs whose `*` also takes `/`.",
    )
    exclude: NameRules = Field(default_factory=list, description="Of these, the paths that are no pages.")
    map: str = Field(
        default="", description="A YAML file in the repository that says what pages cover; none by default."
    )
    front_matter: bool = Field(default=True, description="Whether what pages say of themselves is read.")
    code_repository: str = Field(
        default="", description="The repository of the code that pages cover; their own unless given."
    )
    ignore_commits: NameRules = Field(
        default_factory=list, description="Subjects of commits that change pages and make no version of them."
    )

    @field_validator("pages")
    @classmethod
    def _are_below_the_root(cls, value: list[str]) -> list[str]:
        wrong = next((rule for rule in value if not rule or rule[0] in "/:"), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} is no path in a repository; expected a path or a glob, such as docs/*.md")
        return value

    @property
    def page_rules(self) -> list[str]:
        """The globs of `pages`. That `**/` stands for no folder too is written out: here `*` takes `/`."""
        return list(dict.fromkeys(r.replace("**/", some) for r in self.pages for some in ("*/", "")))

    def build(self, context: SourceContext) -> DocsSource:
        """The source; a clone is made at the first pull, not here."""
        remote = is_url(self.repository)
        path = clone_path(context, self.repository) if remote else self._path(context)
        name = self.repository_name or repository_name(self.repository)
        commits = Commits(
            source=self.name,
            git=Git(path),
            repository=name,
            people=context.people,
            branch=self.branch,
            checkout=not remote,
        )
        return DocsSource(self, commits, remote=remote, reach=context.wire.reach)

    def check(self, context: SourceContext) -> Sequence[Mistake]:
        """A path that is no repository is a mistake, and a token that does not reach its server; no URL is visited."""
        found = [] if is_url(self.repository) else self._check_place(self._path(context))
        try:
            if reveal(self.token) and not self.repository.startswith(("https://", "http://")):
                found.append(_mistake("token", "only a URL with https:// takes one", "no token here, or such a URL"))
        except PacelineError:
            found.append(_mistake("token", "its file cannot be read", "a file with the token, readable by Paceline"))
        return found

    @staticmethod
    def _check_place(path: Path) -> list[Mistake]:
        try:
            Git(path).text("rev-parse", "--git-dir")
        except SourceError:
            problem = f"no Git repository at {path}" if path.is_dir() else f"{path} does not exist"
            return [_mistake("repository", problem, "the path of a Git repository, or its URL", passing=True)]
        return []

    def _path(self, context: SourceContext) -> Path:
        return (context.base_dir / Path(self.repository).expanduser()).resolve()


def _mistake(path: str, problem: str, expected: str, *, passing: bool = False) -> Mistake:
    return Mistake(file="", line=0, path=path, problem=problem, expected=expected, passing=passing)


class _Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """What the last look saw: the tip, what settings and map meant, the last version of each page, and when it was.

    `stamp`, in seconds since 1970, is the `updated_at` of what was reported. `gone`: pages that ended, and when that
    was seen: what happened just before a run is not removed by it, but by the next.
    """

    head: str
    meaning: str
    stamp: int
    pages: dict[str, Version]
    gone: dict[str, int]


@dataclass(frozen=True)
class _Now:
    """What the repository holds at its tip."""

    head: str
    meaning: str
    stamp: int
    pages: Mapping[str, str]
    """The blob of each page."""
    map: DocsMap


@dataclass
class _Found:
    """What a look at the history says: new versions, newest first, and whether these are all.

    `touched`: the pages that may say something else now.
    """

    versions: dict[str, list[Version]]
    touched: set[str]
    whole: bool
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DocsSource:
    """See DocsConfig. One pull reads the tip, and where it moved, the commits that are new."""

    config: DocsConfig
    commits: Commits
    remote: bool
    reach: Reach

    @property
    def _git(self) -> Git:
        return self.commits.git

    @property
    def _access(self) -> Access:
        config = self.config
        token = reveal(config.token)
        authorization = basic(config.username, token) if token else ""
        return Access(url=config.repository, authorization=authorization, reach=self.reach)

    def pull(self, cursor: str | None) -> Iterator[Page]:
        """The versions that are new, and the pages that ended; no page where the default branch did not move.

        Raises SourceError where the repository cannot be read, ContractError for a map that is none.
        """
        if self.remote:
            Clone(path=self._git.path, access=self._access, paths=True).update()
        elif is_treeless(self._git):
            raise SourceError(f"{self._git.path} is a clone without trees, so its pages cannot be read; clone it whole")
        look, before = self.commits.look(), decoded(cursor, _Cursor)
        if look.head is None:
            if look.refs:
                raise ContractError("HEAD names no branch that exists, so no page counts; set `branch`")
            return
        if before is not None and before.head == look.head and before.meaning.startswith(self._settings):
            return
        now = self._now(look.head, before)
        found = self._found(now, before)
        found.warnings[:0] = look.warnings
        yield from self._reported(now, found, before)

    @property
    def _settings(self) -> str:
        told = self.config.model_dump_json(exclude={"every", "stale_after", "token", "username"})
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()

    # ---- what there is

    def _now(self, head: str, before: _Cursor | None) -> _Now:
        config, files = self.config, files_of(self._git, head)
        told, blob = DocsMap(), files.get(config.map, "")
        if config.map:
            if not blob:
                raise ContractError(f"the repository has no {config.map}; restore it, or correct `map`")
            text = dict(self._texts([blob])).get(blob)
            if text is None:
                raise ContractError(f"{config.map} is larger than {MOST_PAGE_BYTES} bytes; that much is not read")
            told = docs_map(text, config.map)
        rules, excluded = patterns(config.page_rules), patterns(config.exclude)
        named = set(told.paths)
        pages = {
            path: content
            for path, content in files.items()
            if path in named or (any_matches(rules, path) and not any_matches(excluded, path))
        }
        committed = int(self._git.text("log", "-1", "--format=%ct", head))
        stamp = committed if before is None else max(committed, before.stamp + 1)
        return _Now(head, f"{self._settings}{blob}", stamp, pages, told)

    def _texts(self, blobs: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The texts of files, of which a clone has only those that were asked for; none of one that is no page."""
        if self.remote:
            bring(Git(self._git.path, self._access), blobs)
        mark = hashlib.blake2b("".join(sorted(blobs)).encode()).hexdigest()
        return texts_of(self._git, blobs, mark)

    def _found(self, now: _Now, before: _Cursor | None) -> _Found:
        """New versions where the line goes on from the last look, all where nothing can be built on it."""
        ignored = patterns(self.config.ignore_commits)
        pathspecs = [*(f":(top){rule}" for rule in self.config.page_rules)]
        pathspecs += [f":(top,literal){path}" for path in now.map.paths]

        def history(since: str | None, known: Mapping[str, Version]) -> History:
            made = History(now.pages, known, lambda subject: any_matches(ignored, subject))
            return made.follow(steps(self._git, now.head, since, pathspecs))

        if before is not None and before.meaning == now.meaning and continues(self._git, now.head, before.head):
            new = history(before.head, before.pages)
            if not new.moved:
                return _Found(new.versions, new.touched, whole=False)
        found = history(None, {})
        missing = [path for path in now.map.paths if path not in now.pages]
        return _Found(found.versions, found.touched, whole=True, warnings=self._of_map(missing))

    def _of_map(self, missing: Sequence[str]) -> list[str]:
        if not missing:
            return []
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        return [f"{self.config.map} names pages that are not there: {', '.join(missing[:_MOST_NAMED])}{more}"]

    # ---- what is reported

    def _reported(self, now: _Now, found: _Found, before: _Cursor | None) -> Iterator[Page]:
        known = {} if found.whole or before is None else before.pages
        told = self._told(now, sorted(found.touched), found.warnings)
        events: list[DocPage] = []
        for path in told:
            line = [*found.versions.get(path, []), *([known[path]] if path in known else [])]
            events.append(self._event(path, line[0], now.stamp, told[path]))
            events += [
                self._event(path, older, now.stamp if older is known.get(path) else newer.at)
                for newer, older in pairwise(line)
            ]
        pages = {p: v for p, v in known.items() if p in now.pages} | {p: v[0] for p, v in found.versions.items()}
        gone = self._gone(now, before, pages)
        cursor = msgspec.json.encode(
            _Cursor(head=now.head, meaning=now.meaning, stamp=now.stamp, pages=pages, gone=gone)
        ).decode()
        complete = [self._nothing_of(path) for path in sorted(gone)]
        if found.whole:
            complete.append(self._complete({}, frozenset(e.native_id for e in events)))
        yield Page(cursor=cursor, warnings=found.warnings, complete=complete)
        for first in range(0, len(events), PAGE):
            yield Page(events=events[first : first + PAGE], cursor=cursor)

    def _told(self, now: _Now, paths: Sequence[str], warnings: list[str]) -> dict[str, Told]:
        """What is said of some pages: by the map, else by their front matter."""
        told, unread = dict[str, Told](), list[str]()
        if self.config.front_matter and paths:
            of = defaultdict[str, list[str]](list)
            for path in paths:
                of[now.pages[path]].append(path)
            for blob, text in self._texts(list(of)):
                for path in of.pop(blob):
                    try:
                        told[path] = front_matter(text, path)
                    except ContractError:
                        unread.append(path)
            if large := sorted(path for left in of.values() for path in left):
                many = f"{len(large)} pages are larger than {MOST_PAGE_BYTES >> 20} MiB"
                warnings.append(f"{many}, such as {large[0]}: their front matter is not read")
        if unread:
            warnings.append(f"the front matter of {len(unread)} pages is no YAML, such as of {min(unread)}")
        return {path: now.map.of(path).over(told.get(path, Told())) for path in paths}

    def _gone(self, now: _Now, before: _Cursor | None, pages: Mapping[str, Version]) -> dict[str, int]:
        """The pages that ended since the last look, and those that ended shortly before."""
        if before is None:
            return {}
        ended = dict.fromkeys(before.pages.keys() - pages.keys(), now.stamp)
        recent = {p: at for p, at in before.gone.items() if now.stamp - at < _FORGOTTEN_AFTER.total_seconds()}
        return {p: at for p, at in (recent | ended).items() if p not in pages}

    def _event(self, path: str, version: Version, stamp: int, told: Told | None = None) -> DocPage:
        said = told or Told()
        return DocPage(
            source=self.config.name,
            native_id=f"{self.commits.repository}@{version.sha}:{path}",
            updated_at=datetime.fromtimestamp(stamp, UTC),
            repository=self.commits.repository,
            path=path,
            changed_at=datetime.fromtimestamp(version.at, UTC),
            reviewed_at=said.reviewed_at,
            service=said.service,
            team=said.team,
            covers=tuple(self._covered(text) for text in said.covers or ()),
        )

    def _covered(self, text: str) -> str:
        """Code that a page covers, with its repository where the settings say another one than the page's."""
        where, colon, _ = text.partition(":")
        of_another = colon and where and not where.startswith("/")
        return text if of_another or not self.config.code_repository else f"{self.config.code_repository}:{text}"

    def _nothing_of(self, path: str) -> Complete:
        return self._complete({"path": path}, frozenset())

    def _complete(self, where: Mapping[str, str], native_ids: frozenset[str]) -> Complete:
        of_this = {"repository": self.commits.repository, **where}
        return Complete(kind=DocPage, where=of_this, dated="changed_at", since=_BEFORE_ALL, native_ids=native_ids)
