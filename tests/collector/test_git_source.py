"""The git source against real repositories: what it reads, what it leaves, and what it survives."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples
from pydantic import SecretStr, TypeAdapter, ValidationError

from collector.errors import AuthError, ContractError, RetryableError, SourceError
from collector.events import Commit, Deployment, Event, Result
from collector.gitcommand import failure
from collector.people import People
from collector.repositories import is_url, repository_name
from collector.source import SourceContext
from collector.sources.git import GitConfig, GitSource, has_tag

START = datetime(2026, 1, 1, tzinfo=UTC)
TAGS = {"rule": "tags"}
BRANCH = {"rule": "branch"}
HOSTILE = "Wilhelmina Quarterstaff"
HOSTILE_MAIL = "wilhelmina@quarterstaff.example"


def hour(n: float) -> datetime:
    """Hours after the start."""
    return START + timedelta(hours=n)


@dataclass
class Pulled:
    """What one pull gave."""

    events: list[Event]
    cursor: str | None
    warnings: list[str]
    rejected: list[str]
    pages: int

    @property
    def commits(self) -> dict[str, Commit]:
        """The commits by id."""
        return {e.sha: e for e in self.events if isinstance(e, Commit)}

    @property
    def deployments(self) -> dict[str, Deployment]:
        """The deployments by the deployed commit."""
        return {e.sha or "": e for e in self.events if isinstance(e, Deployment)}

    @property
    def line(self) -> set[str]:
        """The commits of the default branch's first-parent line."""
        return {c.sha for c in self.commits.values() if c.on_default_branch}


def pull(source: GitSource, cursor: str | None = None) -> Pulled:
    """Everything one pull gives."""
    pages = list(source.pull(cursor))
    return Pulled(
        [e for p in pages for e in p.events],
        pages[-1].cursor if pages else cursor,
        [w for p in pages for w in p.warnings],
        [str(r) for p in pages for r in p.rejected],
        len(pages),
    )


def union(*pulls: Pulled) -> dict[str, dict[str, Any]]:
    """The events of several pulls as a store would keep them: of two versions the one that knows more."""
    kept: dict[str, dict[str, Any]] = {}
    for event in (e for p in pulls for e in p.events):
        fields = msgspec.structs.asdict(event)
        kept[event.id] = max(kept.get(event.id, fields), fields, key=lambda f: f.get("on_default_branch", False))
    return kept


@pytest.fixture
def source_of(context: SourceContext) -> Callable[..., GitSource]:
    """The git source of a repository or URL; further arguments are settings."""

    def make(repository: Any, **fields: Any) -> GitSource:
        place = repository if isinstance(repository, str) else str(repository.path)
        return GitConfig(name="git", type="git", repository=place, **fields).build(context)

    return make


# --- the graph --------------------------------------------------------------------------------------------------


def test_a_commit_is_read_as_git_has_it(repository: Any, source_of: Any, context: SourceContext) -> None:
    """A commit event carries tree, parents, both times in UTC and the hashed author."""
    first = repository.commit(at=1)
    second = repository.commit(at=3, authored_at=2, author="Bob <Bob@People.example>")

    commit = pull(source_of(repository)).commits[second]

    assert commit == Commit(
        source="git",
        native_id=f"repository@{second}",
        repository="repository",
        sha=second,
        tree_sha=repository.sha("HEAD^{tree}"),
        parents=(first,),
        authored_at=hour(2),
        committed_at=hour(3),
        author=context.people.hashed("bob@people.example"),
        on_default_branch=True,
    )


def test_only_the_first_parents_are_on_the_default_branch(repository: Any, source_of: Any) -> None:
    """A merge stands on the line of the default branch; the merged branch's commits do not."""
    root = repository.commit(at=1)
    repository.branch("feature")
    side = repository.commit(at=2)
    repository.checkout("main")
    merge = repository.merge("feature", at=3)

    pulled = pull(source_of(repository))

    assert pulled.commits[merge].parents == (root, side)
    assert (set(pulled.commits), pulled.line) == ({root, side, merge}, {root, merge})


def test_a_direct_push_is_on_the_line(repository: Any, source_of: Any) -> None:
    """A commit pushed straight to the default branch → is a change."""
    pushed = repository.commit(at=1)

    assert pull(source_of(repository)).line == {pushed}


def test_a_squash_is_one_commit_on_the_line(repository: Any, source_of: Any) -> None:
    """A squashed branch puts one commit on the line, and its own commits stay beside it."""
    root = repository.commit(at=1)
    repository.branch("feature")
    (repository.path / "file").write_text("x")
    repository.git("add", "file")
    side = repository.commit(at=2)
    repository.checkout("main")
    squashed = repository.squash("feature", at=3)

    pulled = pull(source_of(repository))

    assert pulled.commits[squashed].parents == (root,)
    assert (pulled.line, side in pulled.commits) == ({root, squashed}, True)


def test_times_far_apart_do_not_wrap(repository: Any, source_of: Any) -> None:
    """Author time 2015-12-31T18:16:25Z, commit time 2016-01-03T23:26:58Z → 77.18 h apart, not 18.82 h."""
    sha = repository.raw_commit(authored="1451585785 +0000", committed="1451863618 +0000")
    repository.git("branch", "-f", "main", sha)

    commit = pull(source_of(repository)).commits[sha]

    assert (commit.committed_at - commit.authored_at).total_seconds() == 277_833


def test_offsets_are_converted_to_utc(repository: Any, source_of: Any) -> None:
    """A commit of 02:00 in +09:00 happened at 17:00 UTC the day before."""
    sha = repository.raw_commit(authored="1767286800 +0900", committed="1767286800 -0330")
    repository.git("branch", "-f", "main", sha)

    commit = pull(source_of(repository)).commits[sha]

    assert commit.authored_at == commit.committed_at == datetime(2026, 1, 1, 17, tzinfo=UTC)


def test_an_octopus_keeps_all_parents(repository: Any, source_of: Any) -> None:
    """A merge of three branches has three parents and one place on the line."""
    root = repository.commit(at=1)
    sides = [repository.raw_commit(parents=(root,), message=str(n).encode()) for n in range(3)]
    octopus = repository.raw_commit(parents=tuple(sides))
    repository.git("update-ref", "refs/heads/main", octopus)

    pulled = pull(source_of(repository))

    assert pulled.commits[octopus].parents == tuple(sides)
    assert pulled.line == {octopus, sides[0], root}


def test_a_conflict_merge_rename_and_submodule_are_commits(repository: Any, source_of: Any) -> None:
    """A merge with a resolved conflict, a rename and a submodule are read like any commit."""
    for name, text in (("main", "a"), ("other", "b")):
        repository.git("checkout", "--quiet", "--orphan", name)
        (repository.path / "file").write_text(text)
        repository.git("add", "file")
        repository.commit(at=1)
    repository.checkout("main")
    repository.git("merge", "--quiet", "-X", "ours", "--allow-unrelated-histories", "other", at=2)
    repository.git("mv", "file", "renamed")
    renamed = repository.commit(at=3)
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{renamed},module")
    repository.commit(at=4)

    pulled = pull(source_of(repository))

    assert (len(pulled.commits), len(pulled.line), pulled.rejected) == (5, 4, [])


def test_an_empty_repository_has_no_events(repository: Any, source_of: Any) -> None:
    """A repository without a commit gives no event and no error, and its first commit comes later."""
    source = source_of(repository, deployments=TAGS)
    empty = pull(source)
    sha = repository.commit(at=1)

    assert (empty.events, empty.rejected) == ([], [])
    assert set(pull(source, empty.cursor).commits) == {sha}


@pytest.mark.parametrize("rule", [BRANCH, {"rule": "branch", "branch": "main"}])
def test_an_empty_repository_has_no_branch_to_miss(repository: Any, source_of: Any, rule: Any) -> None:
    """A branch rule waits for the first commit instead of failing each run."""
    source = source_of(repository, deployments=rule)
    empty = pull(source)
    sha = repository.commit(at=1)

    assert empty.events == []
    assert set(pull(source, empty.cursor).deployments) == {sha}


