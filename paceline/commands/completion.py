"""The command that makes a shell complete the others: `completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from collector.errors import PacelineError
from paceline.commands.examples import examples

_VARIABLE = "_PACELINE_COMPLETE"
"""What the installed command is asked through; Click's own convention."""


@click.command(
    epilog=examples(
        'eval "$(paceline completion bash)"    # in ~/.bashrc',
        'eval "$(paceline completion zsh)"     # in ~/.zshrc',
        "paceline completion fish > ~/.config/fish/completions/paceline.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands, options and files."""
    found = get_completion_class(shell)
    if found is None:
        raise PacelineError(f"nothing is known of the shell {shell}")
    root = click.get_current_context().find_root()
    click.echo(found(root.command, {}, "paceline", _VARIABLE).source())
