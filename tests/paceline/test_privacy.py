"""Nobody gets out: generated and planted names are in no output, and the audit finds those that are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.events import Deployment, Event, Result, UsageEvent
from collector.people import People
from collector.store import Database, EventStore
from paceline.audit import Audit, audited
from paceline.cli import SHORT, cli, main
from paceline.outputs import NoOutput, Output, Ways, _asked, _ExplainedOnce
from paceline.privacy import MASK, KnownPeople, Search, plain, with_no_address, without_addresses
from paceline.service import Service
from paceline.web import create_app
from paceline.wiring import Running, build, clock_of, configuration, people_of
from slo_engine.identities import Identities
from slo_engine.indicator import Family, Indicator, Shape, families
from slo_engine.observation import Observation, Outcome, Subject, from_micros, labelled

KEY = "k" * 32
PEOPLE = People(KEY.encode())
ADA_MAIL, BOB_MAIL = "ada.quillfeather@people.example", "bob.thistle@people.example"
NAMES = ("quillfeather", "thistle", "marrowby")
"""What nobody may read anywhere: every planted login, address and name holds one of them."""

PLANTED: tuple[dict[str, Any], ...] = (
    {
        "kind": "commit",
        "native_id": "c1",
        "repository": "o/shop",
        "sha": "a" * 40,
        "authored_at": "2026-03-03T08:00:00Z",
        "committed_at": "2026-03-03T08:00:00Z",
        "author": ADA_MAIL,
        "on_default_branch": True,
    },
    {
        "kind": "change",
        "native_id": "p1",
        "repository": "o/shop",
        "state": "merged",
        "created_at": "2026-03-03T07:00:00Z",
        "merged_at": "2026-03-03T08:00:00Z",
        "merge_sha": "a" * 40,
        "number": 7,
        "title": "Fix what Bob Thistle broke, says ada-quillfeather",
        "source_branch": "bob.thistle/fix",
        "labels": ["reviewed-by-marrowby"],
        "author": "ada-quillfeather",
        "url": "https://forge.example/ada-quillfeather/shop/pull/7",
    },
    {
        "kind": "review",
        "native_id": "r1",
        "repository": "o/shop",
        "change_native_id": "p1",
        "at": "2026-03-03T07:30:00Z",
        "state": "approved",
        "author": "marrowby",
        "url": f"https://forge.example/o/shop/pull/7?by={BOB_MAIL.replace('@', '%40')}",
    },
    {
        "kind": "pipeline_run",
        "native_id": "run1",
        "repository": "o/shop",
        "pipeline": "deploy by Bob Thistle",
        "task": f"notify {BOB_MAIL}",
        "run_kind": "task",
        "state": "completed",
        "result": "failure",
        "created_at": "2026-03-03T08:00:00Z",
        "started_at": "2026-03-03T08:01:00Z",
        "finished_at": "2026-03-03T08:02:00Z",
        "actor": "marrowby",
        "url": "https://ci.example/~marrowby/run1",
    },
    {
        "kind": "pipeline_run",
        "native_id": "run2",
        "repository": "o/shop",
        "pipeline": "marrowby-nightly",
        "state": "completed",
        "result": "failure",
        "created_at": "2026-03-03T08:00:00Z",
        "started_at": "2026-03-03T08:01:00Z",
        "finished_at": "2026-03-03T08:02:00Z",
    },
    {
        "kind": "deployment",
        "native_id": "d0",
        "service": "shop",
        "environment": "production",
        "repository": "o/shop",
        "sha": "b" * 40,
        "finished_at": "2026-03-02T10:00:00Z",
        "result": "success",
    },
    {
        "kind": "deployment",
        "native_id": "d1",
        "service": "shop",
        "environment": "production",
        "repository": "o/shop",
        "sha": "a" * 40,
        "version": "1.2-marrowby",
        "finished_at": "2026-03-03T10:00:00Z",
        "result": "success",
        "actor": "bob.thistle",
        "url": "https://cd.example/d1?actor=marrowby",
    },
    {
        "kind": "deployment",
        "native_id": "d2",
        "service": ADA_MAIL,
        "environment": f"sandbox of {BOB_MAIL}",
        "finished_at": "2026-03-03T10:00:00Z",
        "result": "success",
    },
    {
        "kind": "incident",
        "native_id": "i1",
        "service": "shop",
        "environment": "production",
        "state": "resolved",
        "title": "Bob Thistle unplugged it; call marrowby",
        "started_at": "2026-03-03T11:00:00Z",
        "restored_at": "2026-03-03T12:00:00Z",
        "labels": [f"owner:{BOB_MAIL}"],
        "url": "https://pager.example/u/bob.thistle/i1",
    },
    {
        "kind": "ticket",
        "native_id": "t1",
        "queue": BOB_MAIL,
        "type": f"asked by {ADA_MAIL}",
        "priority": ADA_MAIL,
        "title": "For Ada Quillfeather",
        "state": "resolved",
        "created_at": "2026-03-03T09:00:00Z",
        "resolved_at": "2026-03-03T10:00:00Z",
        "author": ADA_MAIL,
        "author_team": f"people/{ADA_MAIL}",
        "replies": [{"at": "2026-03-03T09:30:00Z", "author": "marrowby"}],
        "url": "https://desk.example/ada-quillfeather/t1",
    },
    {
        "kind": "self_service_attempt",
        "native_id": "s1",
        "journey": f"new-service for {ADA_MAIL}",
        "started_at": "2026-03-03T09:00:00Z",
        "finished_at": "2026-03-03T09:10:00Z",
        "result": "success",
        "requester": "ada-quillfeather",
        "requester_team": f"/people/{ADA_MAIL}",
        "approvals": [{"requested_at": "2026-03-03T09:01:00Z", "actor": BOB_MAIL}],
        "url": "https://portal.example/users/ada-quillfeather",
    },
    {
        "kind": "usage_event",
        "native_id": "u1",
        "capability": f"desk of {BOB_MAIL}",
        "action": ADA_MAIL,
        "team": BOB_MAIL,
        "at": "2026-03-03T09:00:00Z",
        "person": BOB_MAIL,
    },
    {
        "kind": "survey_response",
        "native_id": "v1",
        "survey": "pulse",
        "wave": "2026-Q1",
        "question": f"Do you like {ADA_MAIL}?",
        "scale": "nps",
        "score": 9,
        "at": "2026-03-03T09:00:00Z",
        "respondent": ADA_MAIL,
        "team": f"/team/{BOB_MAIL}",
    },
    {
        "kind": "member",
        "native_id": "m1",
        "person": ADA_MAIL,
        "member_kind": "hire",
        "started_at": "2026-03-02T00:00:00Z",
    },
    {"kind": "usage_event", "native_id": "u2", "capability": "builds", "at": "nonsense", "person": "marrowby"},
)
IDENTITIES = f"people: [{{person: E-17, accounts: [ada-quillfeather], mails: [{ADA_MAIL}]}}]\n"
SLOS = Path(__file__).parent / "good" / "slos" / "fast.yaml"


class World(NamedTuple):
    """A running service over planted events, and the file of its settings."""

    running: Running
    config: Path


def planted(folder: Path) -> Path:
    """Writes settings over a file of planted events."""
    (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in PLANTED), encoding="utf-8")
    (folder / "people.yaml").write_text(IDENTITIES, encoding="utf-8")
    (folder / "fast.yaml").write_text(SLOS.read_text(encoding="utf-8"), encoding="utf-8")
    path = folder / "paceline.yaml"
    path.write_text(
        "sources: [{type: files, name: events, path: events.jsonl}]\nidentities: [people.yaml]\nslos: [fast.yaml]\n"
        "as_of: 2026-03-09T06:00:00Z\nlogs: {level: error}\nprivacy: {smallest_group: 3}\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of a test's own."""
    monkeypatch.setenv("PACELINE_PEOPLE_KEY", KEY)
    return planted(tmp_path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One service for all tests that only read, with everything collected."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PACELINE_PEOPLE_KEY", KEY)
        path = planted(tmp_path_factory.mktemp("planted"))
        with closing(build(configuration(path, {}, path.parent))) as running:
            assert running.service.collect(running.service.configuration.sources[0]).rejected_total == 1
            yield World(running, path)


