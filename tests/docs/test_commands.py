"""Every command in the documentation does what it is there for: run as it is written, in a small organisation."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from code_blocks import ROOT, Block, Command, blocks, commands

from paceline.cli import cli

pytestmark = pytest.mark.integration

FOLLOWED = {
    "docs/tutorial.md": "tests/docs/test_tutorial.py follows it from the first block to the last",
    "docs/demo.md": "tests/paceline/test_demo_stories.py runs them in the example",
    "docs/install.md": "changes the machine; tests/deploy looks at what is installed, and runs the image's command",
    "docs/kubernetes.md": "needs a cluster; tests/deploy has Helm render the chart, and Kubernetes' schemas read it",
}
"""Pages whose commands other tests run."""
_TESTS = "it is what runs this test"
_RUNS = "sets up what it needs and stays; tests/integration starts what it starts, `make -n` knows the target"
_STAYS = "stays until it is stopped; tests/integration starts it"
NOT_RUN = {
    "README.md: make run": _RUNS,
    "README.md: make test": _TESTS,
    "docs/tracking.md: paceline doctor --source desk": "asks a tracker; tests/paceline/test_doctor.py answers it",
    "README.md: make demo": _RUNS,
    "README.md: PACELINE_REPO=https://example.com/team/service.git make run": _RUNS,
    "README.md: paceline serve --config paceline.yaml": _STAYS,
    "docs/catalogue.md: paceline catalogue portal --out services.yaml": "asks a portal; its own tests answer it",
    "docs/telemetry.md: paceline history export --from 2026-01-01 --until 2026-02-01 --step 5m --out past.om": (
        "evaluates 9,000 times; tests/paceline/test_sending.py exports a week"
    ),
    "docs/telemetry.md: promtool tsdb create-blocks-from openmetrics --max-block-duration=8784h past.om data": (
        "reads what the command before writes; run by the same tests"
    ),
    "docs/operations.md: paceline db move": "needs a PostgreSQL; tests/paceline/test_db.py moves into one",
    "docs/operations.md: paceline db delete-source old-ci": "asks; tests/paceline/test_deleting.py answers it",
    "docs/reliability.md: make soak": "takes hours; tests/reliability runs its short forms",
    'docs/reliability.md: make soak ARGS="load --minutes 30 --rate 500"': "takes half an hour",
    'docs/reliability.md: make soak ARGS="kills --kills 200 --seed 1"': "takes minutes",
    'docs/reliability.md: make soak ARGS="fuzz --rounds 100000"': "takes minutes",
    'docs/reliability.md: make soak ARGS="outage --minutes 60"': "takes an hour",
    "docs/privacy.md: paceline privacy erase <who.txt": "reads who; tests/paceline/test_deleting.py tells it",
    "docs/privacy.md: paceline privacy audit": "asks for everything; tests/paceline/test_privacy.py runs it",
    "docs/dashboards.md: .venv/bin/pytest tests/dashboards -k ladder": "tests of their own",
    "docs/first-minutes.md: make demo": _RUNS,
    "docs/first-minutes.md: cd team/shop": "the reader's own repository",
    "docs/first-minutes.md: paceline init": "asks on a terminal; tests/paceline/test_init.py answers it",
    "docs/init.md: cd team/shop": "the reader's own repository",
    "docs/init.md: paceline init": "asks on a terminal; tests/paceline/test_init.py answers it",
    "docs/init.md: paceline init --yes": "writes settings; tests/integration/test_init.py runs it",
    "docs/init.md: paceline init --repo https://git.example.com/team/shop.git --dir shop --yes": "a server's address",
    "docs/init.md: GITHUB_TOKEN=… paceline init --github acme --dir acme": "needs a token",
    "docs/init.md: GITLAB_TOKEN=… paceline init --gitlab acme/platform --most 100": "needs a token",
    "docs/init.md: GITEA_TOKEN=… paceline init --gitea https://git.example.com/acme": "needs a token",
    "docs/init.md: paceline serve": _STAYS,
}
"""Commands that are only looked at, with the reason."""
EXITS = {
    "docs/gate.md: paceline gate --service shop --strict --output json": 4,
}
"""The exit codes of commands that do not end with 0: nobody measures the checkout here, so nothing can be said."""
_ADDRESSES = {
    "https://grafana.example.com": "grafana_url",
    "http://localhost:9090": "prometheus_url",
    "http://127.0.0.1:8080": "service_url",
    "$PACELINE_URL": "service_url",
}
"""The servers that the pages name, and the fixtures that run one."""
_VARIABLES = re.compile(r"^(?:[A-Z_]+=\S+ )+")


def _blocks() -> list[Any]:
    found = [b for b in blocks("sh", "console") if b.page not in FOLLOWED]
    return [pytest.param(b, id=b.where) for b in found if any(c.name not in NOT_RUN for c in commands(b))]


def _ours(command: Command) -> bool:
    return _VARIABLES.sub("", command.text).startswith("paceline ")


@pytest.mark.parametrize("block", _blocks())
def test_the_commands_of_a_block_do_what_they_say(
    block: Block, example: Any, request: pytest.FixtureRequest, requires_tool: Callable[[str], str]
) -> None:
    """Each ends well, and shows what stands below it."""
    requires_tool("promtool")
    text = block.text
    told = {address: request.getfixturevalue(name) for address, name in _ADDRESSES.items() if address in text}
    found = [c for c in commands(block) if c.name not in NOT_RUN]

    wrong = [_our(c, example, told) for c in found if _ours(c)]
    wrong += [_shell(c, example, told) for c in _together(found)]
    example.forget()

    assert [sentence for sentence in wrong if sentence] == []


def _our(command: Command, example: Any, told: dict[str, str]) -> str:
    """What is wrong with one of our commands; empty text where nothing is."""
    arguments = [a for word in shlex.split(_here(command.text, told)) for a in _expanded(word, example.folder)]
    done = example.run(*arguments[1:])
    if done.exit_code != EXITS.get(command.name, 0):
        return f"{command.name}: ended with {done.exit_code}: {done.exception!r} {done.output}"
    return "" if command.shows(done.stdout) else f"{command.name}: showed {done.stdout}"


def _together(found: Sequence[Command]) -> list[Command]:
    """The commands that are not ours, as one: a line may need what another one set."""
    others = [c for c in found if not _ours(c)]
    return [replace(others[0], text="\n".join(c.text for c in others))] if others else []


def _shell(command: Command, example: Any, told: dict[str, str]) -> str:
    """What is wrong with commands for the shell; empty text where nothing is."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-euc", _here(command.text, told)],
        cwd=example.folder,
        env=dict(example.variables) | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else f"{command.name}: ended with {done.returncode}: {done.stdout}{done.stderr}"