def test_a_detached_head_is_read(repository: Any, source_of: Any) -> None:
    """With HEAD detached its commit is the tip of the line, though no branch holds it."""
    root = repository.commit(at=1)
    repository.checkout(root)
    loose = repository.commit(at=2)

    assert pull(source_of(repository)).line == {root, loose}


def test_a_checked_out_feature_is_not_the_default_branch(new_repository: Any, repository: Any, source_of: Any) -> None:
    """In a clone the remote's HEAD names the default branch, whatever is checked out."""
    root = repository.commit(at=1)
    clone = new_repository("clone", clone_of=repository)
    clone.branch("feature")
    side = clone.commit(at=2)

    pulled = pull(source_of(clone))

    assert (set(pulled.commits), pulled.line) == ({root, side}, {root})


def test_a_head_that_names_nothing_is_said(repository: Any, source_of: Any) -> None:
    """A HEAD that names no branch leaves the line empty, and the run says what to set."""
    repository.commit(at=1)
    repository.git("symbolic-ref", "HEAD", "refs/heads/master")

    pulled = pull(source_of(repository))

    assert (len(pulled.commits), pulled.line) == (1, set())
    assert "branch" in " ".join(pulled.warnings)


def test_the_configured_branch_is_the_line(repository: Any, source_of: Any) -> None:
    """`branch` names the default branch where HEAD does not."""
    root = repository.commit(at=1)
    repository.branch("trunk")
    trunk = repository.commit(at=2)
    repository.checkout("main")

    assert pull(source_of(repository)).line == {root}
    assert pull(source_of(repository, branch="trunk")).line == {root, trunk}


def test_a_wrong_branch_is_an_error(repository: Any, source_of: Any) -> None:
    """A branch that does not exist is named in the error, not read as an empty history."""
    repository.commit(at=1)

    with pytest.raises(ContractError, match="the repository has no branch 'mian'"):
        pull(source_of(repository, branch="mian"))
    with pytest.raises(ContractError, match="the repository has no branch 'mian'"):
        pull(source_of(repository, deployments={"rule": "branch", "branch": "mian"}))


def test_pull_request_refs_are_never_read(repository: Any, source_of: Any) -> None:
    """What stands under refs/pull and refs/notes was never merged: it is no commit of ours."""
    root = repository.commit(at=1)
    loose = repository.raw_commit(parents=(root,))
    repository.git("update-ref", "refs/pull/1/head", loose)
    repository.git("update-ref", "refs/notes/commits", loose)

    assert set(pull(source_of(repository)).commits) == {root}
    assert set(pull(source_of(repository.path.as_uri())).commits) == {root}


def test_replace_refs_do_not_rewrite_history(repository: Any, source_of: Any) -> None:
    """A local `git replace` does not change what a commit's parents are."""
    root = repository.commit(at=1)
    tip = repository.commit(at=2)
    repository.git("replace", tip, repository.raw_commit())

    assert pull(source_of(repository)).commits[tip].parents == (root,)


def test_branches_and_tags_off_the_line_are_read(repository: Any, source_of: Any) -> None:
    """A hotfix that only a tag holds and a branch never merged are part of the graph."""
    root = repository.commit(at=1)
    fix = repository.raw_commit(parents=(root,), message=b"fix")
    side = repository.raw_commit(parents=(root,), message=b"side")
    repository.tag("v1.0.1", fix)
    repository.git("branch", "side", side)

    pulled = pull(source_of(repository))

    assert (set(pulled.commits), pulled.line) == ({root, fix, side}, {root})


# --- odd commits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        "",
        "stray\rcarriage\r\n",
        "sep\x01\x1e\x1f \u2028 \x85 \x0b lines",
        "\U0001f600 “quoted” \\0 %x00",
        "\udcff\udc80",
    ],
)
def test_any_message_is_survived(repository: Any, source_of: Any, message: str) -> None:
    """Bad encoding, stray CR, separators → parsed; the rest survives."""
    first = repository.commit(message, at=1)
    second = repository.commit("after", at=2)

    pulled = pull(source_of(repository))

    assert (set(pulled.commits), pulled.rejected) == ({first, second}, [])


def test_a_message_with_nul_is_survived(repository: Any, source_of: Any) -> None:
    """A NUL inside a commit object, which git cuts there, does not shift the fields of other commits."""
    odd = repository.raw_commit(message=b"before\0after\0\0x")
    tip = repository.raw_commit(parents=(odd,), message=b"tip")
    repository.git("update-ref", "refs/heads/main", tip)

    assert pull(source_of(repository)).commits[tip].parents == (odd,)


def test_a_declared_encoding_is_decoded(repository: Any, source_of: Any, context: SourceContext) -> None:
    """A commit in ISO-8859-1 that says so is read as what was written, whatever the repository is set to."""
    name = "J\u00f6rg".encode("latin-1") + b" <>"
    sha = repository.raw_commit(author=name, extra=b"encoding ISO-8859-1")
    repository.git("update-ref", "refs/heads/main", sha)
    repository.git("config", "i18n.logOutputEncoding", "ISO-8859-1")

    assert pull(source_of(repository)).commits[sha].author == context.people.named("J\u00f6rg")


@pytest.mark.parametrize("authored", ["-86400 +0000", "99999999999999 +0000", "18446744073709551615 +0000", "soon"])
def test_an_absurd_author_time_gives_way_to_the_commit_time(repository: Any, source_of: Any, authored: str) -> None:
    """An author time before 1970 or beyond the year 9999 is replaced by the committer time."""
    sha = repository.raw_commit(authored=authored)
    repository.git("update-ref", "refs/heads/main", sha)

    assert pull(source_of(repository)).commits[sha].authored_at == START


@pytest.mark.parametrize("committed", ["-86400 +0000", "99999999999999 +0000", "soon"])
def test_an_absurd_commit_time_gives_way_to_the_author_time(repository: Any, source_of: Any, committed: str) -> None:
    """A commit with one usable time stays in the graph: without it history below would be cut off."""
    root = repository.commit(at=1)
    odd = repository.raw_commit(parents=(root,), committed=committed)
    tip = repository.raw_commit(parents=(odd,))
    repository.git("update-ref", "refs/heads/main", tip)

    pulled = pull(source_of(repository))

    assert pulled.line == {root, odd, tip}
    assert pulled.commits[odd].committed_at == START


def test_a_commit_without_any_time_is_set_aside(repository: Any, source_of: Any) -> None:
    """That one record is set aside with the reason; the rest survives."""
    root = repository.commit(at=1)
    odd = repository.raw_commit(parents=(root,), authored="soon", committed="later")
    tip = repository.raw_commit(parents=(odd,))
    repository.git("update-ref", "refs/heads/main", tip)

    pulled = pull(source_of(repository, deployments=BRANCH))

    assert pulled.line == set(pulled.deployments) == {root, tip}
    assert [r.partition(":")[0] for r in pulled.rejected][:1] == [f"repository@{odd}"]


def test_an_author_without_mail_is_hashed_by_name(repository: Any, source_of: Any, context: SourceContext) -> None:
    """No address: the name is hashed, and is nobody's account; neither: nobody."""
    named = repository.raw_commit(author=b"Ada <>")
    nobody = repository.raw_commit(parents=(named,), author=b" <>")
    repository.git("update-ref", "refs/heads/main", nobody)

    commits = pull(source_of(repository)).commits

    assert (commits[named].author, commits[nobody].author) == (context.people.named("Ada"), None)