@pytest.fixture(scope="module")
def made(world: World) -> list[Output | str]:
    """Everything that leaves the service, and each way out at the moment when it was told."""
    configured = world.running.service.configuration
    found: list[Output | str] = []
    ways = Ways(world.running, cli, world.config, clock_of(configured), collect=True, at_hand=found.append)
    for output in ways.outputs():
        found.append(output)  # noqa: PERF402 - the ways are told in between
    return found


@pytest.fixture(scope="module")
def outputs(made: list[Output | str]) -> list[Output]:
    """Everything that leaves the service."""
    return [one for one in made if not isinstance(one, str)]


def looked_through(world: World, outputs: list[Output], *own: str) -> Audit:
    """What the audit says of some outputs."""
    people = people_of(world.running.service.configuration, {"PACELINE_PEOPLE_KEY": KEY})
    return audited(world.running, people, outputs, frozenset(own))


# ---- what gets out


def test_trap_124_planted_names_are_in_no_output(world: World, outputs: list[Output]) -> None:
    """No login, name or address in any label, log, chart, report or export: every output is read for what was planted.

    It is compared as text, without what the audit itself makes of it.
    """
    read = [(o.channel, o.place, plain(o.text).casefold()) for o in outputs]

    assert [(c, p, n) for c, p, text in read for n in NAMES if n in text] == []


