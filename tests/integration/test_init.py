"""`paceline init` as people run it: repositories, a forge over real HTTP, answers at prompts, what is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from names import PLANTED_LOGIN, PLANTED_MAIL, PLANTED_NAME
from providers.github import Held, World, deployment, issue, label, pull_request, repository, run, serve
from replay import Provider, Reply, Request, served

from paceline.cli import cli
from paceline.wiring import build, configuration
from slo_engine.slo import SloStatus

pytestmark = pytest.mark.integration

TOKEN = "t0ken-that-nobody-sees"  # noqa: S105 - planted
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""What the builder of repositories counts its hours from."""
CHANGES = 14


def ago(hours: float) -> float:
    """Some hours before now, as hours of the builder of repositories."""
    return (datetime.now(UTC) - EPOCH).total_seconds() / 3_600 - hours


def before(hours: float) -> str:
    """Some hours before now, as GitHub writes it."""
    return (datetime.now(UTC) - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def texts(folder: Path) -> str:
    """Everything that was written for people to read."""
    return "".join(p.read_text(encoding="utf-8") for p in sorted(folder.rglob("*.yaml")))


def slos(folder: Path) -> dict[str, tuple[SloStatus, Any, Any]]:
    """By its name, the status, the target and n of each SLO of the settings in a folder, without collecting again."""
    running = build(configuration(folder / "paceline.yaml", os.environ, folder))
    try:
        states = running.service.refresh().snapshot.slos
        return {s.slo.name: (s.status, s.slo.target, s.counts["90d"].total) for s in states}
    finally:
        running.close()


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable and no token of whoever runs the tests counts."""
    for variable in [v for v in os.environ if v.startswith("PACELINE_") or v.endswith("_TOKEN")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def asked() -> Callable[..., Result]:
    """Runs `init` with lines of input for its questions."""
    return lambda *arguments, answers="": CliRunner().invoke(cli, ["init", *arguments], input=answers)


# --- a repository ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tagged(repository_at: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Thirteen releases, each two hours after the change that it ships, and tags that release nothing."""
    made = repository_at(tmp_path_factory.mktemp("tagged") / "shop")
    for number in range(13):
        made.commit(at=ago(60 * (13 - number) + 1))
        made.tag(f"v1.{number}.0", at=ago(60 * (13 - number) - 1))
    made.tag("nightly")
    made.tag("v2.0.0-rc1")
    made.git("remote", "add", "origin", "git@git.example.com:team/shop.git")
    return made


@pytest.fixture(scope="module")
def in_repository(tagged: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """What `init --yes` writes for a repository, and says."""
    folder = tmp_path_factory.mktemp("written") / "new"
    return folder, CliRunner().invoke(cli, ["init", "--repo", str(tagged.path), "--dir", str(folder), "--yes"])


def test_release_tags_are_proposed_with_what_they_match(in_repository: tuple[Path, Result]) -> None:
    """How many tags a rule takes, which was the last, and which it leaves; said, and written beside the rule."""
    folder, done = in_repository
    proposal = "release tags: 13 match, last v1.12.0; 2 do not: v2.0.0-rc1, nightly"

    assert done.exit_code == 0, done.output
    assert proposal in done.output
    assert proposal in texts(folder).replace("\n    # ", " ")
    assert "Not taken: each commit on main: 11 in the last 30 days." in texts(folder)


def test_the_written_settings_have_numbers_at_once(in_repository: tuple[Path, Result]) -> None:
    """The first import is done: the SLO has events, with a target that leaves room for one of them to be bad."""
    folder, _ = in_repository

    assert slos(folder) == {
        "merge-to-production": (SloStatus.HEALTHY, Decimal("0.9"), 12),
        "deployments-hold": (SloStatus.HEALTHY, Decimal("0.9"), 13),
    }


def test_a_target_says_from_what_it_comes(in_repository: tuple[Path, Result]) -> None:
    """Share, n and interval stand above the target; nothing is invented."""
    text = (in_repository[0] / "slos" / "merge-to-production.yaml").read_text(encoding="utf-8").replace("\n# ", " ")

    assert "12 of 12 changes that went to production were there within a day of their merge: 100.0%, n = 12" in text
    assert "95 % interval 75.8% to 100.0%" in text
    assert "rounded down to a usual step: 90.0%. A higher step would let none of the 11 of 28d be bad" in text


def test_the_next_commands_are_said(in_repository: tuple[Path, Result]) -> None:
    """The settings were checked, and three commands say how to go on."""
    _, done = in_repository

    assert "1 source" in done.output
    assert [line.split()[1] for line in done.output.splitlines() if line.startswith("  paceline ")] == [
        "serve",
        "doctor",
        "rules",
    ]


def test_nothing_is_overwritten(in_repository: tuple[Path, Result], tagged: Any, asked: Callable[..., Result]) -> None:
    """Every file that is there is named, and nothing changes."""
    folder, _ = in_repository
    before_it = {p: p.read_bytes() for p in folder.rglob("*.yaml")}
    done = asked("--repo", str(tagged.path), "--dir", str(folder), "--yes")

    named = [Path(str(m.file)).name for m in getattr(done.exception, "mistakes", ())]
    assert sorted(named) == ["deployments-hold.yaml", "merge-to-production.yaml", "paceline.db", "paceline.yaml"]
    assert {p: p.read_bytes() for p in folder.rglob("*.yaml")} == before_it


def test_the_default_branch_is_the_one_that_is_read(
    new_repository: Callable[..., Any], tmp_path: Path, asked: Callable[..., Result]
) -> None:
    """Where the remote's is not here, as after `git clone --branch`, it is the one that is checked out."""
    made = new_repository("origin")
    made.commit(at=ago(48))
    made.branch("release")
    made.commit(at=ago(24))
    made.checkout("main")
    clone = new_repository("clone", clone_of=made)
    clone.git("checkout", "--quiet", "-b", "release", "origin/release")
    clone.git("branch", "--quiet", "-D", "main")
    done = asked("--repo", str(clone.path), "--dir", str(tmp_path / "new"), "--yes")

    assert "clone: default branch release, branches: 1" in done.output
    assert "each commit on release: 2 in the last 30 days" in done.output


def test_answers_decide(
    tagged: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Callable[..., Result]
) -> None:
    """Somebody reads the repository around, no other, and takes the second proposal: each commit on the branch."""
    monkeypatch.chdir(tagged.path)
    done = asked("--ask", "--dir", str(tmp_path / "own"), answers="y\n\n2\n")

    assert done.exit_code == 0, done.output
    assert "GitHub: nothing is asked, GITHUB_TOKEN is not set." in done.output
    assert "1. release tags: 13 match" in done.output
    assert "2. each commit on main: 11" in done.output
    assert "      rule: branch" in texts(tmp_path / "own")


def test_a_people_key_that_is_there_is_kept(tagged: Any, tmp_path: Path, asked: Callable[..., Result]) -> None:
    """Somebody made it before: those who are collected now are the same people."""
    key = tmp_path / ".paceline" / "people.key"
    key.parent.mkdir()
    key.write_text("5" * 64, encoding="ascii")
    done = asked("--repo", str(tagged.path), "--dir", str(tmp_path), "--yes")

    assert done.exit_code == 0, done.output
    assert key.read_text(encoding="ascii") == "5" * 64


def test_where_nobody_can_answer_nothing_is_asked(tmp_path: Path, asked: Callable[..., Result]) -> None:
    """Without a terminal, and without `--yes`, it says what to give; nothing is written."""
    done = asked("--dir", str(tmp_path))

    assert done.exit_code == 2
    assert "--yes takes what it proposes" in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_repository_is_refused(tmp_path: Path, asked: Callable[..., Result]) -> None:
    """What was named is no repository: one sentence, and no trace."""
    done = asked("--repo", str(tmp_path), "--dir", str(tmp_path / "new"), "--yes")

    assert "there is no Git repository at" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://hunter2@git.example.com/a/b",
        "HTTPS://hunter2@git.example.com/a/b",
        "https://user:hunter2/1@git.example.com/a/b",
        "https://git.example.com/a/b?private_token=hunter2",
        "ssh://user:hunter2@git.example.com/a/b",
    ],
)
def test_credentials_in_a_url_are_refused(url: str, tmp_path: Path, asked: Callable[..., Result]) -> None:
    """They would stand in the settings: they are neither written nor shown."""
    done = asked("--repo", url, "--dir", str(tmp_path), "--yes")

    assert "this URL holds credentials" in str(done.exception)
    assert "hunter2" not in f"{done.exception} {done.output}"
    assert list(tmp_path.iterdir()) == []