@pytest.mark.parametrize("key", ["Co-authored-by", "co-authored-by", "Co-Authored-By", "CO-AUTHORED-BY"])
def test_co_authors_are_hashed(repository: Any, source_of: Any, context: SourceContext, key: str) -> None:
    """`Co-authored-by` is credited however it is written, case of the address aside."""
    sha = repository.commit(f"Pair\n\n{key}: Bob <Bob@x.example>\n{key}: Eve <eve@x.example>\n", at=1)

    found = pull(source_of(repository)).commits[sha].co_authors

    assert found == (context.people.hashed("bob@x.example"), context.people.hashed("eve@x.example"))


def test_a_revert_names_what_it_reverts(repository: Any, source_of: Any) -> None:
    """Each reverted commit that the message names is kept."""
    first, second = repository.commit(at=1), repository.commit(at=2)
    words = f"Revert\n\nThis reverts commit {first}.\nThis reverts commit {second[:12]}, reversing changes."
    revert = repository.commit(words, at=3)

    assert pull(source_of(repository)).commits[revert].reverts == (first, second[:12])


@pytest.mark.parametrize(
    ("author", "bot"),
    [
        ("dependabot[bot] <49699333+dependabot[bot]@users.noreply.example>", True),
        ("renovate <bot@renovate.example>", True),
        ("k8s-ci-robot <k8s@x.example>", True),
        ("bot_tom <tom@x.example>", False),
        ("mr-bot-ham <ham@x.example>", False),
        ("Abbot <abbot@x.example>", False),
    ],
)
def test_bots_are_flagged(repository: Any, source_of: Any, author: str, bot: bool) -> None:  # noqa: FBT001
    """`dependabot`, `renovate`, `k8s-ci-robot` → bots; `bot_tom`, `mr-bot-ham` → people."""
    sha = repository.commit(at=1, author=author)

    assert pull(source_of(repository)).commits[sha].bot is bot


def test_nobody_is_named_in_any_event(repository: Any, source_of: Any) -> None:
    """No login, name or address in any event, warning or rejected record, wherever a commit may carry one."""
    trailer = f"Co-authored-by: {HOSTILE} <{HOSTILE_MAIL}>\nSigned-off-by: {HOSTILE} <{HOSTILE_MAIL}>"
    repository.commit(f"By {HOSTILE}\n\n{trailer}", at=1, author=f"{HOSTILE} <{HOSTILE_MAIL}>")
    repository.git("commit", "--allow-empty", "-m", "x", f"--author={HOSTILE} <>")
    broken = repository.raw_commit(author=f"{HOSTILE} <{HOSTILE_MAIL}>".encode(), authored="x", committed="y")
    repository.git("branch", "broken", broken)
    repository.tag("v1.0.0", at=2)

    pulled = pull(source_of(repository, deployments=TAGS))

    said = (msgspec.json.encode(pulled.events).decode() + repr(pulled)).lower()
    assert "person:" in said
    assert [word for word in ("wilhelmina", "quarterstaff") if word in said] == []


@pytest.mark.parametrize("name", ["odd\u2028name", "odd\u0085name", "caf\udce9", "-x", "deadbeef"])
def test_any_ref_name_is_survived(repository: Any, source_of: Any, name: str) -> None:
    """A branch or tag name with line separators or bytes that are no text does not stop the source."""
    sha = repository.commit(at=1)
    for folder in ("heads", "tags"):
        path = repository.path / ".git" / "refs" / folder / name
        path.write_text(sha + "\n")
    source = source_of(repository, deployments={"rule": "tags", "pattern": ".*"})

    pulled = pull(source)

    assert (set(pulled.commits), set(pulled.deployments)) == ({sha}, {sha})
    assert pull(source, pulled.cursor).pages == 0


# --- deployments ------------------------------------------------------------------------------------------------


def test_without_a_rule_nothing_is_deployed(repository: Any, source_of: Any) -> None:
    """No rule for "production" is configured → nothing is production."""
    repository.commit(at=1)
    repository.tag("v1.0.0", at=2)

    assert pull(source_of(repository)).deployments == {}


def test_a_release_tag_is_a_deployment(repository: Any, source_of: Any) -> None:
    """An annotated tag deploys its commit, successfully, when it was made."""
    sha = repository.commit(at=1)
    repository.tag("v1.0.0", at=5)

    deployment = pull(source_of(repository, deployments=TAGS, service="shop")).deployments[sha]

    assert deployment == Deployment(
        source="git",
        native_id=f"shop/production@{sha}",
        service="shop",
        environment="production",
        repository="repository",
        sha=sha,
        finished_at=hour(5),
        result=Result.SUCCESS,
        version="v1.0.0",
    )


def test_a_lightweight_tag_has_its_commits_time(repository: Any, source_of: Any) -> None:
    """A tag without a date of its own deployed when its commit was committed."""
    sha = repository.commit(at=3, authored_at=1)
    repository.tag("v1.0.0")

    assert pull(source_of(repository, deployments=TAGS)).deployments[sha].finished_at == hour(3)


def test_several_tags_on_a_commit_are_one_release(repository: Any, source_of: Any) -> None:
    """One commit released under several tags is one deployment, at the earliest of them."""
    sha = repository.commit(at=1)
    repository.tag("v2.0.0", at=9)
    repository.tag("v1.9.9", at=4)
    repository.tag("api/2.0.0", at=6)

    deployments = [e for e in pull(source_of(repository, deployments=TAGS)).events if isinstance(e, Deployment)]

    assert [(d.sha, d.finished_at, d.version) for d in deployments] == [(sha, hour(4), "v1.9.9")]


def test_a_tag_of_a_tag_is_followed(repository: Any, source_of: Any) -> None:
    """A tag of a tag deploys the commit at its end, at the time of the outer tag."""
    sha = repository.commit(at=1)
    repository.tag("inner", at=2)
    repository.tag("v1.0.0", "inner", at=4)

    deployments = pull(source_of(repository, deployments=TAGS)).deployments

    assert {s: d.finished_at for s, d in deployments.items()} == {sha: hour(4)}


@pytest.mark.parametrize("place", ["path", "url"])
def test_tags_of_blobs_and_trees_deploy_nothing(repository: Any, source_of: Any, place: str) -> None:
    """A tag of a file or a folder is no release, and stops neither this pull nor the next."""
    first = repository.commit(at=1)
    blob = repository.store("blob", b"a public key")
    repository.tag("v1.0.0", at=2)
    repository.tag("v2.0.0", blob, at=3)
    repository.tag("v3.0.0", blob)
    repository.tag("v4.0.0", repository.sha("HEAD^{tree}"), at=3)
    repository.tag("v5.0.0", "v2.0.0", at=4)
    source = source_of(repository if place == "path" else repository.path.as_uri(), deployments=TAGS)

    before = pull(source)
    second = repository.commit(at=5)
    after = pull(source, before.cursor)

    assert (set(before.deployments), set(before.commits)) == ({first}, {first})
    assert (set(after.deployments), set(after.commits)) == ({first}, {second})


@pytest.mark.parametrize("tagged", ["-86400 +0000", "99999999999999 +0000", "soon", "18446744073709551615 +0000"])
def test_a_tag_without_a_usable_time_has_its_commits_time(repository: Any, source_of: Any, tagged: str) -> None:
    """A tagger's clock before 1970 or beyond 9999 neither fails the run nor opens the horizon in 1970."""
    sha = repository.commit(at=3)
    text = f"object {sha}\ntype commit\ntag v1.0.0\ntagger T <t@x.example> {tagged}\n\nx\n"
    repository.git("update-ref", "refs/tags/v1.0.0", repository.store("tag", text.encode()))

    assert pull(source_of(repository, deployments=TAGS)).deployments[sha].finished_at == hour(3)


def test_a_tag_without_a_tagger_has_its_commits_time(repository: Any, source_of: Any) -> None:
    """Tags of git's first years have no tagger."""
    sha = repository.commit(at=3)
    text = f"object {sha}\ntype commit\ntag v1.0.0\n\nx\n"
    repository.git("update-ref", "refs/tags/v1.0.0", repository.store("tag", text.encode()))

    assert pull(source_of(repository, deployments=TAGS)).deployments[sha].finished_at == hour(3)


