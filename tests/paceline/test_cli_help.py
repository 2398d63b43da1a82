"""What the command line says of itself: help with examples, completion, exit codes, tables that fit."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from paceline.cli import cli, main
from paceline.commands.output import table

PACELINE = (sys.executable, "-c", "from paceline.cli import main; main()")


def _leaves(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _leaves(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


COMMANDS = dict(_leaves(cli))
EXAMPLES = [
    (name, line.strip())
    for name, command in COMMANDS.items()
    for line in (command.epilog or "").splitlines()
    if "paceline" in line
]
"""Each line of an example with its command."""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str) -> None:
    """Help shows how a command is written."""
    assert name in {of for of, _ in EXAMPLES}


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_an_example_is_a_command_line(name: str, line: str) -> None:
    """An example names its own command, and options that this has."""
    called = re.search(rf"paceline {name}( [^<>#)]*|$)", line)

    assert called is not None
    assert COMMANDS[name].make_context(name, shlex.split(called[1]), parent=click.Context(cli, **cli.context_settings))


@pytest.mark.parametrize(
    ("words", "found"),
    [("paceline ba", "backtest"), ("paceline slo hi", "history"), ("paceline explain --we", "--week")],
)
def test_a_shell_completes(words: str, found: str) -> None:
    """Commands, those of a group, and options are completed, with nothing beside them on standard error."""
    asked = {"_PACELINE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    run = (sys.executable, "-c", "import sys; sys.argv[0] = 'paceline'; from paceline.cli import main; main()")

    done = subprocess.run(run, env=asked, capture_output=True, text=True, check=False)

    assert (done.stdout.splitlines(), done.stderr) == ([f"plain,{found}"], "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_completes_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The script asks the installed command by its name."""
    cli(["completion", shell], standalone_mode=False, prog_name="paceline")

    assert f"_PACELINE_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_a_table_for_a_program_is_not_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no terminal is, a line is as long as it needs to be."""
    monkeypatch.delenv("COLUMNS", raising=False)

    table("Names", ("Name", "Why"), [("n" * 200, "w" * 200)])

    assert f"{'n' * 200} │ {'w' * 200}" in capsys.readouterr().out


def test_a_table_in_a_narrow_terminal_keeps_every_letter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long cell goes on in the next line: nothing is cut off."""
    monkeypatch.setenv("COLUMNS", "40")

    table("Names", ("Name",), [("abcdefghij" * 10,)])
    shown = capsys.readouterr().out

    assert "".join(re.findall(r"[a-j]+", shown.partition("├")[2] or shown.partition("┡")[2])) == "abcdefghij" * 10
    assert max(map(len, shown.splitlines())) <= 40


def test_a_table_breaks_lines_between_words_while_there_is_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name stays whole, and the long cell beside it takes the lines."""
    monkeypatch.setenv("COLUMNS", "60")

    table("SLOs", ("SLO", "Why"), [("failed-deployments-recover", "nine of fifty-eight " * 5)])
    shown = capsys.readouterr().out

    assert "│ failed-deployments-recover │ nine of fifty-eight nine of " in shown


def test_a_wrong_command_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """A slip of the fingers is answered with what was meant."""
    with pytest.raises(SystemExit):
        main(["serv"])

    assert "No such command 'serv'. Did you mean 'serve'?" in capsys.readouterr().err


def test_colours_are_for_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    """What goes to a file has no escape sequences."""
    table("Names", ("Name",), [("one",)])

    assert "\x1b" not in capsys.readouterr().out
