"""Builds of a Buildbot master: what becomes of each, how they are read on, and what the master's posts bring."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from names import PLANTED_MAIL, PLANTED_NAME
from providers.buildbot import BASE, BULK_KIND, LIBRARY, SHOP, START, TOKEN, World, bulk, provider, sha, world
from replay import Fault, Provider, Reply

from collector.errors import ContractError, RetryableError
from collector.events import Deployment, Event, PipelineRun, Result, RunState
from collector.http import Answer, Wire
from collector.source import Page, SourceContext
from collector.sources.buildbot import Build, BuildbotConfig, repository_of
from collector.webhooks import Delivery

DEPLOYS = [{"pipeline": "deploy-*", "to": "production"}]


def at(seconds: float) -> datetime:
    """Seconds after the world's start."""
    return datetime.fromtimestamp(START, UTC) + timedelta(seconds=seconds)


@dataclass
class Reader:
    """Reads a master run after run."""

    api: Provider
    config: BuildbotConfig
    context: SourceContext
    cursor: str | None = None
    pages: tuple[Page, ...] = ()

    def run(self) -> list[Event]:
        """The events of a run; its cursor is the next one's."""
        found = []
        for page in self.config.build(self.context).pull(self.cursor):
            found.append(page)
            self.cursor = page.cursor
        self.pages = tuple(found)
        return [e for page in found for e in page.events]

    def runs(self) -> list[PipelineRun]:
        """The runs of a run."""
        return [e for e in self.run() if isinstance(e, PipelineRun)]

    def deployments(self) -> list[Deployment]:
        """The deployments of a run."""
        return [e for e in self.run() if isinstance(e, Deployment)]

    @property
    def warnings(self) -> list[str]:
        """The warnings of the last run."""
        return [w for page in self.pages for w in page.warnings]

    def asked(self, path: str) -> int:
        """How often a path was asked for."""
        return len([one for one in self.api.asked if one.path == path])


@pytest.fixture
def master() -> World:
    """A master without a build."""
    return World()


@pytest.fixture
def reader_of(context: SourceContext) -> Callable[..., Reader]:
    """A reader of a world; further arguments are settings."""

    def make(made: World, **settings: Any) -> Reader:
        api = provider(made)
        wire = Wire(adapter=api, sleep=lambda _: None, chance=lambda: 0.0)
        fields = {"name": "ci", "type": "buildbot", "url": BASE.removesuffix("/api/v2"), "token": TOKEN, **settings}
        return Reader(api, BuildbotConfig.model_validate(fields), replace(context, wire=wire))

    return make


@pytest.fixture
def reader(master: World, reader_of: Callable[..., Reader]) -> Reader:
    """A reader of the master, with a rule for what deploys."""
    return reader_of(master, deployments=DEPLOYS)


# ---- what a build becomes


def test_a_build_is_a_run(master: World, reader: Reader, context: SourceContext) -> None:
    """A build is a run of its builder, with its request's time, its commit and the hash of whose it is."""
    master.build("tests", 60, waited=20, seconds=300, got_revision=sha(5), owner=f"{PLANTED_NAME} <{PLANTED_MAIL}>")

    assert reader.run() == [
        PipelineRun(
            source="ci",
            native_id="run/1",
            updated_at=at(360),
            url="https://buildbot.example.com/#/builders/1/builds/1",
            repository="acme/shop",
            pipeline="tests",
            state=RunState.COMPLETED,
            result=Result.SUCCESS,
            created_at=at(40),
            started_at=at(60),
            finished_at=at(360),
            sha=sha(5),
            ref="main",
            actor=context.people.hashed(PLANTED_MAIL),
        )
    ]


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (0, Result.SUCCESS),
        (1, Result.SUCCESS),
        (2, Result.FAILURE),
        (3, Result.SKIP),
        (4, Result.ERROR),
        (5, Result.CANCELLATION),
        (6, Result.CANCELLATION),
    ],
)
def test_each_result_has_its_meaning(master: World, reader: Reader, code: int, result: Result) -> None:
    """Warnings are a success, an exception an error; what is retried or cancelled is neither success nor failure."""
    master.build("tests", 0, results=code)

    assert [run.result for run in reader.runs()] == [result]


