"""The commands about Grafana boards: `dashboards build`, `check`, `push` and `diff`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dashboards.grafana import FOLDER, FOLDER_UID, Compared
from paceline.commands.examples import examples
from paceline.commands.links import address
from paceline.commands.options import config_option, configured, labels_of, output_option
from paceline.commands.output import print_json
from paceline.exits import FAILED, MISTAKE
from paceline.grafana import TOKEN, Outcome, Wishes, compared, reached
from paceline.grafana import push as push_boards
from slo_engine.indicator import indicators

if TYPE_CHECKING:
    from dashboards.build import Form
    from dashboards.panels import Dashboard

# `dashboards.build` is loaded where it is used: what makes boards is slow to load, and seldom asked for.

_DIFFERENT = 2
_SHOWN = 5
_LONGEST_MESSAGE = 500
_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_TOKEN = re.compile(r"[!-~]+")

Command = Callable[..., None]


def _title(_context: click.Context, _option: click.Parameter, title: str) -> str:
    if not title.strip():
        raise click.UsageError("--folder: it is empty; expected a title")
    return title


_base_url_option = click.option(
    "--base-url", default="", metavar="URL", help="Where this service is reached, for links to explanations."
)
_folder_option = click.option(
    "--folder", default=FOLDER, show_default=True, callback=_title, help="The title of the boards' folder in Grafana."
)


@click.group()
def dashboards() -> None:
    """Write, check and push the Grafana boards."""


# --- files -----------------------------------------------------------------------------------------------


def _form_options(command: Command) -> Command:
    """What `build` and `check` must be told alike: the settings, the folder, and how boards are written there."""

    @config_option
    @click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("grafana"),
        show_default=True,
        help="The folder of the files.",
    )
    @click.option(
        "--format",
        "kind",
        type=click.Choice(["files", "configmap"]),
        default="files",
        show_default=True,
        help="JSON files with a provisioning file, or one file of ConfigMaps for the sidecar of Grafana's chart.",
    )
    @_base_url_option
    @_folder_option
    @click.option(
        "--label",
        "labels",
        multiple=True,
        metavar="KEY=VALUE",
        help='A label of the ConfigMaps beside grafana_dashboard: "1", or instead of it; may be given several times.',
    )
    @click.option("--namespace", default="", help="The namespace of the ConfigMaps; none unless given.")
    @click.option(
        "--prometheus-url", default="", metavar="URL", help="Write a data source for this Prometheus as well."
    )
    @wraps(command)
    def made(
        *,
        config: Path | None,
        out: Path,
        kind: str,
        base_url: str,
        folder: str,
        labels: Sequence[str],
        namespace: str,
        prometheus_url: str,
    ) -> None:
        form = _form(kind, folder, labels, namespace, prometheus_url)
        boards = _boards(config, base_url)
        try:
            command(out, boards, form)
        except ValueError as error:
            raise click.UsageError(str(error)) from None

    return made


def _form(kind: str, folder: str, labels: Sequence[str], namespace: str, prometheus_url: str) -> Form:
    from dashboards.build import Form  # noqa: PLC0415 - see above

    if kind == "files":
        if labels or namespace:
            raise click.UsageError("--label and --namespace are for --format configmap")
        return Form(folder=folder, prometheus_url=address("--prometheus-url", prometheus_url))
    if prometheus_url:
        raise click.UsageError("--prometheus-url is for --format files")
    return Form(kind="configmap", folder=folder, labels=labels_of(labels), namespace=namespace)


def _boards(config: Path | None, base_url: str) -> tuple[Dashboard, ...]:
    from dashboards.build import boards_of  # noqa: PLC0415 - see above

    url, notice = address("--base-url", base_url), configured(config).settings.notice
    return boards_of(indicators().values(), base_url=url, notice=notice)


@dashboards.command(
    epilog=examples(
        "paceline dashboards build --out grafana",
        "paceline dashboards build --format configmap --namespace monitoring --out boards",
    )
)
@_form_options
def build(out: Path, boards: Sequence[Dashboard], form: Form) -> None:
    """Write the boards, and what Grafana needs to load them from files."""
    from dashboards.build import build as write_boards  # noqa: PLC0415 - see above

    for path in write_boards(out, boards, form):
        click.echo(str(path))


@dashboards.command(epilog=examples("paceline dashboards check --out grafana"))
@_form_options
def check(out: Path, boards: Sequence[Dashboard], form: Form) -> None:
    """Say how the folder differs from what `build` would write; exit code 1 where it does."""
    from dashboards.build import check as differences_in  # noqa: PLC0415 - see above

    found = differences_in(out, boards, form)
    for difference in found:
        click.echo(difference, err=True)
    sys.exit(FAILED if found else 0)


# --- Grafana ---------------------------------------------------------------------------------------------


def _grafana_options(command: Command) -> Command:
    """What every command needs that talks to a Grafana."""
    for option in (
        output_option,
        click.option(
            "--ca-file",
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            help="Certificates to trust instead of the public ones.",
        ),
        click.option(
            "--folder-uid",
            default=FOLDER_UID,
            show_default=True,
            callback=_uid,
            help="The uid of the folder, by which it is found again whatever its title.",
        ),
        _folder_option,
        _base_url_option,
        click.option(
            "--url",
            required=True,
            callback=_grafana,
            metavar="URL",
            help=f"The address of Grafana; {TOKEN} is the token of a service account.",
        ),
        config_option,
    ):
        command = option(command)
    return command


def _grafana(_context: click.Context, _option: click.Parameter, url: str) -> str:
    if "@" in url:  # said without the address: it may hold a password
        raise click.UsageError(f"--url: an address with a user in it; expected one without, and a token in {TOKEN}")
    return address("--url", url)


def _uid(_context: click.Context, _option: click.Parameter, uid: str) -> str:
    if not _UID.fullmatch(uid):
        raise click.UsageError(f"--folder-uid: {uid!r} is none; expected up to 40 letters, digits, dashes, underscores")
    return uid


def _message(_context: click.Context, _option: click.Parameter, message: str) -> str:
    if len(message) > _LONGEST_MESSAGE:
        raise click.UsageError(f"--message: {len(message)} characters; expected at most {_LONGEST_MESSAGE}")
    return message


def _token() -> str:
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        click.echo(f"{TOKEN} is not set; expected the token of a Grafana service account", err=True)
        sys.exit(MISTAKE)
    if not _TOKEN.fullmatch(token):
        click.echo(
            f"{TOKEN} has characters that no token has; expected one line of letters, digits and signs", err=True
        )
        sys.exit(MISTAKE)
    return token


@dashboards.command(epilog=examples("paceline dashboards push --url https://grafana.example.com --dry-run"))
@_grafana_options
@click.option(
    "--message",
    default="paceline dashboards push",
    show_default=True,
    callback=_message,
    help="What Grafana's history of versions says.",
)
@click.option("--overwrite", is_flag=True, help="Save boards also over what somebody else saves meanwhile.")
@click.option("--prune", is_flag=True, help="Delete boards of ours in the folder that are made no more.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be done.")
def push(
    *,
    config: Path | None,
    url: str,
    base_url: str,
    folder: str,
    folder_uid: str,
    ca_file: Path | None,
    message: str,
    overwrite: bool,
    prune: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Save the boards in Grafana that differ there; exit code 1 where one could not be saved."""
    token, boards = _token(), _boards(config, base_url)
    wishes = Wishes(
        folder=folder, folder_uid=folder_uid, message=message, overwrite=overwrite, prune=prune, dry_run=dry_run
    )
    found = []
    with reached(url, token, ca_file) as grafana:
        for outcome in push_boards(grafana, boards, wishes):
            found.append(outcome)
            if output == "table":
                _tell(outcome, dry_run=dry_run)
    if output == "json":
        print_json({"dry_run": dry_run, "outcomes": found})
    sys.exit(FAILED if any(o.done == "failed" for o in found) else 0)


