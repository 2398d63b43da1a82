"""The command line: which commands there are, and how one ends.

Exit codes: 0 done · 1 something failed (a source, the store) · 2 a person must edit something. The gate has two more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from collector.errors import ConfigError, PacelineError
from paceline.commands.backtest import backtest_slo
from paceline.commands.collecting import check, collect
from paceline.commands.dashboards import dashboards
from paceline.commands.demo import demo
from paceline.commands.doctor import doctor
from paceline.commands.gate import gate
from paceline.commands.generated import rules
from paceline.commands.history import history
from paceline.commands.lint import lint_slos
from paceline.commands.numbers import evaluate, explain, report, restatements
from paceline.commands.options import FAILED, MISTAKE
from paceline.commands.plan import plan
from paceline.commands.privacy import privacy
from paceline.commands.serving import serve
from paceline.commands.slos import slo


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="paceline")
def cli() -> None:
    """Paceline tells a platform team whether its internal developer platform keeps its promises."""


slo.add_command(history)
slo.add_command(lint_slos)
for _command in (
    check,
    doctor,
    collect,
    evaluate,
    serve,
    explain,
    restatements,
    rules,
    slo,
    plan,
    backtest_slo,
    gate,
    dashboards,
    report,
    privacy,
    demo,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, the process's own unless told; what goes wrong is one clear text and an exit code."""
    try:
        cli(arguments, standalone_mode=False)
    except ConfigError as error:
        for mistake in error.mistakes:
            click.echo(str(mistake), err=True)
        sys.exit(MISTAKE)
    except PacelineError as error:
        click.echo(str(error), err=True)
        sys.exit(FAILED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except BrokenPipeError:  # a reader such as `head` has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except OSError as error:
        click.echo(f"{error.filename or 'a file'}: {error.strerror}", err=True)
        sys.exit(FAILED)