@pytest.mark.parametrize("code", [7, None])
def test_an_unknown_result_is_counted_and_named(master: World, reader: Reader, code: int | None) -> None:
    """A result that nobody documented → record survives; the unknown value is counted and named."""
    master.build("tests", 0, results=code)
    master.build("tests", 1, results=code)

    assert [run.result for run in reader.runs()] == [Result.CANCELLATION, Result.CANCELLATION]
    assert reader.warnings == [f"results '{code}' is not known here; it is taken as cancelled (2 times)"]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, sha(1)),
        ({"revision": None, "got_revision": sha(9)}, sha(9)),
        ({"revision": None, "got_revision": sha(9).upper()}, sha(9)),
        ({"revision": "", "got_revision": "1234"}, sha(1)),
        ({"got_revision": {"": sha(9), "other": sha(8)}}, sha(9)),
        ({"got_revision": 12}, sha(1)),
    ],
)
def test_the_commit_is_what_was_checked_out(
    master: World, reader: Reader, properties: dict[str, Any], expected: str
) -> None:
    """`got_revision` comes first, then what was asked for; a number of another system is no commit."""
    master.build("tests", 0, **properties)
    # A build without a repository among its properties has its stamps read.
    master.builds[0]["properties"].pop("repository")

    assert [run.sha for run in reader.runs()] == [expected]


def test_a_build_of_several_codebases_counts_for_the_first(master: World, reader: Reader) -> None:
    """Of several codebases the first by name says repository, branch and commit; their requests are asked once."""
    stamps = [
        {"codebase": "web", "repository": SHOP, "revision": sha(7), "branch": "main", "project": "p"},
        {"codebase": "lib", "repository": LIBRARY, "revision": sha(8), "branch": "next", "project": "p"},
    ]
    master.build("both", 0, stamps=stamps, got_revision={"web": sha(1), "lib": sha(2)})
    master.build("both", 1, stamps=stamps)

    runs = reader.runs()

    assert [(r.repository, r.sha, r.ref) for r in runs] == [
        ("acme/library", sha(2), "next"),
        ("acme/library", sha(8), "next"),
    ]
    assert reader.asked("buildsets") == 1


def test_a_build_without_code_counts_for_its_project_or_builder(master: World, reader: Reader) -> None:
    """A nightly job that checks nothing out is a run all the same, without a commit."""
    master.build("nightly", 0, stamps=[])
    master.build("nightly", 1, stamps=[], project="housekeeping")

    assert [(r.repository, r.sha) for r in reader.runs()] == [("nightly", None), ("housekeeping", None)]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://git.example.com/acme/shop.git", "acme/shop"),
        ("https://token@git.example.com:8443/acme/sub/shop/", "acme/sub/shop"),
        ("ssh://git@git.example.com:2222/acme/shop.git", "acme/shop"),
        ("git@git.example.com:acme/shop.git", "acme/shop"),
        ("https://bitbucket.example.com/scm/acme/shop.git", "acme/shop"),
        ("https://dev.azure.com/org/acme/_git/shop", "acme/shop"),
        ("/srv/git/shop.git", "shop"),
    ],
)
def test_a_repository_is_named_by_its_address(address: str, name: str) -> None:
    """The name is the one that its forge gives it, without server, user, ending and what stands beside it."""
    assert repository_of(address) == name


def test_a_repository_may_be_called_as_others_call_it(master: World, reader_of: Any) -> None:
    """`repositories` gives the name that other sources use for an address."""
    master.build("tests", 0)

    assert [r.repository for r in reader_of(master, repositories={SHOP: "commerce/shop"}).runs()] == ["commerce/shop"]


def test_a_virtual_builder_is_called_by_its_own_name(master: World, reader: Reader) -> None:
    """What the master shows under another name is a pipeline of that name."""
    master.build("docker-17", 0, virtual_builder_name="acme/shop main")

    assert [r.pipeline for r in reader.runs()] == ["acme/shop main"]