def test_trap_124_the_audit_passes_over_them(world: World, outputs: list[Output]) -> None:
    """The audit reads the same outputs and finds nobody."""
    assert looked_through(world, outputs).findings == ()


def test_every_way_out_is_looked_at(outputs: list[Output]) -> None:
    """Metrics, pages, the API, notifications, files, commands and the log all say something."""
    said = {o.channel for o in outputs if o.text.strip()}

    assert said == {
        *("metrics", "pages", "API", "files", "commands", "logs"),
        *("notification by slack", "notification by email", "notification by webhook"),
    }


def test_what_was_planted_is_shown_without_names(outputs: list[Output]) -> None:
    """Services, queues and journeys that were called like somebody are still counted, with the address masked."""
    metrics = next(o.text for o in outputs if o.place == "Prometheus text")

    assert f'service="{MASK}"' in metrics
    assert f'journey="new-service for {MASK}"' in metrics
    assert f'queue="{MASK}"' in metrics


def test_what_webhooks_tell_is_looked_at(outputs: list[Output]) -> None:
    """What came to which source is told by the API as well."""
    assert [o.channel for o in outputs if o.place == "/webhooks"] == ["API"]


def test_nothing_is_looked_at_twice(outputs: list[Output]) -> None:
    """No way out is made of the same thing again."""
    places = [(o.channel, o.place) for o in outputs]

    assert len(places) == len(set(places))


@pytest.mark.usefixtures("outputs")  # before the numbers were made nothing explains them
@pytest.mark.parametrize("path", ["/explain/deployment_frequency", "/api/v1/explain/deployment_frequency"])
def test_an_explanation_made_once_says_the_same(world: World, path: str) -> None:
    """Page and API say what they say without each other, also where one lists less than the other."""
    once, service = create_app(_ExplainedOnce(world.running.service)), create_app(world.running.service)
    queries = ("window=90d&limit=1", "window=90d&limit=1000", "window=90d&limit=1&offset=1", "window=7d")

    said = [_asked(once, path, query) for query in queries]

    assert said == [_asked(service, path, query) for query in queries]
    assert len(set(said)) == len(queries)