@pytest.mark.parametrize(
    "name",
    [
        "v1.2.3",
        "1.2",
        "v0.0.1",
        "api/v2.0",
        "release-1.2.3",
        "server_v1.2.3",
        "v1.2.3+build.7",
        "v2026.01.02",
        "1.0.0-1",
    ],
)
def test_release_tags_match(repository: Any, source_of: Any, name: str) -> None:
    """Tags that look like a release are deployments."""
    sha = repository.commit(at=1)
    repository.tag(name)

    assert set(pull(source_of(repository, deployments=TAGS)).deployments) == {sha}


@pytest.mark.parametrize(
    "name",
    [
        *("latest", "v1", "stable", "v1.2.3-rc1", "v1.2.3-RC.1", "v1.0.0-alpha", "v1.0.0-beta.2", "v1.0.0.dev3"),
        *("v1.0.0-SNAPSHOT", "nightly-1.2.3", "v1.2.3-pre1", "notes-for-v1", "1.2.3rc1"),
    ],
)
def test_pre_releases_and_floating_tags_do_not_match(repository: Any, source_of: Any, name: str) -> None:
    """A pre-release, a floating `v1` or `latest` is no release to production."""
    repository.commit(at=1)
    repository.tag(name)

    assert pull(source_of(repository, deployments=TAGS)).deployments == {}


@pytest.mark.parametrize("name", ["enterprise-v1.2.3", "research/1.2.0", "devices-2.0", "prelude-v1.0.0", "arcade-1.0"])
def test_a_component_with_rc_in_its_name_is_released(repository: Any, source_of: Any, name: str) -> None:
    """Letters of a pre-release inside a component's name do not make its tags pre-releases."""
    sha = repository.commit(at=1)
    repository.tag(name)

    assert set(pull(source_of(repository, deployments=TAGS)).deployments) == {sha}


def test_the_pattern_matches_the_whole_tag(repository: Any, source_of: Any) -> None:
    """A configured pattern is not searched inside a longer name."""
    repository.commit(at=1)
    repository.tag("prod-1-old")
    sha = repository.commit(at=2)
    repository.tag("prod-1")

    rule = {"rule": "tags", "pattern": r"prod-\d+"}
    assert set(pull(source_of(repository, deployments=rule)).deployments) == {sha}


def test_a_moved_floating_tag_releases_where_it_points(repository: Any, source_of: Any) -> None:
    """Where a floating tag is the rule, each commit it came to is a release of its own."""
    first = repository.commit(at=1)
    repository.tag("live", at=2)
    source = source_of(repository, deployments={"rule": "tags", "pattern": "live"})
    before = pull(source)
    second = repository.commit(at=3)
    repository.tag("live", at=4)

    after = pull(source, before.cursor)

    assert {s: d.finished_at for s, d in before.deployments.items()} == {first: hour(2)}
    assert {s: d.finished_at for s, d in after.deployments.items()} == {second: hour(4)}


def test_the_branch_rule_releases_its_first_parents(repository: Any, source_of: Any) -> None:
    """Each commit on a branch's first-parent line was released when it was committed there."""
    root = repository.commit(at=1)
    repository.branch("production")
    repository.branch("feature")
    repository.commit(at=2)
    repository.checkout("production")
    merge = repository.merge("feature", at=5)
    repository.checkout("main")

    rule = {"rule": "branch", "branch": "production"}
    found = pull(source_of(repository, deployments=rule)).deployments

    assert {s: d.finished_at for s, d in found.items()} == {root: hour(1), merge: hour(5)}


def test_a_new_rule_reads_old_commits_again(repository: Any, source_of: Any) -> None:
    """A rule that is configured later finds the releases of commits that were read before."""
    sha = repository.commit(at=1)
    repository.tag("v1.0.0")
    before = pull(source_of(repository))

    for rule in (TAGS, BRANCH):
        assert set(pull(source_of(repository, deployments=rule), before.cursor).deployments) == {sha}


def test_a_new_name_is_given_to_old_commits_too(repository: Any, source_of: Any, bench: Any) -> None:
    """A repository that is given another name is read again, and has its whole history under that one."""
    sha = repository.commit(at=1)
    before = pull(source_of(repository, repository_name="z/shop"))

    after = pull(source_of(repository, repository_name="group/shop"), before.cursor)
    bench.write(*before.commits.values())
    bench.write(*after.commits.values())

    assert "group/shop" in {c.repository for c in bench.store.events(Commit) if c.sha == sha}


def test_two_services_of_one_repository_have_their_own_releases(repository: Any, source_of: Any) -> None:
    """Two services built from one commit → two deployments of two services."""
    sha = repository.commit(at=1)
    repository.tag("api/1.0.0")
    repository.tag("web/1.0.0")

    found = [
        pull(source_of(repository, service=s, deployments={"rule": "tags", "pattern": f"{s}/.*"})).deployments[sha]
        for s in ("api", "web")
    ]

    assert [(d.service, d.version) for d in found] == [("api", "api/1.0.0"), ("web", "web/1.0.0")]
    assert found[0].id != found[1].id


def test_a_broken_pattern_is_refused_at_start() -> None:
    """A pattern that is no regular expression is a mistake in the settings."""
    with pytest.raises(ValidationError, match="expected a regular expression"):
        GitConfig.model_validate(
            {"name": "g", "type": "git", "repository": ".", "deployments": {"rule": "tags", "pattern": "("}}
        )


# --- incremental pulls ------------------------------------------------------------------------------------------


def test_nothing_new_is_no_page(repository: Any, source_of: Any) -> None:
    """A second pull of an unchanged repository has nothing to say."""
    repository.commit(at=1)
    repository.tag("v1.0.0")
    source = source_of(repository, deployments=TAGS)

    assert pull(source, pull(source).cursor).pages == 0


def test_only_new_commits_are_read(repository: Any, source_of: Any) -> None:
    """After a push only what was pushed is reported."""
    repository.commit(at=1)
    source = source_of(repository)
    before = pull(source)
    new = repository.commit(at=2)

    after = pull(source, before.cursor)

    assert (set(after.commits), after.line) == ({new}, {new})


@pytest.mark.parametrize("rule", [TAGS, BRANCH])
@pytest.mark.parametrize("place", ["path", "url"])
def test_a_fast_forward_puts_known_commits_on_the_line(
    repository: Any, source_of: Any, rule: dict[str, str], place: str
) -> None:
    """develop, read before as a side branch, is fast-forwarded into main → its commits are on the line."""
    repository.commit(at=1)
    repository.branch("develop")
    repository.commit(at=2)
    repository.commit(at=3)
    repository.tag("v1.0.0", at=4)
    repository.checkout("main")
    where = repository if place == "path" else repository.path.as_uri()
    source = source_of(where, deployments=rule)
    before = pull(source)
    repository.git("merge", "--quiet", "--ff-only", "develop")

    after = pull(source, before.cursor)

    assert (len(before.line), len(before.line | after.line)) == (1, 3)
    assert union(before, after) == union(pull(source))


def test_a_fast_forward_with_new_commits_on_top(repository: Any, source_of: Any) -> None:
    """Known and new commits that reach the line together are both marked."""
    repository.commit(at=1)
    repository.branch("develop")
    repository.commit(at=2)
    repository.checkout("main")
    source = source_of(repository, deployments=BRANCH)
    before = pull(source)
    repository.git("merge", "--quiet", "--ff-only", "develop")
    repository.commit(at=3)

    after = pull(source, before.cursor)

    assert len(before.line | after.line) == 3
    assert union(before, after) == union(pull(source))


