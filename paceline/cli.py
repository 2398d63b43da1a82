"""The command line: which commands there are, and how one ends.

Exit codes: 0 done · 1 something failed (a source, the store) · 2 a person must edit something. The gate has two more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from collector.errors import ConfigError, PacelineError
from paceline.exits import FAILED, INTERRUPTED, MISTAKE

_WHERE: Mapping[str, str] = {
    "backtest": "backtest:backtest_slo",
    "catalogue": "catalogue:catalogue",
    "check": "collecting:check",
    "collect": "collecting:collect",
    "completion": "completion:completion",
    "dashboards": "dashboards:dashboards",
    "db": "db:db",
    "demo": "demo:demo",
    "doctor": "doctor:doctor",
    "evaluate": "numbers:evaluate",
    "explain": "numbers:explain",
    "gate": "gate:gate",
    "history": "past:history",
    "init": "init:init",
    "plan": "plan:plan",
    "privacy": "privacy:privacy",
    "rejected": "collecting:rejected",
    "report": "numbers:report",
    "restatements": "numbers:restatements",
    "rules": "generated:rules",
    "serve": "serving:serve",
    "slo": "slos:slo",
    "worker": "worker:worker",
}
"""The modules of commands, and their names there, imported when asked for: a start pays for its own command."""

SHORT: Mapping[str, str] = {
    "backtest": "Tell what an SLO and its alerts would have done over a past: how often they fire, what they miss.",
    "catalogue": "Write the services that SOURCE knows as a file for `catalogue:`, and say what differs.",
    "check": "Check the settings and SLO files; writes nothing.",
    "collect": "Pull events from the sources into the store.",
    "completion": "Print what makes a shell complete commands, options and files.",
    "dashboards": "Write, check and push the Grafana boards.",
    "db": "Back up, restore and move the store, verified by counts and digests of every table; delete from it.",
    "demo": "Make an example organisation, import it, and say what there is to see in it.",
    "doctor": "Look at what the sources would report, and say what is missing; keeps nothing.",
    "evaluate": "Derive observations from the stored events and print the numbers and SLOs.",
    "explain": "List the events behind a number of INDICATOR, an indicator or an exported metric.",
    "gate": "Say whether a service should be changed now, by its error budgets and the policy.",
    "history": "Bring the past of the numbers to where the present is.",
    "init": "Look at your repositories, propose settings with what they match, and write them.",
    "plan": "Say what the SLO files change before they are applied: SLOs, when they alert, rules and dashboards.",
    "privacy": "See to it that nobody is named.",
    "rejected": "List the records of the sources that could not be used: where each is, and why.",
    "report": "Write the weekly summary of a calendar week, or deliver it.",
    "restatements": "List the newest published judgements that changed afterwards.",
    "rules": "Write Prometheus recording and alerting rules for the SLOs.",
    "serve": "Collect, evaluate and serve until interrupted.",
    "slo": "List SLOs, prove their rules, import and export their files.",
    "worker": "Collect what the elected evaluator asks for until interrupted; any number may run on one PostgreSQL.",
}
"""What each does, as its help begins: for lists, which import none of them."""


class Commands(click.Group):
    """The commands by name. What lists them, as help and completion do, imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, sorted."""
        del ctx
        return sorted(SHORT)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name."""
        del ctx
        module, _, name = _WHERE.get(cmd_name, "").partition(":")
        if not module:
            return None
        command: click.Command = getattr(import_module(f"paceline.commands.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A command by its name. Raises UsageError with the one whose name is nearest."""
        if not (args[0] in SHORT or args[0].startswith("-") or ctx.resilient_parsing):
            from collector.document import nearest  # noqa: PLC0415 - it reads YAML too, which a start need not load

            near = nearest(args[0], SHORT)
            raise click.UsageError(f"No such command {args[0]!r}." + (f" Did you mean {near!r}?" if near else ""), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SHORT[name]) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names that a word begins, and the options."""
        named = [n for n in self.list_commands(ctx) if n.startswith(incomplete)]
        found = [CompletionItem(name, help=SHORT[name]) for name in named]
        return found + click.Command.shell_complete(self, ctx, incomplete)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="paceline")
def cli() -> None:
    """Paceline tells a platform team whether its internal developer platform keeps its promises."""


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
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # a reader such as `head` has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except OSError as error:
        click.echo(f"{error.filename or 'a file'}: {error.strerror}", err=True)
        sys.exit(FAILED)