def test_commands_work_with_the_same_service(world: World) -> None:
    """A command that evaluates does it with the service at hand, and leaves it open for the next one."""
    ways, service = Ways(world.running, cli, world.config, world.running.service._clock), world.running.service
    first = service.refresh()

    said = [ways._run(["gate", "--service", "shop", "--dry-run"]), ways._run(["slo", "list"]), ways._run(["report"])]

    assert service.published is not first
    assert all(said)


def test_what_a_command_logs_is_part_of_what_it_says(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its log goes where it writes; what is logged after it goes to standard error again."""
    settings.write_text(settings.read_text(encoding="utf-8").replace("level: error", "level: info"), encoding="utf-8")
    with closing(build(configuration(settings, {}, settings.parent))) as running:
        running.service.collect(running.service.configuration.sources[0])
        capsys.readouterr()

        said = Ways(running, cli, settings, running.service._clock)._run(["evaluate"])
        running.log.info("said afterwards")

    assert "derived" in said
    assert "derived" not in (err := capsys.readouterr().err)
    assert "said afterwards" in err


def test_no_colour_is_written_into_a_word(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal's escapes would stand at the beginning of words, which would not be somebody's any more."""
    monkeypatch.setenv("FORCE_COLOR", "1")

    said = Ways(world.running, cli, world.config, world.running.service._clock)._run(["evaluate"])

    assert "\x1b" not in said


@pytest.mark.parametrize("arguments", [["nonsense"], ["explain", "nonsense"]])
def test_a_command_that_fails_is_no_proof(world: World, clock: Callable[[], datetime], arguments: list[str]) -> None:
    """Where an output cannot be made, the audit does not go on as if it were clean."""
    with pytest.raises(NoOutput, match="it failed"):
        Ways(world.running, cli, world.config, clock)._run(arguments)


def test_a_page_that_fails_is_no_proof(world: World) -> None:
    """The same of what is asked for in the process."""
    with pytest.raises(NoOutput, match="it answered 404"):
        _asked(create_app(world.running.service), "/nowhere", "")


NOT_LOOKED_AT = {
    "check": "says nothing of what is stored",
    "catalogue": "reads a source's list of services, and nothing of what is stored",
    "completion": "knows commands, no data",
    "db backup": "copies the store, and tells counts and digests of its tables",
    "db restore": "copies a store, likewise",
    "db move": "copies a store, likewise",
    "db migrate": "prints two numbers of the schema",
    "db prune": "counts events by kind",
    "db delete-source": "counts rows of tables",
    "privacy erase": "counts rows of tables",
    "history export": "writes what metrics tell of, at other times",
    "doctor": "reads the sources, and nothing of what is stored",
    "init": "looks at repositories, and suggests targets by numbers that the pages tell of",
    "collect": "its outcomes are those of the log",
    "worker": "its metrics count its own runs, by how they ended",
    "serve": "its pages and answers are asked for in the process",
    "demo": "makes another organisation",
    "backtest": "tells of alerts and numbers that metrics and pages tell of",
    "plan": "compares SLO files",
    "dashboards check": "compares files that the audit makes",
    "dashboards push": "sends what the files hold to a Grafana",
    "dashboards diff": "compares what the files hold with a Grafana",
    "slo import": "reads files of other tools",
    "slo lint": "reads SLO files",
    "slo verify": "reads SLO files",
    "privacy audit": "masks what it finds",
}
"""Commands of which the audit makes no output, and why."""


def test_every_command_is_looked_at_or_has_a_reason(outputs: list[Output]) -> None:
    """A new command that says something of what is stored does not escape the audit."""
    said = " ".join(o.place for o in outputs)
    names = {
        f"{name} {sub}".strip()
        for name in SHORT
        for sub in getattr(cli.get_command(click.Context(cli), name), "commands", {"": None})
    }
    files = {"dashboards build", "slo export"}

    assert {n for n in names - files - NOT_LOOKED_AT.keys() if f"paceline {n}" not in said and n != "gate"} == set()


# ---- what the audit finds

LEAK = Indicator(
    name="leaky",
    version="1",
    title="Leaky",
    definition="Says who.",
    shape=Shape.RATIO,
    metric="platform_leaky",
    labels=("kind",),
)


def _leaks(events: Any, _organisation: Any) -> Iterator[Observation]:
    for unit, person, at in events.columns(UsageEvent, "id", "person", "at"):
        yield Observation(
            indicator="leaky",
            unit=unit,
            at=from_micros(at),
            subject=Subject("shop"),
            source="events",
            outcome=Outcome.GOOD,
            dimension=labelled(person),
        )


LEAKY = Family(name="leaky", inputs=(UsageEvent,), indicators=(LEAK,), observe=_leaks)


def leaking(world: World, text: str) -> Audit:
    """What the audit says of one text."""
    return looked_through(world, [Output(channel="pages", place="/", text=text)])


def test_a_leaking_indicator_is_found(world: World, clock: Callable[[], datetime]) -> None:
    """An indicator with a person in a label fails the audit: in both formats, with metric and label listed."""
    service = world.running.service
    leaky = Service(
        configuration=service.configuration,
        context=service._context,
        runner=service._runner,
        events=service.events,
        inbox=service.inbox,
        observations=service.observations,
        derivations=service._derivations,
        delivery_log=service.delivery_log,
        families=(*families(), LEAKY),
        tiers=service.tiers,
        telemetry=world.running.telemetry,
        pushes=service.pushes,
        health=service.health,
        log=world.running.log,
        clock=clock,
    )
    exposition = leaky.refresh().exposition
    texts = (exposition.text, exposition.openmetrics)

    found = looked_through(world, [Output(channel="metrics", place="text", text=t.decode()) for t in texts])

    assert not found.clean
    assert {f.what for f in found.findings} == {"the key of a person"}
    assert ("platform_leaky_ratio", "kind", 2) in {(u.metric, u.label, u.values) for u in found.labels}
    assert "person:" not in repr(found)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("ask bob.thistle@people.example", "a mail address"),
        ("ask carol@elsewhere.example", "a mail address"),
        ("ask carol%40elsewhere.example", "a mail address"),
        (r"ask carol\u0040elsewhere.example", "a mail address"),
        ("ask carol&#64;elsewhere.example", "a mail address"),
        ("person:0123456789abcdef0123456789abcdef", "the key of a person"),
        ("person:0123", "the key of a person"),
        ("the service new-marrowby-api", "a login or a name"),
        ("MARROWBY was here", "a login or a name"),
        ("https://forge.example/ada-quillfeather/shop", "a login or a name"),
        ("by Ada Quillfeather", "a name of two words"),
        ("by Quillfeather, Ada", "a name of two words"),
        ("by ada.quillfeather", "a login or a name"),
        ("E-17 joined", "a login or a name"),
    ],
)
def test_somebody_is_found_however_they_are_written(world: World, text: str, what: str) -> None:
    """Addresses, keys, logins, stable ids and names, also escaped, as a part of a word, the other way round."""
    found = leaking(world, text)

    assert [f.what for f in found.findings][:1] == [what]