@pytest.mark.parametrize("prune", [False, True])
@pytest.mark.parametrize("place", ["path", "url"])
def test_after_a_forced_push_recorded_changes_stay(
    repository: Any,
    source_of: Any,
    place: str,
    prune: bool,  # noqa: FBT001
) -> None:
    """The default branch is force-pushed → recorded changes stay, and the new line is read whole, pruned or not."""
    root = repository.commit(at=1)
    lost = repository.commit(at=2)
    source = source_of(repository if place == "path" else repository.path.as_uri(), deployments=BRANCH)
    before = pull(source)
    repository.git("reset", "--hard", "--quiet", root)
    found = [repository.commit(at=n) for n in (3, 4)]
    for folder in (repository.path, source.git.path):
        for command in ("reflog expire --expire=now --all", "gc --quiet --prune=now") if prune else ():
            subprocess.run(["git", "-C", str(folder), *command.split()], check=True)

    after = pull(source, before.cursor)

    assert before.line == {root, lost}
    assert set(found) <= after.line <= {root, *found}
    assert union(before, after).items() >= union(pull(source)).items()


def test_a_whole_new_history_is_read(repository: Any, source_of: Any) -> None:
    """A history that was rewritten from its root and pruned is read like a new one."""
    repository.commit(at=1)
    source = source_of(repository)
    before = pull(source)
    repository.git("checkout", "--quiet", "--orphan", "other")
    other = repository.commit("another", at=5)
    repository.git("branch", "-M", "other", "main")
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")

    assert pull(source, before.cursor).line == {other}


def test_a_parent_with_a_later_clock_is_on_the_line(repository: Any, source_of: Any) -> None:
    """A parent that git lists before its child, because a clock was wrong, still stands on the line."""
    root = repository.commit(at=1)
    parent = repository.commit(at=90)
    repository.git("branch", "side", repository.raw_commit(parents=(parent,), committed="1798761600 +0000"))
    tip = repository.commit(at=2)

    assert pull(source_of(repository)).line == {root, parent, tip}


def test_a_deleted_branch_is_nothing_new(repository: Any, source_of: Any) -> None:
    """A branch that disappears brings no event and moves the cursor."""
    repository.commit(at=1)
    repository.git("branch", "gone")
    source = source_of(repository)
    before = pull(source)
    repository.git("branch", "-D", "gone")

    after = pull(source, before.cursor)

    assert (after.events, pull(source, after.cursor).pages) == ([], 0)


def test_a_new_default_branch_is_followed(repository: Any, source_of: Any) -> None:
    """When HEAD names another branch, that branch's commits come to the line."""
    root = repository.commit(at=1)
    repository.branch("trunk")
    trunk = repository.commit(at=2)
    repository.checkout("main")
    local, cloned = source_of(repository), source_of(repository.path.as_uri())
    before = [pull(local), pull(cloned)]
    repository.checkout("trunk")

    after = [pull(local, before[0].cursor), pull(cloned, before[1].cursor)]

    assert [p.line for p in before] == [{root}, {root}]
    assert [p.line for p in after] == [{trunk}, {trunk}]


def test_an_unreadable_cursor_is_a_first_run(repository: Any, source_of: Any) -> None:
    """A cursor of another version reads everything again, which is harmless, instead of failing for ever."""
    sha = repository.commit(at=1)

    assert set(pull(source_of(repository), '{"refs":{},"head":7}').commits) == {sha}


@dataclass(frozen=True)
class Step:
    """A part of a history: its commits as (parents, hours), then where main and other branches stand."""

    commits: list[tuple[tuple[int, ...], int]]
    main: int
    others: tuple[int, ...]


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Three steps of a history with branches, merges, forced pushes and clocks that lie."""
    steps: list[Step] = []
    count = 0
    for _ in range(3):
        commits = []
        for _ in range(draw(st.integers(1, 5))):
            parents = draw(st.lists(st.integers(0, count - 1), max_size=2, unique=True)) if count else []
            commits.append((tuple(parents), draw(st.integers(0, 12))))
            count += 1
        some = st.integers(0, count - 1)
        steps.append(Step(commits, draw(some), tuple(draw(st.lists(some, max_size=2)))))
    return steps


def first_parents(tip: int, parents: list[tuple[int, ...]]) -> set[int]:
    """A tip and its first parents, by number."""
    found = {tip}
    while parents[tip]:
        tip = parents[tip][0]
        found.add(tip)
    return found


def ancestors(tips: Iterable[int], parents: list[tuple[int, ...]]) -> set[int]:
    """Some commits and everything before them, by number."""
    found: set[int] = set()
    stack = list(tips)
    while stack:
        commit = stack.pop()
        if commit not in found:
            found.add(commit)
            stack.extend(parents[commit])
    return found


def imported(repository: Any, step: Step, known: int) -> None:
    """Write a step of a history into a repository at once."""
    lines: list[str] = []
    for i, (parents, at) in enumerate(step.commits, known):
        lines += [
            f"commit refs/build/{i}",
            f"mark :{i + 1}",
            f"committer C <c@x.example> {1767225600 + at * 3600} +0000",
        ]
        lines += ["data <<E", str(i), "E"]
        # A branch without a parent must not go on from what stands there.
        lines += [f"{'merge' if n else 'from'} :{p + 1}" for n, p in enumerate(parents)]
        lines += [""]
    for name, at in (("main", step.main), *((f"b{n}", o) for n, o in enumerate(step.others))):
        lines += [f"reset refs/heads/{name}", f"from :{at + 1}", ""]
    marks = ("--import-marks-if-exists=marks", "--export-marks=marks")
    repository.git("fast-import", "--quiet", "--force", *marks, stdin="\n".join(lines).encode())


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories())
def test_incremental_pulls_add_up_to_a_full_one(
    history: list[Step], new_repository: Any, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Whatever the history and its clocks: pulls step by step report all commits ever held, and each line whole."""
    shutil.rmtree(tmp_path / "any", ignore_errors=True)
    repository = new_repository("any", "--bare")
    context = SourceContext(data_dir=tmp_path, base_dir=tmp_path, people=People(b"k" * 32), clock=lambda: START)
    source = GitConfig(name="git", type="git", repository=str(repository.path)).build(context)
    parents: list[tuple[int, ...]] = []
    held: set[int] = set()
    line: set[int] = set()
    pulls: list[Pulled] = []
    others: dict[int, int] = {}
    for step in history:
        imported(repository, step, len(parents))
        parents += [p for p, _ in step.commits]
        others |= dict(enumerate(step.others))
        held |= ancestors([step.main, *others.values()], parents)
        line |= first_parents(step.main, parents)
        pulls.append(pull(source, pulls[-1].cursor if pulls else None))

    marks = (repository.path / "marks").read_text().split()
    number = {sha: int(mark[1:]) - 1 for mark, sha in zip(marks[::2], marks[1::2], strict=True)}
    kept = list(union(*pulls).values())
    assert {number[f["sha"]] for f in kept} == held
    assert {number[f["sha"]] for f in kept if f["on_default_branch"]} == line
    assert union(*pulls).keys() >= union(pull(source)).keys()


# --- clones -----------------------------------------------------------------------------------------------------


def test_a_url_is_cloned_bare_and_treeless(repository: Any, source_of: Any) -> None:
    """A URL is cloned without trees and files: the graph alone."""
    (repository.path / "file").write_text("x")
    repository.git("add", "file")
    sha = repository.commit(at=1)
    source = source_of(repository.path.as_uri())

    pulled = pull(source)

    objects = source.git.lines("cat-file", "--batch-all-objects", "--batch-check=%(objecttype)")
    assert (set(pulled.commits), set(objects)) == ({sha}, {"commit"})
    assert source.git.text("rev-parse", "--is-bare-repository").strip() == "true"


