"""The command that makes a configuration of one's own: `init`."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from collector.errors import ConfigError, Mistake, SourceError
from collector.run import RunOutcome
from collector.source import SourceConfig
from paceline.commands.examples import examples
from paceline.init.files import SERVICES, SETTINGS, SLOS, place, refuse_existing, services_text, settings_text
from paceline.init.forges import KINDS, Owner, owner_of
from paceline.init.importing import import_first
from paceline.init.looking import Looking, as_one_service, read_once
from paceline.init.proposals import Proposal
from paceline.init.repositories import top_of
from paceline.init.sources import Plan, Subject, facts, plan_of
from paceline.init.starters import STARTERS
from paceline.settings import Configuration, Settings, overlaid
from paceline.wiring import configuration, looking
from slo_engine.event_lines import one_line
from slo_engine.words import so_many

_CREDENTIALS = re.compile(r"https?://([^/]*@|[^?#]*[?#])|[a-z][a-z0-9+.-]*://[^/@]*:[^@]*@", re.IGNORECASE)
"""A URL with a user where servers take a token as one, with a query, or with a password, also one that is broken."""
DATABASE, CLONES, KEY = "paceline.db", "git", "people.key"
"""What a data directory holds that was collected into."""
DRAFTS = ".paceline-init-"
"""How folders of drafts begin."""


@click.command(
    epilog=examples(
        "paceline init", "paceline init --repo . --yes", "GITHUB_TOKEN=… paceline init --github acme --dir paceline"
    )
)
@click.option(
    "--repo",
    "repositories",
    multiple=True,
    metavar="PATH|URL",
    help="A Git repository; may be given several times. The one you stand in, where nothing is named.",
)
@click.option("--github", multiple=True, metavar="OWNER", help="All of an owner; the token is in GITHUB_TOKEN.")
@click.option("--gitlab", multiple=True, metavar="GROUP", help="All of a group; the token is in GITLAB_TOKEN.")
@click.option(
    "--gitea", multiple=True, metavar="URL", help="All of https://HOST/OWNER, Forgejo too; token in GITEA_TOKEN."
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where to write paceline.yaml and what stands beside it; here unless given.",
)
@click.option(
    "--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="How far back to look for rules."
)
@click.option(
    "--most",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Repositories of an owner at most, the last used first.",
)
@click.option("--yes", is_flag=True, help="Ask nothing: take the first of what is proposed, and write why beside it.")
@click.option("--ask", is_flag=True, help="Ask also where no terminal is; answers are lines of the input.")
def init(
    repositories: tuple[str, ...],
    github: tuple[str, ...],
    gitlab: tuple[str, ...],
    gitea: tuple[str, ...],
    folder: Path,
    days: int,
    most: int,
    *,
    yes: bool,
    ask: bool,
) -> None:
    """Look at your repositories, propose settings with what they match, and write them.

    Existing files are never overwritten: all is written, or nothing.
    """
    if not yes and not ask and not sys.stdin.isatty():
        raise click.UsageError("init asks questions, and nobody can answer here; --yes takes what it proposes")
    asked = {"github": github, "gitlab": gitlab, "gitea": gitea}
    owners = [owner_of(KINDS[kind], text) for kind, names in asked.items() for text in names]
    base_dir = folder.resolve()
    data_dir = Configuration(settings=overlaid({}, os.environ), base_dir=base_dir, sources=(), slos=()).data_dir
    names = (SETTINGS, SERVICES, *(f"{SLOS}/{name}.yaml" for name in STARTERS))
    refuse_existing([*(base_dir / name for name in names), data_dir / DATABASE, data_dir / CLONES])
    with ended_as_interrupted(), tempfile.TemporaryDirectory(prefix=DRAFTS, dir=_nearest(base_dir)) as scratch:
        made = _Making(Path(scratch), base_dir, data_dir, asks=not yes)
        subjects = made.chosen(made.looked(list(repositories), owners, days, most))
        made.write(plan_of(subjects, base_dir))
    _say(base_dir)


@contextlib.contextmanager
def ended_as_interrupted() -> Iterator[None]:
    """Have whoever ends this process or closes its terminal leave no drafts behind: as by Ctrl-C, all is taken away."""
    signals = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(one, signal.default_int_handler) for one in signals]
    try:
        yield
    finally:
        for one, handler in zip(signals, before, strict=True):
            signal.signal(one, handler)


def _nearest(folder: Path) -> Path:
    """The folder itself, or the first one above it that is there."""
    return next(f for f in (folder, *folder.parents) if f.is_dir())


def _with_key(data_dir: Path) -> Mapping[str, str]:
    """The environment, with the people key that a data directory already has: people stay who they are."""
    key = data_dir / KEY
    if os.environ.get("PACELINE_PEOPLE_KEY") or not key.exists():
        return os.environ
    return {**os.environ, "PACELINE_PEOPLE_KEY": key.read_text(encoding="ascii").strip()}


class _Making:
    """One making of a configuration, in a folder that is thrown away unless everything was right."""

    def __init__(self, scratch: Path, base_dir: Path, data_dir: Path, *, asks: bool) -> None:
        self._scratch, self._base_dir, self._data_dir, self._asks = scratch, base_dir, data_dir, asks
        settings = Settings(data_dir=scratch / "data")
        self._environ = _with_key(data_dir)
        self._context = looking(Configuration(settings=settings, base_dir=base_dir, sources=(), slos=()), self._environ)
        self._console = Console(stderr=True)

    def looked(self, repositories: list[str], owners: list[Owner], days: int, most: int) -> list[Subject]:
        """What was found of everything that is named. Raises ConfigError, SourceError."""
        eyes = Looking(context=self._context, environ=os.environ, days=days, most=most)
        if not repositories and not owners:
            repositories, owners = _asked_for() if self._asks else ([""], [])
        places = dict.fromkeys(_place(text) for text in repositories)
        looks: list[tuple[str, Callable[[], Subject]]] = [(text, partial(eyes.repository, text)) for text in places]
        looks += [(owner.name, partial(eyes.owner, owner)) for owner in owners]
        found = []
        for name, look in looks:
            with self._console.status(escape(f"Looking at {one_line(name)}")):
                found.append(look())
        subjects, twice = read_once(found)
        for name in twice:
            click.echo(f"{name} is read with all repositories of its owner.")
        return subjects

    def chosen(self, subjects: Sequence[Subject]) -> list[Subject]:
        """The subjects with the rules that count: chosen by a person, or the first of what is proposed. Said aloud."""
        done = []
        for subject in subjects:
            _print_facts(subject)
            done.append(_answered(subject) if self._asks else subject)
            _print_choice(done[-1])
        return done

    def write(self, plan: Plan) -> None:
        """Collect, suggest targets, and put every file into its place. Raises ConfigError, StoreError, SourceError."""
        now, names = self._context.clock(), [SETTINGS]
        self._draft(SETTINGS, settings_text(plan, now))
        if plan.services:
            names.insert(0, SERVICES)
            self._draft(SERVICES, services_text(plan, now))
        with self._console.status("Collecting") as status:
            done = import_first(self._scratch, self._base_dir, self._environ, partial(_Told, status))
        _print_outcomes(done.outcomes)
        for name, text in done.slos.items():
            self._draft(f"{SLOS}/{name}", text)
        moves = {self._scratch / "data": self._data_dir}
        moves |= {self._scratch / name: self._base_dir / name for name in (SLOS, *names)}
        found = place(moves, lambda: configuration(self._base_dir / SETTINGS, os.environ, self._base_dir))
        _print_written(self._base_dir, [*names, *(f"{SLOS}/{name}" for name in done.slos)], done.slos.values())
        click.echo(f"{so_many(len(found.sources), 'source')} and {so_many(len(found.slos), 'SLO')} are well defined.")

    def _draft(self, name: str, text: str) -> None:
        (self._scratch / name).write_text(text, encoding="utf-8")


class _Told:
    """Shows how many events a source has given."""

    def __init__(self, status: Status, source: SourceConfig) -> None:
        self._status, self._name = status, source.name
        self(source.name, 0)

    def __call__(self, _name: str, events: int) -> None:
        self._status.update(escape(f"Collecting {self._name}: {so_many(events, 'event')}"))


def _place(text: str) -> str:
    """A URL, or the folder of the repository that a path lies in. Raises ConfigError where there is none.

    And for a URL with credentials in it, which would be written into the settings.
    """
    if _CREDENTIALS.match(text):
        expected = "it without them: Git's own credentials, or the forge's token in its variable"
        problem = "this URL holds credentials, which would stand in the settings"
        raise ConfigError(Mistake(file="--repo", line=0, path="", problem=problem, expected=expected))
    try:
        return top_of(text, Path.cwd())
    except SourceError as error:
        expected = "the path or URL of a Git repository"
        problem = f"there is no Git repository at {text or 'this folder'}"
        raise ConfigError(Mistake(file="--repo", line=0, path="", problem=problem, expected=expected)) from error


def _asked_for() -> tuple[list[str], list[Owner]]:
    """What somebody wants to be read. Raises UsageError where it is nothing."""
    repositories: list[str] = []
    if _is_repository() and click.confirm("Read the Git repository you stand in?", default=True):
        repositories.append("")
    while text := _line("A repository by path or URL (empty: no more)"):
        repositories.append(text)
    owners = []
    for kind in KINDS.values():
        if os.environ.get(kind.variable):
            form = "OWNER, or https://HOST/OWNER" if kind.cloud else "https://HOST/OWNER"
            if text := _line(f"All repositories of an owner at {kind.system}: {form} (empty: none)"):
                owners.append(owner_of(kind, text))
        else:
            click.echo(f"{kind.system}: nothing is asked, {kind.variable} is not set.")
    if not repositories and not owners:
        raise click.UsageError("nothing to read was named")
    return repositories, owners


def _is_repository() -> bool:
    try:
        top_of("", Path.cwd())
    except SourceError:
        return False
    return True


def _line(question: str) -> str:
    text: str = click.prompt(question, default="", show_default=False)
    return text.strip()


def _answered(subject: Subject) -> Subject:
    """A subject as somebody wants it."""
    apps = subject.repository.apps if subject.repository else ()
    if apps:
        named = one_line(", ".join(f"{a.path} ({a.sign})" for a in apps))
        if not click.confirm(f"  Are these services of their own? {named}", default=True):
            subject = as_one_service(subject)
    click.echo("  What tells of deployments to production?")
    for number, proposal in enumerate(subject.proposals, start=1):
        click.echo(f"    {number}. {_said(proposal)}")
    number = click.prompt("  Take", type=click.IntRange(1, len(subject.proposals)), default=1)
    subject = replace(subject, chosen=subject.proposals[number - 1])
    if subject.incidents is not None and subject.incidents.labels:
        takes = click.confirm(f"  Are these incidents? {one_line(subject.incidents.text)}", default=True)
        subject = replace(subject, takes_incidents=takes)
    return subject


def _print_facts(subject: Subject) -> None:
    for text in facts(subject):
        click.echo(one_line(text))


def _said(proposal: Proposal) -> str:
    """A proposal as a line: names come from outside, and may hold what moves a terminal's cursor."""
    return one_line(f"{proposal.text} ({proposal.reason})")