def test_what_others_named_breaks_nothing(
    repository_at: Callable[..., Any], tmp_path: Path, asked: Callable[..., Result]
) -> None:
    """A token in a remote, names that read as markup, variables or rules, and a tag of a file: none of it comes out."""
    made = repository_at(tmp_path / "[/x] ${HOME}")
    made.git("remote", "add", "origin", "https://x-access-token:hunter2@git.example.com/acme/${HOME}.git")
    for name in ("services/[slug]/go.mod", "services/\x1b[2Jb/go.mod"):
        (made.path / name).parent.mkdir(parents=True)
        (made.path / name).write_text("", encoding="utf-8")
    made.git("add", ".")
    made.commit(at=ago(48))
    made.tag("v1.0.0", at=ago(40))
    made.git("tag", "v9.0.0", made.git("hash-object", "-w", "services/[slug]/go.mod"))
    done = asked("--repo", str(made.path), "--dir", str(tmp_path / "new"), "--ask", answers="y\n1\n")

    assert done.exit_code == 0, done.output
    assert "release tags: 1 match, last v1.0.0; 1 does not: v9.0.0" in done.output
    assert "hunter2" not in done.output + texts(tmp_path / "new")
    assert "\x1b" not in done.output
    assert len(configuration(tmp_path / "new" / "paceline.yaml", {}, tmp_path).services) == 2