@pytest.mark.parametrize(
    ("properties", "actor", "bot"),
    [
        ({"owner": "Ada <Ada@People.example>"}, "ada@people.example", False),
        ({"owners": ["Ada <ada@people.example>"]}, "ada@people.example", False),
        ({"owner": "ada"}, "ada", False),
        ({"owner": "dependabot[bot] <dependabot[bot]@users.noreply.example>"}, "dependabot[bot]", True),
        ({"owners": ["Ada <ada@people.example>", "Bob <bob@people.example>"]}, None, False),
        ({"owner": None, "owners": None}, None, False),
        ({}, None, False),
    ],
)
def test_a_build_is_of_whom_it_says(
    master: World,
    reader: Reader,
    context: SourceContext,
    properties: dict[str, Any],
    actor: str | None,
    bot: bool,  # noqa: FBT001 - one of several values
) -> None:
    """Who forced a build, or its only author, is its actor; of several authors nobody is. A bot is one."""
    master.build("tests", 0, **properties)

    assert [(r.actor, r.bot) for r in reader.runs()] == [(actor and context.people.hashed(actor), bot)]


def test_a_run_without_a_request_has_no_creation_time(master: World, reader: Reader) -> None:
    """A run without a creation time → its start and end stand; the wait is unknown, and it is not dropped."""
    master.build("tests", 0)
    master.requests.clear()

    assert [(r.created_at, r.started_at) for r in reader.runs()] == [(None, at(0))]


def test_a_record_that_is_not_as_documented_is_set_aside(master: World, reader: Reader) -> None:
    """One broken build is named by its place and id; the others are read."""
    master.build("tests", 0)
    master.build("tests", 1)["builderid"] = "two"
    master.build("tests", 2)

    assert [r.native_id for r in reader.runs()] == ["run/1", "run/3"]
    assert [r.location for page in reader.pages for r in page.rejected] == [
        "GET https://buildbot.example.com/builds item 2"
    ]


# ---- deployments


def test_a_builder_that_a_rule_names_deploys(master: World, reader: Reader) -> None:
    """A build of a deploying builder is a deployment, with its version and the changes since the last good one."""
    build = master.build("deploy-shop", 0, seconds=90, environment="eu", version="1.2.0", got_revision=sha(3))
    master.changes[build["buildid"]] = [sha(3), sha(2), "r17", sha(2)]

    (deployment,) = reader.deployments()

    assert (deployment.native_id, deployment.service, deployment.environment) == (
        "run/1/shop/production",
        "shop",
        "production",
    )
    assert (deployment.finished_at, deployment.result) == (at(90), Result.SUCCESS)
    assert (deployment.version, deployment.sha, deployment.change_shas) == ("1.2.0", sha(3), (sha(3), sha(2)))


def test_changes_are_left_out_where_nobody_wants_them(master: World, reader_of: Any) -> None:
    """`changes: false` saves a request for each deployment."""
    build = master.build("deploy-shop", 0)
    master.changes[build["buildid"]] = [sha(3)]
    reader = reader_of(master, deployments=DEPLOYS, changes=False)

    assert [d.change_shas for d in reader.deployments()] == [()]
    assert reader.asked("builds/1/changes") == 0


def test_without_a_rule_nothing_is_deployed(master: World, reader_of: Any) -> None:
    """No rule for "production" is configured → nothing is production; a build called deploy is seen as a lookalike."""
    master.build("deploy-shop", 0)
    reader = reader_of(master)

    assert reader.deployments() == []
    assert list(reader.context.findings.lookalikes) == ["acme/shop: deploy-shop"]


def test_the_environment_is_the_property_that_names_it(master: World, reader_of: Any) -> None:
    """A rule may take builds by their environment, from the property that holds it."""
    master.build("release", 0, where="eu")
    master.build("release", 1, where="staging")
    rules = [{"environment": "eu"}]

    found = reader_of(master, deployments=rules, environment_property="where").deployments()

    assert [d.environment for d in found] == ["eu"]