def _print_choice(subject: Subject) -> None:
    click.echo(f"  Deployments: {_said(subject.chosen)}")
    if subject.incidents is not None:
        taken = "" if subject.takes_incidents else "; none are read"
        click.echo(f"  Incidents: {one_line(subject.incidents.text)}{taken}")


def _print_outcomes(outcomes: Sequence[RunOutcome]) -> None:
    """How much each source gave, and what it says of that."""
    for one in outcomes:
        click.echo(f"{one.source}: {so_many(one.events, 'event')} in {one.duration_seconds:.0f} s")
        for word, lines in (("cut off", one.truncations), ("warning", one.warnings)):
            for line in lines:
                click.echo(f"{one.source}: {word}: {one_line(line)}")
        if one.rejected_total:
            said = so_many(one.rejected_total, "record")
            click.echo(f"{one.source}: {said} could not be used; `paceline collect` names them")


def _print_written(base_dir: Path, names: Sequence[str], slos: Iterable[str]) -> None:
    """The files, and what the SLOs' comments say of their targets."""
    click.echo("Written: " + ", ".join(os.path.relpath(base_dir / name) for name in names))
    for text in slos:
        said = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
        click.echo(f"  {said[0]}")
        click.echo(textwrap.indent("\n".join(said[1:]), "    "))


def _say(base_dir: Path) -> None:
    """The next commands."""
    here = base_dir == Path.cwd()
    config = "" if here else f" --config {shlex.quote(os.path.relpath(base_dir / SETTINGS))}"
    click.echo("Next:")
    click.echo(f"  paceline serve{config}")
    click.echo(f"  paceline doctor{config}")
    click.echo(f"  paceline rules{config} --out rules.yml")
