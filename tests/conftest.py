"""What all tests share: real Git repositories with times of one's own, golden files, tools that may be missing."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
import stores
from browser import Browser, opened_browser
from hypothesis import settings
from laws import examples

# What is true is no less so on a busy machine.
settings.register_profile("paceline", deadline=None, max_examples=examples(60))
settings.load_profile("paceline")
# Tests side by side are told the width of a terminal that is none of theirs: tables are as wide as for a program.
os.environ.pop("COLUMNS", None)

START = 1_767_225_600
"""2026-01-01T00:00:00Z; the builder's times are hours after it."""
_HOUR = 3_600
_STORES = ("sqlite", "postgresql")
_SELDOM = (20_000, 20, 100)
"""Garbage is looked for thirty times less often than usual, which takes a tenth of what tests compute."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that rewrites golden files."""
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files instead of comparing")
    parser.addoption("--replicas", action="store_true", help="run what takes many processes and long, and only that")
    parser.addoption("--store", choices=_STORES, default=_STORES[0], help="where the stores of tests are")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests that are marked `both_stores` on each database, unless one is asked for."""
    asked = metafunc.config.getoption("--store")
    if metafunc.definition.get_closest_marker("both_stores") and asked == _STORES[0]:
        metafunc.parametrize("store_kind", _STORES, indirect=True, scope="module")
    elif asked != _STORES[0]:
        metafunc.parametrize("store_kind", [asked], indirect=True, scope="module")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[stores.Server]:
    """A real PostgreSQL server. Without the program the test is skipped with the reason, and fails where CI=true."""
    if stores.program("initdb") is None:
        absent("PostgreSQL")
    with stores.started() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def store_kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where stores are while a file's tests run: in their folders, or on a PostgreSQL server."""
    kind: str = getattr(request, "param", _STORES[0])
    if kind == _STORES[0]:
        yield kind
        return
    server: stores.Server = request.getfixturevalue("postgresql")
    with stores.redirected(server):
        yield kind
    server.forget(tmp_path_factory.getbasetemp())


def absent(what: str) -> NoReturn:
    """Skip a test for want of a program, or fail it where every test must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed, and CI must run every test")
    pytest.skip(f"{what} is not installed")


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marker of files is for by which they are put in order."""
    config.addinivalue_line("markers", "replicas: many processes for long, in `make test-replicas`")
    config.addinivalue_line("markers", "long: what takes longest, and therefore begins first")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected: of a million objects all stay, and need no later look either."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(*_SELDOM)
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that take long, then those that wait for servers; of the others first those of many tests.

    Workers that take a file each are so busy until the end, and one computes while another one waits. What is about
    SQLite itself runs there only.
    """
    elsewhere = [i for i in items if i.get_closest_marker("sqlite") and f"[{_STORES[1]}" in i.name]
    asked = bool(config.getoption("--replicas"))
    elsewhere += [i for i in items if (i.get_closest_marker("replicas") is not None) != asked]
    config.hook.pytest_deselected(items=elsewhere)
    items[:] = [item for item in items if item not in elsewhere]
    tests = Counter(item.path for item in items)
    kinds = {(item.path, mark.name) for item in items for mark in item.iter_markers()}
    items.sort(key=lambda i: ((i.path, "long") not in kinds, (i.path, "integration") not in kinds, -tests[i.path]))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compares text with a file; rewrites the file with --update-golden or UPDATE_GOLDEN=1."""
    update = request.config.getoption("--update-golden") or os.environ.get("UPDATE_GOLDEN") == "1"

    def compare(path: Path, text: str) -> None:
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path.name} is missing; write it with --update-golden"
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture(scope="session")
def requires_tool() -> Callable[[str], str]:
    """The path of a program. Without it the test is skipped with the reason, and fails where CI=true."""

    def find(name: str) -> str:
        found = shutil.which(name)
        return found or absent(name)

    return find


@pytest.fixture(scope="module")
def browser(requires_tool: Callable[[str], str]) -> Iterator[Browser]:
    """A Chromium for all tests of a file; closed after them, for it keeps the event loop of their thread."""
    with opened_browser(requires_tool("chromium")) as found:
        yield found