def test_who_stands_in_two_outputs_is_found_in_both(world: World) -> None:
    """What was searched before is not searched again, but for where somebody is."""
    texts = ("nobody\nmarrowby", "nobody", '"marrowby" and nobody', "marrowby")

    found = looked_through(world, [Output(channel="pages", place=str(i), text=t) for i, t in enumerate(texts)])

    assert [f.place for f in found.findings] == ["0", "2", "3"]


@pytest.mark.parametrize("text", ["bob.thistle@people.example", "Ada Quillfeather", "marrowby-api"])
def test_a_finding_does_not_tell_the_name(world: World, text: str) -> None:
    """Channel, place and a masked excerpt: whoever reads the finding learns where, and not who."""
    (found,) = looked_through(
        world, [Output(channel="pages", place=f"/{text}", text=f"see {text} and {text}")]
    ).findings[:1]

    assert not [n for n in NAMES if n in repr(found).casefold()]
    assert found.excerpt == f"see {MASK} and {MASK}".replace(f"{MASK}-api", MASK) or MASK in found.excerpt


@pytest.mark.parametrize(
    "text",
    ["shop", "p1", "deployments of shop in production", "2026-03-03T08:00:00Z", "a" * 40, "git@forge.example:o/a"],
)
def test_words_of_nobody_are_passed_over(world: World, text: str) -> None:
    """Names of services, times, numbers and commits are not people."""
    assert leaking(world, text).clean