@pytest.mark.parametrize("code", [3, 5, 6])
def test_a_cancelled_deployment_is_none(master: World, reader: Reader, code: int) -> None:
    """Cancelled, skipped, abandoned → neither success nor failure; a skipped job deploys nothing."""
    master.build("deploy-shop", 0, results=code)

    assert reader.deployments() == []


def test_a_running_deployment_is_looked_at_until_it_ended(master: World, reader: Reader) -> None:
    """Running → no deployment yet, and looked at again until finished, however long that takes."""
    build = master.build("deploy-shop", 0, seconds=None)
    first = reader.deployments()
    later = [master.build("tests", 36_000 + n) for n in range(3)]
    second = reader.deployments()
    master.end(build, 90_000, 0)

    assert (first, second, len(later)) == ([], [], 3)
    assert [(d.native_id, d.finished_at) for d in reader.deployments()] == [("run/1/shop/production", at(90_000))]


def test_the_same_artifact_deployed_again_is_another_deployment(master: World, reader: Reader) -> None:
    """Redeploy of the same artifact → a deployment of its own."""
    master.build("deploy-shop", 0, got_revision=sha(3))
    master.build("deploy-shop", 500, got_revision=sha(3))

    assert [d.native_id for d in reader.deployments()] == ["run/1/shop/production", "run/2/shop/production"]


# ---- reading on


def test_all_pages_are_read(reader_of: Any) -> None:
    """Two full pages and an empty last page → everything is read, each build once."""
    made = world()
    reader = reader_of(made)

    assert [r.native_id for r in reader.runs()] == [f"run/{b['buildid']}" for b in made.builds]
    assert reader.asked("builds") == 3


def test_a_thousand_builds_cost_what_the_page_says(master: World, reader: Reader) -> None:
    """The stated costs hold: 10 requests for 1 000 builds, beside the builders and the empty end."""
    for number in range(1_000):
        master.build("tests", number)

    assert len(reader.runs()) == 1_000
    assert len(reader.api.asked) == 12


def test_a_run_in_which_nothing_happened_is_cheap(reader: Reader, master: World) -> None:
    """Without a new build three requests tell so: builders, what runs, what is new."""
    master.build("tests", 0)
    master.build("tests", 36_000, seconds=None)
    reader.run()
    before = len(reader.api.asked)
    reader.run()

    # The running build is also within the overlap, so it is read once more.
    assert len(reader.api.asked) - before == 6


def test_what_was_shown_late_is_read(master: World, reader: Reader) -> None:
    """A build whose id another master took first and wrote later is within the overlap."""
    master.build("tests", 0)
    late = master.build("tests", 600)
    master.build("tests", 1_200)
    master.builds.remove(late)
    reader.run()
    master.builds.append(late)

    assert late["buildid"] in [int(r.native_id.removeprefix("run/")) for r in reader.runs()]


def test_old_builds_are_not_read_again(master: World, reader: Reader) -> None:
    """A later run asks from the newest start that was met, less the overlap, in whole seconds since 1970."""
    master.build("tests", 0)
    master.build("tests", 36_000)
    reader.run()

    assert [r.native_id for r in reader.runs()] == ["run/2"]
    assert reader.api.asked[-1].one("started_at__ge") == str(START + 36_000 - 3_600)


def test_the_first_run_reads_the_history_that_is_asked_for(master: World, reader_of: Any) -> None:
    """`history` says how far back a first run reads, by our clock alone there."""
    master.build("tests", 0)
    master.build("tests", 12 * 86_400)

    assert [r.native_id for r in reader_of(master, history="7d").runs()] == ["run/2"]


def test_the_future_is_not_asked_for(master: World, reader: Reader) -> None:
    """The source's clock is ahead → no window in the future; the next run starts from what was read."""
    master.build("tests", 0)
    master.build("tests", 86_400 * 365)
    reader.run()
    master.build("tests", 86_400 * 365 + 10)

    assert [r.native_id for r in reader.runs()] == ["run/2", "run/3"]


