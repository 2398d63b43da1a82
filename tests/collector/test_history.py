"""Commits as a stream: what a source of an API's lists reads beside them, through a clone that it keeps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from names import PLANTED_MAIL, PLANTED_NAME

from collector.errors import AuthError, RetryableError, SourceError
from collector.events import Commit
from collector.gitcommand import Access, basic, failure, git_environment
from collector.history import clone_path, history
from collector.source import Page, SourceContext
from collector.sources.git import GitConfig
from collector.streams import Notes, Stream, pull

TOKEN = "t0ken-of-the-history"  # noqa: S105 - planted


@dataclass
class Reader:
    """Reads a stream run after run, as a source does."""

    stream: Stream
    cursor: str | None = None
    pages: list[Page] = field(default_factory=list)

    def run(self) -> list[Commit]:
        """The commits of a run; its cursor is the next one's."""
        self.pages = list(pull(self.cursor, [self.stream], Notes()))
        self.cursor = self.pages[-1].cursor if self.pages else self.cursor
        return [e for page in self.pages for e in page.events if isinstance(e, Commit)]

    @property
    def warnings(self) -> list[str]:
        """The warnings of the last run."""
        return [w for page in self.pages for w in page.warnings]


@pytest.fixture
def reader_of(context: SourceContext) -> Callable[..., Reader]:
    """A reader of a repository's commits."""

    def make(repository: Any, **fields: Any) -> Reader:
        url = repository if isinstance(repository, str) else repository.path.as_uri()
        return Reader(history("o/r: commits", "o/r", url, source="forge", context=context, **fields))

    return make


def test_a_history_is_what_the_git_source_reads(repository: Any, reader_of: Any, context: SourceContext) -> None:
    """A forge's commits are those of the source `git`, under the names that the forge gives."""
    repository.commit(at=1, author=f"{PLANTED_NAME} <{PLANTED_MAIL}>")
    repository.branch("feature")
    repository.commit("side\n\nCo-authored-by: Bob <bob@people.example>", at=2)
    repository.checkout("main")
    repository.merge("feature", at=3)
    url = repository.path.as_uri()
    config = GitConfig(name="forge", type="git", repository=url, repository_name="o/r")

    expected = [e for page in config.build(context).pull(None) for e in page.events]

    assert reader_of(repository).run() == expected
    assert [e.on_default_branch for e in expected if isinstance(e, Commit)] == [True, False, True]


def test_only_new_commits_are_read(repository: Any, reader_of: Any) -> None:
    """A later run gives what is new, and a run after which nothing moved gives no page."""
    repository.commit(at=1)
    reader = reader_of(repository)
    reader.run()
    new = repository.commit(at=2)

    assert [c.sha for c in reader.run()] == [new]
    assert (reader.run(), reader.pages) == ([], [])


def test_a_merged_branch_comes_to_the_line(repository: Any, reader_of: Any) -> None:
    """Commits that were read as a branch are read once more when they come to the default branch."""
    repository.commit(at=1)
    repository.branch("feature")
    side = repository.commit(at=2)
    repository.checkout("main")
    reader = reader_of(repository)
    before = {c.sha: c.on_default_branch for c in reader.run()}
    repository.git("merge", "--ff-only", "feature")

    assert before[side] is False
    assert [(c.sha, c.on_default_branch) for c in reader.run()] == [(side, True)]


def test_a_forced_push_is_survived(repository: Any, reader_of: Any) -> None:
    """The default branch is force-pushed → recorded changes stay, and the new ones are read."""
    root = repository.commit(at=1)
    repository.commit("old", at=2)
    reader = reader_of(repository)
    reader.run()
    repository.git("reset", "--quiet", "--hard", root)
    new = repository.commit("new", at=3)

    assert [c.sha for c in reader.run()] == [new]


def test_a_fork_does_not_take_the_commits_of_its_origin(
    repository: Any, context: SourceContext, bench: Any, tmp_path: Path
) -> None:
    """Repositories of one source that share commits, as forks and copies do, each keep all of them."""
    sha = repository.commit(at=1)
    repository.git("clone", "--quiet", str(repository.path), str(tmp_path / "fork"))
    places = {"o/shop": repository.path, "o/shop-fork": tmp_path / "fork"}
    streams = [history(n, n, p.as_uri(), source="forge", context=context) for n, p in places.items()]

    bench.write(*[e for page in pull(None, streams, Notes()) for e in page.events])

    assert sorted((c.repository, c.sha) for c in bench.store.events(Commit)) == [("o/shop", sha), ("o/shop-fork", sha)]