def test_apps_of_a_monorepo_are_services(
    new_repository: Callable[..., Any], tmp_path: Path, asked: Callable[..., Result]
) -> None:
    """Folders with a manifest and release tags of their own: a service each, with its paths and its own rule."""
    made = new_repository("mono")
    for name in ("services/api/go.mod", "services/web/package.json", "libs/money/go.mod", "tests/load/go.mod"):
        (made.path / name).parent.mkdir(parents=True)
        (made.path / name).write_text("", encoding="utf-8")
    made.git("add", ".")
    made.commit(at=ago(48))
    made.tag("api-1.0.0", at=ago(40))
    made.tag("web/v2.1", at=ago(30))
    done = asked("--repo", str(made.path), "--dir", str(tmp_path / "new"), "--yes")
    found = configuration(tmp_path / "new" / "paceline.yaml", {}, tmp_path)

    assert done.exit_code == 0, done.output
    assert [(s.name, [p.text for p in s.paths]) for s in found.services] == [
        ("api", ["services/api/*"]),
        ("web", ["services/web/*"]),
    ]
    assert "api: 1 match, last api-1.0.0 · web: 1 match, last web/v2.1" in done.output


# --- a forge ---------------------------------------------------------------------------------------------


@dataclass
class Forge:
    """A forge that listens; where `init` wrote, what it said, and how many requests that took."""

    provider: Provider
    address: str
    folder: Path
    done: Result
    requests: int


def world(shas: list[str]) -> World:
    """An organisation: a shop that deploys each change, something archived, and a fork."""
    merged = [before(60 * (CHANGES - n)) for n in range(CHANGES)]
    shipped = [before(60 * (CHANGES - n) - 2) for n in range(CHANGES)]
    shop = Held(
        pulls=[
            pull_request(
                n + 1, at, at, state="closed", merged_at=at, closed_at=at, merge_commit_sha=sha, first_commit_at=at
            )
            for n, (at, sha) in enumerate(zip(merged, shas, strict=True))
        ],
        deployments=[
            deployment(301 + n, at, [("success", at)], sha=sha)
            for n, (at, sha) in enumerate(zip(shipped, shas, strict=True))
        ]
        + [deployment(400, before(9), [("success", before(9))], environment="staging")],
        runs=[run(101, before(5), name="Deploy")],
        issues=[
            issue(7, before(50), before(48), "incident", state="closed", closed_at=before(48)),
            issue(8, before(40), before(40), "support"),
        ],
    )
    listed = [
        repository("acme/shop"),
        repository("acme/old", archived=True),
        repository("acme/copy", fork=True),
    ]
    return World(held={"acme/shop": shop}, organisations={"acme": listed})