def test_a_build_that_the_master_deleted_is_asked_for_no_more(master: World, reader: Reader) -> None:
    """A build that ran when it was read and is gone since → not asked for again; what was read stays."""
    build = master.build("tests", 0, seconds=None)
    reader.run()
    master.build("tests", 36_000)
    master.builds.remove(build)
    reader.run()

    assert json.loads(reader.cursor or "")["streams"]["builds"].get("open", []) == []


def test_a_build_that_never_ends_is_given_up(master: World, reader_of: Any) -> None:
    """A build that a crash left open for longer than the history is said, and not asked for for ever."""
    master.build("tests", 0, seconds=None)
    reader = reader_of(master, history="30d")
    reader.run()
    reader.context = replace(reader.context, clock=lambda: at(86_400 * 40))
    reader.run()

    assert "began before 2026-02-26 never ended, and are asked for no more: 1" in reader.warnings[0]
    assert json.loads(reader.cursor or "")["streams"]["builds"].get("open", []) == []


def passing_over(api: Provider, name: str) -> None:
    """Make a master pass over a filter, as a proxy that rewrites addresses does."""
    place = [pattern.pattern for _, pattern, _ in api.routes].index("builds")
    method, pattern, whole = api.routes[place]
    api.routes[place] = (method, pattern, lambda asked: whole(asked._replace(query={**asked.query, name: ["0"]})))


@pytest.mark.parametrize(("name", "began"), [("started_at__ge", 0), ("buildid__gt", 86_400 * 2.5)])
def test_a_filter_that_is_passed_over_is_an_error(master: World, reader_of: Any, name: str, began: float) -> None:
    """`since` goes out in epoch seconds; a build from before it, or known, proves that it was ignored → error."""
    master.build("tests", int(began))
    reader = reader_of(master, history="1d")
    reader.context = replace(reader.context, clock=lambda: at(86_400 * 3))
    passing_over(reader.api, name)

    with pytest.raises(ContractError, match="parameters out"):
        reader.run()


def test_only_the_builders_that_are_named_are_read(master: World, reader_of: Any) -> None:
    """`builders` is asked of the master itself, so that a large farm is not read whole."""
    for name in ("tests", "deploy-shop", "docs"):
        master.build(name, 0)
    reader = reader_of(master, builders=["tests", "deploy-*"])

    assert [r.pipeline for r in reader.runs()] == ["tests", "deploy-shop"]
    assert [a.query["builderid__eq"] for a in reader.api.asked if a.path == "builds"] == [["1", "2"]] * 2


def test_a_rule_that_no_builder_fits_is_said(master: World, reader_of: Any) -> None:
    """A rule for builders that fits none is a warning, not a silent nothing."""
    master.build("tests", 0)
    reader = reader_of(master, builders="deploy-*")

    assert reader.run() == []
    assert reader.warnings == ["no builder fits `builders`, so no build is read"]


def test_a_master_that_fails_for_long_is_given_up(master: World, reader: Reader) -> None:
    """A server that fails again and again ends the run with an error to retry; nothing hangs."""
    master.build("tests", 0)
    faults: dict[int, Fault] = {n: Reply({}, status=502) for n in range(1, 9)}
    reader.api.faults = faults

    with pytest.raises(RetryableError):
        reader.run()


def test_a_password_is_sent_where_a_proxy_asks_for_one(master: World, reader_of: Any) -> None:
    """With `username` the token is a password; without, a bearer token."""
    reader = reader_of(master, username="paceline")
    reader.api.token = ""
    reader.run()
    other = reader_of(master)
    other.run()

    expected = f"Basic {b64encode(f'paceline:{TOKEN}'.encode()).decode()}"
    assert {one.headers["authorization"] for one in reader.api.asked} == {expected}
    assert {one.headers["authorization"] for one in other.api.asked} == {f"Bearer {TOKEN}"}


# ---- posts


SECRET = "a-secret-of-the-posts"  # noqa: S105 - planted