def test_the_cursor_of_a_history_is_small(repository: Any, reader_of: Any) -> None:
    """Thousands of refs stand beside the clone, not in the cursor that each page of each list carries."""
    sha = repository.commit(at=1)
    refs = "".join(f"create refs/tags/v{n} {sha}\n" for n in range(2_000))
    repository.git("update-ref", "--stdin", stdin=refs.encode())
    reader = reader_of(repository)
    reader.run()

    assert reader.cursor is not None
    assert len(reader.cursor) < 200


def test_a_lost_clone_is_made_anew(repository: Any, reader_of: Any, context: SourceContext) -> None:
    """Without the clone of earlier runs all is read again, which changes nothing."""
    first = repository.commit(at=1)
    reader = reader_of(repository)
    reader.run()
    shutil.rmtree(clone_path(context, repository.path.as_uri()))
    second = repository.commit(at=2)

    assert {c.sha for c in reader.run()} == {first, second}


def test_an_interrupted_walk_is_read_again(repository: Any, reader_of: Any) -> None:
    """A run that breaks before the end of a history begins it anew: its cursor has not moved."""
    script = [
        f"commit refs/heads/main\ncommitter A <a@people.example> {n + 1} +0000\ndata 1\nx\n" for n in range(4_100)
    ]
    repository.git("fast-import", "--quiet", stdin="".join(script).encode())
    reader = reader_of(repository)

    pages = list(pull(None, [reader.stream], Notes()))

    assert [len(p.events) for p in pages] == [2_000, 2_000, 100, 0]
    reader.cursor = pages[1].cursor
    assert len(reader.run()) == 4_100


def test_only_the_last_looks_are_kept(repository: Any, reader_of: Any, context: SourceContext) -> None:
    """However often a repository moves, what is kept beside its clone has a bound."""
    reader = reader_of(repository)
    shas = [repository.commit(str(n), at=n) for n in range(12) if reader.run() is not None]

    assert [c.sha for c in reader.run()] == [shas[-1]]
    assert len(list((clone_path(context, repository.path.as_uri()) / "looks").iterdir())) == 8


def test_a_head_that_names_nothing_is_said(repository: Any, reader_of: Any) -> None:
    """A repository whose HEAD names no branch is named in a warning: nothing of it counts as merged."""
    repository.commit(at=1)
    repository.git("symbolic-ref", "HEAD", "refs/heads/gone")
    reader = reader_of(repository)

    assert [c.on_default_branch for c in reader.run()] == [False]
    assert [w[:14] for w in reader.warnings] == ["o/r: HEAD name"]


def test_a_repository_without_commits_is_none(repository: Any, reader_of: Any) -> None:
    """An empty repository is read without an error, and its first commit comes later."""
    reader = reader_of(repository)
    before = reader.run()
    sha = repository.commit(at=1)

    assert (before, [c.sha for c in reader.run()]) == ([], [sha])


def test_a_repository_that_is_gone_is_cut_off_alone(repository: Any, reader_of: Any, tmp_path: Path) -> None:
    """One repository that is gone is said as a truncation; the others are read."""
    sha = repository.commit(at=1)
    gone = reader_of((tmp_path / "gone").as_uri()).stream

    pages = list(pull(None, [gone, reader_of(repository).stream], Notes()))

    assert [e.native_id for page in pages for e in page.events] == [f"o/r@{sha}"]
    (said,) = [t for page in pages for t in page.truncations]
    assert said.startswith("o/r: commits: git clone: ")


