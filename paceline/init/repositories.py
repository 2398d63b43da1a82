"""What a Git repository tells of itself: its forge, release tags, the files of CI systems, and the apps of a monorepo.

Reads names and ids alone: neither authors nor the contents of files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from collector.errors import SourceError
from collector.gitcommand import Access, Git, basic
from collector.history import Clone, clone_path
from collector.remotes import repository_of
from collector.repositories import is_url, repository_name
from collector.source import SourceContext
from collector.sources.git import RELEASE_TAG, GitConfig
from collector.times import as_rfc3339

_MANIFESTS = frozenset(
    (
        *("package.json", "pyproject.toml", "setup.py", "go.mod", "Cargo.toml", "pom.xml", "build.gradle"),
        *("build.gradle.kts", "composer.json", "Gemfile", "mix.exs", "Dockerfile"),
    )
)
_NO_APPS = re.compile(r"\..*|tests?|testdata|fixtures?|examples?|samples?|docs?|vendor|node_modules|third[_-]party")
_FOLDERS_OF_APPS = frozenset({"apps", "services"})
_CI_FILES = (
    (re.compile(r"\.github/workflows/[^/]+\.ya?ml"), "github"),
    (re.compile(r"\.gitlab-ci\.yml"), "gitlab"),
    (re.compile(r"\.(gitea|forgejo)/workflows/[^/]+\.ya?ml"), "gitea"),
    (re.compile(r"(.*/)?Jenkinsfile"), "jenkins"),
    (re.compile(r"\.circleci/config\.ya?ml"), "circleci"),
    (re.compile(r"azure-pipelines\.ya?ml"), "azuredevops"),
)
_OWN_VERSION = r"[-_/]v?\d+(\.\d+)+"
"""What stands behind an app's name in its release tags. A version holds no such sign, so a tag names one app."""
_HEADS = "refs/heads/"
_SSH = re.compile(r"^(?:[^/:@]+@)?([\w.-]+):(?!//)")


@dataclass(frozen=True)
class App:
    """A folder with a manifest of its own, and by what it is taken for a service."""

    name: str
    path: str
    sign: str

    @property
    def release_tag(self) -> str:
        """The expression for release tags of its own: its name, then a version that is no pre-release."""
        return re.escape(self.name) + _OWN_VERSION


@dataclass(frozen=True, kw_only=True)
class RepositoryFound:
    """What was found. `releases` and `other_tags` are in the order in which they were made.

    `host` is the server of `origin`, or of another remote where there is none of that name; empty for none.
    `commits` counts those on the default branch's own line since the look began. `ci`: file and source type.
    """

    place: str
    name: str
    host: str = ""
    branch: str = ""
    branches: int = 0
    commits: int = 0
    releases: tuple[str, ...] = ()
    other_tags: tuple[str, ...] = ()
    ci: tuple[tuple[str, str], ...] = ()
    apps: tuple[App, ...] = ()


def look_at(place: str, context: SourceContext, since: datetime, token: str = "") -> RepositoryFound:
    """What a repository, by path or URL, tells of itself. A URL is cloned without files. Raises SourceError."""
    config = GitConfig(type="git", name="look", repository=place, paths=is_url(place))
    if is_url(place):
        authorization = basic(config.username, token) if token else ""
        access = Access(url=place, authorization=authorization, reach=context.wire.reach)
        Clone(path=clone_path(context, place), access=access, paths=True).update()
    source = config.build(context)
    git, now = source.git, source.commits.look()
    head = now.head
    # One on this machine has no name but its path, which may be in somebody's home.
    remote = place if is_url(place) else re.sub(r"^file:.*", "", _remote(git))
    listed = git.lines("for-each-ref", "--sort=creatordate", "--format=%(objecttype) %(refname:strip=2)", "refs/tags")
    tags = [(name, kind) for kind, _, name in (line.partition(" ") for line in listed)]
    # A tag of a file releases nothing. What an annotated one is of may not be in a clone without files.
    releases = tuple(t for t, kind in tags if kind in {"commit", "tag"} and re.fullmatch(RELEASE_TAG, t))
    taken = set(releases)
    heads = {name.removeprefix(_HEADS) for name in now.refs if name.startswith(_HEADS)}
    files = git.text("ls-tree", "-r", "-z", "--name-only", head).split("\0") if head else []
    return RepositoryFound(
        place=place,
        name=repository_of(remote) or repository_name(place),
        host=host_of(remote),
        branch=_branch(git, heads),
        branches=len(heads),
        commits=_commits(git, head, since) if head else 0,
        releases=releases,
        other_tags=tuple(t for t, _ in tags if t not in taken),
        ci=tuple((f, kind) for f in files for rule, kind in _CI_FILES if rule.fullmatch(f)),
        apps=tuple(apps_of(files, releases)),
    )