def delivery(body: Any, authorization: str = f"Bearer {SECRET}") -> Delivery:
    """A post as a master sends it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery(headers={"authorization": authorization}, body=raw, received_at=at(0))


def pushed(master: World, number: int) -> dict[str, Any]:
    """What `HttpStatusPush` sends of a build."""
    build = master.builds[number - 1]
    (builder,) = [b for b in master.builders if b["builderid"] == build["builderid"]]
    around = {"builder": builder, "buildrequest": master.requests[number - 1], "buildset": master.buildsets[number - 1]}
    return {**build, **around, "parentbuild": None, "parentbuilder": None, "url": "http://internal:8010/#/1"}


@pytest.fixture
def receiver_of(reader_of: Any) -> Callable[..., Any]:
    """What takes the posts of a master; further arguments are settings."""

    def make(**settings: Any) -> Any:
        reader: Reader = reader_of(World(), **{"deployments": DEPLOYS, "webhook_secret": SECRET, **settings})
        return reader.config.receiver(reader.context)

    return make


def test_a_post_gives_the_events_of_the_api(reader_of: Any, receiver_of: Any) -> None:
    """The same native id by webhook and by polling → one: each build's post gives what reading it gives."""
    made = world()
    made.changes.clear()

    polled = reader_of(made, deployments=DEPLOYS).run()
    posts = [receiver_of().read(delivery(pushed(made, n))) for n in range(1, len(made.builds) + 1)]

    assert {e.id: e for post in posts for e in post.events} == {e.id: e for e in polled}


@pytest.mark.parametrize(
    ("authorization", "genuine"),
    [
        (f"Bearer {SECRET}", True),
        (f"Basic {b64encode(f'any:{SECRET}'.encode()).decode()}", True),
        ("Bearer something-else", False),
        (f"Basic {b64encode(b'any:something').decode()}", False),
        ("Basic ===", False),
        (f"Digest {SECRET}", False),
        ("", False),
    ],
)
def test_a_post_needs_the_secret(
    receiver_of: Any,
    authorization: str,
    genuine: bool,  # noqa: FBT001 - one of several values
) -> None:
    """The secret comes as a bearer token or as a password; anything else is nobody's post."""
    assert receiver_of().is_genuine(delivery({}, authorization)) is genuine


def test_without_a_secret_nothing_is_taken(receiver_of: Any) -> None:
    """Posts are closed unless `webhook_secret` is set."""
    assert receiver_of(webhook_secret="") is None


def test_what_is_no_build_is_ignored_by_name(receiver_of: Any, master: World) -> None:
    """Reports of workers, and builds of builders that are not read, say why nothing came of them."""
    master.build("docs", 0)

    ignored = [
        receiver_of().read(delivery({"worker": {"name": "w1"}})).ignored,
        receiver_of(builders="tests").read(delivery(pushed(master, 1))).ignored,
    ]

    assert ignored == ["a report that is not of a build", "a build of a builder that `builders` leaves out"]


@pytest.mark.parametrize("body", [b"<html>", b'{"buildid": 3}', b'{"buildid": 3, "builderid": "x"}', b"[]"])
def test_a_post_that_is_not_as_documented_is_an_error(receiver_of: Any, body: bytes) -> None:
    """A body that is no build's is an error of its own, never a build with guesses in it."""
    with pytest.raises(ContractError):
        receiver_of().read(delivery(body))


def test_a_post_that_comes_again_is_the_same(receiver_of: Any, master: World) -> None:
    """Two posts with one body have one id; a build's beginning and end have two."""
    build = master.build("tests", 0, seconds=None)
    begun = [receiver_of().read(delivery(pushed(master, 1))) for _ in range(2)]
    master.end(build, 60, 0)
    ended = receiver_of().read(delivery(pushed(master, 1)))

    assert begun[0].id == begun[1].id != ended.id
    assert [e.native_id for e in (*begun[0].events, *ended.events)] == ["run/1", "run/1"]


def test_pages_of_any_size_can_be_made() -> None:
    """The pages that measures are made with are pages of builds."""
    pages = [Answer(200, {}, body, "GET").items(Build, BULK_KIND) for body in bulk(450)]

    assert [(len(builds), len(rejected)) for builds, rejected in pages] == [(200, 0), (200, 0), (50, 0)]