@pytest.mark.parametrize("words", ["fatal: early EOF", "the remote end hung up unexpectedly", "returned error: 502"])
def test_a_repository_that_cannot_be_handed_out_is_cut_off_alone(
    repository: Any, reader_of: Any, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """One repository of many whose clone always breaks is said as a truncation; the others are read in each run."""
    sha = repository.commit(at=1)
    monkeypatch.setenv("GIT_SSH_COMMAND", f"echo '{words}' >&2; false")
    broken = reader_of("ssh://git@git.example/o/broken.git").stream

    pages = list(pull(None, [broken, reader_of(repository).stream], Notes()))

    assert [e.native_id for page in pages for e in page.events] == [f"o/r@{sha}"]
    (said,) = [t for page in pages for t in page.truncations]
    assert said.startswith("o/r: commits: git clone: ")


def test_a_server_that_is_not_reached_ends_the_run(reader_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no repository can be handed out the run ends at once, and does not wait for each of them."""
    monkeypatch.setenv("GIT_SSH_COMMAND", "echo 'ssh: Could not resolve hostname git.example' >&2; false")

    with pytest.raises(RetryableError, match="Could not resolve"):
        reader_of("ssh://git@git.example/o/r.git").run()


def test_what_a_killed_git_has_locked_is_opened(repository: Any, reader_of: Any, context: SourceContext) -> None:
    """Killed in the middle of a fetch, git leaves locks behind: the next run reads on, without a person."""
    repository.commit(at=1)
    reader = reader_of(repository)
    reader.run()
    clone = clone_path(context, repository.path.as_uri())
    for name in ("refs/heads/main.lock", "HEAD.lock", "packed-refs.lock"):
        (clone / name).touch()
    new = repository.commit(at=2)

    assert [c.sha for c in reader.run()] == [new]


# ---- credentials


def settings_of(environment: dict[str, str]) -> list[tuple[str, str]]:
    """What an environment adds to git's configuration."""
    count = int(environment["GIT_CONFIG_COUNT"])
    return [(environment[f"GIT_CONFIG_KEY_{n}"], environment[f"GIT_CONFIG_VALUE_{n}"]) for n in range(count)]


WHO_IS_SILENT = [("http.lowSpeedLimit", "1"), ("http.lowSpeedTime", "300")]
"""A server that sends nothing for five minutes is given up."""


def test_credentials_go_to_one_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The header is for the URL's server alone, follows no redirect, and nobody else's credentials are tried."""
    monkeypatch.delenv("GIT_CONFIG_COUNT", raising=False)
    access = Access(url="https://u@git.example:8443/o/r.git", authorization="Basic c2VjcmV0")

    environment = git_environment(access)

    assert settings_of(environment) == [
        ("http.followRedirects", "false"),
        ("http.https://git.example:8443/.followRedirects", "false"),
        *WHO_IS_SILENT,
        ("credential.helper", ""),
        ("http.https://git.example:8443/.extraHeader", ""),
        ("http.https://git.example:8443/.extraHeader", "Authorization: Basic c2VjcmV0"),
    ]
    assert environment["GIT_ASKPASS"] == ""


def test_the_callers_configuration_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What whoever runs git adds by variables is kept before ours; a CA file and a proxy are handed over too."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "*")

    environment = git_environment(
        Access(url="https://git.example/r", ca_file=tmp_path / "ca.pem", proxy="http://proxy.example:3128")
    )

    assert settings_of(environment) == [
        ("safe.directory", "*"),
        ("http.proxy", "http://proxy.example:3128"),
        ("http.followRedirects", "false"),
        ("http.https://git.example/.followRedirects", "false"),
        *WHO_IS_SILENT,
    ]
    assert environment["GIT_SSL_CAINFO"] == str(tmp_path / "ca.pem")


@pytest.mark.parametrize("variable", ["GIT_TRACE_CURL", "GIT_CURL_VERBOSE", "GIT_TRACE_REDACT", "GIT_TRACE2_EVENT"])
def test_git_does_not_trace_what_it_sends(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A trace would hold the header, and stand among the words that errors are made of."""
    monkeypatch.setenv(variable, "1")

    assert variable not in git_environment(Access(url="https://git.example/r", authorization="Basic c2VjcmV0"))


def test_a_secret_is_struck_out_of_gits_words() -> None:
    """Whatever git says, the credentials are not in the error."""
    access = Access(url="https://h/r", authorization=f"Bearer {TOKEN}", proxy="http://u:pr0xy@proxy:1")
    words = f"fatal: sent Authorization: Bearer {TOKEN} over http://u:pr0xy@proxy:1".encode()

    said = str(failure("fetch", words, access))

    assert (TOKEN in said, "pr0xy" in said) == (False, False)
    assert TOKEN not in repr(access)


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ("fatal: could not read Username for 'https://h'", AuthError, "the server refused the token"),
        ("fatal: unable to access: The requested URL returned error: 403", AuthError, "the server refused the token"),
        ("fatal: unable to access: The requested URL returned error: 301", SourceError, "give the final address"),
        ("fatal: unable to access: The requested URL returned error: 503", RetryableError, "error: 503"),
    ],
)
def test_refused_tokens_and_redirects_are_said(words: str, kind: type[SourceError], said: str) -> None:
    """A refused token needs a person, a redirect another address; a server that fails needs time."""
    found = failure("clone", words.encode(), Access(url="https://h/r", authorization=basic("u", TOKEN)))

    assert (type(found), said in str(found)) == (kind, True)


def test_no_file_of_a_clone_holds_the_credentials(repository: Any, reader_of: Any, context: SourceContext) -> None:
    """Neither the configuration of a clone nor anything else in it knows the token."""
    repository.commit(at=1)
    reader_of(repository, authorization=basic("u", TOKEN)).run()

    written = [p.read_bytes() for p in context.data_dir.rglob("*") if p.is_file()]
    assert written
    assert [c for c in written for secret in (TOKEN, basic("u", TOKEN)[6:]) if secret.encode() in c] == []
    assert TOKEN not in "".join(os.environ.values())