def top_of(place: str, working_dir: Path) -> str:
    """The absolute path of the repository that a path lies in; a URL as it is. Raises SourceError for none."""
    if is_url(place):
        return place
    path = (working_dir / Path(place).expanduser()).resolve()
    try:
        shown = Git(path).text("rev-parse", "--show-toplevel").strip()
    except SourceError:  # a bare repository has no work tree
        Git(path).text("rev-parse", "--git-dir")
        return str(path)
    return shown or str(path)


def _remote(git: Git) -> str:
    names = git.lines("remote")
    name = "origin" if "origin" in names else next(iter(names), "")
    return git.text("config", "--default", "", "--get", f"remote.{name}.url").strip() if name else ""


def host_of(address: str) -> str:
    """The server of an address that Git clones from, with the port of a web server; empty for a path."""
    if found := _SSH.match(address):
        return found[1]
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port and parts.scheme in {"http", "https"} else ""
    except ValueError:
        return ""
    return f"{parts.hostname}{port}" if parts.hostname else ""


def _branch(git: Git, heads: Collection[str]) -> str:
    """The default branch as the source reads it; empty where none is known.

    It is the one of the remote if that is here, too, else the one that is checked out.
    """
    for name in ("refs/remotes/origin/HEAD", "HEAD"):
        try:
            found = git.text("symbolic-ref", "--quiet", "--short", name).strip().removeprefix("origin/")
        except SourceError:
            continue
        if found in heads or name == "HEAD":
            return found
    return ""


def named_by(tag: str) -> str:
    """The app that a release tag is of, if there is one of this name; empty where it names none."""
    return found[1] if (found := re.fullmatch(f"(.+){_OWN_VERSION}", tag)) else ""


def service_name(text: str) -> str:
    """What a catalogue may call a service: a name that reads as a rule is written without what makes it one."""
    return re.sub(r"[*?\[\x00-\x1f]", "-", text).lstrip("/").strip() or "service"


def _commits(git: Git, head: str, since: datetime) -> int:
    return int(git.text("rev-list", "--count", "--first-parent", f"--since={as_rfc3339(since)}", head))


def apps_of(files: Sequence[str], releases: Sequence[str]) -> Iterator[App]:
    """Folders with a manifest of their own that are deployed by themselves, as far as names tell; none for one alone.

    Signs are release tags with the folder's name, a Dockerfile in it, or that it lies in `apps/` or `services/`.
    """
    folders = sorted({p.parent for p in map(PurePosixPath, files) if p.name in _MANIFESTS or p.suffix == ".csproj"})
    own = [f for f in folders if f.parts and not any(_NO_APPS.fullmatch(part) for part in f.parts)]
    all_own = set(own)
    outermost = [f for f in own if all_own.isdisjoint(f.parents)]
    names = Counter(f.name for f in outermost)
    known, released, found = set(files), set(map(named_by, releases)), []
    for folder in outermost:
        name = service_name(folder.name if names[folder.name] == 1 else "-".join(folder.parts))
        if name in released:
            found.append(App(name, str(folder), "release tags of its own"))
        elif f"{folder}/Dockerfile" in known:
            found.append(App(name, str(folder), "a Dockerfile"))
        elif folder.parent.name in _FOLDERS_OF_APPS:
            found.append(App(name, str(folder), f"a manifest in {folder.parent}/"))
    yield from found if len(found) > 1 else ()