def test_a_path_is_read_in_place(repository: Any, source_of: Any, context: SourceContext) -> None:
    """A path is neither cloned nor changed."""
    repository.commit(at=1)
    before = sorted(repository.path.rglob("*"))

    pull(source_of(repository, deployments=TAGS))

    assert sorted(repository.path.rglob("*")) == before
    assert list(context.data_dir.iterdir()) == []


def test_a_clone_is_fetched(repository: Any, source_of: Any) -> None:
    """A later pull fetches: new commits and tags, moved branches, and none of the deleted ones."""
    root = repository.commit(at=1)
    repository.git("branch", "gone")
    repository.tag("v1.0.0")
    source = source_of(repository.path.as_uri(), deployments=TAGS)
    before = pull(source)
    repository.git("branch", "-D", "gone")
    repository.git("branch", "gone/below", root)
    repository.tag("v1.0.0", at=1)
    new = repository.commit(at=2)
    repository.tag("v1.1.0")

    after = pull(source, before.cursor)

    assert (set(after.commits), set(after.deployments)) == ({new}, {root, new})
    refs = source.git.lines("for-each-ref", "--format=%(refname)")
    assert refs == ["refs/heads/gone/below", "refs/heads/main", "refs/tags/v1.0.0", "refs/tags/v1.1.0"]


def test_a_clone_of_an_empty_remote_catches_up(repository: Any, source_of: Any) -> None:
    """A repository cloned before its first commit is read when it comes, on the branch the remote names."""
    source = source_of(repository.path.as_uri())
    before = pull(source)
    repository.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    sha = repository.commit(at=1)

    assert before.events == []
    assert pull(source, before.cursor).line == {sha}


def test_a_renamed_default_branch_is_followed(repository: Any, source_of: Any) -> None:
    """A remote's master that becomes trunk stays the default branch."""
    root = repository.commit(at=1)
    source = source_of(repository.path.as_uri())
    before = pull(source)
    repository.git("branch", "-m", "main", "trunk")
    new = repository.commit(at=2)

    after = pull(source, before.cursor)

    assert (before.line, after.line) == ({root}, {new})


def test_a_broken_off_clone_is_made_anew(repository: Any, source_of: Any) -> None:
    """What a crash left of a clone does not stop the next run."""
    sha = repository.commit(at=1)
    source = source_of(repository.path.as_uri())
    draft = source.git.path.with_name(f".{source.git.path.name}.partial")
    draft.mkdir(parents=True)
    (draft / "HEAD").write_text("half")

    assert set(pull(source).commits) == {sha}


def test_a_shallow_clone_is_said_and_deepened(new_repository: Any, repository: Any, source_of: Any) -> None:
    """A shallow clone warns that history is cut; deepened step by step it gives what a whole one gives."""
    for n in range(6):
        repository.commit(at=n)
    clone = new_repository("shallow", "--depth=2", clone_of=repository)
    source = source_of(clone)
    first = pull(source)
    clone.git("fetch", "--quiet", "--deepen=2")
    second = pull(source, first.cursor)
    clone.git("fetch", "--quiet", "--unshallow")
    third = pull(source, second.cursor)

    assert [len(p.commits) for p in (first, second, third)] == [2, 4, 6]
    assert [len(p.warnings) for p in (first, second, third)] == [1, 1, 0]
    assert union(third) == union(pull(source))


# --- paths ------------------------------------------------------------------------------------------------------


def put(repository: Any, *names: str, at: float, text: str = "x") -> str:
    """The id of a commit that writes these files."""
    for name in names:
        file = repository.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text} {at}")
        repository.git("add", "--", name)
    return str(repository.commit(at=at))


def paths(pulled: Pulled) -> dict[str, tuple[str, ...] | None]:
    """The paths of each commit."""
    return {sha: commit.paths for sha, commit in pulled.commits.items()}


def test_a_commit_names_the_paths_it_touches(repository: Any, source_of: Any) -> None:
    """Monorepo: code, a shared path and docs are told apart; the first commit brings all it has, sorted."""
    root = put(repository, "services/shop/a.py", "lib/b.py", "README.md", at=1)
    shared = put(repository, "services/shop/a.py", "lib/b.py", at=2)
    docs = put(repository, "docs/c.md", at=3)

    found = paths(pull(source_of(repository, paths=True)))

    assert found == {
        root: ("README.md", "lib/b.py", "services/shop/a.py"),
        shared: ("lib/b.py", "services/shop/a.py"),
        docs: ("docs/c.md",),
    }


def test_paths_are_read_only_where_asked_for(repository: Any, source_of: Any) -> None:
    """Without the setting paths are unknown, which is not the same as none."""
    sha = put(repository, "a", at=1)

    assert paths(pull(source_of(repository))) == {sha: None}


def test_a_commit_that_changes_nothing_has_no_paths(repository: Any, source_of: Any) -> None:
    """An empty commit touches nothing, and that is known; so do a first one and one between others."""
    shas = [repository.commit(at=1), put(repository, "a", at=2), repository.commit(at=3), put(repository, "b", at=4)]

    found = paths(pull(source_of(repository, paths=True)))

    assert [found[sha] for sha in shas] == [(), ("a",), (), ("b",)]


def test_a_merge_touches_what_it_brought(repository: Any, source_of: Any) -> None:
    """A merge is compared with its first parent: it touches what the branch did, and nothing of the other side."""
    put(repository, "a", at=1)
    repository.branch("feature")
    side = put(repository, "feature/x", "feature/y", at=2)
    repository.checkout("main")
    put(repository, "main/z", at=3)
    merge = repository.merge("feature", at=4)

    found = paths(pull(source_of(repository, paths=True)))

    assert found[side] == found[merge] == ("feature/x", "feature/y")


def test_a_merge_that_takes_nothing_touches_nothing(repository: Any, source_of: Any) -> None:
    """A merge that keeps its own side brings nothing, whatever the other side held."""
    put(repository, "a", at=1)
    repository.branch("feature")
    put(repository, "b", at=2)
    repository.checkout("main")
    repository.git("merge", "--quiet", "--no-ff", "--strategy=ours", "-m", "ours", "feature", at=3)

    assert paths(pull(source_of(repository, paths=True)))[repository.sha()] == ()


def test_a_rename_touches_both_names(repository: Any, source_of: Any) -> None:
    """A file moved from one service to another touches both; a removed one is touched too."""
    put(repository, "shop/a", "shop/gone", at=1)
    (repository.path / "till").mkdir()
    repository.git("mv", "shop/a", "till/a")
    repository.git("rm", "--quiet", "shop/gone")
    renamed = repository.commit(at=2)

    assert paths(pull(source_of(repository, paths=True)))[renamed] == ("shop/a", "shop/gone", "till/a")


def test_a_submodule_is_a_path(repository: Any, source_of: Any) -> None:
    """A submodule that comes and moves touches its own path, also where diffs ignore submodules."""
    root = put(repository, "a", at=1)
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{root},libs/module")
    added = repository.commit(at=2)
    repository.git("update-index", "--cacheinfo", f"160000,{added},libs/module")
    moved = repository.commit(at=3)
    repository.git("config", "diff.ignoreSubmodules", "all")

    found = paths(pull(source_of(repository, paths=True)))

    assert found[added] == found[moved] == ("libs/module",)


@pytest.mark.parametrize(
    "name", ["A", "M\nD", " ", '"quoted"', "tab\t", "\u00fc/\U0001f600", "0" * 40, ":(top)x", "-z", "a\\b"]
)
def test_any_name_of_a_file_is_survived(repository: Any, source_of: Any, name: str) -> None:
    """A name that looks like something else, or holds a newline, is that name, and its neighbours are whole."""
    before = put(repository, "a", at=1)
    file = repository.path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("x")
    repository.git("add", "--all")
    odd = repository.commit(at=2)
    after = put(repository, "b", at=3)

    pulled = pull(source_of(repository, paths=True))

    assert paths(pulled) == {before: ("a",), odd: (name,), after: ("b",)}
    assert pulled.commits[after].parents == (odd,)