def test_words_of_our_own_are_nobodys(world: World) -> None:
    """Somebody whose login is a word that Paceline says anyway cannot be told from it."""
    text = [Output(channel="pages", place="/", text="marrowby of builds")]

    assert not looked_through(world, text).clean
    assert looked_through(world, text, "marrowby").clean


def test_the_mailbox_of_a_team_is_nobodys(settings: Path) -> None:
    """An owner of the catalogue is a team's mailbox and may be said, unless it is known to be somebody's address."""
    with settings.open("a", encoding="utf-8") as file:
        file.write(f"services: [{{name: shop, owner: shop@teams.example}}, {{name: desk, owner: {BOB_MAIL}}}]\n")

    with closing(build(configuration(settings, {}, settings.parent))) as running:
        running.service.collect(running.service.configuration.sources[0])
        found = looked_through(
            World(running, settings),
            [Output(channel="metrics", place=mail, text=mail) for mail in ("shop@teams.example", BOB_MAIL)],
        )

    assert [f.channel for f in found.findings] == ["metrics"]


def test_what_is_public_is_nobodys(settings: Path) -> None:
    """A mailbox that the settings call public may be a queue, and is found nowhere."""
    text = settings.read_text(encoding="utf-8").replace(
        "smallest_group: 3", f"smallest_group: 3, public: [{BOB_MAIL.upper()}]"
    )
    settings.write_text(text, encoding="utf-8")

    with closing(build(configuration(settings, {}, settings.parent))) as running:
        running.service.collect(running.service.configuration.sources[0])
        published = running.service.refresh()

    assert f'queue="{BOB_MAIL}"' in published.exposition.text.decode()


def test_mapped_accounts_are_counted(world: World) -> None:
    """Of the accounts that events name, so many are mapped: two of Ada's; Bob's two, and one more, are not."""
    found = looked_through(world, []).people

    assert (found.accounts, found.people_mapped, found.coverage) == (5, 2, 0.4)


def used_by(person: str, *, bot: bool) -> UsageEvent:
    """Somebody's use of something."""
    hashed = PEOPLE.hashed(person)
    return UsageEvent(source="e", native_id=person, capability="c", at=from_micros(0), person=hashed, bot=bot)


def test_bots_are_nobody(tmp_path: Path) -> None:
    """The words that bots are called by may be said; whoever came since is known when asked again."""
    with closing(Database.open(tmp_path)) as database:
        events = EventStore(database)
        known = KnownPeople(events, Identities(bots=frozenset({PEOPLE.hashed("night-train")})))
        with database.transaction() as transaction:
            events.write(transaction, [used_by("release-train", bot=True), used_by("night-train", bot=False)])
        before = known.everybody()
        with database.transaction() as transaction:
            events.write(transaction, [used_by("marrowby", bot=False)])

        assert (before, known.everybody()) == (frozenset(), frozenset({PEOPLE.hashed("marrowby")}))


# ---- the command


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    """Runs the audit: its exit code and what it prints. Standard error stays empty where it is no terminal."""
    with pytest.raises(SystemExit) as stopped:
        main(["privacy", "audit", *arguments])
    out, errors = capsys.readouterr()
    assert errors == ""
    return stopped.value.code, out