@dataclass(frozen=True)
class Repository:
    """A Git repository whose times are hours after 2026-01-01T00:00Z. Users' configuration does not reach it."""

    path: Path

    def git(self, *arguments: str, at: float = 0, authored_at: float | None = None, stdin: bytes = b"") -> str:
        """What a git command prints, run with these author and committer times."""
        times = {
            "GIT_AUTHOR_DATE": f"@{stamp(at if authored_at is None else authored_at)} +0000",
            "GIT_COMMITTER_DATE": f"@{stamp(at)} +0000",
        }
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            input=stdin,
            env=_environment() | times,
            check=False,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def commit(
        self,
        message: str = "a change",
        *,
        at: float,
        authored_at: float | None = None,
        author: str = "Ada <ada@people.example>",
    ) -> str:
        """The id of a new commit on the current branch."""
        options = ("--allow-empty", "--allow-empty-message", "--no-verify", "--cleanup=verbatim")
        self.git(
            *("commit", *options, f"--author={author}", "--file=-"),
            at=at,
            authored_at=authored_at,
            stdin=message.encode("utf-8", "surrogateescape"),
        )
        return self.sha()

    def branch(self, name: str, start: str = "HEAD") -> None:
        """Make a branch and check it out."""
        self.git("checkout", "--quiet", "-b", name, start)

    def checkout(self, name: str) -> None:
        """Check out a branch, or a commit with HEAD detached."""
        self.git("checkout", "--quiet", name)

    def merge(self, name: str, *, at: float) -> str:
        """The id of the commit that merges a branch into the current one."""
        self.git("merge", "--quiet", "--no-ff", "-m", f"Merge {name}", name, at=at)
        return self.sha()

    def squash(self, name: str, *, at: float) -> str:
        """The id of the commit that puts a branch squashed on the current one."""
        self.git("merge", "--quiet", "--squash", name, at=at)
        return self.commit(f"Squash {name}", at=at)

    def tag(self, name: str, target: str = "HEAD", *, at: float | None = None) -> None:
        """Tag something: annotated where a time is given, else lightweight."""
        annotation = () if at is None else ("--annotate", "--message=release")
        self.git("tag", "--force", *annotation, name, target, at=at or 0)

    def sha(self, revision: str = "HEAD") -> str:
        """The object id of a revision."""
        return self.git("rev-parse", "--verify", revision)

    def store(self, kind: str, content: bytes) -> str:
        """The id of an object written as it is, also where git itself would not write it so."""
        return self.git("hash-object", "-t", kind, "-w", "--stdin", "--literally", stdin=content)

    def raw_commit(
        self,
        *,
        parents: tuple[str, ...] = (),
        author: bytes = b"Ada <ada@people.example>",
        authored: str = f"{START} +0000",
        committed: str = f"{START} +0000",
        extra: bytes = b"",
        message: bytes = b"raw",
    ) -> str:
        """The id of a commit written byte by byte."""
        tree = self.store("tree", b"")
        lines = [f"tree {tree}".encode(), *(f"parent {p}".encode() for p in parents)]
        lines += [b"author " + author + b" " + authored.encode()]
        lines += [b"committer C <c@people.example> " + committed.encode(), *([extra] if extra else [])]
        return self.store("commit", b"\n".join([*lines, b"", message]))


def stamp(hours: float) -> int:
    """Hours after the start as seconds since 1970."""
    return START + round(hours * _HOUR)


def _environment() -> dict[str, str]:
    people = {f"GIT_{who}_{what}": "c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "init.defaultBranch",
        "GIT_CONFIG_VALUE_0": "main",
        "GIT_CONFIG_KEY_1": "protocol.file.allow",
        "GIT_CONFIG_VALUE_1": "always",
        **people,
    }


@pytest.fixture(scope="session")
def repository_at() -> Callable[..., Repository]:
    """Makes a repository in a new folder; options go to `git init`, or to `git clone` where a source is given."""

    def make(folder: Path, *options: str, clone_of: Repository | None = None) -> Repository:
        folder.mkdir(parents=True)
        made = Repository(folder)
        if clone_of is None:
            made.git("init", "--quiet", *options)
            made.git("config", "uploadpack.allowFilter", "true")
        else:
            made.git("clone", "--quiet", *options, clone_of.path.as_uri(), ".")
        return made

    return make


@pytest.fixture
def new_repository(repository_at: Callable[..., Repository], tmp_path: Path) -> Callable[..., Repository]:
    """Makes repositories in the test's folder, as `repository_at` does."""
    return lambda name, *options, **fields: repository_at(tmp_path / name, *options, **fields)


@pytest.fixture
def repository(new_repository: Callable[..., Repository]) -> Repository:
    """An empty repository whose default branch is `main`."""
    return new_repository("repository")