def test_a_name_in_another_encoding_is_survived(repository: Any, source_of: Any) -> None:
    """Bad encoding: what is no UTF-8 is shown as such, below the right folder; the rest survives."""
    blob = repository.store("blob", b"x")
    repository.git("update-index", "-z", "--index-info", stdin=b"100644 " + blob.encode() + b"\tshop/caf\xe9\0")
    odd = repository.commit(at=1)
    after = put(repository, "b", at=2)

    found = paths(pull(source_of(repository, paths=True)))

    assert (found[odd], found[after]) == (("shop/caf\ufffd",), ("b",))


def test_a_file_that_becomes_a_folder_touches_both(repository: Any, source_of: Any) -> None:
    """A path that turns from file to folder is gone as the one and there as the other."""
    put(repository, "a", at=1)
    repository.git("rm", "--quiet", "a")
    turned = put(repository, "a/b", at=2)

    assert paths(pull(source_of(repository, paths=True)))[turned] == ("a", "a/b")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("diff.renames", "copies"),
        ("diff.relative", "true"),
        ("log.showRoot", "false"),
        ("log.diffMerges", "off"),
        ("log.diffMerges", "separate"),
        ("diff.noPrefix", "true"),
        ("core.quotePath", "true"),
        ("diff.external", "false"),
        ("log.showSignature", "true"),
        ("log.follow", "true"),
    ],
)
def test_nobodys_git_settings_change_the_paths(repository: Any, source_of: Any, key: str, value: str) -> None:
    """What a commit touches is the same whatever the repository's own settings for showing it."""
    root = put(repository, "shop/a", at=1)
    repository.branch("feature")
    repository.git("mv", "shop/a", "shop/b")
    side = repository.commit(at=2)
    repository.checkout("main")
    merge = repository.merge("feature", at=3)
    repository.git("config", key, value)

    found = paths(pull(source_of(repository, paths=True)))

    assert found == {root: ("shop/a",), side: ("shop/a", "shop/b"), merge: ("shop/a", "shop/b")}


def test_paths_start_at_the_repositorys_top(repository: Any, source_of: Any) -> None:
    """Read from a folder inside a repository, paths are still whole and complete."""
    sha = put(repository, "shop/a", "till/b", at=1)
    repository.git("config", "diff.relative", "true")

    assert paths(pull(source_of(str(repository.path / "shop"), paths=True))) == {sha: ("shop/a", "till/b")}


def test_an_empty_repository_has_no_paths(repository: Any, source_of: Any) -> None:
    """A repository without a commit gives no event with paths either, and its first commit comes later."""
    source = source_of(repository, paths=True)
    empty = pull(source)
    sha = put(repository, "a", at=1)

    assert empty.events == []
    assert paths(pull(source, empty.cursor)) == {sha: ("a",)}


def test_the_cut_of_a_shallow_clone_has_unknown_paths(new_repository: Any, repository: Any, source_of: Any) -> None:
    """Where a clone is cut off nobody knows what a commit touched: it did not bring every file."""
    put(repository, "a", at=1)
    cut = put(repository, "b", at=2)
    tip = put(repository, "c", at=3)
    clone = new_repository("shallow", "--depth=2", clone_of=repository)
    source = source_of(clone, paths=True)
    before = pull(source)
    clone.git("fetch", "--quiet", "--unshallow")

    after = pull(source, before.cursor)

    assert paths(before) == {cut: None, tip: ("c",)}
    assert (paths(after)[cut], paths(after)[tip]) == (("b",), ("c",))


def test_paths_switched_on_later_reach_what_is_stored(repository: Any, source_of: Any, bench: Any) -> None:
    """Everything is read again once, and the stored commits get their paths."""
    sha = put(repository, "a", at=1)
    bench.runner.run("git", source_of(repository))
    source = source_of(repository, paths=True)
    done = bench.runner.run("git", source)
    again = bench.runner.run("git", source)

    assert [(e.sha, e.paths) for e in bench.store.events(Commit)] == [(sha, ("a",))]
    assert (done.changed, again.events) == (1, 0)


def test_a_cursor_from_before_paths_is_understood(repository: Any, source_of: Any) -> None:
    """A cursor of the time before the setting reads nothing again while the setting is off."""
    put(repository, "a", at=1)
    before = pull(source_of(repository)).cursor
    assert before is not None
    old = before.replace(',"paths":false', "")

    assert (old != before, pull(source_of(repository), old).pages) == (True, 0)


@pytest.mark.parametrize("place", ["path", "url"])
def test_paths_switched_off_for_a_while_are_whole(repository: Any, source_of: Any, place: str) -> None:
    """What came while the setting was off gets its paths when it is on again, from a clone too."""
    where = repository if place == "path" else repository.path.as_uri()
    first = put(repository, "a", at=1)
    on = pull(source_of(where, paths=True))
    second = put(repository, "b", at=2)
    off = pull(source_of(where), on.cursor)
    third = put(repository, "c", at=3)

    again = pull(source_of(where, paths=True), off.cursor)

    assert paths(off) == {second: None}
    assert paths(again) == {first: ("a",), second: ("b",), third: ("c",)}


def kinds(source: GitSource) -> set[str]:
    """The kinds of objects a clone holds."""
    return set(source.git.lines("cat-file", "--batch-all-objects", "--batch-check=%(objecttype)"))


def test_a_clone_with_paths_has_trees_and_no_files(repository: Any, source_of: Any) -> None:
    """For paths a URL is cloned and fetched with trees; files never come."""
    first = put(repository, "deep/er/a", at=1)
    source = source_of(repository.path.as_uri(), paths=True)
    before = pull(source)
    second = put(repository, "deep/er/b", at=2)
    after = pull(source, before.cursor)

    assert (paths(before), paths(after)) == ({first: ("deep/er/a",)}, {second: ("deep/er/b",)})
    assert kinds(source) == {"commit", "tree"}


def test_a_treeless_clone_stays_treeless(repository: Any, source_of: Any) -> None:
    """Without paths neither the clone nor a later fetch brings trees."""
    put(repository, "a", at=1)
    source = source_of(repository.path.as_uri())
    before = pull(source)
    put(repository, "b", at=2)
    pull(source, before.cursor)

    assert kinds(source) == {"commit"}


def test_a_treeless_clone_is_replaced_for_paths(repository: Any, source_of: Any) -> None:
    """A clone made before paths were wanted is made anew once, and nothing is left beside it."""
    first = put(repository, "a", at=1)
    url = repository.path.as_uri()
    before = pull(source_of(url))
    source = source_of(url, paths=True)
    after = pull(source, before.cursor)
    made = source.git.path.stat().st_ino
    again = pull(source, after.cursor)

    assert paths(after) == {first: ("a",)}
    assert (again.pages, source.git.path.stat().st_ino) == (0, made)
    assert [p.name for p in source.git.path.parent.iterdir() if p.is_dir()] == [source.git.path.name]


def test_a_replacement_that_fails_leaves_the_clone(repository: Any, source_of: Any) -> None:
    """While the remote is away the old clone stays, and paths come when it is back."""
    sha = put(repository, "a", at=1)
    url = repository.path.as_uri()
    pull(source_of(url))
    away = repository.path.rename(repository.path.with_name("away"))
    source = source_of(url, paths=True)

    with pytest.raises(SourceError):
        pull(source)
    assert kinds(source) == {"commit"}
    away.rename(repository.path)
    assert paths(pull(source)) == {sha: ("a",)}


def test_a_treeless_repository_in_place_is_said(new_repository: Any, repository: Any, source_of: Any) -> None:
    """A path is never changed: where it has no trees, the error says how they come."""
    put(repository, "a", at=1)
    clone = new_repository("treeless", "--bare", "--filter=tree:0", clone_of=repository)

    with pytest.raises(SourceError, match=r"without trees.*git fetch --refetch --filter=blob:none"):
        pull(source_of(clone, paths=True))