@pytest.fixture(scope="module")
def forge(repository_at: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """What `init --github` writes for an organisation, and says. Git finds its clones in a folder."""
    root = tmp_path_factory.mktemp("forge")
    shop = repository_at(root / "git" / "acme" / "shop.git")
    shas = [shop.commit(at=ago(60 * (CHANGES - n))) for n in range(CHANGES)]
    provider = serve(world(shas), "http://forge.example/api")
    provider.token = TOKEN

    @provider.route(r"v3/repos/(?P<owner>[^/]+)/(?P<name>[^/]+)/labels")
    def _labels(_asked: Request, owner: str, name: str) -> Reply:
        return Reply([label("incident"), label("bug")])

    with served(provider) as base, pytest.MonkeyPatch.context() as patch:
        address = base.removesuffix("/api")
        patch.setenv("GIT_CONFIG_COUNT", "1")
        patch.setenv("GIT_CONFIG_KEY_0", f"url.{(root / 'git').as_uri()}/.insteadOf")
        patch.setenv("GIT_CONFIG_VALUE_0", f"{address}/")
        patch.setenv("GITHUB_TOKEN", TOKEN)
        arguments = ["--github", f"{address}/acme", "--dir", str(root / "new"), "--yes"]
        done = CliRunner().invoke(cli, ["init", *arguments])
        yield Forge(provider, address, root / "new", done, len(provider.asked))


def test_an_organisation_is_read_without_what_is_archived_or_a_fork(forge: Forge) -> None:
    """What is read and what was left out is said, and written."""
    assert forge.done.exit_code == 0, forge.done.output
    assert "acme at GitHub: 1 repositories. Left out: 1 archived (acme/old); 1 forks (acme/copy)." in forge.done.output
    assert "    organisations:\n    - acme\n    exclude:\n    - acme/copy\n" in texts(forge.folder)


def test_deployments_and_incidents_come_with_their_matches(forge: Forge) -> None:
    """The system's own deployments to production, and issues by their label, each with how many there are."""
    text = texts(forge.folder).replace("\n    # ", " ")

    assert "GitHub's own deployments: environment production: 12 deployments in the last 30 days" in text
    assert "not production: staging (1)" in text
    assert "issues labelled incident: 1 in the last 30 days" in text
    assert "Not taken: pipeline Deploy: 1 of" in text


def test_an_organisation_has_numbers_at_once(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes, their commits and deployments were imported: SLOs count them; the first opens the horizon."""
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    found = slos(forge.folder)

    assert found["merge-to-production"] == (SloStatus.HEALTHY, Decimal("0.9"), CHANGES - 1)
    assert found["deployments-hold"][2] == CHANGES


def test_neither_a_token_nor_a_person_stands_anywhere(forge: Forge) -> None:
    """The settings name the variable; no file, no store and no output holds the token, a login or an address."""
    everything = b"".join(p.read_bytes() for p in forge.folder.rglob("*") if p.is_file()) + forge.done.output.encode()

    assert "token: ${GITHUB_TOKEN}" in texts(forge.folder)
    assert [s for s in (TOKEN, PLANTED_LOGIN, PLANTED_NAME, PLANTED_MAIL) if s.encode() in everything] == []


def test_a_refused_token_says_what_it_needs_and_leaves_nothing(
    forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Callable[..., Result]
) -> None:
    """401: what the token must be allowed; no token is shown and nothing is written."""
    monkeypatch.setenv("GITHUB_TOKEN", "another-t0ken")
    done = asked("--github", f"{forge.address}/acme", "--dir", str(tmp_path / "new"), "--yes")

    assert "The token in GITHUB_TOKEN needs: Contents: read" in str(done.exception)
    assert "another-t0ken" not in f"{done.exception} {done.output}"
    assert list(tmp_path.iterdir()) == []


def test_what_a_source_could_not_hand_out_is_said(
    forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Callable[..., Result]
) -> None:
    """A repository that cannot be cloned breaks nothing, and is named: numbers would lack its commits."""
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "0")
    done = asked("--github", f"{forge.address}/acme", "--dir", str(tmp_path / "new"), "--yes")

    assert done.exit_code == 0, done.output
    assert "github: cut off: acme/shop" in done.output


def test_a_missing_token_is_named(tmp_path: Path, asked: Callable[..., Result]) -> None:
    """The variable that the source's page names is asked for; nothing is sent anywhere."""
    done = asked("--github", "acme", "--dir", str(tmp_path / "new"), "--yes")

    assert "GITHUB_TOKEN: it is not set; expected an access token of GitHub" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_breaks_leaves_nothing(
    forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Callable[..., Result]
) -> None:
    """All is written, or nothing: an import that fails takes the settings with it."""
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    provider = forge.provider
    provider.faults[len(provider.asked) + forge.requests - 2] = Reply({"message": "Bad credentials"}, status=401)
    done = asked("--github", f"{forge.address}/acme", "--dir", str(tmp_path / "new"), "--yes")

    assert str(done.exception).startswith("github: ")
    assert "answered 401" in str(done.exception)
    assert list(tmp_path.iterdir()) == []
