"""The tutorial, as a reader types it: a real repository, service, Prometheus and Alertmanager, in one shell."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner
from code_blocks import ROOT, Block, Command, blocks_of, commands

from paceline.cli import cli
from slo_engine.rules import INTERVAL

pytestmark = pytest.mark.integration

_PORTS = ("8080", "9090", "9093")
_OFTEN = "2s"
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.5
_END = "the end of this command"


@dataclass
class Shell:
    """A shell in a folder, with the ports that the page names exchanged for free ones."""

    process: subprocess.Popen[str]
    folder: Path
    ports: dict[str, str]
    wrong: list[str] = field(default_factory=list)

    def run(self, text: str) -> tuple[int, str]:
        """The exit code and the output of what somebody types; of our commands only the one that stays is a process."""
        if text.startswith("paceline ") and not text.startswith("paceline serve"):
            with contextlib.chdir(self.folder):
                done = CliRunner().invoke(cli, shlex.split(self.here(text))[1:], env={"COLUMNS": "240"})
            return done.exit_code, done.stdout
        return self._typed(text)

    def _typed(self, text: str) -> tuple[int, str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{self.here(text)}\necho; echo {_END} $?\n")
        self.process.stdin.flush()
        lines: list[str] = []
        for line in self.process.stdout:
            if line.startswith(_END):
                return int(line.removeprefix(_END)), "".join(lines).removesuffix("\n")
            lines.append(line)
        pytest.fail(f"the shell ended: {''.join(lines)}")

    def here(self, text: str) -> str:
        """A text with the ports of this run."""
        for port, free in self.ports.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
        return text.replace("paceline serve", f"paceline serve --port {self.ports['8080']}")

    def follow(self, block: Block) -> None:
        """Do what a block says: save it, run it once, or ask until the answer is the one that stands there."""
        if block.file:
            path = self.folder / block.file
            path.write_text(self.here(block.text), encoding="utf-8")
        for command in commands(block) if block.language in {"sh", "console"} else ():
            self._asked(command) if block.language == "console" else self._done(command)
        self._rules_are_evaluated_often()

    def _done(self, command: Command) -> None:
        code, output = self.run(command.text)
        if code:
            self.wrong.append(f"{command.name}: {output}")

    def _asked(self, command: Command) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        code, output = self.run(command.text)
        while (code or not command.shows(output)) and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
            code, output = self.run(command.text)
        if code or not command.shows(output):
            self.wrong.append(f"{command.name}: ended with {code}, and showed\n{output}")

    def _rules_are_evaluated_often(self) -> None:
        """Nobody waits for the minute of the rules; it is all that is changed in them."""
        rules = self.folder / "rules.yml"
        if rules.exists():
            text = rules.read_text(encoding="utf-8")
            rules.write_text(text.replace(f"interval: {INTERVAL}\n", f"interval: {_OFTEN}\n"), encoding="utf-8")


def _free_ports() -> dict[str, str]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in _PORTS]
        return {port: str(server.getsockname()[1]) for port, server in zip(_PORTS, found, strict=True)}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, requires_tool: Callable[[str], str]) -> Iterator[Shell]:
    """A shell that finds every program; what it started ends with it."""
    programs = tmp_path_factory.mktemp("programs")
    (programs / "alertmanager").symlink_to(requires_tool("prometheus-alertmanager"))
    for name in ("prometheus", "amtool", "curl"):
        requires_tool(name)
    folder = tmp_path_factory.mktemp("tutorial")
    people = {f"GIT_{who}_{what}": "c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = os.pathsep.join((str(programs), str(Path(sys.executable).parent), os.environ["PATH"]))
    with subprocess.Popen(
        ["bash", "--noprofile", "--norc"],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "GIT_CONFIG_SYSTEM": os.devnull, "COLUMNS": "240"} | people,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield Shell(process, folder, _free_ports())
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_the_tutorial_leads_from_nothing_to_an_alert_and_back(shell: Shell) -> None:
    """Every block in its order: files are saved, commands done, questions answered as the page shows."""
    for block in blocks_of(ROOT / "docs" / "tutorial.md"):
        shell.follow(block)

    assert shell.wrong == []