def _here(text: str, told: dict[str, str]) -> str:
    for address, url in told.items():
        text = text.replace(address, url)
    return text


def _expanded(word: str, folder: Path) -> list[str]:
    """The files that a shell would make of a pattern."""
    found = sorted(str(p.relative_to(folder)) for p in folder.glob(word)) if "*" in word else []
    return found or [word]


@pytest.mark.parametrize("name", sorted(n for n in NOT_RUN if "paceline " in n))
def test_a_command_that_is_not_run_has_its_options(name: str) -> None:
    """It is parsed as the command line parses it."""
    _, _, text = name.partition(": ")
    command: click.Command = cli
    context = click.Context(cli, info_name="paceline", **cli.context_settings)
    own, _, _ = text.partition("<")  # what is read from a file is the shell's affair
    words = shlex.split(_VARIABLES.sub("", own))[1:]
    while isinstance(command, click.Group):
        word, *words = words
        found = command.get_command(context, word)
        assert found is not None
        command = found

    assert command.make_context(command.name, words, parent=context).params is not None


@pytest.mark.parametrize("name", sorted(n for n in NOT_RUN if re.search(r"\bmake \w+$", n)))
def test_a_target_that_is_not_made_is_there(name: str) -> None:
    """`make -n` knows it."""
    done = subprocess.run(["make", "-n", name.rpartition(" ")[2]], cwd=ROOT, capture_output=True, check=False)

    assert done.returncode == 0


def test_every_command_that_is_not_run_is_on_its_page() -> None:
    """The list names no command that the pages have no more."""
    written = {c.name for b in blocks("sh", "console") for c in commands(b)}

    assert set(NOT_RUN) - written == set()