def test_the_command_says_that_nobody_was_found(
    settings: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 0, and how many accounts are mapped; a terminal is told beside it how far the search is."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.chdir(settings.parent)

    with pytest.raises(SystemExit) as stopped:
        main(["privacy", "audit", "--collect"])

    out, err = capsys.readouterr()
    assert stopped.value.code == 0
    assert "Nobody was found." in out
    assert "mapped to people by reviewed files: 2 of 5, 40.0%" in out
    assert not [n for n in NAMES if n in (out + err).casefold()]
    assert "Searching commands" in err
    assert "texts searched" in err


def test_the_command_fails_where_somebody_is_found(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A service of the catalogue that is called like somebody: exit code 1, with way and place, masked."""
    with settings.open("a", encoding="utf-8") as file:
        file.write("services: [{name: marrowby, deployed_as: shop}]\n")

    code, out = command(capsys, "--config", str(settings), "--collect", "--output", "json")

    found = json.loads(out)
    assert (code, found["clean"]) == (1, False)
    assert {"metrics", "pages", "commands"} <= {f["channel"] for f in found["findings"]}
    assert "marrowby" not in out


def test_each_way_is_told_before_it_is_made_and_each_text_after(world: World, made: list[Output | str]) -> None:
    """What shows the progress hears of every way out once, before anything is made of it, and of every text."""
    texts: list[int] = []
    outputs = [one for one in made if not isinstance(one, str)]

    found = audited(world.running, world.running.people, outputs, searched=texts.append)

    ways = [one for one in made if isinstance(one, str)]
    assert ways == ["logs", "metrics", "pages", "API", "notifications", "files", "commands"]
    first = [next(made.index(o) for o in outputs if o.channel.startswith(way.removesuffix("s"))) for way in ways]
    assert [made.index(way) + 1 for way in ways] == first
    assert texts == list(range(1, sum(c.texts for c in found.channels) + 1)) == list(range(1, len(outputs) + 1))


# ---- the pieces


def test_addresses_are_cut_out_of_texts() -> None:
    """Addresses of people go, those of repositories and the public ones stay."""
    text = "a@b.example, git@c.example:o/r, desk@d.example"

    assert without_addresses(text, lambda t: t.startswith("desk")) == f"{MASK}, git@c.example:o/r, desk@d.example"


def test_an_event_without_an_address_is_the_same() -> None:
    """What names nobody is handed on as it is."""
    event: Event = Deployment(
        source="s", native_id="1", service="shop", environment="p", finished_at=from_micros(0), result=Result.SUCCESS
    )

    assert with_no_address(event, lambda _: False) is event


logins = st.from_regex(r"[a-z]{3}[a-z0-9._-]{0,10}[a-z]", fullmatch=True)


@given(
    login=logins,
    before=st.sampled_from(["", "a ", "/", "~", "x-", "\u00bb"]),
    after=st.sampled_from(["", " b", "/c", "-d"]),
)
def test_a_masked_text_says_nothing_of_anybody(login: str, before: str, after: str) -> None:
    """Whatever a login looks like and wherever it stands, it is found, and what is left says nothing more."""
    search = Search(people=PEOPLE, known={PEOPLE.hashed(login)})
    text = f"{before}{login}{after}"

    assert search.hits(text)
    assert search.hits(search.masked(text)) == []


pieces = ("Ada Love", "Love, Ada", "ada-l", "a@b.example", "person:01234", "x", '"', "\n", " ", ",", "-")
written = st.lists(st.sampled_from(pieces), max_size=6).map("".join)


@given(texts=st.lists(written, max_size=6))
def test_what_is_looked_at_once_is_looked_at_as_a_whole(texts: list[str]) -> None:
    """Whether somebody is in a text does not depend on the texts before, nor on how it is taken apart."""
    known = {PEOPLE.hashed("ada-l"), PEOPLE.named("Ada Love")}
    search = Search(people=PEOPLE, known=known)

    assert [search.anybody(t) for t in texts] == [bool(Search(people=PEOPLE, known=known).hits(t)) for t in texts]