_WOULD = {"created": "would be created", "updated": "would be updated", "deleted": "would be deleted"}


def _tell(outcome: Outcome, *, dry_run: bool) -> None:
    done = _WOULD.get(outcome.done, outcome.done) if dry_run else outcome.done
    click.echo(f"{outcome.name}: {done}" + (f" ({outcome.said})" if outcome.said else ""))


@dashboards.command(epilog=examples("paceline dashboards diff --url https://grafana.example.com --exit-code"))
@_grafana_options
@click.option("--full", is_flag=True, help="Show each difference, as a unified diff of the JSON.")
@click.option("--exit-code", "tell", is_flag=True, help="Exit code 2 where anything differs.")
def diff(
    *,
    config: Path | None,
    url: str,
    base_url: str,
    folder: str,
    folder_uid: str,
    ca_file: Path | None,
    full: bool,
    tell: bool,
    output: str,
) -> None:
    """Say how the boards in Grafana differ from what `push` would save there; exit code 1 where one cannot be read."""
    token, boards = _token(), _boards(config, base_url)
    with reached(url, token, ca_file) as grafana:
        found = compared(grafana, boards, folder_uid)
    if output == "json":
        shown = [_as_json(one, full=full) for one in found.boards]
        print_json({"folder": found.folder, "boards": shown, "stray": found.stray})
    else:
        if found.folder is None:
            click.echo(f"folder {folder}: missing")
        _print(found.boards, full=full)
        for one in found.stray:
            click.echo(f"{one.uid}: no such board is made any more")
    if any(one.state == "unknown" for one in found.boards):
        sys.exit(FAILED)
    sys.exit(_DIFFERENT if tell and found.differs else 0)


def _as_json(found: Compared, *, full: bool) -> dict[str, Any]:
    plain = {"uid": found.uid, "state": found.state, "provisioned": found.provisioned, "differences": found.differences}
    return plain | ({"diff": found.full} if full else {})


def _print(boards: Iterable[Compared], *, full: bool) -> None:
    """A line for each board, and what differs: the first places in words, or everything as a diff."""
    for found in boards:
        click.echo(f"{found.uid}: {found.state}" + (", provisioned from a file" if found.provisioned else ""))
        if full and found.full:
            click.echo(found.full)
            continue
        for difference in found.differences[:_SHOWN]:
            click.echo(f"  {difference}")
        if (more := len(found.differences) - _SHOWN) > 0:
            click.echo(f"  and {more} more; --full shows them")