def test_two_sources_of_one_url_share_its_clone(repository: Any, source_of: Any) -> None:
    """The sources of two services in one repository may start at the same time."""
    sha = put(repository, "a", at=1)
    sources = [source_of(repository.path.as_uri(), service=f"s{n}", paths=n % 2 == 0) for n in range(6)]

    with ThreadPoolExecutor(len(sources)) as pool:
        found = [set(p.commits) for p in pool.map(pull, sources)]

    assert found == [{sha}] * 6


def test_many_paths_are_many_pages(repository: Any, source_of: Any) -> None:
    """A history of commits that touch very many files is handed over in parts, not held in memory at once."""
    entry = b"100644 %03d\0" + bytes.fromhex(repository.store("blob", b""))
    tree = repository.store("tree", b"".join(entry.replace(b"%03d", b"%03d" % n) for n in range(600)))
    below = b"40000 %03d\0" + bytes.fromhex(tree)
    top = repository.store("tree", b"".join(below.replace(b"%03d", b"%03d" % n) for n in range(400)))
    commits = [repository.git("commit-tree", top, "-m", str(n)) for n in range(2)]
    repository.git("update-ref", "refs/heads/main", commits[0])
    repository.git("update-ref", "refs/heads/other", commits[1])

    pages = list(source_of(repository, paths=True).pull(None))

    assert [[len(e.paths) for e in p.events] for p in pages] == [[], [240_000], [240_000]]


# --- errors and names -------------------------------------------------------------------------------------------


def test_a_missing_git_is_said(
    repository: Any, source_of: Any, context: SourceContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without git the error and the check both say that git is missing, not that the repository is."""
    repository.commit(at=1)
    config = GitConfig(name="git", type="git", repository=str(repository.path))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))

    with pytest.raises(SourceError, match="git was not found; install it"):
        pull(source_of(repository))
    assert ["git was not found" in m.problem for m in config.check(context)] == [True]


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE"])
def test_the_callers_git_environment_does_not_matter(
    repository: Any, source_of: Any, new_repository: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Run from a Git hook, which sets GIT_DIR, the source still reads its own repository."""
    sha = repository.commit(at=1)
    other = new_repository("other")
    other.commit("other", at=1)
    monkeypatch.setenv(variable, str(other.path / ".git"))

    assert set(pull(source_of(repository)).commits) == {sha}


@pytest.mark.parametrize(
    "url",
    [
        "https://user:s3cret@127.0.0.1:1/o/r.git",
        "https://user:s3c@s3cret@127.0.0.1:1/o/r.git",
        "https://s3cret@127.0.0.1:1/r.git",
        "https://user:s3cret@127.0.0.1:1/r",
    ],
)
def test_credentials_in_a_url_are_never_said(source_of: Any, url: str) -> None:
    """A password or token in a URL stands in no error and in no name."""
    source = source_of(url, deployments=BRANCH)

    with pytest.raises(SourceError) as caught:
        pull(source)

    assert "s3c" not in f"{caught.value} {source.repository} {source.service}"
    with pytest.raises(SourceError) as caught:
        has_tag(url, ".*")
    assert "s3c" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("fatal: Authentication failed for 'https://u:p@h/r'", AuthError),
        ("fatal: could not read Username for 'https://h'", AuthError),
        ("git@h: Permission denied (publickey).", AuthError),
        ("error: The requested URL returned error: 403; HTTP 403", AuthError),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", RetryableError),
        ("fatal: the remote end hung up unexpectedly", RetryableError),
        ("error: RPC failed; HTTP 502", RetryableError),
        ("fatal: unable to access 'https://h/r/': The requested URL returned error: 503", RetryableError),
        ("fatal: unable to access 'https://h/r/': The requested URL returned error: 403", AuthError),
        ("fatal: not a git repository", SourceError),
    ],
)
def test_gits_words_are_sorted_by_what_to_do(words: str, kind: type[SourceError]) -> None:
    """Refused credentials need a person, a network that fails needs time, the rest stops the run."""
    assert type(failure("fetch", words.encode())) is kind


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("https://host.example/owner/name.git", "owner/name"),
        ("https://host.example:8443/owner/name", "owner/name"),
        ("https://user:pass@host.example/group/sub/name.git/", "sub/name"),
        ("https://token@host.example/name.git", "name"),
        ("ssh://git@host.example:22/owner/name.git", "owner/name"),
        ("git@host.example:owner/name.git", "owner/name"),
        ("git@host.example:name.git", "name"),
        ("file:///srv/git/name.git", "git/name"),
        ("/srv/git/name.git", "name"),
        ("/srv/code/name/.git", "name"),
        ("/srv/code/name/", "name"),
    ],
)
def test_repositories_have_names(repository: str, name: str) -> None:
    """A repository is called by its owner and name, never by host, port or credentials."""
    assert repository_name(repository) == name


def test_a_path_with_a_colon_is_no_url() -> None:
    """Only `scheme://` and `user@host:path` are URLs."""
    urls = ["https://h/r", "git@h:o/r", "/a:b/c", "C:/r", "./x@y", "a@b/c:d"]

    assert [is_url(u) for u in urls] == [True, True, False, False, False, False]


@pytest.mark.parametrize("place", ["path", "url"])
def test_has_tag_sees_the_remotes_tags(repository: Any, place: str) -> None:
    """A repository is asked for a matching tag before anything is cloned."""
    repository.commit(at=1)
    repository.tag("v1.0.0", at=1)
    where = str(repository.path) if place == "path" else repository.path.as_uri()

    assert (has_tag(where, r"v\d.*"), has_tag(where, r"v\d"), has_tag(where, "main")) == (True, False, False)


def test_check_names_what_is_wrong_with_a_path(context: SourceContext, tmp_path: Path) -> None:
    """A folder without a repository and a missing folder are different mistakes of the same setting."""
    (tmp_path / "plain").mkdir()

    found = [GitConfig(name="g", type="git", repository=name).check(context)[0] for name in ("plain", "missing")]

    assert [(m.path, m.problem) for m in found] == [
        ("repository", f"no Git repository at {tmp_path / 'plain'}"),
        ("repository", f"{tmp_path / 'missing'} does not exist"),
    ]


@pytest.mark.parametrize("place", [".", "git@host.example:o/r.git", "ssh://git@host.example/o/r.git"])
def test_a_token_that_reaches_no_server_is_a_mistake(repository: Any, context: SourceContext, place: str) -> None:
    """Only a URL over HTTP takes a token; with any other place it would be set in vain."""
    base = replace(context, base_dir=repository.path)

    found = GitConfig(name="g", type="git", repository=place, token=SecretStr("t0ken")).check(base)

    assert [(m.path, m.problem) for m in found] == [("token", "only a URL with https:// takes a token")]


def test_a_token_that_cannot_be_read_is_a_mistake(context: SourceContext, tmp_path: Path) -> None:
    """The file of a token that is not there is named at start, by its setting."""
    url = "https://host.example/o/r.git"

    found = GitConfig(name="g", type="git", repository=url, token=SecretStr(f"file:{tmp_path / 'none'}")).check(context)

    assert [(m.path, m.problem) for m in found] == [("token", "its file cannot be read")]


def test_a_token_is_in_nothing_that_is_printed(source_of: Any) -> None:
    """Neither the settings nor the source show the token."""
    source = source_of("https://host.example/o/r.git", token=SecretStr("t0ken-of-git"))

    assert "t0ken-of-git" not in repr(source)


def test_the_deployment_rules_are_told_apart() -> None:
    """`rule` decides which settings are allowed."""
    with pytest.raises(ValidationError):
        TypeAdapter(GitConfig).validate_python(
            {"name": "g", "type": "git", "repository": ".", "deployments": {"rule": "branch", "pattern": "x"}}
        )
